"""The arrays of a saved map: names, types and shapes, as they are in the file (`docs/map_file.md`)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Column:
    """One array; a dimension is a number, or the name of a length that several arrays share."""

    dtype: str  # little-endian
    shape: tuple[str | int, ...]


_VOXELS = {
    "voxel_key": Column("<i8", ("voxels",)),
    "voxel_xyz_rgb": Column("<f4", ("voxels", 6)),
    "voxel_num_samples": Column("<i2", ("voxels",)),
    "voxel_slot": Column("<i4", ("voxels",)),
    "voxel_votes": Column("<i2", ("voxels",)),
    "voxel_challenger": Column("<i4", ("voxels",)),
    "voxel_last_seen": Column("<i4", ("voxels",)),
}
_TRACKS = {
    "track_slot": Column("<i4", ("tracks",)),
    "track_id": Column("<i4", ("tracks",)),
    "track_state": Column("|u1", ("tracks",)),
    "track_score": Column("<f4", ("tracks",)),
    "track_match_confidence": Column("<f4", ("tracks",)),
    "track_first_seen_ns": Column("<i8", ("tracks",)),
    "track_last_seen_ns": Column("<i8", ("tracks",)),
    "track_num_observations": Column("<i4", ("tracks",)),
    "track_num_missed": Column("<i4", ("tracks",)),
    "track_retired_at": Column("<i8", ("tracks",)),
    "pair_votes": Column("<i4", ("pairs", 3)),  # slot, slot, votes; in the order in which they were first voted on
}
_SHAPES = {
    "shape_centroid_m": Column("<f4", ("tracks", 3)),
    "shape_box_m": Column("<f4", ("tracks", 2, 3)),
    "shape_oriented": Column("<f8", ("tracks", 7)),  # centre and size in metres, yaw in radians
    "shape_num_points_at_fit": Column("<i8", ("tracks",)),
    "shape_num_corners": Column("<i4", ("tracks",)),
    "footprint_m": Column("<f4", ("corners", 2)),  # of all tracks, one after the other
}
FEATURES = {
    "feature_embedding": Column("<f4", ("tracks", "width")),
    "feature_box_m": Column("<f4", ("tracks", 6)),
    "feature_label": Column("<i8", ("tracks",)),
    "feature_age": Column("<i8", ("tracks",)),
}
ALWAYS = {**_VOXELS, **_TRACKS, **_SHAPES}
COLUMNS: Mapping[str, Column] = {**ALWAYS, **FEATURES}


def expect_columns(described: Iterable[tuple[str, str, tuple[int, ...]]]) -> None:
    """Raise ValueError unless these (name, dtype, shape) are the arrays of a map, with or without features."""
    found = {name: (dtype, shape) for name, dtype, shape in described}
    if found.keys() not in (ALWAYS.keys(), COLUMNS.keys()):
        differing = sorted(found.keys() ^ (COLUMNS if found.keys() & FEATURES.keys() else ALWAYS).keys())
        raise ValueError(f"expected the arrays of a map, {differing[0]!r} is missing or unknown")
    lengths: dict[str, int] = {}
    for name, (dtype, shape) in found.items():
        column = COLUMNS[name]
        expected = tuple(
            lengths.setdefault(length, size) if isinstance(length, str) else length
            for length, size in zip(column.shape, shape, strict=False)
        )
        if dtype != column.dtype or shape != expected or len(shape) != len(column.shape):
            raise ValueError(f"{name}: expected {column.dtype} of shape {column.shape}, got {dtype} of shape {shape}")


def as_columns(values: Mapping[str, object]) -> dict[str, np.ndarray]:
    """Return copies of arrays (or lists) as the types of their columns."""
    return {name: np.array(value, COLUMNS[name].dtype) for name, value in values.items()}
