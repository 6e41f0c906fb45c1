"""A scene lifted beforehand, so that training reads points and computes no masks. `frame_cache` writes it.

000000.npz  a frame: P points, evenly drawn over the image; for every kind of masks the superpoint of each point, and
            what lies across the borders of superpoints
truth.npz   the surfaces of the instances, and their classes
made.json   of what it was made; written last: without it the scene is not finished
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import NO_MASK, BorderCues

ORIGIN_FILE, TRUTH_FILE = "made.json", "truth.npz"
_FRAME_ARRAYS = ("xyz_m", "rgb", "instance", "world_from_exact")
_MASKS_PREFIX, _PAIRS_PREFIX, _CUES_PREFIX = "superpoint_of_", "border_pairs_of_", "border_cues_of_"


@dataclass(frozen=True)
class LiftedFrame:
    """The points of one frame."""

    xyz_m: np.ndarray  # (P, 3) float32, in the world as the robot believes it
    rgb: np.ndarray  # (P, 3) uint8
    instance: np.ndarray  # (P,) int32, 0 = void
    superpoint: Mapping[str, np.ndarray]  # by kind of masks (P,) int16, NO_MASK where lifting leaves a point out
    borders: Mapping[str, BorderCues]  # by kind of masks, between superpoints of these ids
    world_from_exact: np.ndarray  # (4, 4): where the robot believes the exact world


@dataclass(frozen=True)
class SceneTruth:
    """The instances of a scene: surfaces, thinned, that last from one frame to another, and classes."""

    vertices_m: np.ndarray  # (V, 3) float32, exact world
    instance: np.ndarray  # (V,) int32
    first_frame: np.ndarray  # (V,) int32 number of the first frame that has this surface
    end_frame: np.ndarray  # (V,) int32 number of the first frame that no longer has it
    instance_id: np.ndarray  # (I,) int32, all instances of the scene
    class_id: np.ndarray  # (I,) int32 of the data set


class CachedScene:
    """One finished scene of a cache."""

    def __init__(self, path: Path) -> None:
        """List the frames. Raises SourceError where the scene is not finished or has no frame."""
        self.path = path
        self.origin = read_origin(path)
        self._files = sorted(path.glob("[0-9]*.npz"), key=lambda file: int(file.stem))
        if self.origin is None or not self._files:
            raise SourceError(f"{path}: expected a finished scene with frames; lift the scenes again")

    def __len__(self) -> int:
        return len(self._files)

    @property
    def masks(self) -> tuple[str, ...]:
        """The kinds of masks that the frames were lifted with."""
        return tuple(self.origin["masks"]) if self.origin else ()

    @cached_property
    def truth(self) -> SceneTruth:
        """The instances. Raises SourceError where the file is damaged."""
        return SceneTruth(**_arrays(self.path / TRUTH_FILE, [one.name for one in fields(SceneTruth)]))

    def number(self, index: int) -> int:
        """Return the number that frame `index` has in the scene folder."""
        return int(self._files[index].stem)

    def frame(self, index: int, masks: str) -> LiftedFrame:
        """Return frame `index` with the superpoints of one kind of masks. Raises SourceError where it is damaged."""
        names = [prefix + masks for prefix in (_MASKS_PREFIX, _PAIRS_PREFIX, _CUES_PREFIX)]
        arrays = _arrays(self._files[index], [*_FRAME_ARRAYS, *names])
        superpoint, pairs, cues = (arrays.pop(name) for name in names)
        borders = BorderCues(pairs.astype(np.int32), cues.astype(np.float32))
        return LiftedFrame(superpoint={masks: superpoint}, borders={masks: borders}, **arrays)


def read_origin(folder: Path) -> dict[str, Any] | None:
    """Return of what a cached scene was made; None = it is not finished."""
    try:
        return dict(json.loads((folder / ORIGIN_FILE).read_text()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise SourceError(f"{folder / ORIGIN_FILE}: {error}; remove the folder and lift the scene again") from error


def write_frame(file: Path, frame: LiftedFrame) -> None:
    """Write one frame; without compression, which would save a fifth and take most of the time to read."""
    arrays = {name: getattr(frame, name) for name in _FRAME_ARRAYS}
    for masks, ids in frame.superpoint.items():
        assert ids.max(initial=NO_MASK) <= np.iinfo(np.int16).max, "a frame has at most some hundred superpoints"
        arrays[_MASKS_PREFIX + masks] = ids.astype(np.int16)
        arrays[_PAIRS_PREFIX + masks] = frame.borders[masks].pairs.astype(np.int16)
        arrays[_CUES_PREFIX + masks] = frame.borders[masks].values.astype(np.float16)
    np.savez(file, **arrays)


def write_truth(folder: Path, truth: SceneTruth) -> None:
    """Write the instances of a scene."""
    np.savez(folder / TRUTH_FILE, **{one.name: getattr(truth, one.name) for one in fields(truth)})


def _arrays(file: Path, names: Sequence[str]) -> dict[str, np.ndarray]:
    try:
        with np.load(file) as stored:
            return {name: stored[name] for name in names}
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise SourceError(
            f"{file}: expected {', '.join(names)} ({error}); remove it and lift the scene again"
        ) from error
