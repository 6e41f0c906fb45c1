"""A furnished room drawn from a seed: four groups of things along three walls, free floor before the fourth.

Seen from above, with x to the right and y up: the camera walks near the bare wall y = 0; two groups stand at the far
wall, one at each side wall. Which group stands where, its sizes, colours and contents change with the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np

from autoseg3d_ros.data.synthetic import furniture
from autoseg3d_ros.data.synthetic.arrangement import Placed, stand_in_row, stand_on
from autoseg3d_ros.data.synthetic.materials import flooring, plain, wall_paint, wood
from autoseg3d_ros.data.synthetic.primitives import box, rigid
from autoseg3d_ros.data.synthetic.scene import Light, Model, Part, Scene, SceneInstance

_WALL_M = 0.1
_WALL_GAP_M = 0.03  # furniture is not pressed into the wall
STATION_WIDTH_M = 2.1  # along the wall, for one group

FurnitureKind = Literal["closed", "open"]


def furnished_room(seed: int, furniture_kind: FurnitureKind = "closed") -> Scene:
    """Return the room of `seed`; equal arguments give equal rooms.

    "closed" furniture has closed bodies, which geometry alone can tell apart. "open" has desks on legs, chairs, sofas
    and bookcases with things in them: objects of many parts that fold inwards, which only learning can hold together.
    """
    rng = np.random.default_rng(seed)
    width, length, height = rng.uniform(4.5, 5.0), rng.uniform(4.1, 4.5), rng.uniform(2.5, 2.7)
    stations = _stations(width, length, rng)
    groups = [_GROUPS[furniture_kind][index] for index in rng.permutation(4)]
    placed = [
        (model, world_from_station @ station_from_object)
        for group, world_from_station in zip(groups, stations, strict=True)
        for model, station_from_object in group(rng)
    ]
    return Scene(
        building=SceneInstance(0, _building(width, length, height, rng), np.eye(4)),
        instances=tuple(SceneInstance(index, model, pose) for index, (model, pose) in enumerate(placed, start=1)),
        lights=(Light((rng.uniform(-0.4, 0.4), 0.45 * length + rng.uniform(-0.2, 0.2), height - 0.25)),),
        outline_m=((-width / 2, 0.0), (width / 2, 0.0), (width / 2, length), (-width / 2, length)),
        height_m=height,
        walk_area_m=(-0.7, 0.75, 0.7, 1.95),
    )


def _stations(width: float, length: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Return world_from_station (4, 4) of each group: origin at the wall, x along it, y into the room."""
    side_y = length - 1.0 - STATION_WIDTH_M / 2
    back_x = (width - 2 * STATION_WIDTH_M) / 4 + STATION_WIDTH_M / 2

    def wobble() -> float:
        return rng.uniform(-0.06, 0.06)

    return [
        rigid(-width / 2 + _WALL_GAP_M, side_y + wobble(), yaw_rad=-np.pi / 2),
        rigid(-back_x + wobble(), length - _WALL_GAP_M, yaw_rad=np.pi),
        rigid(back_x + wobble(), length - _WALL_GAP_M, yaw_rad=np.pi),
        rigid(width / 2 - _WALL_GAP_M, side_y + wobble(), yaw_rad=np.pi / 2),
    ]


def _building(width: float, length: float, height: float, rng: np.random.Generator) -> Model:
    """Floor, ceiling, four walls with a skirting board, and a door in the bare wall."""
    floor, paint, skirting = flooring(rng), wall_paint(rng), wood(rng, axis=0)
    outer = (width + 2 * _WALL_M, length + 2 * _WALL_M)
    parts = [
        Part(box((*outer, _WALL_M), (0, length / 2, -_WALL_M)), floor),
        Part(box((*outer, _WALL_M), (0, length / 2, height)), plain((0.8, 0.8, 0.8))),
        Part(box((0.9, 0.04, 2.05), (rng.uniform(-1, 1), 0.0, 0)), wood(rng, axis=2)),
    ]
    for size, base in (
        ((_WALL_M, length), (-(width + _WALL_M) / 2, length / 2)),
        ((_WALL_M, length), ((width + _WALL_M) / 2, length / 2)),
        ((outer[0], _WALL_M), (0, -_WALL_M / 2)),
        ((outer[0], _WALL_M), (0, length + _WALL_M / 2)),
    ):
        parts.append(Part(box((*size, height), (*base, 0)), paint))
        parts.append(Part(box((size[0] + 0.02, size[1] + 0.02, 0.07), (*base, 0)), skirting))
    return Model("building", tuple(parts))


