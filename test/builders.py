"""Small shared builders of test input."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autoseg3d_ros.data.rgbd_folder import RgbdFolderWriter, stamp_of
from autoseg3d_ros.structures import (
    CameraIntrinsics,
    Frame,
    FrameError,
    Instance,
    InstanceState,
    OrientedBox,
    RigidPose,
)

SMALL_CAMERA = CameraIntrinsics(width=32, height=24, fx=30.0, fy=31.0, cx=15.5, cy=11.5)
SHARED_DATA = Path(__file__).resolve().parents[1].parent / "shared" / "data"


def recorded_frame(index: int, *, fps: float = 10.0, units_per_metre: float = 1000.0, truth: bool = True) -> Frame:
    """Return a frame of noise as `RgbdFolder` reads it: depth in whole units with holes, pose by way of a matrix."""
    rng = np.random.default_rng(index)
    shape = (SMALL_CAMERA.height, SMALL_CAMERA.width)
    units = rng.integers(300, 6000, shape).astype(np.uint16) * (rng.random(shape) > 0.1)
    angle = 0.1 * index
    matrix = np.eye(4)
    matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    matrix[:3, 3] = rng.normal(size=3)
    return Frame(
        stamp_ns=stamp_of(index, fps),
        rgb=rng.integers(0, 256, (*shape, 3), dtype=np.uint8),
        depth_m=units.astype(np.float32) / np.float32(units_per_metre),
        camera=SMALL_CAMERA,
        pose=RigidPose.from_matrix(matrix),
        name=f"{index:06d}",
        truth=rng.integers(0, 4, shape).astype(np.int32) if truth else None,
    )


def recorded_folder(path: Path, num_frames: int, *, units_per_metre: float = 1000.0, truth: bool = True) -> list[Frame]:
    """Write `num_frames` of `recorded_frame` at 10 Hz as an RGB-D folder and return them."""
    frames = [recorded_frame(index, units_per_metre=units_per_metre, truth=truth) for index in range(num_frames)]
    writer = RgbdFolderWriter(path, SMALL_CAMERA, depth_scale=units_per_metre, fps=10.0)
    for frame in frames:
        writer.add(frame)
    return frames


def an_instance(*, id: int = 1, state: InstanceState = InstanceState.ACTIVE) -> Instance:
    """Return an instance one metre wide on the origin of the floor."""
    return Instance(
        id=id,
        state=state,
        score=0.5,
        match_confidence=float("nan"),
        first_seen_ns=100,
        last_seen_ns=300,
        num_observations=2,
        num_missed=0,
        centroid_m=(0.0, -0.0, 0.5),
        box=OrientedBox((0.0, 0.0, 0.5), (1.0, 2.0, 1.0), 0.25),
        footprint_m=np.zeros((0, 2), np.float32),
        num_points=1000,
    )


class ListSource:
    """A source of frames that are at hand."""

    def __init__(self, frames: list[Frame | FrameError]) -> None:
        self._frames = frames
        self.name, self.camera, self.frame_rate_hz = "list", SMALL_CAMERA, 10.0

    def __len__(self) -> int:
        return len(self._frames)

    def frames(self) -> Iterator[Frame | FrameError]:
        return iter(self._frames)


def digest(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder` by its relative path."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def depth_of_plane(camera: CameraIntrinsics, normal: tuple[float, float, float], distance_m: float) -> np.ndarray:
    """Return (H, W) float32 depth of the plane normal . X = distance_m in the camera frame; infinite where not seen."""
    x = (np.arange(camera.width) - camera.cx) / camera.fx
    y = (np.arange(camera.height) - camera.cy) / camera.fy
    facing = normal[0] * x[None, :] + normal[1] * y[:, None] + normal[2]
    return np.where(facing > 1e-6, distance_m / np.maximum(facing, 1e-6), np.inf).astype(np.float32)


def frame_of_depth(camera: CameraIntrinsics, depth_m: np.ndarray, rgb: np.ndarray | None = None) -> Frame:
    """Return a frame at the world's origin, grey unless given colours."""
    grey = np.full((*depth_m.shape, 3), 128, np.uint8)
    pose = RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
    return Frame(0, grey if rgb is None else rgb, depth_m.astype(np.float32), camera, pose, name="000000")
