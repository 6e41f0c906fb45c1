"""Camera paths: how they move, where they may be, what they look at."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from synthetic_builders import BLOCK, GREY, closed_room_with

from autoseg3d_ros.data.synthetic import furnished_room, room_camera
from autoseg3d_ros.data.synthetic.camera_path import LOOP_S, HandHeldPath
from autoseg3d_ros.data.synthetic.free_space import free_space
from autoseg3d_ros.data.synthetic.pose_noise import loop_closures
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, rigid
from autoseg3d_ros.data.synthetic.raycast import RayCaster
from autoseg3d_ros.data.synthetic.room import FurnitureKind
from autoseg3d_ros.data.synthetic.route import draw_route
from autoseg3d_ros.data.synthetic.scene import Light, Model, Part, Scene, SceneInstance
from autoseg3d_ros.data.synthetic.sensor import MIN_DEPTH_M
from autoseg3d_ros.data.synthetic.walks import Carrier, walk

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

SEEDS = (7, 8, 9)
CARRIERS: tuple[Carrier, ...] = ("hand", "wheels")
RATE_HZ = 10.0
FLOOR_TO_HEAD_M = (0.06, 1.9)


@cache
def open_room(seed: int) -> Scene:
    return furnished_room(seed, "open")


@cache
def walked(seed: int, num_frames: int, carrier: Carrier) -> np.ndarray:
    """Return (N, 4, 4) poses of a walk through the open room of a seed."""
    poses = walk(open_room(seed), np.random.default_rng(seed), num_frames, RATE_HZ, carrier)
    return np.array([pose.matrix for pose in poses]).reshape(-1, 4, 4)


def seen_px(scene: Scene, poses: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the pixels (N, instances + 1) that each instance has at (N, 4, 4) poses, of 96 x 72, and all depths."""
    caster, camera = RayCaster(scene), room_camera(96, 72)
    instance = np.array([surface.instance_id for surface in caster.surfaces])
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack([(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones_like(row)]).reshape(3, -1)
    hits = [caster.cast(pose[:3, 3].astype("f4"), (pose[:3, :3] @ rays).astype("f4")) for pose in poses]
    counts = [np.bincount(instance[one.surface], minlength=len(scene.instances) + 1) for one in hits]
    return np.stack(counts), np.stack([one.distance for one in hits])


def angle_deg(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Return the angles between unit vectors (..., 3)."""
    return np.degrees(np.arccos(np.clip((first * second).sum(axis=-1), -1, 1)))


# --------------------------------------------------------------------------------------------------------- free space


def solid(mesh: Mesh) -> Model:
    return Model("solid", (Part(mesh, GREY),))


def l_shaped_room(*instances: SceneInstance, arm_m: float = 2.0) -> Scene:
    """Return 4 x 4 metres without the corner beyond (arm, arm); its walls are only in the outline."""
    outline = ((0.0, 0.0), (4.0, 0.0), (4.0, arm_m), (arm_m, arm_m), (arm_m, 4.0), (0.0, 4.0))
    floor = SceneInstance(0, solid(box((4, 4, 0.1), (2, 2, -0.1))), np.eye(4))
    return Scene(floor, instances, (Light((1.0, 1.0, 2.4)),), outline, 2.5, walk_area_m=(0.4, 0.4, 1.5, 1.5))


def test_an_empty_room_is_free_but_for_the_radius_along_its_walls() -> None:
    space = free_space(closed_room_with(), 0.3, FLOOR_TO_HEAD_M)
    assert space.free.sum() * 0.05**2 == pytest.approx(3.4**2, rel=0.06)
    assert space.clearance_at(np.zeros((1, 2)))[0] == pytest.approx(2.0, abs=0.08)


@pytest.mark.parametrize(
    ("place", "free"),
    [((1.0, 3.5), True), ((3.5, 1.0), True), ((3.0, 3.0), False), ((2.2, 2.2), False), ((0.1, 1.0), False)],
)
def test_the_missing_corner_of_an_l_is_not_free(place: tuple[float, float], free: bool) -> None:
    space = free_space(l_shaped_room(), 0.3, FLOOR_TO_HEAD_M)
    assert space.free[space.cell_of(np.array([place]))].item() is free


def test_no_wall_is_looked_through() -> None:
    space = free_space(l_shaped_room(), 0.3, FLOOR_TO_HEAD_M)
    seen = space.sees(np.array([1.0, 3.5]), np.array([[1.0, 0.5], [3.5, 0.5], [1.8, 3.8]]))
    assert seen.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("base_z_m", "in_the_way"),
    [(0.0, True), (1.0, True), (2.2, False), (-0.46, False)],
    ids=["on the floor", "in the air", "above the head", "as flat as a rug"],
)
def test_what_is_at_the_height_of_the_carrier_is_in_its_way(base_z_m: float, in_the_way: bool) -> None:
    space = free_space(closed_room_with((BLOCK, rigid(z_m=base_z_m))), 0.3, FLOOR_TO_HEAD_M)
    beside = space.cell_of(np.array([[0.45, 0.0]]))  # 24 cm from the block
    away = space.cell_of(np.array([[0.6, 0.0]]))
    assert space.free[beside].item() is not in_the_way and space.free[away].item()


def test_the_inside_of_a_closed_body_is_not_reached() -> None:
    scene = l_shaped_room(SceneInstance(1, solid(box((1.5, 1.5, 2.2))), rigid(3.0, 1.0)))
    space = free_space(scene, 0.3, FLOOR_TO_HEAD_M)
    assert not space.free[space.cell_of(np.array([[3.0, 1.0]]))].item()
    assert space.free[space.cell_of(np.array([[1.0, 3.0]]))].item()


def test_a_room_without_free_floor_is_named() -> None:
    full = closed_room_with((solid(box((3.5, 3.5, 1.0))), np.eye(4)))
    with pytest.raises(ValueError, match=r"no free floor for a carrier of 0[.]3 m"):
        free_space(full, 0.3, FLOOR_TO_HEAD_M)


@pytest.mark.parametrize("length_m", [0.0, 0.6, 4.0, 12.0])
@pytest.mark.parametrize("arm_m", [2.0, 0.8])
def test_a_route_is_a_smooth_loop_of_its_length_in_free_space(length_m: float, arm_m: float) -> None:
    space = free_space(l_shaped_room(arm_m=arm_m), 0.3, FLOOR_TO_HEAD_M)
    for seed in range(5):
        route = draw_route(space, 0.3, length_m, np.random.default_rng(seed))
        assert route.length_m <= 1.25 * length_m and (length_m < 4 or route.length_m > 0.5 * length_m)
        assert route.places_m[0] == pytest.approx(route.places_m[-1], abs=0.3)
        assert space.clearance_at(route.places_m).min() > 0.27
        assert (np.diff(route.along_m) < 0.05).all() and (np.diff(route.stops_m) >= 0).all()


# -------------------------------------------------------------------------------------------------------------- walks


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("num_frames", [0, 1, 5])
def test_a_short_walk_has_its_frames(num_frames: int, carrier: Carrier) -> None:
    assert len(walked(7, num_frames, carrier)) == num_frames


@pytest.mark.parametrize("carrier", CARRIERS)
def test_a_walk_depends_on_its_generator_only(carrier: Carrier) -> None:
    first, again, other = (walk(open_room(7), np.random.default_rng(seed), 30, RATE_HZ, carrier) for seed in (1, 1, 2))
    assert first == again and first != other


@pytest.mark.parametrize("carrier", CARRIERS)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_walk_is_smooth_slow_enough_and_out_of_everything(seed: int, carrier: Carrier) -> None:
    room, poses = open_room(seed), walked(seed, 240, carrier)
    places = poses[:, :3, 3]
    steps_m = np.linalg.norm(np.diff(places[:, :2], axis=0), axis=1)
    turns_deg = angle_deg(poses[1:, :3, 2], poses[:-1, :3, 2])
    assert steps_m.max() < 0.09 and steps_m.sum() > 2.0
    assert turns_deg.max() < 8.5 and turns_deg.sum() > 200
    assert angle_deg(poses[2:, :3, 2], 2 * poses[1:-1, :3, 2] - poses[:-2, :3, 2]).max() < 8  # no jerks
    meshes = [part.mesh.moved(item.world_from_object) for item in room.instances for part in item.model.parts]
    corners_m = np.concatenate([mesh.corners_m.reshape(-1, 3) for mesh in meshes])
    assert np.linalg.norm(places[::4, None] - corners_m[::11], axis=2).min() > 0.25
    assert free_space(room, 0.25, FLOOR_TO_HEAD_M).clearance_at(places[:, :2]).min() > 0.25


@pytest.mark.parametrize("seed", SEEDS)
def test_a_hand_shakes_and_wheels_do_not(seed: int) -> None:
    hand, wheels = (walked(seed, 240, carrier) for carrier in CARRIERS)
    assert ((hand[:, 2, 3] > 1.2) & (hand[:, 2, 3] < 1.7)).all() and np.ptp(hand[:, 2, 3]) > 0.01
    assert ((wheels[:, 2, 3] > 0.39) & (wheels[:, 2, 3] < 1.11)).all() and np.ptp(wheels[:, 2, 3]) < 0.005
    about_z = Rotation.from_matrix(wheels[1:, :3, :3] @ wheels[:-1, :3, :3].transpose(0, 2, 1)).as_rotvec(degrees=True)
    assert np.abs(about_z[:, :2]).max() < 0.5 and np.abs(about_z[:, 2]).max() > 2


def test_wheels_drive_where_the_camera_looks() -> None:
    poses = walked(7, 240, "wheels")
    steps = np.diff(poses[:, :2, 3], axis=0)
    moving = np.linalg.norm(steps, axis=1) > 0.02
    ahead = (steps * poses[:-1, :2, 2]).sum(axis=1) / np.linalg.norm(steps, axis=1)
    assert moving.sum() > 40 and ahead[moving].min() > 0.5 and np.median(ahead[moving]) > 0.97


@pytest.mark.parametrize("carrier", CARRIERS)
def test_most_walks_come_back_to_their_first_view(carrier: Carrier) -> None:
    closed = [loop_closures(walked(seed, 240, carrier)) for seed in (*SEEDS, 10, 11)]
    assert sum(bool(frames) for frames in closed) >= 4


@pytest.mark.parametrize("carrier", CARRIERS)
def test_most_things_are_seen_then_gone_for_a_while_then_seen_again(carrier: Carrier) -> None:
    absences = []
    for seed in SEEDS:
        area_px, depth_m = seen_px(open_room(seed), walked(seed, 240, carrier)[::2])
        assert depth_m.min() > 0.2 and depth_m.max() < 8  # no ray finds a gap in the walls
        absences += [2 * np.diff(np.flatnonzero(area >= 3)) for area in area_px.T[1:]]
    come_back = [((gone >= 10) & (gone <= 150)).any() for gone in absences]
    assert np.mean(come_back) > 0.5
    gone = np.concatenate(absences)
    assert (gone >= 60).sum() > 10 and ((gone >= 10) & (gone <= 30)).sum() > 10  # now for long, now briefly


# ------------------------------------------------------------------------------------------------- the path of the demo


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
    room, path = furnished_room(seed, kind), HandHeldPath(furnished_room(seed, kind), seed)
    area_px, depth_m = seen_px(room, np.array([path.pose(0.1 * index).matrix for index in range(120)]))
    assert depth_m.min() > MIN_DEPTH_M and depth_m.max() < 8.0  # no ray finds a gap in the walls
    for item in room.instances:
        seen = np.flatnonzero(area_px[:, item.id] >= 3)  # 130 pixels at 640 x 480
        assert len(seen) >= 12 and np.diff(seen).max() > 20, f"{item.family} {item.id}"
