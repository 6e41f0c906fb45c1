"""Whether the numbers of a map file can be a map: a checksum says that they are those written, not that they fit."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from autoseg3d_ros.persistence.columns import FEATURES
from autoseg3d_ros.persistence.map_snapshot import MapSnapshot
from autoseg3d_ros.structures import InstanceState

_MAX_INT32 = np.iinfo(np.int32).max
_MAX_INT64 = np.iinfo(np.int64).max
_MAX_COUNT = 10_000  # of votes and samples of a voxel: far above what the map ever counts, far below overflow
_FINITE = (
    "voxel_xyz_rgb",
    "track_score",
    "shape_centroid_m",
    "shape_box_m",
    "shape_oriented",
    "footprint_m",
    *(name for name in FEATURES if name in ("feature_embedding", "feature_box_m")),
)


def expect_a_map(snapshot: MapSnapshot) -> None:
    """Raise ValueError with what is wrong, unless a segmenter can go on from this."""
    for is_right, expected in _conditions(snapshot):
        if not is_right:
            raise ValueError(f"expected {expected}")


def _conditions(snapshot: MapSnapshot) -> Iterator[tuple[bool, str]]:
    """Yield what must be true, in an order in which each may rely on those before it."""
    arrays = snapshot.arrays
    for name in _FINITE:
        if name in arrays:
            yield bool(np.isfinite(arrays[name]).all()), f"finite numbers in {name}"
    yield from _of_numbers(snapshot)
    yield from _of_tracks(snapshot)
    yield from _of_voxels(snapshot)
    yield from _of_pairs(arrays["pair_votes"], arrays["track_slot"])
    if snapshot.has_features:
        yield _within(arrays["feature_age"], 0, _MAX_INT32), "ages of features from 0"


def _of_numbers(snapshot: MapSnapshot) -> Iterator[tuple[bool, str]]:
    yield 0 <= snapshot.frame_index < _MAX_INT32, "a frame index from 0"
    yield 1 <= snapshot.next_id <= _MAX_INT32, "a next id from 1"
    yield 0 <= snapshot.num_retirements < _MAX_INT64, "a number of retirements from 0"
    yield math.isfinite(snapshot.voxel_m) and snapshot.voxel_m > 0, "voxels larger than 0 m"


def _of_tracks(snapshot: MapSnapshot) -> Iterator[tuple[bool, str]]:
    arrays = snapshot.arrays
    slot, ids = arrays["track_slot"], arrays["track_id"]
    yield (
        _within(slot, 1, snapshot.max_tracks) and bool((np.diff(slot) > 0).all()),
        "ascending slots of the table",
    )
    yield _within(ids, 1, snapshot.next_id - 1) and _distinct(ids), "distinct ids below the next id"
    yield _within(arrays["track_state"], InstanceState.TENTATIVE, InstanceState.RETIRED), "states of instances"
    yield _within(arrays["track_num_observations"], 1, _MAX_INT32 - 1), "observations from 1"
    yield _within(arrays["track_num_missed"], 0, _MAX_INT32 - 1), "misses from 0"
    yield _within(arrays["track_retired_at"], 0, snapshot.num_retirements), "orders of retirement"
    yield _within(arrays["shape_num_points_at_fit"], 0, _MAX_INT32), "points of fits from 0"
    corners = arrays["shape_num_corners"]
    all_corners = len(arrays["footprint_m"])
    yield _within(corners, 0, all_corners) and int(corners.sum(dtype=np.int64)) == all_corners, "corners of footprints"


def _of_voxels(snapshot: MapSnapshot) -> Iterator[tuple[bool, str]]:
    arrays = snapshot.arrays
    keys, owners = arrays["voxel_key"], np.append(0, arrays["track_slot"])
    yield _within(keys, 0, _MAX_INT64) and _distinct(keys), "distinct voxels"
    yield len(keys) <= snapshot.max_points, "no more voxels than there was room for"
    yield _within(arrays["voxel_xyz_rgb"][:, 3:], 0, 255), "colours from 0 to 255"
    yield _within(arrays["voxel_num_samples"], 1, _MAX_COUNT), "samples of voxels from 1"
    yield _within(arrays["voxel_votes"], 0, _MAX_COUNT), "votes from 0"
    yield _within(arrays["voxel_last_seen"], 0, snapshot.frame_index), "voxels seen before the next frame"
    for name in ("voxel_slot", "voxel_challenger"):
        yield bool(np.isin(arrays[name], owners).all()), f"instances of the map in {name}"


def _of_pairs(pairs: np.ndarray, slot: np.ndarray) -> Iterator[tuple[bool, str]]:
    first, second = pairs[:, 0].astype(np.int64), pairs[:, 1].astype(np.int64)
    yield bool(np.isin(pairs[:, :2], slot).all() and (first < second).all()), "votes on pairs of instances"
    yield _distinct(first << 32 | second), "distinct pairs"


def _within(values: np.ndarray, low: float, high: float) -> bool:
    return bool(((values >= low) & (values <= high)).all())


def _distinct(values: np.ndarray) -> bool:
    ordered = np.sort(values)  # `np.unique` may hash, which takes ten times as long
    return bool((ordered[1:] != ordered[:-1]).all())
