"""A world drawn from a seed: a room of some size and shape, furnished by a theme, lit by one to four lamps."""

from __future__ import annotations

import colorsys

import numpy as np

from autoseg3d_ros.data.synthetic import families, furniture, groups
from autoseg3d_ros.data.synthetic.arrangement import Placed, at_wall
from autoseg3d_ros.data.synthetic.building import Plan, building, draw_plan, wall_bodies
from autoseg3d_ros.data.synthetic.groups import Group
from autoseg3d_ros.data.synthetic.placement import Room, contains, hull_of, meet, together, upright_box
from autoseg3d_ros.data.synthetic.primitives import rigid
from autoseg3d_ros.data.synthetic.scene import Light, Scene, SceneInstance
from autoseg3d_ros.data.synthetic.settling import settled

_GAP_M = 0.03  # between groups, and between furniture and walls
_TRIES = 30  # places tried for a group
_LEAST_INSTANCES, _MOST_INSTANCES = 15, 45
_DOOR_SPACE_M = 0.75  # kept free before a door
_HEAD_M = 2.0

# What a theme has, in order of importance; groups of `groups.FREE` stand away from walls.
_THEMES: tuple[tuple[Group, ...], ...] = (
    (groups.work_place, groups.work_place, groups.library, groups.sideboard, groups.work_place, groups.stack_of_boxes),
    (groups.lounge, groups.sideboard, groups.library, groups.dining_place, groups.reading_corner, groups.rug_place),
    (groups.sleeping_place, groups.wardrobes, groups.sideboard, groups.work_place, groups.rug_place),
    (groups.kitchen_line, groups.dining_place, groups.kitchen_line, groups.stack_of_boxes, groups.sideboard),
    (groups.work_place, groups.lounge, groups.stack_of_boxes, groups.sleeping_place, groups.kitchen_line),
)
_FILLING = (
    *(groups.stack_of_boxes, groups.loose_thing, groups.library, groups.sideboard, groups.work_place),
    *(groups.loose_thing, groups.dining_place, groups.reading_corner, groups.wardrobes, groups.loose_thing),
)
_FLAT = families.ON_WALLS | {"rug"}
_FREE: frozenset[Group] = frozenset({groups.dining_place, groups.rug_place})


def furnished_world(seed: int) -> Scene:
    """Return the world of a seed >= 0; equal seeds give equal worlds.

    Its instances have the families of `families.FAMILIES`; doors, windows, pictures and curtains are among them. In
    most worlds things of one model stand side by side, so that only their place tells them apart.
    """
    rng = np.random.default_rng([seed, 3])
    plan = draw_plan(rng)
    room = Room(wall_bodies(plan), plan.corners_m)
    _hang_door(room, plan, rng)
    walk_area = _walk_area(room, plan, rng)
    _hang_windows(room, plan, rng)
    theme = _THEMES[rng.integers(len(_THEMES))]
    covered = rng.uniform(0.14, 0.32)  # share of the floor
    for index, group in enumerate(theme):
        if index < 3 or _covered_m2(room) < covered * plan.area_m2:
            _furnish(room, plan, group, rng)
    for _ in range(14):
        if len(room.placed) < _LEAST_INSTANCES or _covered_m2(room) < covered * plan.area_m2:
            _furnish(room, plan, _FILLING[rng.integers(len(_FILLING))], rng)
    _hang_pictures(room, plan, rng)
    lights = _lights(plan, rng)
    return Scene(
        building=SceneInstance(0, building(plan, rng), np.eye(4)),
        instances=tuple(SceneInstance(index, *placed) for index, placed in enumerate(room.placed, start=1)),
        lights=lights,
        outline_m=tuple((float(x), float(y)) for x, y in plan.corners_m),
        height_m=plan.height_m,
        walk_area_m=walk_area,
    )


