"""A scene with truth on disk, the form in which `synth` and `prepare` write and training and evaluation read.

A data set is a folder of scene folders. A scene folder is an RGB-D folder (`rgbd_folder`) with more beside it
(docs/scene_folder.md):

    rgb/ depth/ pose/ instance/ camera.yaml   as in any RGB-D folder; pose/ is what the robot believes
    true_pose/000000.txt   exact poses; absent where pose/ is the best there is
    mesh.npz               the scanned surface: vertices with instance and segment
    masks/000000.png       2D masks computed beforehand; optional
    superpoints/000000.npz lifted points computed beforehand; optional
    scene.json             names, split, instances, changes; written last: without it the scene is not finished

Instance 0 is void: walls, floor, whatever has no label.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import numpy as np

from autoseg3d_ros.data.pose_file import read_pose
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import OrientedBox, RigidPose

SCENE_FILE, MESH_FILE, TRUE_POSE, MASKS, SUPERPOINTS = "scene.json", "mesh.npz", "true_pose", "masks", "superpoints"
SPLITS = ("train", "val", "test")
_FORMAT = 1

ChangeKind = Literal["moved", "removed", "added"]


@dataclass(frozen=True)
class TruthInstance:
    """One thing in a scene."""

    id: int  # >= 1, as in the instance images and in the mesh
    class_id: int  # of the data set
    class_name: str
    box: OrientedBox | None = None  # amodal, at the end of the recording; None = unknown


@dataclass(frozen=True)
class SceneChange:
    """What happened to an instance while nobody looked; from frame number `frame` on the world is the new one."""

    kind: ChangeKind
    instance_id: int
    frame: int


@dataclass(frozen=True)
class TruthMesh:
    """The scanned surface of the scene at the end of the recording, in the exact world frame."""

    vertices_m: np.ndarray  # (V, 3) float32
    rgb: np.ndarray  # (V, 3) uint8
    instance_id: np.ndarray  # (V,) int32, 0 = void
    segment_id: np.ndarray  # (V,) int32 over-segmentation, from 0
    faces: np.ndarray = field(default_factory=lambda: np.zeros((0, 3), np.int32))  # (F, 3) int32, may be empty


@dataclass(frozen=True)
class SceneInfo:
    """`scene.json`."""

    dataset: str
    scene: str  # also the name of the folder
    split: str  # one of SPLITS
    instances: tuple[TruthInstance, ...]
    changes: tuple[SceneChange, ...] = ()
    origin: Mapping[str, Any] = field(default_factory=dict)  # of what it was made: seed, options, raw files


class SceneFolder:
    """One finished scene on disk."""

    def __init__(self, path: Path | str) -> None:
        """Read `scene.json`. Raises SourceError where it is missing or not understood."""
        self.path = Path(path)
        self.info = _read_info(self.path / SCENE_FILE)

    @property
    def name(self) -> str:
        return self.info.scene

    def source(self) -> RgbdFolder:
        """Return the frames, with the poses that the robot believes and instance images as truth."""
        return RgbdFolder(self.path)

    @cached_property
    def mesh(self) -> TruthMesh:
        """The truth mesh. Raises SourceError where it is missing or damaged."""
        return read_mesh(self.path / MESH_FILE)

    def true_pose(self, frame_name: str) -> RigidPose:
        """Return the exact world_from_camera of a frame. Raises FrameError where its file is damaged."""
        file = self.path / TRUE_POSE / f"{frame_name}.txt"
        return read_pose(file if file.exists() else self.path / "pose" / f"{frame_name}.txt")


def scenes_of(dataset: Path | str, split: str) -> list[SceneFolder]:
    """Return the finished scenes of a split, by name. Raises SourceError where there is none."""
    path = Path(dataset)
    if split not in SPLITS:
        raise SourceError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    files = sorted(path.glob(f"*/{SCENE_FILE}"))
    scenes = [
        SceneFolder(file.parent) for file in files if not file.parent.name.startswith(".")
    ]  # hidden: in the making
    chosen = [scene for scene in scenes if scene.info.split == split]
    if not chosen:
        found = ", ".join(sorted({scene.info.split for scene in scenes})) or "no finished scene at all"
        raise SourceError(
            f"{path}: no scene of split {split!r}, found {found}; write one with `autoseg3d synth --split {split} "
            f"--out {path}` or `autoseg3d prepare`"
        )
    return chosen


def write_info(folder: Path, info: SceneInfo) -> None:
    """Finish a scene: write its `scene.json`, in one piece."""
    document = {"format": _FORMAT, **asdict(info)}
    partial = folder / f".{SCENE_FILE}.partial"
    partial.write_text(json.dumps(document, indent=1, sort_keys=True) + "\n")
    os.replace(partial, folder / SCENE_FILE)


def write_mesh(file: Path, mesh: TruthMesh) -> None:
    """Write a truth mesh; equal meshes give equal bytes."""
    with file.open("wb") as stream:
        np.savez_compressed(
            stream,
            vertices_m=mesh.vertices_m,
            rgb=mesh.rgb,
            instance_id=mesh.instance_id,
            segment_id=mesh.segment_id,
            faces=mesh.faces,
        )


def read_mesh(file: Path) -> TruthMesh:
    """Read a truth mesh. Raises SourceError where it is missing or damaged."""
    try:
        with np.load(file) as stored:
            mesh = TruthMesh(**{name: stored[name] for name in TruthMesh.__dataclass_fields__})
        lengths = [len(array) for array in (mesh.vertices_m, mesh.rgb, mesh.instance_id, mesh.segment_id)]
        if len(set(lengths)) > 1:
            raise ValueError(f"vertices, colours, instances and segments are {lengths}, not equally many")
        return mesh
    except (OSError, ValueError, KeyError, EOFError, BadZipFile, zlib.error) as error:
        raise SourceError(f"{file}: expected a truth mesh ({error}); write the scene again") from error


def class_names(instances: Iterable[TruthInstance]) -> dict[int, str]:
    """Return class id -> name of the classes that occur."""
    return {one.class_id: one.class_name for one in instances}


def _read_info(file: Path) -> SceneInfo:
    try:
        document = json.loads(file.read_text())
        if not isinstance(document, dict):
            raise ValueError(f"expected an object, got a {type(document).__name__}")
        if document.pop("format") != _FORMAT:
            raise ValueError(f"expected format {_FORMAT}")
        document["instances"] = tuple(_instance(row) for row in document["instances"])
        document["changes"] = tuple(SceneChange(**row) for row in document["changes"])
        return SceneInfo(**document)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SourceError(f"{file}: not a finished scene ({error}); write the scene again") from error


def _instance(row: dict[str, Any]) -> TruthInstance:
    box = row.pop("box")
    if box is not None:
        box = OrientedBox(tuple(box["center_m"]), tuple(box["size_m"]), box["yaw_rad"])
    return TruthInstance(**row, box=box)
