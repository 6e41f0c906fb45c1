"""The layout of the TUM RGB-D benchmark: lists of stamped images, and a trajectory of its own rate.

    rgb.txt, depth.txt   lines `stamp file`; stamps in seconds, files relative to the list
    groundtruth.txt      lines `stamp tx ty tz qx qy qz qw`: world_from_camera, metres
    camera.yaml          optional; overrides single values of the benchmark's default camera

Colour and depth are paired, and poses interpolated at the depth stamp, by the code that does it for live streams.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import numpy as np

from autoseg3d_ros.config import Config
from autoseg3d_ros.data.camera_file import CAMERA_FILE, RecordedCamera, camera_of, read_camera_file
from autoseg3d_ros.data.images import read_colour, read_depth_units
from autoseg3d_ros.data.source import SourceError, load_each
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.stream.pose_buffer import PoseBuffer, PoseMiss
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.stream.synchronizer import Pair, RgbdSynchronizer
from autoseg3d_ros.structures import Frame, FrameError, RigidPose

logger = logging.getLogger(__name__)

BENCHMARK_CAMERA = {
    "width": 640,
    "height": 480,
    "fx": 525.0,
    "fy": 525.0,
    "cx": 319.5,
    "cy": 239.5,
    "depth_scale": 5000.0,
    "fps": 30.0,
}
Value = TypeVar("Value")


class TumSequence:
    """The frames of one sequence: one for each colour image."""

    def __init__(self, path: Path | str, config: Config | None = None) -> None:
        """Read the lists and the trajectory; `config` (the defaults if None) gives sync.slop_s and pose.max_gap_s.

        Raises SourceError with file and line where they are missing, empty or malformed.
        """
        self._path = Path(path)
        config = config or Config()
        self._recorded = _camera(self._path / CAMERA_FILE)
        self._rectifier = Rectifier(self._recorded.intrinsics, self._recorded.distortion)
        self._colour = _read_list(self._path / "rgb.txt", _image_file)
        self._depth = _read_list(self._path / "depth.txt", _image_file)
        self._trajectory = _trajectory(self._path / "groundtruth.txt", config.pose.max_gap_s)
        self._pairs = {pair.colour_stamp_ns: pair for pair in self._paired(config)}
        self._slop_s = config.sync.slop_s
        self.name = self._path.resolve().name
        self.camera = self._recorded.intrinsics
        intervals_s = np.diff(sorted(self._colour)) / 1e9
        self.frame_rate_hz = float(1 / np.median(intervals_s)) if len(intervals_s) else self._recorded.fps

    def __len__(self) -> int:
        return len(self._colour)

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames by colour stamp; one without depth partner or pose, or unreadable, comes as a FrameError."""
        return load_each(self._frame, sorted(self._colour))

    def _paired(self, config: Config) -> list[Pair[str, str]]:
        synchronizer: RgbdSynchronizer[str, str] = RgbdSynchronizer(config.sync)
        pairs = []
        for stamp_ns, file, add in sorted(
            [(stamp_ns, file, synchronizer.add_colour) for stamp_ns, file in self._colour.items()]
            + [(stamp_ns, file, synchronizer.add_depth) for stamp_ns, file in self._depth.items()],
            key=lambda item: item[0],
        ):
            pairs += add(stamp_ns, file)
        return pairs + synchronizer.flush()

    def _frame(self, stamp_ns: int) -> Frame:
        colour_file = self._path / self._colour[stamp_ns]
        if stamp_ns not in self._pairs:
            nearest_ms = min(abs(depth_ns - stamp_ns) for depth_ns in self._depth) / 1e6
            raise FrameError(
                f"{colour_file}: no depth image of its own within sync.slop_s = {self._slop_s:g} s; the nearest in "
                f"depth.txt is {nearest_ms:.0f} ms away"
            )
        pair = self._pairs[stamp_ns]
        depth_file = self._path / pair.depth
        pose = self._trajectory.lookup(pair.depth_stamp_ns)
        if isinstance(pose, PoseMiss):
            raise FrameError(
                f"{depth_file}: no pose in groundtruth.txt at this stamp ({pose.reason.name.lower()}, "
                f"{pose.gap_ns / 1e9:.3f} s)"
            )
        units = read_depth_units(depth_file, self.camera)
        depth_m = decode_depth(units, "16UC1", units_per_metre=self._recorded.depth_scale, where=str(depth_file))
        return Frame(
            stamp_ns=stamp_ns,
            rgb=self._rectifier.rectify_colour(read_colour(colour_file, self.camera)),
            depth_m=self._rectifier.rectify_depth(depth_m),
            camera=self.camera,
            pose=pose,
            depth_stamp_ns=pair.depth_stamp_ns,
            name=colour_file.stem,
        )


def _camera(path: Path) -> RecordedCamera:
    return read_camera_file(path, BENCHMARK_CAMERA) if path.exists() else camera_of(BENCHMARK_CAMERA, str(path))


def _trajectory(path: Path, max_gap_s: float) -> PoseBuffer:
    poses = _read_list(path, _pose_or_error)
    buffer = PoseBuffer(buffer_s=(max(poses) - min(poses)) / 1e9, max_gap_s=max_gap_s)
    for stamp_ns, pose in sorted(poses.items(), key=lambda item: item[0]):
        if isinstance(pose, FrameError):
            logger.warning("%s: pose at %.6f s left out: %s", path, stamp_ns / 1e9, pose)
        else:
            buffer.add(stamp_ns, pose)
    return buffer


def _read_list(path: Path, parse: Callable[[list[str]], Value]) -> dict[int, Value]:
    """Return `parse(words)` by stamp in nanoseconds for each line that is no comment."""
    try:
        lines = path.read_text().splitlines()
    except FileNotFoundError:
        raise SourceError(f"{path}: no such file; a TUM sequence has rgb.txt, depth.txt and groundtruth.txt") from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    values: dict[int, Value] = {}
    for number, line in enumerate(lines, start=1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        try:
            stamp_ns = _nanoseconds(words[0])
            values[stamp_ns] = parse(words[1:])
        except ValueError as error:
            raise SourceError(f"{path}:{number}: {error}; got {line.strip()!r}") from error
    if not values:
        raise SourceError(f"{path}: expected at least one line that is no comment, got none")
    return values


def _nanoseconds(seconds: str) -> int:
    try:
        return round(Decimal(seconds) * 10**9)  # a float would lose digits of a stamp since 1970
    except (InvalidOperation, ValueError, OverflowError):
        raise ValueError("expected a stamp in seconds first") from None


def _image_file(words: list[str]) -> str:
    if len(words) != 1:
        raise ValueError("expected `stamp file`")
    return words[0]


def _pose_or_error(words: list[str]) -> RigidPose | FrameError:
    """Return the pose, or the error of one that was lost (NaN, not unit): its neighbours may still do."""
    if len(words) != 7:
        raise ValueError("expected `stamp tx ty tz qx qy qz qw`")
    try:
        x, y, z, *quaternion = map(float, words)
    except ValueError:
        raise ValueError("expected `stamp tx ty tz qx qy qz qw`, all numbers") from None
    try:
        return RigidPose((x, y, z), (quaternion[0], quaternion[1], quaternion[2], quaternion[3]))
    except FrameError as error:
        return error
