"""Rays and light: views of hand-made geometry."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest
from synthetic_builders import BLOCK, GREY, closed_room_with

from autoseg3d_ros.data.synthetic import render
from autoseg3d_ros.data.synthetic.primitives import box, rigid
from autoseg3d_ros.data.synthetic.raycast import RayCaster
from autoseg3d_ros.data.synthetic.render import Renderer
from autoseg3d_ros.data.synthetic.scene import Light, Model, Part, Scene
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

CAMERA = CameraIntrinsics(width=41, height=31, fx=40.0, fy=40.0, cx=20.0, cy=15.0)
LOOKING_DOWN = np.diag([1.0, -1.0, -1.0, 1.0])  # x right, y and z turned: the camera looks along -z of the world


def overhead_pose(x_m: float = 0.0, y_m: float = 0.0, z_m: float = 2.5) -> RigidPose:
    return RigidPose.from_matrix(rigid(x_m, y_m, z_m) @ LOOKING_DOWN)


def test_empty_room_has_depth_and_no_instance() -> None:
    frame = render(closed_room_with(), CAMERA, overhead_pose())
    assert frame.truth is not None and not frame.truth.any()
    assert frame.depth_m == pytest.approx(2.5, abs=1e-5)


def test_block_has_the_depth_and_the_outline_of_the_pinhole_model() -> None:
    frame = render(closed_room_with((BLOCK, np.eye(4))), CAMERA, overhead_pose())
    # the top is 2 m below the camera, so that 0.21 m are 4.2 pixels and 0.11 m are 2.2
    assert frame.truth is not None
    rows, columns = np.nonzero(frame.truth == 1)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (16, 24, 13, 17)
    assert frame.depth_m[15, 20] == pytest.approx(2.0, abs=1e-5)
    assert frame.depth_m[0, 0] == pytest.approx(2.5, abs=1e-5)


def test_turned_and_moved_block_is_where_its_pose_says() -> None:
    pose = rigid(0.5, 0.25, 0.0, yaw_rad=np.pi / 2)
    frame = render(closed_room_with((BLOCK, pose)), CAMERA, overhead_pose(0.5, 0.25))
    assert frame.truth is not None
    rows, columns = np.nonzero(frame.truth == 1)
    assert (columns.min(), columns.max(), rows.min(), rows.max()) == (18, 22, 11, 19)


def test_nearer_instance_hides_the_farther() -> None:
    scene = closed_room_with((BLOCK, np.eye(4)), (BLOCK, rigid(z_m=0.5)))
    frame = render(scene, CAMERA, overhead_pose())
    assert frame.truth is not None and set(np.unique(frame.truth)) == {0, 2}
    assert frame.depth_m[15, 20] == pytest.approx(1.5, abs=1e-5)


def test_light_is_blocked_by_what_stands_between() -> None:
    caster = RayCaster(closed_room_with((BLOCK, rigid(z_m=1.0))))
    floor = np.array([[0.0, 1.0], [0.0, 1.0], [0.0, 0.0]], np.float32)  # under the block, beside it
    up = np.array([[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]], np.float32)
    assert caster.lit(floor, up, np.array([0.0, 0.0, 2.9], np.float32)).tolist() == [False, True]


def test_missing_ray_caster_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embreex.rtcore_scene", None)
    with pytest.raises(ImportError, match="pip install embreex"):
        RayCaster(closed_room_with())


def test_view_has_the_normals_and_the_reflectance_of_its_surfaces() -> None:
    view = Renderer(closed_room_with((BLOCK, np.eye(4))), CAMERA).view(overhead_pose(1.0))
    assert view.normal.shape == (31, 41, 3) and np.linalg.norm(view.normal, axis=2) == pytest.approx(1, abs=1e-5)
    assert view.normal[15, [2, 35]] == pytest.approx(np.array([[0, 0, 1], [0, 0, 1]]), abs=1e-6)
    sides = view.instance > 0
    assert view.normal[sides][:, 0].max() == pytest.approx(1.0)  # the face of the block to the camera's side
    assert view.reflectance == pytest.approx(0.4 * (0.88 + 0.06), abs=0.4 * 0.061)
    assert not view.gloss.any()


def lit_from(*lamps: Light) -> Scene:
    """Return the room with a block in its middle under other lamps."""
    return replace(closed_room_with((BLOCK, np.eye(4))), lights=lamps)


def brightness(scene: Scene) -> np.ndarray:
    """Return (H, W) how much light comes from a scene seen from above."""
    return Renderer(scene, CAMERA).view(overhead_pose()).radiance.mean(axis=2)


def test_lamps_add_up() -> None:
    left, right = Light((-1.2, 0.3, 2.0), 0.7, (1.0, 0.5, 0.2)), Light((1.0, -0.2, 1.5), 0.4)
    dark, first, second, both = (brightness(lit_from(*lamps)) for lamps in ((), (left,), (right,), (left, right)))
    assert first.max() > 1.5 * dark.max()
    assert both - dark == pytest.approx((first - dark) + (second - dark), abs=1e-5)


def test_only_the_two_strongest_lamps_cast_shadows() -> None:
    def shadow_of(*strengths: float) -> float:
        """Return how much less light there is behind the block than before it, of a lamp to the left."""
        others = [Light((0.0, 0.0, 2.9), strength) for strength in strengths]
        image = brightness(lit_from(Light((-1.6, 0.0, 0.8), 1.0), *others)) - brightness(lit_from(*others))
        return float(image[15, 32] / image[15, 8])

    assert shadow_of() < 0.05 and shadow_of(2.0) < 0.05
    assert shadow_of(2.0, 3.0) > 0.1


def test_glass_mirrors_a_lamp_and_nothing_else_does() -> None:
    glass = Model("pane", (Part(box((1.5, 1.5, 0.01)), replace(GREY, gloss=0.9)),))
    matt = Model("pane", (Part(box((1.5, 1.5, 0.01)), GREY),))
    pane, plain = (
        Renderer(closed_room_with((model, np.eye(4))), CAMERA).view(overhead_pose(0.4)) for model in (glass, matt)
    )
    more = (pane.radiance - plain.radiance).mean(axis=2)
    row, column = np.unravel_index(more.argmax(), more.shape)
    # lamp at x = 0, z = 2.9; camera at x = 0.4, z = 2.5: the ray meets the pane at x = 0.215, 7.4 cm / 2.5 m x 40 px
    assert more.max() > 0.5 and (row, column) == (15, 17)
    assert (more[pane.gloss == 0] == 0).all() and pane.gloss.max() == pytest.approx(0.9)


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 3), (33, 7)])
def test_images_of_any_size(width: int, height: int) -> None:
    camera = CameraIntrinsics(width, height, fx=40.0, fy=40.0, cx=(width - 1) / 2, cy=(height - 1) / 2)
    view = Renderer(closed_room_with(), camera).view(overhead_pose())
    assert view.rgb.shape == (height, width, 3) and view.rgb.min() > 0.2 and view.rgb.max() <= 1
