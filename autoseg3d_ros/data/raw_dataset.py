"""What `autoseg3d prepare` asks of a benchmark's raw files, whatever their format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from autoseg3d_ros.data.scene_folder import SceneInfo, TruthMesh
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

ROTATE_FOR_MASKS, CLOCKWISE = "rotate_for_masks", "clockwise"  # in `SceneInfo.origin`: images lie on their side


@dataclass(frozen=True)
class RawScene:
    """One scene of a benchmark, read from its raw files."""

    info: SceneInfo  # where an instance has a box, pixels more than 5 cm outside it are not labelled with it
    camera: CameraIntrinsics
    depth_units_a_metre: float
    frame_rate_hz: float  # of the frames that are kept
    num_frames: int
    frames: Callable[[], Iterator[Frame | FrameError]]  # in the world of the mesh; without truth
    mesh: TruthMesh
    has_labels: bool = True  # False: a test scene whose truth is kept back; no instance images are written
    warnings: tuple[str, ...] = ()  # what was odd but did not hinder, each with file and what became of it


class RawDataset(Protocol):
    """The raw files of one benchmark below one folder; an instance must survive pickling, for worker processes."""

    name: str

    def scene_names(self) -> list[str]:
        """Return the scenes that are there or ought to be. Raises SourceError where the folder holds none."""
        ...

    def split_of(self, scene: str) -> str:
        """Return one of `scene_folder.SPLITS`, without opening the scene."""
        ...

    def missing_files(self, scene: str) -> list[Path]:
        """Return the files without which the scene cannot be prepared."""
        ...

    def read(self, scene: str) -> RawScene:
        """Open a scene; frames are read when asked for. Raises SourceError that names file and fix."""
        ...
