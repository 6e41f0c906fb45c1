"""The annotation of a ScanNet scene: objects as sets of mesh segments, with labels in free text."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros.data.annotated_mesh import read_json, read_segment_indices
from autoseg3d_ros.data.pose_file import parse_matrix
from autoseg3d_ros.data.scannet_labels import LABEL_MAP_FILE, LabelClass
from autoseg3d_ros.data.scene_folder import TruthInstance
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.geometry import boxes_of_groups, transform_points
from autoseg3d_ros.structures import NO_INSTANCE, FrameError, OrientedBox

_LEVEL_TOLERANCE = 1e-2
ClassOfLabel = Mapping[str, LabelClass | None]


@dataclass(frozen=True)
class TruthFiles:
    """Where the annotation of one scene lies."""

    segments: Path  # segment of each vertex
    aggregation: Path  # objects as sets of segments
    alignment: Path  # axisAlignment


@dataclass(frozen=True)
class SceneTruth:
    """Instances on the vertices of the mesh."""

    instances: tuple[TruthInstance, ...]  # with boxes along the walls, in the world of the mesh
    instance_id: np.ndarray  # (V,) int32, objectId + 1, 0 = void
    segment_id: np.ndarray  # (V,) int32, from 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Group:
    """An annotated object."""

    instance_id: int
    label: str
    segments: np.ndarray  # (n,) int64


def no_truth(num_vertices: int) -> SceneTruth:
    """Return what is known of a test scene: nothing. Each vertex is a segment of its own."""
    return SceneTruth((), np.full(num_vertices, NO_INSTANCE, np.int32), np.arange(num_vertices, dtype=np.int32))


def read_truth(files: TruthFiles, vertices_m: np.ndarray, class_of_label: ClassOfLabel) -> SceneTruth:
    """Return the things among the annotated objects of a mesh with vertices (V, 3).

    A label that `class_of_label` lacks is warned of and its object becomes void; where that gives None, the object is
    void by the rules of the benchmark. A segment in several objects belongs to the last of them, as in the benchmark's
    own scripts. Raises SourceError for files that are missing, damaged or do not fit the mesh.
    """
    indices = read_segment_indices(files.segments, len(vertices_m))
    segments, segment_id = np.unique(indices, return_inverse=True)
    groups = _read_groups(files.aggregation)
    warnings = [*_unknown_labels(groups, class_of_label, files), *_unknown_segments(groups, segments, files)]
    things = {group.instance_id: one for group in groups if (one := class_of_label.get(group.label)) is not None}
    instance_of_segment = np.full(len(segments), NO_INSTANCE, np.int32)
    for group in groups:
        owner = group.instance_id if group.instance_id in things else NO_INSTANCE
        instance_of_segment[np.isin(segments, group.segments)] = owner
    instance_id = instance_of_segment[segment_id]
    boxes = _boxes(vertices_m, instance_id, _read_alignment(files.alignment))
    instances = tuple(TruthInstance(number, *things[number], box=box) for number, box in boxes.items())
    return SceneTruth(instances, instance_id, segment_id.astype(np.int32), tuple(warnings))


def _read_groups(file: Path) -> list[_Group]:
    document = read_json(file)
    try:
        groups = [_group(row) for row in document["segGroups"]]
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(
            f"{file}: expected a list `segGroups` of objectId, label and segments ({error!r}); download it again"
        ) from error
    ids = [group.instance_id for group in groups]
    if len(set(ids)) < len(ids) or min(ids, default=1) < 1:
        raise SourceError(f"{file}: expected objectIds from 0 on, each once; download it again")
    return groups


def _group(row: dict[str, Any]) -> _Group:
    return _Group(int(row["objectId"]) + 1, str(row["label"]).strip(), np.array(row["segments"], np.int64))


def _unknown_labels(groups: list[_Group], class_of_label: ClassOfLabel, files: TruthFiles) -> list[str]:
    return [
        f"{files.aggregation}: unknown label {group.label!r}: object {group.instance_id - 1} becomes void; expected a "
        f"label of {LABEL_MAP_FILE}: fetch its newest release (--label_map)"
        for group in groups
        if group.label not in class_of_label
    ]


def _unknown_segments(groups: list[_Group], segments: np.ndarray, files: TruthFiles) -> list[str]:
    named = np.concatenate([group.segments for group in groups]) if groups else np.zeros(0, np.int64)
    num_unknown = len(np.setdiff1d(named, segments))
    if not num_unknown:
        return []
    return [
        f"{files.aggregation}: {num_unknown} of {len(np.unique(named))} segments are not in {files.segments.name} and "
        "are left out; the files are of different releases: download both again"
    ]


def _read_alignment(file: Path) -> np.ndarray:
    """Return aligned_from_world, (4, 4) float64; the identity where the file has none, as for scenes not aligned."""
    try:
        lines = [line.partition("=") for line in file.read_text().splitlines()]
        texts = [value for key, _, value in lines if key.strip() == "axisAlignment"]
        matrix = parse_matrix(texts[0], (4, 4), f"{file}: axisAlignment") if texts else np.eye(4)
    except (OSError, UnicodeDecodeError, FrameError) as error:
        raise SourceError(f"{file}: expected `axisAlignment = 16 numbers`: {error}; download it again") from error
    rotation = matrix[:3, :3]
    is_rotation = np.abs(rotation @ rotation.T - np.eye(3)).max() < _LEVEL_TOLERANCE and np.linalg.det(rotation) > 0
    if not is_rotation or abs(rotation[2, 2] - 1) > _LEVEL_TOLERANCE:
        raise SourceError(f"{file}: axisAlignment: expected a turn about the z axis, got {rotation.tolist()}")
    return matrix


def _boxes(vertices_m: np.ndarray, instance_id: np.ndarray, aligned_from_world: np.ndarray) -> dict[int, OrientedBox]:
    """Return the box of each instance that has vertices: axis-aligned in the aligned frame, given in the world."""
    present, group = np.unique(instance_id, return_inverse=True)
    aligned_m = transform_points(aligned_from_world, vertices_m.astype(np.float64))
    corners_m = boxes_of_groups(aligned_m, group, len(present)).astype(np.float64)  # (G, 2, 3)
    centers_m = transform_points(np.linalg.inv(aligned_from_world), corners_m.mean(axis=1))
    sizes_m = corners_m[:, 1] - corners_m[:, 0]
    yaw_rad = -float(np.arctan2(aligned_from_world[1, 0], aligned_from_world[0, 0]))
    return {
        number: OrientedBox(tuple(center_m), tuple(size_m), yaw_rad)
        for number, center_m, size_m in zip(present.tolist(), centers_m.tolist(), sizes_m.tolist(), strict=True)
        if number != NO_INSTANCE
    }