def _furnish(room: Room, plan: Plan, group: Group, rng: np.random.Generator) -> None:
    """Put a group where most of it finds room, and at least what it begins with."""
    placed = settled(group(rng))
    best: list[Placed] = []
    for _ in range(_TRIES):
        world_from_group = _free_place(plan, rng) if group in _FREE else _place_at_wall(plan, placed, rng)
        moved = _moved(placed, world_from_group)
        if room.fits(moved[:1], _GAP_M):
            fitting = settled([one for one in moved if room.fits([one], _GAP_M)])
            best = max(best, fitting, key=len)
            if len(best) == len(placed):
                break
    if len(room.placed) + len(best) <= _MOST_INSTANCES:
        room.put(best)


def _covered_m2(room: Room) -> float:
    """Return the floor that furniture stands on or over."""
    standing = [hull_of(*one) for one in room.placed if one[1][2, 3] == 0 and one[0].family not in _FLAT]
    return float(4 * together(standing).half_m.prod(axis=1).sum())


def _moved(placed: list[Placed], world_from_group: np.ndarray) -> list[Placed]:
    return [(model, world_from_group @ group_from_object) for model, group_from_object in placed]


def _free_place(plan: Plan, rng: np.random.Generator) -> np.ndarray:
    x, y = rng.uniform(plan.corners_m.min(axis=0), plan.corners_m.max(axis=0))
    return rigid(x, y, yaw_rad=np.pi / 2 * rng.integers(4) + rng.normal(0, 0.05))


def _place_at_wall(plan: Plan, placed: list[Placed], rng: np.random.Generator, gap_m: float = _GAP_M) -> np.ndarray:
    """Return world_from_group at a wall: in a third of the cases in one of its corners."""
    reach = np.array([_reach_m(one) for one in placed])  # (K, 2)
    low, high = reach[:, 0].min(), reach[:, 1].max()
    lengths = plan.lengths_m
    spare = np.maximum(lengths - (high - low) - 2 * gap_m, 0.05)  # walls that are too short are hardly ever tried
    wall = int(rng.choice(len(lengths), p=spare / spare.sum()))
    first, last = gap_m - low, lengths[wall] - gap_m - high
    share = rng.random() if rng.random() < 0.67 else rng.integers(2)
    along = first + share * (last - first)
    yaw = plan.yaws_rad[wall]
    x, y = plan.corners_m[wall]
    return rigid(x, y, yaw_rad=yaw) @ rigid(along, gap_m + 2e-3)


def _reach_m(one: Placed) -> tuple[float, float]:
    """Return the lowest and the highest x of a thing in its group."""
    model, pose = one
    size = np.abs(pose[0, :2]) @ model.size_m[:2] / 2
    middle = (pose[:3, :3] @ model.bounds_m.mean(axis=0) + pose[:3, 3])[0]
    return float(middle - size), float(middle + size)


# ------------------------------------------------------------------------------------------------- walls and free floor


def _hang_door(room: Room, plan: Plan, rng: np.random.Generator) -> None:
    """Hang one or two equal doors and keep the floor before them free."""
    door = furniture.door(rng)
    for _ in range(2 if rng.random() < 0.25 else 1):
        pose = _hang(room, plan, [(door, at_wall(door, 0.0))], rng)
        if pose is not None:
            size = (float(door.size_m[0]), _DOOR_SPACE_M)
            middle = pose @ (0.0, _DOOR_SPACE_M / 2 + 0.1, 0.0, 1.0)
            size = size if abs(np.sin(np.arctan2(pose[1, 0], pose[0, 0]))) < 0.5 else size[::-1]
            room.keep_free(upright_box((middle[0], middle[1]), size, (0.0, _HEAD_M)))