def _kitchen(rng: np.random.Generator) -> list[Placed]:
    """A counter with a monitor and small things on it and a bin beside it."""
    counter = furniture.counter(rng)
    side = rng.choice([-1, 1])
    counter_x = -side * 0.2
    things = [furniture.monitor, furniture.bottle, furniture.small_box, furniture.mug, furniture.book]
    bin_x = counter_x + side * (counter.size_m[0] / 2 + 0.25)
    return [
        (counter, rigid(counter_x, counter.size_m[1] / 2)),
        *stand_on(counter, counter_x, [[thing(rng)] for thing in things], rng),
        (furniture.waste_bin(rng), rigid(bin_x, rng.uniform(0.2, 0.4))),
    ]


def _corner_seat(rng: np.random.Generator) -> list[Placed]:
    """An ottoman, a pillow and a floor lamp on either side of it, and a ball on the floor."""
    ottoman = furniture.ottoman(rng)
    reach, depth = ottoman.size_m[0] / 2, ottoman.size_m[1]
    side = rng.choice([-1, 1])
    return [
        (ottoman, rigid(0, depth / 2 + 0.1)),
        (furniture.pillow(rng), rigid(-side * (reach + 0.35), 0.19, yaw_rad=rng.uniform(-0.2, 0.2))),
        (furniture.floor_lamp(rng), rigid(side * (reach + 0.25), 0.25)),
        (furniture.ball(rng), rigid(rng.uniform(-0.5, 0.5), depth + rng.uniform(0.4, 0.6), yaw_rad=rng.uniform(0, 6))),
    ]


def _storage(rng: np.random.Generator) -> list[Placed]:
    """A chest with things on it; beside it two boxes of one kind, a third on one of them."""
    chest, kind = furniture.chest(rng), furniture.storage_box(rng)
    side = rng.choice([-1, 1])
    chest_x = -side * 0.5
    box_x = chest_x + side * (chest.size_m[0] / 2 + 0.1 + kind.size_m[0] / 2)
    twin_x = box_x + side * (kind.size_m[0] + rng.uniform(0.06, 0.12))
    box_y = kind.size_m[1] / 2 + rng.uniform(0.02, 0.1)
    drawn = [[_SHELVED[index](rng)] for index in rng.permutation(len(_SHELVED))[:4]]
    return [
        (chest, rigid(chest_x, chest.size_m[1] / 2)),
        *stand_on(chest, chest_x, drawn, rng),
        (kind, rigid(box_x, box_y, yaw_rad=rng.uniform(-0.1, 0.1))),
        (kind, rigid(twin_x, box_y + rng.uniform(-0.02, 0.05), yaw_rad=rng.uniform(-0.1, 0.1))),
        (furniture.small_box(rng), rigid(rng.choice([box_x, twin_x]), box_y, kind.levels_m[0], rng.uniform(-0.6, 0.6))),
    ]


def _work_place(rng: np.random.Generator) -> list[Placed]:
    """A desk with a monitor and small things on it, a chair before it and a bin beside it."""
    desk, chair, bin = furniture.desk(rng), furniture.chair(rng), furniture.waste_bin(rng)
    width, depth, top = *desk.size_m[:2], desk.levels_m[0]
    side = rng.choice([-1, 1])
    desk_x = -side * 0.2
    second = furniture.mug if rng.random() < 0.5 else furniture.book
    pile = [furniture.book(rng), second(rng)]
    things = [[furniture.monitor(rng)], [furniture.bottle(rng)], pile, [furniture.small_box(rng)], [furniture.mug(rng)]]
    chair_pose = rigid(desk_x + side * rng.uniform(0.1, 0.3), depth + 0.25, yaw_rad=np.pi + rng.uniform(-0.5, 0.5))
    return [
        (desk, rigid(desk_x, depth / 2)),
        *stand_in_row(
            things, (desk_x - width / 2 + 0.04, desk_x + width / 2 - 0.04), (0.3 * depth, 0.6 * depth), top, rng
        ),
        (chair, chair_pose),
        (bin, rigid(desk_x + side * (width / 2 + 0.2), rng.uniform(0.2, 0.4))),
    ]


