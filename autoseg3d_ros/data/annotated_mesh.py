"""What scans with labels have in common: segment files, boxes, and colours that are paint of the labels."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.geometry import boxes_of_groups
from autoseg3d_ros.structures import OrientedBox

GREY = 127


def read_json(file: Path) -> Any:
    """Return the document in a JSON file. Raises SourceError where it is missing, cut short or no JSON."""
    try:
        return json.loads(file.read_text())
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}; download it again") from error
    except ValueError as error:
        raise SourceError(f"{file}: expected JSON: {error}; the file is damaged: download it again") from error


def read_segment_indices(file: Path, num_vertices: int) -> np.ndarray:
    """Return the segment of each vertex, (V,) int64 as ScanNet's segmentator numbers them (`segIndices`).

    Raises SourceError for a missing or damaged file and for another number of vertices than the mesh has.
    """
    document = read_json(file)
    try:
        indices = np.array(document["segIndices"], dtype=np.int64)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise SourceError(f"{file}: expected a list of integers `segIndices` ({error!r}); download it again") from error
    if indices.shape != (num_vertices,):
        raise SourceError(
            f"{file}: expected {num_vertices} segment indices, one a vertex of the mesh, got {indices.size}; mesh and "
            "segments are of different releases"
        )
    return indices


def surface_colours(rgb: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return (V, 3) colours of the surface: those of the file, or grey where they only paint the labels (V,).

    Label files show each instance or class in one colour. As a colour of the surface that would give the truth away.
    """
    labels, compact = np.unique(label, return_inverse=True)
    painted = np.unique((compact << 24) | (rgb.astype(np.int64) @ (1 << 16, 1 << 8, 1)))
    return np.full_like(rgb, GREY) if len(painted) == len(labels) else rgb


def axis_aligned_boxes(vertices_m: np.ndarray, instance_id: np.ndarray, ids: Sequence[int]) -> list[OrientedBox]:
    """Return the box of the vertices (V, 3) of each of the ascending `ids`; every id must be in `instance_id` (V,)."""
    group = np.searchsorted(ids, instance_id) if len(ids) else np.zeros(len(instance_id), np.int64)
    group[~np.isin(instance_id, ids)] = -1
    low, high = boxes_of_groups(vertices_m, group, len(ids)).swapaxes(0, 1).astype(np.float64)
    return [
        OrientedBox(tuple(center.tolist()), tuple(size.tolist()), 0.0)
        for center, size in zip((low + high) / 2, high - low, strict=True)
    ]
