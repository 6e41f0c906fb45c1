"""Puts a saved map in place of a segmenter's state."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from autoseg3d_ros.config import LimitsConfig
from autoseg3d_ros.mapping.instance_map import InstanceMap
from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_snapshot import (
    FEATURE_ATTRIBUTES,
    TRACK_ATTRIBUTES,
    MapSnapshot,
)
from autoseg3d_ros.persistence.network_digest import network_digest
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import InstanceState, OrientedBox
from autoseg3d_ros.tracking.tracks import TrackTable

if TYPE_CHECKING:
    from autoseg3d_ros.memory.bank import TrackBank


def restore(snapshot: MapSnapshot, segmenter: OnlineSegmenter) -> None:
    """Let a segmenter go on from a snapshot: the same `map_id` and ids; new ids follow the largest ever given.

    A map that has more voxels than fit loses those unseen for longest, as it would while running. Raises MapFileError
    (INCOMPATIBLE), and leaves the segmenter as it was, for another map frame or voxel size, for more instances than fit
    (an id is never dropped in silence), and for features of another network. A snapshot without features suits every
    network: its tracks are then known by their boxes until they are seen again.
    """
    _expect_same_frame(snapshot, segmenter.config.map_frame)
    _expect_same_voxels(snapshot, segmenter.state.map.voxel_m)
    _expect_room(snapshot, segmenter.config.limits)
    _expect_same_network(snapshot, segmenter)

    # A copy shares the components, which have no memory, and gets a state of its own.
    scratch = copy.copy(segmenter)
    scratch.reset()
    state = scratch.state

    slots = _slots(snapshot, state.tracks.num_slots)
    _fill_tracks(state.tracks, snapshot, slots)
    _fill_map(state.map, snapshot.arrays, slots)
    _fill_shapes(state.shapes, snapshot.arrays, slots)
    if state.learned is not None:
        fill = _fill_bank if snapshot.has_features else _fill_bank_by_boxes
        fill(state.learned.bank, snapshot.arrays, slots)
    state.map_id = snapshot.map_id
    state.frame_index = snapshot.frame_index
    if segmenter.state.map_id == snapshot.map_id:  # ids and frames since it was saved do not come again
        state.tracks.next_id = max(state.tracks.next_id, segmenter.state.tracks.next_id)
        state.frame_index = max(state.frame_index, segmenter.state.frame_index + 1)
    segmenter.state = state


def _expect_same_frame(snapshot: MapSnapshot, map_frame: str) -> None:
    if snapshot.map_frame != map_frame:
        raise _incompatible(
            f"its positions are in the frame {snapshot.map_frame!r}, map_frame is {map_frame!r}; "
            f"set map_frame to {snapshot.map_frame!r} if poses come in that frame"
        )


def _expect_same_voxels(snapshot: MapSnapshot, voxel_m: float) -> None:
    if snapshot.voxel_m != voxel_m:
        raise _incompatible(
            f"its voxels are {snapshot.voxel_m} m, map.voxel_m is {voxel_m}; set map.voxel_m to {snapshot.voxel_m}"
        )


def _expect_room(snapshot: MapSnapshot, limits: LimitsConfig) -> None:
    num_retired = int((snapshot.arrays["track_state"] == InstanceState.RETIRED).sum())
    for what, key, number, limit in (
        ("live", "max_instances", snapshot.num_instances - num_retired, limits.max_instances),
        ("retired", "retired_capacity", num_retired, limits.retired_capacity),
    ):
        if number > limit:
            raise _incompatible(
                f"it has {number} {what} instances, limits.{key} is {limit}; set limits.{key} to at least {number}"
            )


def _expect_same_network(snapshot: MapSnapshot, segmenter: OnlineSegmenter) -> None:
    if snapshot.has_features and snapshot.network != network_digest(segmenter):
        raise _incompatible(
            f"its features are of another network ({snapshot.network[:12]}) than the one in use; "
            "use the model, the parts of it and the association that it was made with"
        )


def _incompatible(message: str) -> MapFileError:
    return MapFileError(MapFault.INCOMPATIBLE, f"the map does not fit: {message}")


def _slots(snapshot: MapSnapshot, num_slots: int) -> np.ndarray:
    """Return the slot (T,) of each track: the former one, or in the same order from 1 where not all of these exist."""
    former = snapshot.arrays["track_slot"].copy()  # torch warns of an index that is read-only
    return former if former.max(initial=0) < num_slots else np.arange(1, len(former) + 1, dtype=former.dtype)


def _moved(slot: np.ndarray, former: np.ndarray, now: np.ndarray) -> np.ndarray:
    """Return where tracks of `slot` (N,) are now; `former` and `now` (T,); slot 0 stays."""
    return np.append(np.zeros(1, now.dtype), now)[np.searchsorted(former, slot, side="right")]


def _fill_tracks(tracks: TrackTable, snapshot: MapSnapshot, slots: np.ndarray) -> None:
    for name, part in TRACK_ATTRIBUTES.items():
        getattr(tracks, part)[slots] = snapshot.arrays[name]
    tracks.next_id = snapshot.next_id
    tracks.num_retirements = snapshot.num_retirements
    pairs = snapshot.arrays["pair_votes"]
    moved = _moved(pairs[:, :2], snapshot.arrays["track_slot"], slots)
    tracks.same_object_votes = {
        (first, second): votes for (first, second), votes in zip(moved.tolist(), pairs[:, 2].tolist(), strict=True)
    }


def _fill_map(instance_map: InstanceMap, arrays: Mapping[str, np.ndarray], slots: np.ndarray) -> None:
    num_excess = max(0, len(arrays["voxel_key"]) - instance_map.capacity)
    kept = np.sort(np.argsort(arrays["voxel_last_seen"], kind="stable")[num_excess:])
    columns = {name: arrays[f"voxel_{name}"][kept] for name in instance_map.columns()}
    for name in ("slot", "challenger"):
        columns[name] = _moved(columns[name], arrays["track_slot"], slots)
    instance_map.fill(columns)


def _fill_shapes(shapes: InstanceShapes, arrays: Mapping[str, np.ndarray], slots: np.ndarray) -> None:
    shapes.centroid_m[slots] = arrays["shape_centroid_m"]
    shapes.box_m[slots] = arrays["shape_box_m"]
    shapes.num_points_at_fit[slots] = arrays["shape_num_points_at_fit"]
    ends = np.cumsum(arrays["shape_num_corners"])
    footprints = np.split(arrays["footprint_m"], ends[:-1])
    for slot, box, footprint in zip(slots.tolist(), arrays["shape_oriented"].tolist(), footprints, strict=False):
        shapes.oriented[slot] = OrientedBox(tuple(box[:3]), tuple(box[3:6]), box[6])
        shapes.footprint_m[slot] = footprint.copy()


def _fill_bank(bank: TrackBank, arrays: Mapping[str, np.ndarray], slots: np.ndarray) -> None:
    for name, part in FEATURE_ATTRIBUTES.items():
        stored = getattr(bank, part)
        stored[slots] = stored.new_tensor(arrays[name])


def _fill_bank_by_boxes(bank: TrackBank, arrays: Mapping[str, np.ndarray], slots: np.ndarray) -> None:
    low, high = arrays["shape_box_m"][:, 0], arrays["shape_box_m"][:, 1]
    bank.box_m[slots] = bank.box_m.new_tensor(np.concatenate([(low + high) / 2, high - low], axis=1))
    bank.age[slots] = bank.age.new_tensor(np.maximum(arrays["track_num_observations"] - 1, 0))