def _lounge(rng: np.random.Generator) -> list[Placed]:
    """A sofa with a pillow, a floor lamp beside it and a ball on the floor."""
    sofa, lamp = furniture.sofa(rng), furniture.floor_lamp(rng)
    width, depth, seat = *sofa.size_m[:2], sofa.levels_m[0]
    side = rng.choice([-1, 1])
    sofa_x = -side * 0.2
    pillow_x = sofa_x + rng.choice([-1, 1]) * (width / 2 - 0.42)
    ball = furniture.ball(rng)
    return [
        (sofa, rigid(sofa_x, depth / 2)),
        (furniture.pillow(rng), rigid(pillow_x, 0.36, seat, yaw_rad=rng.uniform(-0.2, 0.2))),
        (lamp, rigid(sofa_x + side * (width / 2 + 0.19), 0.25)),
        (ball, rigid(sofa_x + rng.uniform(-0.5, 0.5), depth + rng.uniform(0.2, 0.3), yaw_rad=rng.uniform(0, 6))),
    ]


def _library(rng: np.random.Generator) -> list[Placed]:
    """A bookcase with things on its boards; beside it two boxes of one kind that nearly touch, a third on one."""
    shelf, kind = furniture.shelf(rng), furniture.storage_box(rng)
    width, depth = shelf.size_m[:2]
    side = rng.choice([-1, 1])
    shelf_x = -side * 0.55
    inside = (shelf_x - width / 2 + 0.04, shelf_x + width / 2 - 0.04)
    middle = (0.45 * depth, 0.6 * depth)
    drawn = [_SHELVED[index](rng) for index in rng.permutation(len(_SHELVED))]
    box_x = shelf_x + side * (width / 2 + 0.04 + kind.size_m[0] / 2)
    twin_x = box_x + side * (kind.size_m[0] + rng.uniform(0.0, 0.015))
    box_y = kind.size_m[1] / 2 + rng.uniform(0.02, 0.1)
    placed = [
        (shelf, rigid(shelf_x, depth / 2)),
        (kind, rigid(box_x, box_y)),
        (kind, rigid(twin_x, box_y + rng.uniform(-0.01, 0.03), yaw_rad=rng.uniform(-0.03, 0.03))),
        (furniture.small_box(rng), rigid(rng.choice([box_x, twin_x]), box_y, kind.levels_m[0], rng.uniform(-0.6, 0.6))),
    ]
    for level, pair in zip(shelf.levels_m[1:], (drawn[:2], drawn[2:4], drawn[4:]), strict=True):
        placed += stand_in_row([[thing] for thing in pair], inside, middle, level, rng)
    return placed


def _sideboard(rng: np.random.Generator) -> list[Placed]:
    """A cabinet with a plant and things on it."""
    cabinet = furniture.cabinet(rng)
    width, depth = cabinet.size_m[:2]
    carton = furniture.storage_box(rng)
    x = rng.uniform(-0.1, 0.1)
    things = [[furniture.plant(rng)], [furniture.small_box(rng), furniture.ball(rng)], [furniture.bottle(rng)]]
    side = rng.choice([-1, 1])
    return [
        (cabinet, rigid(x, depth / 2)),
        *stand_on(cabinet, x, things, rng),
        (carton, rigid(x + side * (width / 2 + 0.3), rng.uniform(0.3, 0.4), yaw_rad=rng.uniform(-0.4, 0.4))),
    ]


_SHELVED = (
    furniture.small_box,
    furniture.ball,
    furniture.plant,
    furniture.bottle,
    furniture.small_box,
    furniture.mug,
)
_GROUPS: dict[FurnitureKind, tuple[Callable[[np.random.Generator], list[Placed]], ...]] = {
    "closed": (_kitchen, _corner_seat, _storage, _sideboard),
    "open": (_work_place, _lounge, _library, _sideboard),
}
