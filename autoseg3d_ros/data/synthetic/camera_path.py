"""A hand-held camera that sweeps over the furniture, turns away to the bare wall, and comes back from another place."""

from __future__ import annotations

import numpy as np
from scipy.interpolate import CubicSpline, PchipInterpolator
from scipy.spatial.transform import Rotation

from autoseg3d_ros.data.synthetic.scene import Scene
from autoseg3d_ros.structures import RigidPose

LOOP_S = 14.6  # two sweeps, each followed by a turn over the bare wall
_SWEEP_S, _TURN_S = 4.6, 2.7
_SWEEP_FROM_DEG, _SWEEP_TO_DEG = 68.0, -68.0  # left of the far wall is positive
_PLACES = 6  # way points on the walk area for one loop
_EYE_HEIGHT_M = 1.45
STEP_HZ = 1.8
# x right, y down, z forward, of a camera that looks along +y of the world
_LEVEL_FROM_CAMERA = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


class HandHeldPath:
    """A smooth path that repeats every `LOOP_S` seconds but for the tremor of the hand."""

    def __init__(self, scene: Scene, seed: int) -> None:
        rng = np.random.default_rng([seed, 1])
        x_min, y_min, x_max, y_max = scene.walk_area_m
        angle = np.linspace(0, 2 * np.pi, _PLACES + 1)[:-1] + rng.uniform(0, 2 * np.pi)
        reach = rng.uniform(0.7, 1.0, _PLACES)
        x = (x_min + x_max) / 2 + reach * (x_max - x_min) / 2 * np.cos(angle)
        y = (y_min + y_max) / 2 + reach * (y_max - y_min) / 2 * np.sin(angle)
        places = np.stack([x, y, _EYE_HEIGHT_M + rng.uniform(-0.08, 0.08, _PLACES)], axis=1)
        pitch_deg = rng.uniform(-26.0, -17.0, _PLACES)
        course = np.column_stack([places, pitch_deg])
        times = np.linspace(0, LOOP_S, _PLACES + 1)
        self._course = CubicSpline(times, np.concatenate([course, course[:1]]), bc_type="periodic")
        self._heading_deg = _heading_deg()
        self._tremor = Tremor(rng)

    def pose(self, time_s: float) -> RigidPose:
        """Return world_from_camera at a time from the start of the path."""
        within = time_s % LOOP_S
        x, y, z, pitch_deg = self._course(within)
        tremor = self._tremor.at(time_s)
        yaw_deg = float(self._heading_deg(within))
        place_m = np.array([x, y, z]) + 0.004 * tremor[3:]
        place_m[2] += 0.012 * np.sin(2 * np.pi * STEP_HZ * time_s)
        return pose_at(place_m, [yaw_deg, pitch_deg, 0.0] + 0.3 * tremor[:3])


class Tremor:
    """How a hand shakes: a few slow sines, three turns and three shifts."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._hz = rng.uniform(0.4, 1.6, (3, 6))
        self._phase = rng.uniform(0, 2 * np.pi, (3, 6))

    def at(self, time_s: float) -> np.ndarray:
        """Return (6,) numbers, mostly in [-2, 2]."""
        return np.sin(2 * np.pi * self._hz * time_s + self._phase).sum(axis=0)


def pose_at(place_m: np.ndarray, yaw_pitch_roll_deg: np.ndarray) -> RigidPose:
    """Return world_from_camera at a place (3,): yaw left of +y, pitch upwards, roll."""
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_euler("ZXY", yaw_pitch_roll_deg, degrees=True).as_matrix() @ _LEVEL_FROM_CAMERA
    matrix[:3, 3] = place_m
    return RigidPose.from_matrix(matrix)


def _heading_deg() -> PchipInterpolator:
    """Return the heading over one loop: it only ever turns to the right, fast where there is nothing to see."""
    half = _SWEEP_S + _TURN_S
    knots_s = [-_TURN_S, 0.0, _SWEEP_S, half, half + _SWEEP_S, 2 * half, 2 * half + _SWEEP_S]
    first, last = _SWEEP_FROM_DEG, _SWEEP_TO_DEG
    return PchipInterpolator(knots_s, [last + 360, first, last, first - 360, last - 360, first - 720, last - 720])
