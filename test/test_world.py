"""The furnished worlds: closed rooms, nothing inside of anything else, twins, one change at a time."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from autoseg3d_ros.data.synthetic.building import building, draw_plan, wall_bodies
from autoseg3d_ros.data.synthetic.changes import draw_change, movable
from autoseg3d_ros.data.synthetic.families import FAMILIES, ON_WALLS
from autoseg3d_ros.data.synthetic.placement import (
    Bodies,
    bodies_of,
    contains,
    depth_m,
    hull_of,
    meet,
    together,
    upright_box,
)
from autoseg3d_ros.data.synthetic.primitives import box, rigid
from autoseg3d_ros.data.synthetic.room import furnished_room
from autoseg3d_ros.data.synthetic.scene import Light, Model, Part, Scene, SceneInstance
from autoseg3d_ros.data.synthetic.settling import supports
from autoseg3d_ros.data.synthetic.world import furnished_world

SEEDS = range(10)
BURIED_M = 0.005  # boxes about round things may meet by so much
world = lru_cache(maxsize=None)(furnished_world)
L_SHAPE = np.array([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)], float)


def corners_m(item: SceneInstance) -> np.ndarray:
    meshes = [part.mesh.moved(item.world_from_object) for part in item.model.parts]
    return np.concatenate([mesh.corners_m.reshape(-1, 3) for mesh in meshes])


def overlapping(scene: Scene) -> list[str]:
    """Return the pairs of instances of which one is inside of the other."""
    bodies = [bodies_of(item.model, item.world_from_object) for item in scene.instances]
    return [
        f"{first.family} {first.id} and {second.family} {second.id}"
        for index, first in enumerate(scene.instances)
        for second, other in zip(scene.instances[:index], bodies[:index], strict=True)
        if meet(bodies[index], other, BURIED_M)
    ]


def floating(scene: Scene) -> list[str]:
    """Return what stands neither on the floor nor on anything else nor hangs on a wall."""
    every = together([bodies_of(item.model, item.world_from_object) for item in scene.instances])
    return [
        f"{item.family} {item.id}"
        for item in scene.instances
        if item.family not in ON_WALLS
        and abs(item.world_from_object[2, 3]) > 1e-6
        and not supports(every, (item.model, item.world_from_object)).any()
    ]


def digest(seed: int) -> str:
    """Return a sum over all meshes, places and materials of a world."""
    scene, total = furnished_world(seed), hashlib.sha256()
    for item in scene.solids:
        total.update(f"{item.id} {item.family}".encode() + item.world_from_object.tobytes())
        for part in item.model.parts:
            total.update(part.mesh.corners_m.tobytes() + repr(part.material).encode())
    total.update(repr((scene.lights, scene.outline_m, scene.height_m, scene.walk_area_m)).encode())
    return total.hexdigest()


# ------------------------------------------------------------------------------------------------------ boxes and plans


@pytest.mark.parametrize(
    ("shift_m", "yaw_rad", "expected_m"),
    [
        ((0.0, 0.0), 0.0, 1.0),
        ((0.9, 0.0), 0.0, 0.1),
        ((1.2, 0.0), 0.0, -0.2),
        ((1.1, 0.0), np.pi / 4, (1 + np.sqrt(2)) / 2 - 1.1),
        ((1.1, 1.1), np.pi / 4, 0.5 + np.sqrt(0.5) - 1.1 * np.sqrt(2)),
    ],
)
def test_overlap_of_two_unit_boxes_by_hand(shift_m: tuple, yaw_rad: float, expected_m: float) -> None:
    first = upright_box((0.0, 0.0), (1.0, 1.0), (0.0, 1.0))
    second = Bodies(np.array([shift_m]), np.full((1, 2), 0.5), np.array([yaw_rad]), np.array([(0.0, 1.0)]))
    assert depth_m(first, second) == pytest.approx([expected_m])
    assert depth_m(second, first) == pytest.approx([expected_m])
    assert meet(first, second) == (expected_m > 0.003)


def test_boxes_above_each_other_and_no_boxes_do_not_meet() -> None:
    low, high = (upright_box((0.0, 0.0), (1.0, 1.0), z_m) for z_m in ((0.0, 1.0), (1.0, 2.0)))
    assert not meet(low, high)
    assert not meet(low, together([]))
    assert meet(low, together([high, low]))


def test_polygon_contains_what_is_inside_of_it() -> None:
    points = np.array([(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5), (-0.1, 0.5), (2.1, 0.5), (0.5, 2.5)])
    assert contains(L_SHAPE, points).tolist() == [True, True, True, False, False, False, False]
    assert contains(L_SHAPE, np.zeros((0, 2))).tolist() == []


def test_plans_have_several_shapes_and_sizes_and_run_counter_clockwise() -> None:
    plans = [draw_plan(np.random.default_rng(seed)) for seed in range(60)]
    assert {len(plan.corners_m) for plan in plans} == {4, 6, 8}
    areas = np.array([plan.area_m2 for plan in plans])
    assert 7.0 < areas.min() < 14.0 and 25.0 < areas.max() < 40.0
    assert all(2.3 <= plan.height_m <= 3.0 for plan in plans)


@pytest.mark.parametrize("seed", range(20))
def test_walls_stand_outside_of_the_plan_and_touch_it(seed: int) -> None:
    plan = draw_plan(np.random.default_rng(seed))
    walls = wall_bodies(plan)
    inwards = np.stack([-np.sin(plan.yaws_rad), np.cos(plan.yaws_rad)], axis=1)
    near = (plan.corners_m + plan.ends_m) / 2 + 0.01 * inwards
    assert contains(plan.corners_m, near).all()
    low, high = plan.corners_m.min(axis=0), plan.corners_m.max(axis=0)
    points = np.random.default_rng(0).uniform(low, high, (4000, 2))
    dots = Bodies(points, np.full((4000, 2), 1e-6), np.zeros(4000), np.tile((0.0, 1.0), (4000, 1)))
    in_a_wall = np.zeros(4000, bool)
    for index in range(len(walls)):
        in_a_wall |= depth_m(dots, walls.chosen(np.full(4000, index))) > 0
    assert not (in_a_wall & contains(plan.corners_m, points)).any()


# --------------------------------------------------------------------------------------------------------------- worlds


@pytest.mark.parametrize("seed", SEEDS)
def test_world_has_its_ids_families_and_numbers(seed: int) -> None:
    scene = world(seed)
    assert [item.id for item in scene.instances] == list(range(1, len(scene.instances) + 1))
    assert 15 <= len(scene.instances) <= 45
    families = {item.family for item in scene.instances}
    assert families <= set(FAMILIES) and len(families) >= 6
    assert sum(len(part.mesh.corners_m) for item in scene.solids for part in item.model.parts) < 150_000


@pytest.mark.parametrize("seed", SEEDS)
def test_nothing_is_inside_of_anything_or_in_the_air(seed: int) -> None:
    assert overlapping(world(seed)) == []
    assert floating(world(seed)) == []


@pytest.mark.parametrize("seed", SEEDS)
def test_everything_is_inside_the_room_and_clear_of_the_walk(seed: int) -> None:
    scene = world(seed)
    x_min, y_min, x_max, y_max = scene.walk_area_m
    assert x_max - x_min > 0.5 and y_max - y_min > 0.5
    walk = upright_box(((x_min + x_max) / 2, (y_min + y_max) / 2), (x_max - x_min, y_max - y_min), (0.05, 2.0))
    assert contains(np.array(scene.outline_m), walk.corners_m[0]).all()
    for item in scene.instances:
        corners = corners_m(item)
        assert contains(np.array(scene.outline_m), corners[:, :2]).all(), item.family
        assert corners[:, 2].min() > -1e-9 and corners[:, 2].max() < scene.height_m, item.family
        assert not meet(bodies_of(item.model, item.world_from_object), walk), item.family
    assert 1 <= len(scene.lights) <= 4
    lamps = np.array([light.position_m for light in scene.lights])
    assert contains(np.array(scene.outline_m), lamps[:, :2]).all() and (lamps[:, 2] < scene.height_m).all()


@pytest.mark.parametrize("seed", SEEDS)
def test_rays_end_on_the_outline_of_an_empty_room_and_somewhere_in_a_furnished_one(seed: int) -> None:
    raycast = pytest.importorskip("autoseg3d_ros.data.synthetic.raycast")
    pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")
    scene = world(seed)
    x_min, y_min, x_max, y_max = scene.walk_area_m
    eye = np.array([(x_min + x_max) / 2, (y_min + y_max) / 2, 1.4], np.float32)
    directions = np.random.default_rng(seed).normal(size=(3, 20_000)).astype(np.float32)
    directions /= np.linalg.norm(directions, axis=0)
    hits = raycast.RayCaster(scene).cast(eye, directions)
    extent = np.ptp(np.array(scene.outline_m), axis=0)
    assert np.isfinite(hits.distance).all() and hits.distance.min() > 0.05
    assert hits.distance.max() < np.linalg.norm([*extent, scene.height_m]) + 0.01
    empty = raycast.RayCaster(replace(scene, instances=())).cast(eye, directions)
    ends = eye[:, None] + empty.distance * directions
    on_floor, on_ceiling = np.abs(ends[2]) < 1e-3, np.abs(ends[2] - scene.height_m) < 1e-3
    from_wall_m = distance_to_outline_m(np.array(scene.outline_m), ends[:2].T)
    on_skirting = (ends[2] < 0.071) & (from_wall_m < 0.018)  # 12 mm, at corners by the square root of 2
    assert (on_floor | on_ceiling | (from_wall_m < 1e-3) | on_skirting).all()


def distance_to_outline_m(outline_m: np.ndarray, points_m: np.ndarray) -> np.ndarray:
    """Return the distance (N,) of points (N, 2) to the nearest edge of a polygon (C, 2)."""
    start, along = outline_m, np.roll(outline_m, -1, axis=0) - outline_m
    shift = points_m[:, None] - start
    share = np.clip((shift * along).sum(axis=2) / (along**2).sum(axis=1), 0, 1)
    return np.linalg.norm(shift - share[..., None] * along, axis=2).min(axis=1)


def test_most_worlds_have_twins_side_by_side() -> None:
    def has_twins(scene: Scene) -> bool:
        return any(
            first.model is second.model
            and np.linalg.norm(first.world_from_object[:3, 3] - second.world_from_object[:3, 3]) < 1.5
            for index, first in enumerate(scene.instances)
            for second in scene.instances[:index]
            if first.family not in ON_WALLS
        )

    assert np.mean([has_twins(world(seed)) for seed in SEEDS]) >= 0.75


def test_things_stand_on_in_and_under_others() -> None:
    scenes = [world(seed) for seed in SEEDS]
    items = [(scene, item) for scene in scenes for item in scene.instances if item.family not in ON_WALLS]
    on = sum(item.world_from_object[2, 3] > 0.3 for _, item in items)
    under = sum(
        bool(
            (
                np.abs(item.world_from_object[:2, 3] - other.world_from_object[:2, 3])
                < other.model.size_m[:2].min() / 2
            ).all()
        )
        for scene, item in items
        for other in scene.instances
        if other.family in ("desk", "table", "crate") and item is not other and item.world_from_object[2, 3] < 0.3
    )
    assert on >= 5 * len(scenes) and under >= len(scenes) / 2


def test_families_are_seen_in_a_few_worlds() -> None:
    seen = {item.family for seed in SEEDS for item in world(seed).instances}
    assert len(seen) >= 32


def test_worlds_differ_with_the_seed_and_are_the_same_in_another_process() -> None:
    first = digest(0)
    assert first != digest(1)
    program = "import sys; sys.path.insert(0, sys.argv[1]); from test_world import digest; print(digest(0))"
    folder = __file__.rpartition("/")[0]
    done = subprocess.run(
        [sys.executable, "-c", program, folder],
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONHASHSEED": "99"},
    )
    assert done.stdout.strip() == first


# -------------------------------------------------------------------------------------------------------------- changes


@pytest.mark.parametrize("seed", SEEDS)
def test_change_touches_one_thing_and_leaves_all_clear(seed: int) -> None:
    before = world(seed)
    after, kind, instance_id = draw_change(before, np.random.default_rng(seed))
    old, new = ({item.id: item for item in scene.instances} for scene in (before, after))
    others = (old.keys() | new.keys()) - {instance_id}
    assert all(old[number] is new[number] for number in others)
    assert (instance_id in old, instance_id in new) == {
        "moved": (True, True),
        "removed": (True, False),
        "added": (False, True),
    }[kind]
    changed = (new if kind == "added" else old)[instance_id]
    assert changed.model.size_m.max() >= 0.15 and changed.family not in ON_WALLS
    assert kind != "added" or instance_id == len(before.instances) + 1
    assert overlapping(after) == [] and floating(after) == []
    if kind == "moved":
        places = [hull_of(item[instance_id].model, item[instance_id].world_from_object) for item in (old, new)]
        assert depth_m(*places) < 0
    if kind != "removed":
        assert contains(np.array(after.outline_m), corners_m(new[instance_id])[:, :2]).all()
    assert replace(after, instances=before.instances) == before


def test_moved_thing_leaves_its_old_place_also_where_space_is_short() -> None:
    outline = ((0.0, 0.0), (1.6, 0.0), (1.6, 1.6), (0.0, 1.6))
    grey = world(0).building.model.parts[0].material
    block = SceneInstance(1, Model("box", (Part(box((0.4, 0.4, 0.4)), grey),)), rigid(0.8, 0.5))
    scene = replace(world(0), instances=(block,), outline_m=outline, walk_area_m=(0.0, 1.5, 0.1, 1.6))
    moved = []
    for seed in range(30):
        after, kind, _ = draw_change(scene, np.random.default_rng(seed))
        if kind == "moved":
            places = [hull_of(item.model, item.world_from_object) for item in (block, after.instances[0])]
            moved.append(float(depth_m(*places)[0]))
    assert len(moved) > 5 and max(moved) < 0


def test_changes_are_of_all_kinds_and_repeatable() -> None:
    drawn = [draw_change(world(seed), np.random.default_rng(seed))[1:] for seed in SEEDS]
    assert drawn == [draw_change(world(seed), np.random.default_rng(seed))[1:] for seed in SEEDS]
    assert {kind for kind, _ in drawn} == {"moved", "removed", "added"}


def test_what_carries_something_stays() -> None:
    for scene in (world(0), furnished_room(7, "open")):
        boxes = [bodies_of(item.model, item.world_from_object) for item in movable(scene)]
        raised = [item for item in scene.instances if item.world_from_object[2, 3] > 0.01]
        assert boxes and raised
        for item in raised:
            assert not any(supports(bodies, (item.model, item.world_from_object)).any() for bodies in boxes)


def test_room_without_anything_and_without_space_has_no_change() -> None:
    plan = draw_plan(np.random.default_rng(0))
    (x_min, y_min), (x_max, y_max) = plan.corners_m.min(axis=0), plan.corners_m.max(axis=0)
    outline = tuple((float(x), float(y)) for x, y in plan.corners_m)
    shell = SceneInstance(0, building(plan, np.random.default_rng(0)), np.eye(4))
    walk = (float(x_min), float(y_min), float(x_max), float(y_max))
    empty = Scene(shell, (), (Light((0.0, 0.0, 2.0)),), outline, plan.height_m, walk)
    with pytest.raises(ValueError, match="nothing in this scene"):
        draw_change(empty, np.random.default_rng(0))
    block = SceneInstance(4, Model("box", (Part(box((0.2, 0.2, 0.2)), shell.model.parts[0].material),)), rigid(0.1))
    after, kind, instance_id = draw_change(replace(empty, instances=(block,)), np.random.default_rng(0))
    assert (after.instances, kind, instance_id) == ((), "removed", 4)
