"""Two recordings of Princeton's Amazon Picking Challenge tools, RealSense F200, in the layouts they were published in.

Neither keeps times, so a frame rate is assumed. `apc-bin` is a hand-held sweep with about 1 cm between frames: at 10 Hz
that is the 0.1 m/s of a careful hand. `apc-shelf` has one view for each stop of a robot arm, 8 cm apart: 2 Hz.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from autoseg3d_ros.data.images import read_colour, read_depth_units, read_instance_ids
from autoseg3d_ros.data.pose_file import parse_matrix, read_pose
from autoseg3d_ros.data.rgbd_folder import stamp_of
from autoseg3d_ros.data.source import SourceError, load_each
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError, RigidPose

BIN_CAMERA_FILE = "intrinsics.K.txt"
SHELF_CAMERA_FILE = "cam.info.txt"
_SIZE = (640, 480)


class ApcBin:
    """`apc-bin`: frame-NNNNNN.{color.png,depth.png,pose.txt} and intrinsics.K.txt; depth in millimetres."""

    _DEPTH_SCALE = 1000.0

    def __init__(self, path: Path | str) -> None:
        """Read the intrinsics and list the frames. Raises SourceError where either is missing."""
        self._path = Path(path)
        text = _read_text(self._path / BIN_CAMERA_FILE)
        self.name = self._path.resolve().name
        self.camera = _camera(text, str(self._path / BIN_CAMERA_FILE))
        self.frame_rate_hz = 10.0
        self._stems = _frame_stems(self._path)

    def __len__(self) -> int:
        return len(self._stems)

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames in order; an unusable one comes as a FrameError."""
        return load_each(self._frame, range(len(self)))

    def _frame(self, index: int) -> Frame:
        stem = self._stems[index]
        depth_file = self._path / f"{stem}.depth.png"
        units = read_depth_units(depth_file, self.camera)
        return Frame(
            stamp_ns=stamp_of(index, self.frame_rate_hz),
            rgb=read_colour(self._path / f"{stem}.color.png", self.camera),
            depth_m=decode_depth(units, "16UC1", units_per_metre=self._DEPTH_SCALE, where=str(depth_file)),
            camera=self.camera,
            pose=read_pose(self._path / f"{stem}.pose.txt"),
            name=stem,
        )


class ApcShelf:
    """`apc-shelf`: frame-NNNNNN.{color,depth}.png, cam.info.txt with all poses, segm/ with instance labels.

    Depth is in 0.1 mm, each 16-bit value rotated right by 3 bits.
    """

    _DEPTH_SCALE = 10_000.0

    def __init__(self, path: Path | str) -> None:
        """Read intrinsics and poses and list the frames. Raises SourceError where one of them is missing."""
        self._path = Path(path)
        self._info = _sections(_read_text(self._path / SHELF_CAMERA_FILE))
        self.name = self._path.resolve().name
        intrinsics = self._info.get("Color camera intrinsic matrix", "")
        self.camera = _camera(intrinsics, f"{self._path / SHELF_CAMERA_FILE}: Color camera intrinsic matrix")
        self.frame_rate_hz = 2.0
        self._stems = _frame_stems(self._path)

    def __len__(self) -> int:
        return len(self._stems)

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames in order, the label maps as truth; an unusable one comes as a FrameError."""
        return load_each(self._frame, range(len(self)))

    def _frame(self, index: int) -> Frame:
        stem = self._stems[index]
        labels = self._path / "segm" / f"{stem}.segm.png"
        depth_file = self._path / f"{stem}.depth.png"
        code = read_depth_units(depth_file, self.camera)
        units = (code << 13) | (code >> 3)
        return Frame(
            stamp_ns=stamp_of(index, self.frame_rate_hz),
            rgb=read_colour(self._path / f"{stem}.color.png", self.camera),
            depth_m=decode_depth(units, "16UC1", units_per_metre=self._DEPTH_SCALE, where=str(depth_file)),
            camera=self.camera,
            pose=self._pose(stem),
            name=stem,
            truth=read_instance_ids(labels, self.camera) if labels.exists() else None,
        )

    def _pose(self, stem: str) -> RigidPose:
        title = f"Camera-to-world extrinsic matrix (camera pose) for {stem}"
        where = f"{self._path / SHELF_CAMERA_FILE}: {title}"
        if title not in self._info:
            raise FrameError(f"{where}: not in the file; every frame needs its pose")
        return RigidPose.from_matrix(parse_matrix(self._info[title], (4, 4), where), where)


def _read_text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: expected the camera's intrinsics, but it cannot be read: {error}") from error


def _camera(text: str, where: str) -> CameraIntrinsics:
    try:
        (fx, _, cx), (_, fy, cy), _ = parse_matrix(text, (3, 3), "intrinsics").tolist()
        return CameraIntrinsics(*_SIZE, fx, fy, cx, cy)
    except FrameError as error:
        raise SourceError(f"{where}: {error}") from error


def _frame_stems(path: Path) -> list[str]:
    stems = sorted({file.name.split(".")[0] for file in path.glob("frame-*.color.png")})
    if not stems:
        raise SourceError(f"{path}: no frames; expected frame-000000.color.png onwards")
    return stems


def _sections(text: str) -> dict[str, str]:
    """Return the text under each `# title` line."""
    parts = re.split(r"^#\s*(.*?)\s*$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