def _hang_windows(room: Room, plan: Plan, rng: np.random.Generator) -> None:
    """Hang up to three equal windows, each with two equal curtains and a radiator, or without."""
    window, curtain, radiator = furniture.window(rng), furniture.curtain(rng), furniture.radiator(rng)
    with_curtains, with_radiator = rng.random() < 0.5, rng.random() < 0.5
    sill, rail = rng.uniform(0.85, 1.0), min(plan.height_m - 0.03, 2.35)
    for _ in range(int(rng.integers(1, 3))):
        placed = [(window, at_wall(window, 0.0) @ rigid(z_m=sill))]
        if with_curtains:
            x = window.size_m[0] / 2 + curtain.size_m[0] / 2 + 0.005
            placed += [(curtain, at_wall(curtain, side * x) @ rigid(z_m=rail - curtain.size_m[2])) for side in (-1, 1)]
        if with_radiator:
            placed.append((radiator, at_wall(radiator, 0.0, 0.01)))
        _hang(room, plan, placed, rng)


def _hang_pictures(room: Room, plan: Plan, rng: np.random.Generator) -> None:
    """Hang pictures on what is free of the walls; now and then two of a kind in a row."""
    for _ in range(int(rng.integers(0, 5))):
        picture = furniture.picture(rng)
        pose = at_wall(picture, 0.0) @ rigid(z_m=rng.uniform(1.2, 1.5))
        placed = [(picture, pose)]
        if rng.random() < 0.3:
            placed.append((picture, pose @ rigid(picture.size_m[0] + rng.uniform(0.03, 0.1))))
        _hang(room, plan, placed, rng)


def _hang(room: Room, plan: Plan, placed: list[Placed], rng: np.random.Generator) -> np.ndarray | None:
    """Put things on a wall where it is free; return world_from_group, or None where no place was found."""
    for _ in range(_TRIES):
        pose = _place_at_wall(plan, placed, rng, gap_m=0.004)
        moved = _moved(placed, pose)
        if len(room.placed) + len(moved) <= _MOST_INSTANCES and room.fits(moved, 0.0):
            room.put(moved)
            return pose
    return None


def _walk_area(room: Room, plan: Plan, rng: np.random.Generator) -> tuple[float, float, float, float]:
    """Draw a rectangle of floor for the camera, half a metre from the walls, and keep it free."""
    low, high = plan.corners_m.min(axis=0), plan.corners_m.max(axis=0)
    walls = wall_bodies(plan)
    for shrink in np.linspace(1.0, 0.4, 400):
        size = shrink * np.maximum(rng.uniform(0.28, 0.42, 2) * (high - low), 1.0)
        middle = rng.uniform(low + size / 2, high - size / 2)
        space = upright_box((middle[0], middle[1]), (size[0], size[1]), (0.0, _HEAD_M))
        if contains(plan.corners_m, space.corners_m[0]).all() and not meet(space.grown(0.5), walls):
            room.keep_free(space)
            break
    x_min, y_min = middle - size / 2
    x_max, y_max = middle + size / 2
    return float(x_min), float(y_min), float(x_max), float(y_max)


def _lights(plan: Plan, rng: np.random.Generator) -> tuple[Light, ...]:
    """Draw one to four lamps under the ceiling, together as bright as one or two; warm, neutral or cold."""
    low, high = plan.corners_m.min(axis=0), plan.corners_m.max(axis=0)
    area = float(np.prod(high - low))
    count = int(rng.integers(1, 3)) if area < 14 else int(rng.integers(2, 5))
    total = rng.uniform(0.8, 1.2) * np.clip(area / 14, 0.8, 1.8)
    shares = rng.dirichlet(np.full(count, 3.0))
    hue, saturation = (0.09, rng.uniform(0.0, 0.3)) if rng.random() < 0.7 else (0.6, rng.uniform(0.0, 0.15))
    lights: list[Light] = []
    while len(lights) < count:
        place = rng.uniform(low + 0.5, high - 0.5)
        if contains(plan.corners_m, place[None])[0]:
            tint = colorsys.hsv_to_rgb(hue, float(np.clip(saturation + rng.normal(0, 0.04), 0, 0.4)), 1.0)
            position = float(place[0]), float(place[1]), plan.height_m - rng.uniform(0.1, 0.35)
            lights.append(Light(position, float(total * shares[len(lights)]), tint))
    return tuple(lights)
