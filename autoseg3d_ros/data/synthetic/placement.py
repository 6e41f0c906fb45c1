"""Where things may stand: bodies as upright boxes, whether they meet, and what is still free in a room."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from autoseg3d_ros.data.synthetic.arrangement import Placed
from autoseg3d_ros.data.synthetic.scene import Model, SceneInstance

THIN_M = 0.01  # things may sink into each other by so much upwards: chairs stand through a rug
TOUCH_M = 0.003  # and by so much sidewards: a box about something round is a little too large


@dataclass(frozen=True)
class Bodies:
    """K upright boxes in the world, each turned about z."""

    centre_m: np.ndarray  # (K, 2) x and y
    half_m: np.ndarray  # (K, 2) half of width and depth
    yaw_rad: np.ndarray  # (K,)
    z_m: np.ndarray  # (K, 2) lowest, highest

    def __len__(self) -> int:
        return len(self.yaw_rad)

    def grown(self, margin_m: float) -> Bodies:
        """Return the boxes, larger by a margin to all four sides."""
        return replace(self, half_m=self.half_m + margin_m)

    def chosen(self, index: np.ndarray) -> Bodies:
        """Return the boxes of an index or a mask."""
        return Bodies(self.centre_m[index], self.half_m[index], self.yaw_rad[index], self.z_m[index])

    @property
    def corners_m(self) -> np.ndarray:
        """(K, 4, 2) corners in x and y."""
        first, second = self.axes
        along = first * self.half_m[:, :1], second * self.half_m[:, 1:]
        signs = ((-1, -1), (1, -1), (1, 1), (-1, 1))
        return self.centre_m[:, None] + np.stack([a * along[0] + b * along[1] for a, b in signs], axis=1)

    @property
    def axes(self) -> tuple[np.ndarray, np.ndarray]:
        """(K, 2) unit vectors along the width and along the depth."""
        cos, sin = np.cos(self.yaw_rad), np.sin(self.yaw_rad)
        return np.stack([cos, sin], axis=1), np.stack([-sin, cos], axis=1)


def bodies_of(model: Model, world_from_object: np.ndarray) -> Bodies:
    """Return the pieces of a standing model: a table is a top and four legs, so that a chair fits under it."""
    return _boxes(model.pieces_m, world_from_object)


def hull_of(model: Model, world_from_object: np.ndarray) -> Bodies:
    """Return the one box about a standing model."""
    return _boxes(model.bounds_m[None], world_from_object)


def upright_box(centre_m: tuple[float, float], size_m: tuple[float, float], z_m: tuple[float, float]) -> Bodies:
    """Return one box along the axes of the world."""
    return Bodies(np.array([centre_m]), np.array([size_m]) / 2, np.zeros(1), np.array([z_m]))


def together(bodies: list[Bodies]) -> Bodies:
    """Return several groups of boxes as one; none of them make an empty one."""
    empty = Bodies(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0), np.zeros((0, 2)))
    every = [empty, *bodies]
    return Bodies(*(np.concatenate([getattr(one, name) for one in every]) for name in Bodies.__dataclass_fields__))


def depth_m(first: Bodies, second: Bodies) -> np.ndarray:
    """Return (K,) how deep the k-th box of one group and of the other meet in x and y, negative where a gap is between.

    By the separating axis theorem (S. Gottschalk, M. Lin, D. Manocha, "OBBTree", SIGGRAPH 1996) on the four axes of two
    rectangles.
    """
    shift = second.centre_m - first.centre_m
    turn = second.yaw_rad - first.yaw_rad
    cos, sin = np.abs(np.cos(turn))[:, None], np.abs(np.sin(turn))[:, None]
    gaps = []
    for one, other in ((first, second), (second, first)):
        along = np.abs(np.stack([(shift * axis).sum(axis=1) for axis in one.axes], axis=1))  # (K, 2)
        reach = one.half_m + cos * other.half_m + sin * other.half_m[:, ::-1]
        gaps.append(along - reach)
    return -np.concatenate(gaps, axis=1).max(axis=1)


def meet(first: Bodies, second: Bodies, tolerance_m: float = TOUCH_M) -> bool:
    """Return whether any box of one group sinks into a box of the other by more than a tolerance."""
    reach = np.linalg.norm(first.half_m, axis=1)[:, None] + np.linalg.norm(second.half_m, axis=1)
    apart = first.centre_m[:, None] - second.centre_m
    common = np.minimum(first.z_m[:, None, 1], second.z_m[:, 1]) - np.maximum(first.z_m[:, None, 0], second.z_m[:, 0])
    ours, theirs = np.nonzero(((apart**2).sum(axis=2) < reach**2) & (common > THIN_M))
    return bool((depth_m(first.chosen(ours), second.chosen(theirs)) > tolerance_m).any())


class Room:
    """What stands in a room while it is being furnished."""

    def __init__(self, walls: Bodies, outline_m: np.ndarray) -> None:
        self.outline_m = outline_m  # (C, 2)
        self.placed: list[Placed] = []
        self._walls = walls
        self._taken = together([])

    def keep_free(self, bodies: Bodies) -> None:
        """Let nothing be put into a space: before a door, where the camera walks."""
        self._taken = together([self._taken, bodies])

    def fits(self, placed: list[Placed], margin_m: float) -> bool:
        """Return whether a group of things is inside the room and clear of what is there, by a margin to its sides."""
        bodies = together([bodies_of(*one) for one in placed])
        if not contains(self.outline_m, bodies.centre_m).all():
            return False
        bodies = bodies.grown(margin_m)
        columns = replace(bodies, z_m=np.tile((0.0, 1.0), (len(bodies), 1)))  # however thin: no rug goes through a wall
        return not meet(columns, self._walls) and not meet(bodies, self._taken)

    def put(self, placed: list[Placed]) -> None:
        """Put things where they are, without asking."""
        self.placed += placed
        self._taken = together([self._taken, *(bodies_of(*one) for one in placed)])


def contains(outline_m: np.ndarray, points_m: np.ndarray) -> np.ndarray:
    """Return (N,) bool: points (N, 2) are inside a polygon (C, 2), by the crossings of a ray along x."""
    start, end = outline_m, np.roll(outline_m, -1, axis=0)
    x, y = points_m[:, None, 0], points_m[:, None, 1]
    spans = (start[:, 1] > y) != (end[:, 1] > y)
    rise = np.where(end[:, 1] == start[:, 1], 1.0, end[:, 1] - start[:, 1])
    crossing = start[:, 0] + (y - start[:, 1]) * (end[:, 0] - start[:, 0]) / rise
    return (spans & (x < crossing)).sum(axis=1) % 2 == 1


def hulls_of(instances: tuple[SceneInstance, ...]) -> Bodies:
    """Return one box about each instance, in order."""
    return together([hull_of(item.model, item.world_from_object) for item in instances])


def _boxes(bounds_m: np.ndarray, world_from_object: np.ndarray) -> Bodies:
    """Return (K, 2, 3) bounds of an upright object as boxes in the world."""
    rotation, shift = world_from_object[:3, :3], world_from_object[:3, 3]
    centre = bounds_m.mean(axis=1) @ rotation.T + shift
    half = (bounds_m[:, 1] - bounds_m[:, 0]) / 2
    yaw = np.full(len(bounds_m), np.arctan2(rotation[1, 0], rotation[0, 0]))
    return Bodies(centre[:, :2], half[:, :2], yaw, bounds_m[:, :, 2] + shift[2])
