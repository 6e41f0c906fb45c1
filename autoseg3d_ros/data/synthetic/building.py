"""The building: outlines of rooms, and floor, ceiling, walls and skirting about them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.data.synthetic.materials import floor_covering, grey, plain, wall_covering, wood
from autoseg3d_ros.data.synthetic.placement import Bodies
from autoseg3d_ros.data.synthetic.primitives import Mesh, box
from autoseg3d_ros.data.synthetic.scene import Material, Model, Part

WALL_M = 0.1  # thickness
_SKIRTING_M = (0.012, 0.07)  # how far it stands out, how high it is


@dataclass(frozen=True)
class Plan:
    """A floor plan: its corners, counter-clockwise, its walls along x and y."""

    corners_m: np.ndarray  # (C, 2)
    height_m: float

    @property
    def ends_m(self) -> np.ndarray:
        """(C, 2) where each wall ends; it begins at its corner."""
        return np.roll(self.corners_m, -1, axis=0)

    @property
    def lengths_m(self) -> np.ndarray:
        """(C,) of the walls."""
        return np.linalg.norm(self.ends_m - self.corners_m, axis=1)

    @property
    def area_m2(self) -> float:
        """Of the floor."""
        (x, y), (next_x, next_y) = self.corners_m.T, self.ends_m.T
        return float((x * next_y - next_x * y).sum() / 2)

    @property
    def yaws_rad(self) -> np.ndarray:
        """(C,) turns of the walls: a wall at 0 runs along x, and the room is on its left."""
        x, y = (self.ends_m - self.corners_m).T
        return np.arctan2(y, x)


def draw_plan(rng: np.random.Generator) -> Plan:
    """Draw a room of 3 x 3 to 7 x 5 metres: a rectangle, an L, one with an alcove or a spur wall."""
    width, length = rng.uniform(3.0, 7.0), rng.uniform(3.0, 5.0)
    shape = rng.random()
    corners = [(0.0, 0.0), (width, 0.0), (width, length), (0.0, length)]
    if shape > 0.45 and min(width, length) > 3.6:
        if shape < 0.7:  # an L: the corner at the far right is missing
            notch_x, notch_y = rng.uniform(0.3, 0.45) * width, rng.uniform(0.25, 0.4) * length
            corners[2:3] = [(width, length - notch_y), (width - notch_x, length - notch_y), (width - notch_x, length)]
        else:  # an alcove goes out of the far wall, a spur wall comes in
            depth = rng.uniform(0.5, 0.9) if shape < 0.85 else -rng.uniform(0.9, 1.3)
            span = rng.uniform(1.4, 2.2) if depth > 0 else rng.uniform(0.2, 0.3)
            left = rng.uniform(0.3, 0.65) * (width - span)
            top = [(left + span, length), (left + span, length + depth), (left, length + depth), (left, length)]
            corners[3:3] = top
    return Plan(_turned(np.array(corners), rng), rng.uniform(2.3, 3.0))


def wall_bodies(plan: Plan) -> Bodies:
    """Return the walls as boxes that stand outside of the plan; they overlap at convex corners."""
    along = (plan.ends_m - plan.corners_m) / plan.lengths_m[:, None]
    before, after = np.roll(along, 1, axis=0), np.roll(along, -1, axis=0)
    at_start = WALL_M * (_cross(before, along) > 0)
    at_end = WALL_M * (_cross(along, after) > 0)  # at a reflex corner a longer wall would stand in the room
    outwards = np.stack([along[:, 1], -along[:, 0]], axis=1)
    start, end = plan.corners_m - along * at_start[:, None], plan.ends_m + along * at_end[:, None]
    half = np.stack([np.linalg.norm(end - start, axis=1), np.full(len(start), WALL_M)], axis=1) / 2
    heights = np.broadcast_to((0.0, plan.height_m), (len(start), 2))
    return Bodies((start + end) / 2 + outwards * WALL_M / 2, half, plan.yaws_rad, heights)


def building(plan: Plan, rng: np.random.Generator) -> Model:
    """Return floor, ceiling, walls and skirting; in half of the rooms one wall differs from the others."""
    low, high = plan.corners_m.min(axis=0) - WALL_M, plan.corners_m.max(axis=0) + WALL_M
    middle, (width, length) = (low + high) / 2, high - low
    ceiling = plain(grey(rng, 0.85, 0.95))
    parts = [
        Part(box((width, length, WALL_M), (*middle, -WALL_M)), floor_covering(rng)),
        Part(box((width, length, WALL_M), (*middle, plan.height_m)), ceiling),
    ]
    walls, is_along_y = wall_bodies(plan), np.abs(np.sin(plan.yaws_rad)) > 0.5
    common = rng.integers(2**32)
    special = int(rng.integers(len(walls))) if rng.random() < 0.5 else -1
    for axis in (0, 1):  # one material for all walls along an axis: its pattern runs along that axis
        chosen = np.flatnonzero((is_along_y == bool(axis)) & (np.arange(len(walls)) != special))
        meshes = [_wall(walls, index, (0.0, plan.height_m)) for index in chosen.tolist()]
        if meshes:
            parts.append(Part.of(wall_covering(np.random.default_rng(common), axis), *meshes))
    if special >= 0:
        covering = wall_covering(rng, int(is_along_y[special]))
        parts.append(Part(_wall(walls, special, (0.0, plan.height_m)), covering))
    return Model("building", (*parts, Part.of(_skirting_material(rng), *_skirting(walls))))


def _skirting(walls: Bodies) -> list[Mesh]:
    out, height = _SKIRTING_M
    return [_wall(walls.grown(out), index, (0.0, height)) for index in range(len(walls))]


def _wall(walls: Bodies, index: int, z_m: tuple[float, float]) -> Mesh:
    half, yaw = walls.half_m[index], walls.yaw_rad[index]
    if abs(np.sin(yaw)) > 0.5:
        half = half[::-1]
    return box((2 * half[0], 2 * half[1], z_m[1] - z_m[0]), (*walls.centre_m[index], z_m[0]))


def _skirting_material(rng: np.random.Generator) -> Material:
    return wood(rng, axis=0) if rng.random() < 0.5 else plain(grey(rng, 0.4, 0.95))


def _turned(corners_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the corners, counter-clockwise, turned by a quarter or mirrored at random, about the origin."""
    if rng.random() < 0.5:
        corners_m = corners_m[::-1] * (-1, 1)
    if rng.random() < 0.5:
        corners_m = np.stack([-corners_m[:, 1], corners_m[:, 0]], axis=1)
    return corners_m - (corners_m.min(axis=0) + corners_m.max(axis=0)) / 2


def _cross(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return first[:, 0] * second[:, 1] - first[:, 1] * second[:, 0]
