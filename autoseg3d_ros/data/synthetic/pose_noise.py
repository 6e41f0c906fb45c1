"""Poses as a robot has them: jitter, slow drift, and a jump back where it recognises the place it started from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial.transform import Rotation

from autoseg3d_ros.structures import RigidPose

_METRES_A_RADIAN = 0.5  # turning by one radian drifts as much as going this far
_DRIFT_CHANGES_M = 1.5  # the direction of drift changes over about this much way
_TILT_SHARE = 0.2  # of the yaw's drift that roll and pitch show: gravity is known
_START_M, _START_DEG = 0.6, 40.0  # as near as this to the first pose the place is recognised
_AWAY_M, _AWAY_DEG = 1.0, 70.0  # farther than one of these it has been left
_LEFT_OVER = (0.05, 0.2)  # share of the drift that a loop closure leaves


@dataclass(frozen=True)
class PoseNoise:
    """How wrong poses are."""

    jitter_m: float = 0.01  # root mean square length of the error vector of each frame
    jitter_deg: float = 0.5  # root mean square angle of the rotation error of each frame
    drift_m: float = 0.10  # the most that a recording drifts; each draws its own, from half of it
    drift_deg: float = 2.0  # the most, nearly all of it about the vertical
    loop_closure: bool = True  # most of the drift vanishes at once where the camera comes back to its first view

    def __post_init__(self) -> None:
        if min(self.jitter_m, self.jitter_deg, self.drift_m, self.drift_deg) < 0:
            raise ValueError(f"pose noise: expected numbers from 0, got {self}")


def disturbed(poses: Sequence[RigidPose], noise: PoseNoise, rng: np.random.Generator) -> list[RigidPose]:
    """Return the world_from_camera that a robot believes where `poses` are the true ones.

    The first pose has jitter only: the map starts there. Drift grows with the way, in metres and turns.
    """
    if not poses:
        return []
    true = np.stack([pose.matrix for pose in poses])
    drift_m, drift_rad = drift(true, noise, rng)
    jitter_m = noise.jitter_m / np.sqrt(3) * rng.standard_normal((len(poses), 3))
    jitter_rad = np.radians(noise.jitter_deg) / np.sqrt(3) * rng.standard_normal((len(poses), 3))
    turned = Rotation.from_rotvec(drift_rad) * Rotation.from_matrix(true[:, :3, :3]) * Rotation.from_rotvec(jitter_rad)
    believed = true.copy()
    believed[:, :3, :3] = turned.as_matrix()
    believed[:, :3, 3] += drift_m + jitter_m
    return [RigidPose.from_matrix(matrix) for matrix in believed]


def drift(true: np.ndarray, noise: PoseNoise, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Return the drift of (N, 4, 4) poses: shifts (N, 3) in metres and rotation vectors (N, 3), both in the world."""
    wandering = _smooth_wandering(_way_m(true), rng)  # (N, 6)
    left_over = rng.uniform(*_LEFT_OVER)
    size = rng.uniform(0.5, 1.0, 2) * (noise.drift_m, np.radians(noise.drift_deg))
    if noise.loop_closure:
        for frame in loop_closures(true):
            wandering[frame:] -= (1 - left_over) * wandering[frame]
    tilt = _scaled(wandering[:, 3:5], _TILT_SHARE * size[1])
    yaw = _scaled(wandering[:, 5:], np.sqrt(1 - _TILT_SHARE**2) * size[1])
    return _scaled(wandering[:, :3], size[0]), np.concatenate([tilt, yaw], axis=1)


def loop_closures(true: np.ndarray) -> list[int]:
    """Return the frames of (N, 4, 4) poses at which the camera is back at its first view after having left it."""
    distance_m = np.linalg.norm(true[:, :3, 3] - true[0, :3, 3], axis=1)
    angle_deg = np.degrees(np.arccos(np.clip(true[:, :3, 2] @ true[0, :3, 2], -1, 1)))
    away = (distance_m > _AWAY_M) | (angle_deg > _AWAY_DEG)
    back = (distance_m < _START_M) & (angle_deg < _START_DEG)
    known = np.flatnonzero(away | back)  # in between, the last thing known holds
    return known[1:][away[known[:-1]] & back[known[1:]]].tolist()


def _way_m(true: np.ndarray) -> np.ndarray:
    """Return (N,) how far the camera has come, turns included."""
    steps_m = np.linalg.norm(np.diff(true[:, :3, 3], axis=0), axis=1)
    turns = Rotation.from_matrix(true[:, :3, :3])
    turns_rad = (turns[:-1].inv() * turns[1:]).magnitude() if len(true) > 1 else np.zeros(0)
    return np.concatenate([[0.0], np.cumsum(steps_m + _METRES_A_RADIAN * turns_rad)])


def _smooth_wandering(way_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return (N, 6) smooth random walks that start at 0, sampled at the way of each frame."""
    step_m = _DRIFT_CHANGES_M / 10
    knots_m = np.arange(0.0, way_m[-1] + 2 * step_m, step_m)
    pull = gaussian_filter1d(rng.standard_normal((len(knots_m), 6)), 10.0, axis=0, mode="reflect")
    walk = np.cumsum(pull, axis=0) - pull[0]
    return np.stack([np.interp(way_m, knots_m, column) for column in walk.T], axis=1)


def _scaled(vectors: np.ndarray, longest: float) -> np.ndarray:
    length = np.linalg.norm(vectors, axis=1).max()
    return vectors * (longest / length) if length > 0 else vectors
