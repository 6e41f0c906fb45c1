"""Finds out what a path holds and opens it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from autoseg3d_ros.config import Config
from autoseg3d_ros.data.apc import BIN_CAMERA_FILE, SHELF_CAMERA_FILE, ApcBin, ApcShelf
from autoseg3d_ros.data.bag_source import BagSource, is_bag
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import FrameSource, SourceError
from autoseg3d_ros.data.tum import TumSequence


@dataclass(frozen=True)
class _Format:
    open: Callable[[Path, Config], FrameSource]
    fits: Callable[[Path], bool]
    expects: str


# in the order in which they are tried: a TUM folder also has rgb/ and depth/
_FORMATS = {
    "bag": _Format(BagSource, is_bag, "a rosbag2 folder with metadata.yaml, or one .mcap or .db3 file"),
    "tum": _Format(
        TumSequence,
        lambda path: (path / "rgb.txt").exists() or (path / "depth.txt").exists(),
        "rgb.txt, depth.txt and groundtruth.txt, the images they name, camera.yaml if not the benchmark's camera",
    ),
    "apc-bin": _Format(
        lambda path, _: ApcBin(path),
        lambda path: (path / BIN_CAMERA_FILE).exists(),
        f"{BIN_CAMERA_FILE}, frame-000000.color.png, frame-000000.depth.png, frame-000000.pose.txt onwards",
    ),
    "apc-shelf": _Format(
        lambda path, _: ApcShelf(path),
        lambda path: (path / SHELF_CAMERA_FILE).exists(),
        f"{SHELF_CAMERA_FILE}, frame-000000.color.png, frame-000000.depth.png onwards",
    ),
    "folder": _Format(
        lambda path, _: RgbdFolder(path),
        lambda path: any((path / name).exists() for name in ("rgb", "depth", "camera.yaml")),
        "camera.yaml, rgb/000000.png (or .jpg), depth/000000.png, pose/000000.txt onwards",
    ),
}
FORMAT_NAMES = ("auto", *_FORMATS)


def open_source(path: Path | str, format: str = "auto", config: Config | None = None) -> FrameSource:
    """Open `path` as one of FORMAT_NAMES; `auto` takes the first format whose files are there.

    `config` (the defaults if None) says how bags and TUM sequences pair images and interpolate poses, and gives the
    depth unit of bags.

    Raises SourceError where nothing is there, nothing fits, or what fits cannot be read.
    """
    path, config = Path(path), config or Config()
    if format not in FORMAT_NAMES:
        raise SourceError(f"unknown format {format!r}; expected one of {', '.join(FORMAT_NAMES)}")
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if format != "auto":
        return _FORMATS[format].open(path, config)
    for candidate in _FORMATS.values():
        if candidate.fits(path):
            return candidate.open(path, config)
    expected = "\n".join(f"  {name}: {candidate.expects}" for name, candidate in _FORMATS.items())
    raise SourceError(f"{path}: not a recording that can be read; expected one of\n{expected}")
