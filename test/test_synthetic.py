"""The synthetic room: surfaces by hand-made geometry, the sensor by its model, the whole by its purpose."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.synthetic import furnished_room, generate_room, render, room_camera, room_frames
from autoseg3d_ros.data.synthetic.camera_path import LOOP_S, HandHeldPath
from autoseg3d_ros.data.synthetic.patterns import Band, Mottled, Pattern, Planks, Speckled, Wood, cell_noise
from autoseg3d_ros.data.synthetic.primitives import box, rigid
from autoseg3d_ros.data.synthetic.raycast import RayCaster
from autoseg3d_ros.data.synthetic.render import Renderer, View
from autoseg3d_ros.data.synthetic.room import FurnitureKind
from autoseg3d_ros.data.synthetic.scene import Light, Material, Model, Part, Scene, SceneInstance
from autoseg3d_ros.data.synthetic.sensor import MAX_DEPTH_M, MIN_DEPTH_M, sense_color, sense_depth
from autoseg3d_ros.structures import CameraIntrinsics, Frame, RigidPose

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

SEEDS = (7, 8, 9)
IN_BOTH = {"cabinet", "monitor", "bottle", "box", "storage box", "plant", "ball", "pillow", "floor lamp", "bin"}
FAMILIES: dict[FurnitureKind, set[str]] = {
    "closed": IN_BOTH | {"counter", "chest", "ottoman", "mug", "book"},
    "open": IN_BOTH | {"desk", "chair", "shelf", "sofa", "mug", "book"},
}
CAMERA = CameraIntrinsics(width=41, height=31, fx=40.0, fy=40.0, cx=20.0, cy=15.0)
LOOKING_DOWN = np.diag([1.0, -1.0, -1.0, 1.0])  # x right, y and z turned: the camera looks along -z of the world
GREY = Material((0.4, 0.4, 0.4), (0.4, 0.4, 0.4), Mottled())


# ----------------------------------------------------------------------------------------------- rays, light, textures


def closed_room_with(*models: tuple[Model, np.ndarray]) -> Scene:
    """Return a room of 4 x 4 x 3 metres about the origin with a lamp under its ceiling."""
    shell = [box((4.2, 4.2, 0.1), (0, 0, -0.1)), box((4.2, 4.2, 0.1), (0, 0, 3))]
    shell += [box((0.1, 4.2, 3), (side * 2.05, 0, 0)) for side in (-1, 1)]
    shell += [box((4.2, 0.1, 3), (0, side * 2.05, 0)) for side in (-1, 1)]
    building = SceneInstance(0, Model("building", tuple(Part(mesh, GREY) for mesh in shell)), np.eye(4))
    instances = tuple(SceneInstance(index, model, pose) for index, (model, pose) in enumerate(models, start=1))
    outline = ((-2.0, -2.0), (2.0, -2.0), (2.0, 2.0), (-2.0, 2.0))
    return Scene(building, instances, (Light((0.0, 0.0, 2.9)),), outline, 3.0, walk_area_m=(-1.0, -1.0, 1.0, 1.0))


BLOCK = Model("block", (Part(box((0.42, 0.22, 0.5)), GREY),))


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


@pytest.mark.parametrize(
    "pattern", [Mottled(), Wood(), Planks(), Speckled(), Band(0.0, 0.1)], ids=lambda item: type(item).__name__
)
def test_pattern_is_a_share_that_varies_and_depends_on_the_place_only(pattern: Pattern) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (3, 5000)).astype(np.float32)
    before = points.copy()
    weight = pattern.weight(points)
    assert weight.dtype == np.float32 and weight.min() >= 0.0 and weight.max() <= 1.0 and weight.std() > 0.05
    assert (points == before).all()
    assert (pattern.weight(points[:, ::-1]) == weight[::-1]).all()


def test_cells_are_random_and_repeatable() -> None:
    cells = np.stack(np.meshgrid(*[np.arange(-20, 20)] * 3)).reshape(3, -1).astype(np.float64)
    noise = cell_noise(cells)
    assert (cell_noise(cells) == noise).all()
    assert noise.mean() == pytest.approx(0.5, abs=0.01) and noise.std() == pytest.approx(np.sqrt(1 / 12), abs=0.01)
    assert abs(np.corrcoef(noise[:-1], noise[1:])[0, 1]) < 0.02


# ------------------------------------------------------------------------------------------------------------- sensor


def flat_view(depth_m: np.ndarray | float, *, cos_incidence: float = 1.0, shape: tuple[int, int] = (120, 160)) -> View:
    return View(
        rgb=np.full((*shape, 3), 0.5, np.float32),
        depth_m=np.broadcast_to(np.float32(depth_m), shape).copy(),
        instance=np.zeros(shape, np.int32),
        cos_incidence=np.full(shape, cos_incidence, np.float32),
    )


@pytest.mark.parametrize(("depth_m", "sigma_m"), [(1.0, 0.00188), (2.0, 0.00606), (4.0, 0.02582)])
def test_depth_noise_grows_with_the_square_of_the_distance(depth_m: float, sigma_m: float) -> None:
    measured = sense_depth(flat_view(depth_m), np.random.default_rng(0))
    error = measured[measured > 0] - depth_m
    assert error.std() == pytest.approx(sigma_m, rel=0.06)
    assert abs(error.mean()) < 0.2 * sigma_m


def test_depth_is_in_whole_millimetres() -> None:
    measured = sense_depth(flat_view(2.0), np.random.default_rng(0)).astype(np.float64) * 1000
    assert measured == pytest.approx(np.rint(measured), abs=1e-3)
    assert len(np.unique(measured)) > 10


@pytest.mark.parametrize(
    ("depth_m", "cos_incidence", "share_lost"),
    [(2.0, 1.0, 0.001), (2.0, 0.05, 1.0), (0.9 * MIN_DEPTH_M, 1.0, 1.0), (MAX_DEPTH_M + 1, 1.0, 1.0)],
    ids=["plain", "grazing", "too near", "too far"],
)
def test_depth_is_missing_where_the_sensor_cannot_measure(
    depth_m: float, cos_incidence: float, share_lost: float
) -> None:
    measured = sense_depth(flat_view(depth_m, cos_incidence=cos_incidence), np.random.default_rng(0))
    assert (measured == 0).mean() == pytest.approx(share_lost, abs=0.001)


def test_depth_has_holes_along_a_step_but_not_on_a_slope() -> None:
    step = np.where(np.arange(160) < 80, 1.0, 2.0)
    slope = 1 / np.linspace(1 / 0.5, 1 / 5.0, 40)  # a plane: inverse depth is linear
    holes_of_step = (sense_depth(flat_view(step), np.random.default_rng(0)) == 0).mean(axis=0)
    holes_of_slope = (sense_depth(flat_view(slope, shape=(120, 40)), np.random.default_rng(0)) == 0).mean(axis=0)
    assert holes_of_step[79:81].min() > 0.4 and holes_of_step[:75].max() < 0.05
    assert holes_of_slope.max() < 0.05


def test_colour_is_noisy_and_unbiased() -> None:
    seen = sense_color(flat_view(1.0), np.random.default_rng(0))
    assert seen.dtype == np.uint8
    assert seen.mean() == pytest.approx(127.5, abs=0.2) and 2.0 < seen.std() < 8.0


# ----------------------------------------------------------------------------------------------------- room and path


def corners_m(item: SceneInstance) -> np.ndarray:
    """Return the (K, 3) mesh corners in the world."""
    meshes = [part.mesh.moved(item.world_from_object) for part in item.model.parts]
    return np.concatenate([mesh.corners_m.reshape(-1, 3) for mesh in meshes])


def test_rooms_differ_with_the_seed_and_only_with_it() -> None:
    def things(seed: int) -> list[tuple]:
        room = furnished_room(seed)
        return [(item.family, *item.world_from_object.ravel(), *item.model.size_m) for item in room.instances]

    assert things(7) == things(7)
    assert len({tuple(things(seed)) for seed in range(10)}) == 10


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("seed", range(10))
def test_room_has_its_families_and_twins_side_by_side(seed: int, kind: FurnitureKind) -> None:
    room = furnished_room(seed, kind)
    assert [item.id for item in room.instances] == list(range(1, len(room.instances) + 1))
    assert len(room.instances) >= 20
    assert {item.family for item in room.instances} == FAMILIES[kind]
    boxes = [item for item in room.instances if item.family == "storage box"]
    first, second = next((a, b) for a in boxes for b in boxes if a.id < b.id and a.model is b.model)
    distance_m = float(np.linalg.norm(first.world_from_object[:3, 3] - second.world_from_object[:3, 3]))
    assert 0.0 <= distance_m - first.model.size_m[0] < 0.15


@pytest.mark.parametrize("kind", FAMILIES)
@pytest.mark.parametrize("seed", range(20))
def test_everything_is_inside_and_stands_on_something(seed: int, kind: FurnitureKind) -> None:
    room = furnished_room(seed, kind)
    shell_low, shell_high = room.building.model.bounds_m
    supports = {0.0}
    for item in room.instances:
        low, high = corners_m(item).min(axis=0), corners_m(item).max(axis=0)
        assert (low[:2] > shell_low[:2] + 0.1).all() and (high < shell_high - 0.1).all(), item.family
        assert min(abs(low[2] - support) for support in supports) < 1e-6, item.family
        supports |= {item.world_from_object[2, 3] + level for level in item.model.levels_m}


@pytest.mark.parametrize("seed", range(20))
def test_closed_bodies_do_not_overlap(seed: int) -> None:
    items = furnished_room(seed, "closed").instances
    low = np.array([corners_m(item).min(axis=0) for item in items])
    high = np.array([corners_m(item).max(axis=0) for item in items])
    overlap_m = (np.minimum(high[:, None], high) - np.maximum(low[:, None], low)).min(axis=2)
    np.fill_diagonal(overlap_m, 0.0)
    assert overlap_m.max() < 0.005  # of boxes along the axes, a little larger than the slightly turned bodies


@pytest.mark.parametrize("seed", SEEDS)
def test_camera_moves_like_a_walking_person_in_free_space(seed: int) -> None:
    room = furnished_room(seed)
    path = HandHeldPath(room, seed)
    poses = [path.pose(0.1 * index).matrix for index in range(200)]
    places = np.array([pose[:3, 3] for pose in poses])
    views = np.array([pose[:3, 2] for pose in poses])
    turns_deg = np.degrees(np.arccos(np.clip((views[1:] * views[:-1]).sum(axis=1), -1, 1)))
    x_min, y_min, x_max, y_max = room.walk_area_m
    assert (places[:, :2] > np.array([x_min, y_min]) - 0.15).all() and (
        places[:, :2] < (x_max + 0.15, y_max + 0.15)
    ).all()
    assert (np.linalg.norm(np.diff(places, axis=0), axis=1) < 0.12).all()  # 1.2 m/s
    assert turns_deg.max() < 12.0
    assert (np.abs(places[:, 2] - 1.45) < 0.2).all()


def test_path_repeats_but_for_the_tremor() -> None:
    path = HandHeldPath(furnished_room(7), 7)
    for time_s in (0.0, 5.0, 11.0):
        assert path.pose(time_s + LOOP_S).matrix == pytest.approx(path.pose(time_s).matrix, abs=0.12)
    assert path.pose(LOOP_S).matrix[:3, 3] == pytest.approx(path.pose(0.0).matrix[:3, 3], abs=0.06)


@pytest.mark.parametrize(("seed", "kind"), [*((seed, "closed") for seed in SEEDS), (7, "open")])
def test_each_instance_is_seen_then_gone_for_20_frames_then_seen_again(seed: int, kind: FurnitureKind) -> None:
    room, camera = furnished_room(seed, kind), room_camera(128, 96)
    renderer, path = Renderer(room, camera), HandHeldPath(room, seed)
    views = [renderer.view(path.pose(0.1 * index)) for index in range(120)]
    assert min(view.depth_m.min() for view in views) > MIN_DEPTH_M
    assert max(view.depth_m.max() for view in views) < 8.0  # no ray finds a gap in the walls
    area_px = np.stack([np.bincount(view.instance.ravel(), minlength=len(room.instances) + 1) for view in views])
    for item in room.instances:
        seen = np.flatnonzero(area_px[:, item.id] >= 4)  # 100 pixels at 640 x 480
        assert len(seen) >= 12 and np.diff(seen).max() > 20, f"{item.family} {item.id}"


# ----------------------------------------------------------------------------------------------------------- the whole


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_equal_seeds_give_equal_bytes(tmp_path: Path) -> None:
    for name, seed, num_frames in (("a", 3, 3), ("b", 3, 3), ("short", 3, 2), ("other", 4, 3)):
        generate_room(tmp_path / name, num_frames=num_frames, seed=seed, width=96, height=72)
    first = contents(tmp_path / "a")
    assert len(first) == 3 * 4 + 1
    assert contents(tmp_path / "b") == first
    assert contents(tmp_path / "short").items() <= first.items()
    generate_room(tmp_path / "open", num_frames=3, seed=3, width=96, height=72, furniture_kind="open")
    for other in (contents(tmp_path / "other"), contents(tmp_path / "open")):
        assert all(other[f"rgb/{number:06d}.png"] != first[f"rgb/{number:06d}.png"] for number in range(3))


def test_folder_reads_back_as_it_was_made(tmp_path: Path) -> None:
    counts = []
    generate_room(
        tmp_path / "room", num_frames=3, seed=5, width=64, height=48, progress=lambda *count: counts.append(count)
    )
    camera = room_camera(64, 48)
    source = RgbdFolder(tmp_path / "room")
    assert counts == [(1, 3), (2, 3), (3, 3)]
    assert (len(source), source.camera, source.frame_rate_hz) == (3, camera, 10.0)
    for read, made in zip(source.frames(), room_frames(furnished_room(5), 5, 3, camera, 10.0), strict=True):
        assert isinstance(read, Frame) and read.truth is not None
        assert (read.stamp_ns, read.name) == (made.stamp_ns, made.name)
        assert (
            (read.rgb == made.rgb).all() and (read.truth == made.truth).all() and (read.depth_m == made.depth_m).all()
        )
        assert read.world_from_camera == pytest.approx(made.world_from_camera, abs=1e-12)


def test_no_frames_is_a_folder_with_a_camera(tmp_path: Path) -> None:
    generate_room(tmp_path / "none", num_frames=0, width=64, height=48)
    assert [file.name for file in (tmp_path / "none").rglob("*") if file.is_file()] == ["camera.yaml"]


def test_frames_that_are_there_are_not_overwritten(tmp_path: Path) -> None:
    generate_room(tmp_path / "room", num_frames=1, width=64, height=48)
    with pytest.raises(SourceError, match="holds frames already"):
        generate_room(tmp_path / "room", num_frames=1, width=64, height=48)
