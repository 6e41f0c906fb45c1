"""A folder of numbered images and poses: the layout that `autoseg3d` reads and writes itself.

    rgb/000000.png (or .jpg)   8-bit colour
    depth/000000.png           16-bit depth, `depth_scale` units a metre, registered to colour, 0 = no measurement
    pose/000000.txt            4x4 world_from_camera, metres; camera axes x right, y down, z forward
    instance/000000.png        16-bit instance ids, 0 = none; optional
    camera.yaml                width height fx fy cx cy depth_scale fps, and distortion if the images are not rectified

The number of a frame over `fps` is its time, so missing numbers are gaps in time.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from autoseg3d_ros.data.camera_file import CAMERA_FILE, RecordedCamera, read_camera_file, write_camera_file
from autoseg3d_ros.data.images import read_colour, read_depth_units, read_instance_ids, write_png
from autoseg3d_ros.data.pose_file import read_pose, write_pose
from autoseg3d_ros.data.source import SourceError, load_each
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

_COLOUR_SUFFIXES = (".png", ".jpg", ".jpeg")
_LARGEST_UINT16 = 65535


class RgbdFolder:
    """The frames of one folder, in the order of their numbers."""

    def __init__(self, path: Path | str) -> None:
        """Read `camera.yaml` and list the images. Raises SourceError where there is no folder, camera or frame."""
        self._path = Path(path)
        self._recorded = read_camera_file(self._path / CAMERA_FILE)
        self._rectifier = Rectifier(self._recorded.intrinsics, self._recorded.distortion)
        self._colour_files = _numbered_files(self._path / "rgb", _COLOUR_SUFFIXES)
        depth_files = _numbered_files(self._path / "depth", (".png",))
        self._stems = {number: file.stem for number, file in (depth_files | self._colour_files).items()}
        if not self._stems:
            raise SourceError(
                f"{self._path}: no frames; expected rgb/000000.png (or .jpg) and depth/000000.png onwards"
            )
        self.name = self._path.resolve().name
        self.camera = self._recorded.intrinsics
        self.frame_rate_hz = self._recorded.fps

    def __len__(self) -> int:
        return len(self._stems)

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames by number; a frame that lacks a file or has an unusable one comes as a FrameError."""
        return load_each(self._frame, sorted(self._stems))

    def _frame(self, number: int) -> Frame:
        stem, rectifier = self._stems[number], self._rectifier
        colour_file = self._colour_files.get(number, self._path / "rgb" / f"{stem}.png")
        instance_file = self._path / "instance" / f"{stem}.png"
        truth = read_instance_ids(instance_file, self.camera) if instance_file.exists() else None
        depth_file = self._path / "depth" / f"{stem}.png"
        units = read_depth_units(depth_file, self.camera)
        depth_m = decode_depth(units, "16UC1", units_per_metre=self._recorded.depth_scale, where=str(depth_file))
        return Frame(
            stamp_ns=stamp_of(number, self.frame_rate_hz),
            rgb=rectifier.rectify_colour(read_colour(colour_file, self.camera)),
            depth_m=rectifier.rectify_depth(depth_m),
            camera=self.camera,
            pose=read_pose(self._path / "pose" / f"{stem}.txt"),
            name=stem,
            truth=None if truth is None else rectifier.rectify_labels(truth),
        )


class RgbdFolderWriter:
    """Writes frames as a folder that `RgbdFolder` reads; the frames are numbered from 0 in the order they come."""

    def __init__(self, path: Path | str, camera: CameraIntrinsics, *, depth_scale: float, fps: float) -> None:
        """Make the folder and its `camera.yaml`. Raises SourceError where it holds frames already."""
        self._path = Path(path)
        self._depth_scale = depth_scale
        self._count = 0
        if any((self._path / "rgb").glob("*")):
            raise SourceError(f"{self._path}: holds frames already; remove the folder or choose another")
        for name in ("rgb", "depth", "pose"):
            (self._path / name).mkdir(parents=True, exist_ok=True)
        write_camera_file(self._path / CAMERA_FILE, RecordedCamera(camera, depth_scale, fps))

    def add(self, frame: Frame) -> None:
        """Write one frame; depth is rounded to the unit, and 0 where it is beyond what 16 bits hold.

        Raises FrameError for instance ids beyond 16 bits.
        """
        stem = f"{self._count:06d}"
        if frame.truth is not None and frame.truth.max() > _LARGEST_UINT16:
            raise FrameError(f"frame {stem}: instance image: expected ids up to 65535, got {frame.truth.max()}")
        units = np.rint(frame.depth_m.astype(np.float64) * self._depth_scale)
        write_png(self._path / "rgb" / f"{stem}.png", frame.rgb)
        units[units > _LARGEST_UINT16] = 0
        write_png(self._path / "depth" / f"{stem}.png", units.astype(np.uint16))
        write_pose(self._path / "pose" / f"{stem}.txt", frame.pose)
        if frame.truth is not None:
            (self._path / "instance").mkdir(exist_ok=True)
            write_png(self._path / "instance" / f"{stem}.png", frame.truth.astype(np.uint16))
        self._count += 1


def stamp_of(number: int, fps: float) -> int:
    """Return the time of frame `number`, nanoseconds, where recordings keep no times."""
    return round(number * 1e9 / fps)


def _numbered_files(folder: Path, suffixes: tuple[str, ...]) -> dict[int, Path]:
    files: dict[int, Path] = {}
    for file in sorted(folder.glob("*")):
        if not (file.suffix.lower() in suffixes and file.stem.isdecimal()):
            continue
        other = files.setdefault(int(file.stem), file)
        if other is not file:
            raise SourceError(f"{folder}: {other.name} and {file.name} are the same frame; keep one of them")
    return files
