"""Poses as text: sixteen numbers of a 4x4 `world_from_camera`, metres, row by row."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg3d_ros.structures import FrameError, RigidPose


def read_pose(path: Path) -> RigidPose:
    """Return `world_from_camera`. Raises FrameError for a missing or unreadable file or a matrix not rigid."""
    try:
        text = path.read_text()
    except FileNotFoundError:
        raise FrameError(f"{path}: no such file; every frame needs its pose") from None
    except (OSError, UnicodeDecodeError) as error:
        raise FrameError(f"{path}: cannot be read: {error}") from error
    return RigidPose.from_matrix(parse_matrix(text, (4, 4), str(path)), where=str(path))


def write_pose(path: Path, pose: RigidPose) -> None:
    """Write the matrix of `pose` so that reading gives back each of its 64-bit numbers exactly."""
    path.write_text("".join(" ".join(map(repr, row)) + "\n" for row in pose.matrix.tolist()))


def parse_matrix(text: str, shape: tuple[int, int], where: str) -> np.ndarray:
    """Return the numbers of `text` as a float64 matrix. Raises FrameError, naming `where`, unless they fill `shape`."""
    try:
        numbers = [float(word) for word in text.split()]
    except ValueError as error:
        raise FrameError(f"{where}: expected {shape[0]}x{shape[1]} numbers: {error}") from error
    if len(numbers) != shape[0] * shape[1]:
        raise FrameError(f"{where}: expected {shape[0]}x{shape[1]} numbers, got {len(numbers)}")
    return np.array(numbers).reshape(shape)
