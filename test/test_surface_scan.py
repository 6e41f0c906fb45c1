"""The scanned surface: exact points of views, thinned without mixing surfaces."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg3d_ros.data.synthetic.materials import plain
from autoseg3d_ros.data.synthetic.patterns import Mottled
from autoseg3d_ros.data.synthetic.primitives import box, rigid
from autoseg3d_ros.data.synthetic.render import Renderer
from autoseg3d_ros.data.synthetic.scene import Light, Material, Model, Part, Scene, SceneInstance
from autoseg3d_ros.data.synthetic.sensor import MAX_DEPTH_M
from autoseg3d_ros.data.synthetic.surface_scan import VOXEL_M, SurfacePoints, SurfaceScan, visible_surface
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

CAMERA = CameraIntrinsics(width=64, height=48, fx=52.0, fy=52.0, cx=31.5, cy=23.5)
LOOKING_DOWN = np.diag([1.0, -1.0, -1.0, 1.0])
UP, DOWN, EAST = (0.0, 0.0, 1.0), (0.0, 0.0, -1.0), (1.0, 0.0, 0.0)
GREY = Material((0.4, 0.4, 0.4), (0.4, 0.4, 0.4), Mottled())
CRATE_M = (0.6, 0.4, 0.3)
CRATE = SceneInstance(5, Model("crate", (Part(box(CRATE_M), plain((0.5, 0.1, 0.1))),)), rigid(0.2, 0.1, 0.0, 0.4))


def points(*rows: tuple[tuple[float, float, float], tuple[float, float, float], int]) -> SurfacePoints:
    """Return points from (place, normal, instance) rows; the red of a point is the number of its row."""
    xyz, normal, instance = zip(*rows, strict=True) if rows else ((), (), ())
    rgb = np.zeros((len(rows), 3), np.uint8)
    rgb[:, 0] = range(len(rows))
    return SurfacePoints(
        np.array(xyz, np.float32).reshape(-1, 3),
        np.array(normal, np.float32).reshape(-1, 3),
        rgb,
        np.array(instance, np.int32),
    )


def room_with(*instances: SceneInstance, length_m: float = 4.0) -> Scene:
    """Return a room with its floor at z = 0 and its middle above the origin."""
    shell = [box((length_m + 0.2, 4.2, 0.1), (0, 0, -0.1)), box((length_m + 0.2, 4.2, 0.1), (0, 0, 3))]
    shell += [box((0.1, 4.2, 3), (side * (length_m / 2 + 0.05), 0, 0)) for side in (-1, 1)]
    shell += [box((length_m + 0.2, 0.1, 3), (0, side * 2.05, 0)) for side in (-1, 1)]
    half = length_m / 2
    return Scene(
        building=SceneInstance(0, Model("building", tuple(Part(mesh, GREY) for mesh in shell)), np.eye(4)),
        instances=instances,
        lights=(Light((0.0, 0.0, 2.7)),),
        outline_m=((-half, -2.0), (half, -2.0), (half, 2.0), (-half, 2.0)),
        height_m=3.0,
        walk_area_m=(-1.0, -1.0, 1.0, 1.0),
    )


def pose_above(x_m: float = 0.0, y_m: float = 0.0, height_m: float = 1.5) -> RigidPose:
    matrix = LOOKING_DOWN.copy()
    matrix[:3, 3] = (x_m, y_m, height_m)
    return RigidPose.from_matrix(matrix)


# ----------------------------------------------------------------------------------------------------------- thinning


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([], []),
        ([((0.01, 0.01, 0.01), UP, 1)], [0]),
        ([((0.001, 0.01, 0.01), UP, 1), ((0.009, 0.01, 0.01), UP, 1)], [1]),  # one voxel: the nearer to its middle
        ([((0.009, 0.01, 0.01), UP, 1), ((0.001, 0.01, 0.01), UP, 1)], [0]),
        ([((0.01, 0.01, 0.01), UP, 1), ((0.03, 0.01, 0.01), UP, 1)], [0, 1]),  # two voxels
        ([((-0.01, 0.01, 0.01), UP, 1), ((0.01, 0.01, 0.01), UP, 1)], [0, 1]),  # zero is a border, too
        ([((0.01, 0.01, 0.01), UP, 1), ((0.01, 0.01, 0.012), UP, 2)], [0, 1]),  # two instances
        ([((0.01, 0.01, 0.01), UP, 0), ((0.01, 0.01, 0.012), UP, 1)], [0, 1]),
        ([((0.01, 0.01, 0.01), UP, 1), ((0.01, 0.01, 0.012), DOWN, 1)], [0, 1]),  # two faces of a board
        ([((0.01, 0.01, 0.01), UP, 1), ((0.01, 0.01, 0.012), EAST, 1)], [0, 1]),
    ],
)
def test_thinning(rows, kept):
    scan = SurfaceScan()
    scan.add(points(*rows))
    assert sorted(scan.points().rgb[:, 0].tolist()) == kept


def test_points_give_the_same_scan_in_any_number_of_calls_and_any_order():
    rng = np.random.default_rng(0)
    xyz = rng.uniform(-0.1, 0.1, (2000, 3)).astype(np.float32)
    normal = np.eye(3, dtype=np.float32)[rng.integers(3, size=2000)]
    rgb, instance = rng.integers(256, size=(2000, 3)).astype(np.uint8), rng.integers(3, size=2000).astype(np.int32)
    cloud = SurfacePoints(xyz, normal, rgb, instance)
    at_once, in_parts = SurfaceScan(), SurfaceScan()
    at_once.add(cloud)
    for part in np.array_split(rng.permutation(2000), 7):
        in_parts.add(cloud.of(part))
        in_parts.points()
    for name in ("xyz_m", "normal", "rgb", "instance_id"):
        assert np.array_equal(getattr(at_once.points(), name), getattr(in_parts.points(), name))


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_points_equally_near_the_coordinates_choose(order):
    scan = SurfaceScan(voxel_m=1.0)
    scan.add(points(((0.25, 0.5, 0.5), UP, 1), ((0.75, 0.5, 0.5), UP, 1)).of(np.array(order)))
    assert scan.points().rgb[:, 0].tolist() == [0]


def test_the_memory_is_bounded(monkeypatch):
    monkeypatch.setattr("autoseg3d_ros.data.synthetic.surface_scan._MAX_WAITING", 100)
    scan = SurfaceScan()
    for _ in range(50):
        scan.add(points(*[((0.01, 0.01, 0.01), UP, 1)] * 30))
    assert sum(map(len, scan._waiting)) <= 131


def test_an_instance_can_be_forgotten():
    scan = SurfaceScan()
    scan.add(points(((0.01, 0.01, 0.01), UP, 1), ((0.05, 0.01, 0.01), UP, 2)))
    scan.forget(1)
    assert scan.points().instance_id.tolist() == [2]
    scan.add(points(((0.09, 0.01, 0.01), UP, 1)))
    assert sorted(scan.points().instance_id.tolist()) == [1, 2]


def test_nothing_seen_is_an_empty_mesh():
    mesh = SurfaceScan().mesh()
    assert [len(array) for array in (mesh.vertices_m, mesh.rgb, mesh.instance_id, mesh.segment_id, mesh.faces)] == [
        0
    ] * 5


def test_no_segment_reaches_from_one_instance_into_another():
    x, y = (0.02 * axis.ravel() for axis in np.meshgrid(np.arange(20), np.arange(10)))
    scan = SurfaceScan()
    scan.add(points(*(((a, b, 0.0), UP, 1 + int(a >= 0.2)) for a, b in zip(x, y, strict=True))))
    mesh = scan.mesh()
    of_first, of_second = (set(mesh.segment_id[mesh.instance_id == id].tolist()) for id in (1, 2))
    assert (len(of_first), len(of_second)) == (1, 1)  # flat: one segment, but for the instances
    assert of_first != of_second


# -------------------------------------------------------------------------------------------------------------- views


def test_vertices_lie_on_the_surfaces_of_their_instances():
    renderer, scan = Renderer(room_with(CRATE), CAMERA), SurfaceScan()
    for x in (-0.6, 0.0, 0.6):
        scan.add(visible_surface(renderer.view(pose_above(x)), CAMERA, pose_above(x)))
    mesh = scan.mesh()
    is_crate = mesh.instance_id == 5
    assert set(mesh.instance_id.tolist()) == {0, 5}
    in_crate = (mesh.vertices_m - CRATE.world_from_object[:3, 3]) @ CRATE.world_from_object[:3, :3]
    outside = np.abs(in_crate - (0, 0, CRATE_M[2] / 2)) - np.array(CRATE_M) / 2  # (V, 3) < 0 within the slab
    assert np.abs(outside[is_crate].max(axis=1)).max() < 1e-4
    assert np.abs(mesh.vertices_m[~is_crate, 2]).max() < 1e-4  # looking down, the rest is floor
    assert np.abs(outside[is_crate][:, 2]).min() < 1e-4
    top = is_crate & (mesh.vertices_m[:, 2] > CRATE_M[2] - 1e-3)
    assert top.sum() > 0.7 * CRATE_M[0] * CRATE_M[1] / VOXEL_M**2
    # red is the colour of the crate, and its top is one segment that nothing else belongs to
    assert (mesh.rgb[top, 0] > 1.5 * mesh.rgb[top, 1]).all()
    (segment,) = np.unique(mesh.segment_id[top])
    assert set(mesh.instance_id[mesh.segment_id == segment].tolist()) == {5}


def test_what_is_out_of_reach_is_not_scanned():
    scene, camera_from_level = room_with(length_m=20.0), np.array([[0, 0, 1.0], [-1, 0, 0], [0, -1, 0]])
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = camera_from_level, (-1.0, 0, 1.5)  # looking along +x: the wall is 11 m away
    pose = RigidPose.from_matrix(matrix)
    view = Renderer(scene, CAMERA).view(pose)
    assert view.depth_m.max() > MAX_DEPTH_M
    surface = visible_surface(view, CAMERA, pose)
    assert 0 < len(surface) < view.depth_m.size
    assert surface.xyz_m[:, 0].max() <= -1.0 + MAX_DEPTH_M + 1e-4


@pytest.mark.parametrize(("first", "step"), [(0, 1), (0, 3), (2, 3)])
def test_pixels_can_be_left_out(first, step):
    pose = pose_above()
    view = Renderer(room_with(CRATE), CAMERA).view(pose)
    everything, some = visible_surface(view, CAMERA, pose), visible_surface(view, CAMERA, pose, first, step)
    assert np.array_equal(some.xyz_m, everything.xyz_m[first::step])
    assert np.array_equal(some.instance_id, view.instance.ravel()[first::step])
    assert np.array_equal(some.rgb, np.rint(view.rgb.reshape(-1, 3)[first::step] * 255).astype(np.uint8))
