"""What the bearer of a camera looks at: things here and there, away from them, and back again."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.free_space import FreeSpace
from autoseg3d_ros.data.synthetic.scene import Scene

_NEAR_M, _FAR_M = 0.9, 4.5  # what is looked at
_ABSENCE_FRAMES = (12.0, 140.0)  # after so many frames it looks again at what it turned from
_RETURNS = 0.75  # chance that it means to come back
_OUT_OF_VIEW_RAD = np.radians(75.0)
_SAME_VIEW_RAD = np.radians(25.0)
_WALL_SHARE = 0.12  # of the looks that go to a bare wall
_WALL_LOOK_HEIGHT_M = 1.2


class Gaze:
    """Draws what is looked at next."""

    def __init__(self, scene: Scene, space: FreeSpace, frame_rate_hz: float, rng: np.random.Generator) -> None:
        self._space, self._rng, self._frame_rate_hz = space, rng, frame_rate_hz
        things = [_centre_m(item.world_from_object, item.model.bounds_m) for item in scene.instances]
        walls = _on_walls(np.asarray(scene.outline_m))
        self.targets_m = np.array(things + walls)  # (T, 3)
        share = _WALL_SHARE / len(walls)
        self._weight = np.array([(1 - _WALL_SHARE) / max(len(things), 1)] * len(things) + [share] * len(walls))
        self._looks = np.zeros(len(self.targets_m))
        self._back_to, self._due_s, self._last = -1, np.inf, -1

    def next_target(self, place_m: np.ndarray, heading_rad: float, time_s: float) -> int:
        """Return the index of what is looked at from a place (2,) on; the caller keeps it for a while."""
        if self._back_to >= 0 and time_s >= self._due_s:
            chosen, self._back_to = self._back_to, -1
        else:
            chosen = self._drawn(place_m, heading_rad)
            self._plan_return(time_s)
        self._looks[chosen] += 1
        self._last = chosen
        return chosen

    def bearing_rad(self, place_m: np.ndarray) -> np.ndarray:
        """Return (T,) where the targets are, seen from a place (2,): counter-clockwise from +x."""
        toward = self.targets_m[:, :2] - place_m
        return np.arctan2(toward[:, 1], toward[:, 0])

    def _drawn(self, place_m: np.ndarray, heading_rad: float) -> int:
        bearing = self.bearing_rad(place_m)
        distance_m = np.linalg.norm(self.targets_m[:, :2] - place_m, axis=1)
        weight = self._weight / (1 + self._looks) ** 2
        weight = weight * np.where((distance_m > _NEAR_M) & (distance_m < _FAR_M), 1, 0.01)
        weight = weight * np.where(self._space.sees(place_m, self.targets_m[:, :2]), 1, 0.001)
        if self._last >= 0:
            weight = weight * np.where(apart_rad(bearing, bearing[self._last]) < _SAME_VIEW_RAD, 0.2, 1)
        if self._back_to >= 0:
            weight = weight * np.where(_passes(heading_rad, bearing, bearing[self._back_to]), 0.001, 1)
        return int(self._rng.choice(len(weight), p=weight / weight.sum()))

    def _plan_return(self, time_s: float) -> None:
        """Mean to look again, later, at what was looked at until now."""
        if self._back_to < 0 and self._last >= 0 and self._rng.random() < _RETURNS:
            absence = np.exp(self._rng.uniform(*np.log(_ABSENCE_FRAMES)))
            self._back_to, self._due_s = self._last, time_s + absence / self._frame_rate_hz


def _passes(start_rad: float, ends_rad: np.ndarray, what_rad: float) -> np.ndarray:
    """Return (T,) bool: the turn from a start to the end brings what is in a direction into view."""
    turns, to_what = turn_rad(ends_rad, start_rad), turn_rad(what_rad, start_rad)
    over = (turns * to_what > 0) & (np.abs(to_what) < np.abs(turns))
    return over | (apart_rad(ends_rad, what_rad) < _OUT_OF_VIEW_RAD)


def apart_rad(first_rad: np.ndarray | float, second_rad: np.ndarray | float) -> np.ndarray:
    """Return the angle between directions, in [0, pi]."""
    return np.abs(turn_rad(first_rad, second_rad))


def turn_rad(target_rad: np.ndarray | float, from_rad: np.ndarray | float) -> np.ndarray:
    """Return the shortest turn from one direction to another, in [-pi, pi)."""
    return (np.asarray(target_rad) - from_rad + np.pi) % (2 * np.pi) - np.pi


def _centre_m(world_from_object: np.ndarray, bounds_m: np.ndarray) -> np.ndarray:
    return world_from_object[:3, :3] @ bounds_m.mean(axis=0) + world_from_object[:3, 3]


def _on_walls(outline_m: np.ndarray) -> list[np.ndarray]:
    """Return the middle (3,) of each wall of an outline (K, 2)."""
    middle = (outline_m + np.roll(outline_m, -1, axis=0)) / 2
    return list(np.column_stack([middle, np.full(len(middle), _WALL_LOOK_HEIGHT_M)]))
