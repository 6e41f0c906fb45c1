"""Raw scenes of a benchmark written as scene folders (docs/datasets.md), the form that training and evaluation read.

A frame keeps its place in the sequence: a frame that cannot be used leaves a gap in the numbers. Colour is written as
JPEG of high quality: the benchmarks' colour images are JPEG or video already, and PNG would take five times the space.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal

import cv2
import numpy as np

from autoseg3d_ros.data.camera_file import CAMERA_FILE, RecordedCamera, write_camera_file
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.instance_image import InstancePainter
from autoseg3d_ros.data.pose_file import write_pose
from autoseg3d_ros.data.raw_dataset import RawDataset, RawScene
from autoseg3d_ros.data.scene_folder import MESH_FILE, SceneFolder, write_info, write_mesh
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import Frame, FrameError

PREPARED_FILE = "prepared.json"  # beside the scenes: with what settings they were made
_LARGEST_UINT16 = 65535
_JPEG_QUALITY = 95
_LARGEST_DISTANCE_M = 0.1  # of a usual frame's points from the mesh, median; registered scans have a centimetre

Outcome = Literal["written", "kept", "left out", "stopped"]


@dataclass(frozen=True)
class SceneReport:
    """What became of one scene."""

    scene: str
    outcome: Outcome
    num_frames: int = 0  # written
    num_instances: int = 0
    skipped: tuple[str, ...] = ()  # why frames were left out
    warnings: tuple[str, ...] = ()
    reason: str = ""  # why the scene was left out


class _StoppedError(Exception):
    """The user has had enough."""


def missing_files(dataset: RawDataset, scenes: Iterable[str]) -> dict[str, list[Path]]:
    """Return scene -> files that it lacks, of the scenes that lack any."""
    lacking = {scene: dataset.missing_files(scene) for scene in scenes}
    return {scene: files for scene, files in lacking.items() if files}


def claim(out: Path, settings: Mapping[str, Any]) -> None:
    """Make the folder of a prepared data set, or go on with the one that is there.

    Raises SourceError where it was made with other settings: scenes of two kinds must not be mixed.
    """
    out.mkdir(parents=True, exist_ok=True)
    file = out / PREPARED_FILE
    try:
        former = json.loads(file.read_text()) if file.exists() else settings
    except ValueError as error:
        raise SourceError(f"{file}: expected JSON ({error}); remove {out} or choose another folder") from error
    if former != settings:
        raise SourceError(
            f"{out}: was made with {former}, now asked for {settings}; choose another folder or remove it"
        )
    file.write_text(json.dumps(settings, indent=1) + "\n")


def prepare_scene(dataset: RawDataset, out: Path, scene: str, stopped: Callable[[], bool]) -> SceneReport:
    """Write the scene folder `out`/`scene`, unless it is there already; it appears when it is finished, not before.

    Looks at `stopped` between frames. What is wrong with the raw files is told in the report, not raised.
    """
    folder, partial = out / scene, out / f".{scene}.partial"
    try:
        if folder.exists():
            return _kept(folder, dataset.name)
        if missing := dataset.missing_files(scene):
            return SceneReport(scene, "left out", reason=f"missing {', '.join(map(str, missing))}")
        shutil.rmtree(partial, ignore_errors=True)
        report = _write(dataset.read(scene), partial, stopped)
        partial.rename(folder)
        return report
    except (SourceError, FrameError, OSError) as error:
        return SceneReport(scene, "left out", reason=str(error))
    except _StoppedError:
        return SceneReport(scene, "stopped")
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _kept(folder: Path, dataset_name: str) -> SceneReport:
    info = SceneFolder(folder).info
    if info.dataset != dataset_name:
        raise SourceError(f"{folder}: holds a scene of {info.dataset}; choose another folder to write to")
    num_frames = sum(1 for _ in (folder / "rgb").iterdir())
    return SceneReport(info.scene, "kept", num_frames, len(info.instances))


def _write(raw: RawScene, folder: Path, stopped: Callable[[], bool]) -> SceneReport:
    scene, largest_id = raw.info.scene, raw.mesh.instance_id.max(initial=0)
    if not len(raw.mesh.vertices_m) or largest_id > _LARGEST_UINT16:
        raise SourceError(
            f"{scene}: expected a mesh of at least one vertex and instances 1 to {_LARGEST_UINT16}, got "
            f"{len(raw.mesh.vertices_m)} vertices and instances up to {largest_id}; download the scene again"
        )
    for name in ("rgb", "depth", "pose", *["instance"] * raw.has_labels):
        (folder / name).mkdir(parents=True)
    write_camera_file(folder / CAMERA_FILE, RecordedCamera(raw.camera, raw.depth_units_a_metre, raw.frame_rate_hz))
    skipped, distance_m = _write_frames(raw, folder, stopped)
    if len(skipped) == raw.num_frames:
        raise SourceError(f"{scene}: none of {raw.num_frames} frames can be used: {'; '.join(skipped[:1])}")
    write_mesh(folder / MESH_FILE, raw.mesh)
    write_info(folder, raw.info)
    num_written = raw.num_frames - len(skipped)
    warnings = raw.warnings
    if distance_m > _LARGEST_DISTANCE_M:
        warnings += (
            f"{scene}: expected frames that lie on the mesh, got points {distance_m:.2f} m from it (median): poses, "
            "depth and mesh of one release? pose numbers shifted? depth upside down?",
        )
    return SceneReport(scene, "written", num_written, len(raw.info.instances), tuple(skipped), warnings)


def _write_frames(raw: RawScene, folder: Path, stopped: Callable[[], bool]) -> tuple[list[str], float]:
    """Write the frames that can be used; return what is wrong with the others, and how far they are from the mesh."""
    painter = InstancePainter(raw.mesh, raw.info.instances)
    skipped, distances_m = [], []
    for number, frame in enumerate(raw.frames()):
        if stopped():
            raise _StoppedError
        if isinstance(frame, FrameError):
            skipped.append(str(frame))
            continue
        stem = f"{number:06d}"
        _write_images(folder, stem, frame, raw.depth_units_a_metre)
        if raw.has_labels:
            write_png(folder / "instance" / f"{stem}.png", painter.image(frame).astype(np.uint16))
        distances_m.append(painter.distance_m(frame))
    known_m = [distance for distance in distances_m if not math.isnan(distance)]
    return skipped, median(known_m) if known_m else math.nan


def _write_images(folder: Path, stem: str, frame: Frame, depth_units_a_metre: float) -> None:
    bgr = cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR)
    _, colour = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    (folder / "rgb" / f"{stem}.jpg").write_bytes(colour.tobytes())
    units = np.rint(frame.depth_m.astype(np.float64) * depth_units_a_metre)
    units[units > _LARGEST_UINT16] = 0  # beyond what 16 bits hold: no measurement
    write_png(folder / "depth" / f"{stem}.png", units.astype(np.uint16))
    write_pose(folder / "pose" / f"{stem}.txt", frame.pose)
