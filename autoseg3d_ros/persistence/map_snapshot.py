"""What of a segmenter's state outlives the process, copied into plain arrays: the map, the tracks, their features."""

from __future__ import annotations

import importlib.metadata
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from autoseg3d_ros.mapping.instance_map import InstanceMap
from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.persistence.columns import FEATURES, as_columns
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.tracking.tracks import TrackTable

if TYPE_CHECKING:
    from autoseg3d_ros.memory.bank import TrackBank

# What a process that was killed may have given away since its last save: so much is never given again.
IDS_AHEAD = 1_000
FRAMES_AHEAD = 10_000
TRACK_ATTRIBUTES = {
    f"track_{name}": name
    for name in (
        "id",
        "state",
        "score",
        "match_confidence",
        "first_seen_ns",
        "last_seen_ns",
        "num_observations",
        "num_missed",
        "retired_at",
    )
}
FEATURE_ATTRIBUTES = {name: name.removeprefix("feature_") for name in FEATURES}


@dataclass(frozen=True)
class MapSnapshot:
    """A map at one moment; it shares no memory with the segmenter, so any thread may write it.

    Voxels are in the order of their rows. Tracks are those in use, ascending by slot; what is stored of them has one
    row each. What the network remembers of places and of the last superpoints is not part of it.
    """

    map_id: uuid.UUID
    frame_index: int  # of the next frame
    next_id: int
    num_retirements: int
    map_frame: str  # frame of all positions
    voxel_m: float
    max_points: int  # how many voxels ...
    max_tracks: int  # ... and tracks the segmenter had room for
    network: str  # digest of the network that made the features; empty = recognition by geometry
    saved_ns: int  # time of day
    package: str  # version
    arrays: Mapping[str, np.ndarray]  # see `columns`

    @property
    def num_instances(self) -> int:
        """Instances in memory, retired ones included."""
        return len(self.arrays["track_id"])

    @property
    def has_features(self) -> bool:
        """Whether a network has stored something of the tracks."""
        return FEATURES.keys() <= self.arrays.keys()


def snapshot(segmenter: OnlineSegmenter, network: str) -> MapSnapshot:
    """Copy what lasts; call it between two frames, on the thread that owns the segmenter.

    `network` is what `network_digest` says of the segmenter, or said of it while it had its weights.
    """
    state = segmenter.state
    slots = state.tracks.occupied()
    values = {**_voxels(state.map), **_tracks(state.tracks, slots), **_shapes(state.shapes, slots)}
    if state.learned is not None:
        values |= _features(state.learned.bank, slots)
    return MapSnapshot(
        map_id=state.map_id,
        frame_index=state.frame_index,
        next_id=state.tracks.next_id,
        num_retirements=state.tracks.num_retirements,
        map_frame=segmenter.config.map_frame,
        voxel_m=state.map.voxel_m,
        max_points=state.map.capacity,
        max_tracks=state.tracks.capacity,
        network=network,
        saved_ns=time.time_ns(),
        package=_package_version(),
        arrays=as_columns(values),
    )


def ahead(taken: MapSnapshot) -> MapSnapshot:
    """Return a snapshot for a segmenter that goes on while it is written: its next ids and frames are skipped.

    Whoever goes on from it gives no id again that was given since, and the jump of `frame_index` tells clients to read
    the full list.
    """
    return replace(taken, next_id=taken.next_id + IDS_AHEAD, frame_index=taken.frame_index + FRAMES_AHEAD)


def _voxels(instance_map: InstanceMap) -> dict[str, object]:
    return {f"voxel_{name}": column for name, column in instance_map.columns().items()}


def _tracks(tracks: TrackTable, slots: np.ndarray) -> dict[str, object]:
    votes = [(*pair, votes) for pair, votes in tracks.same_object_votes.items()]
    columns = {name: getattr(tracks, part)[slots] for name, part in TRACK_ATTRIBUTES.items()}
    return {"track_slot": slots, **columns, "pair_votes": np.array(votes, np.int64).reshape(-1, 3)}


def _shapes(shapes: InstanceShapes, slots: np.ndarray) -> dict[str, object]:
    boxes = [shapes.oriented[slot] for slot in slots.tolist()]
    footprints = [shapes.footprint_m[slot] for slot in slots.tolist()]
    return {
        "shape_centroid_m": shapes.centroid_m[slots],
        "shape_box_m": shapes.box_m[slots],
        "shape_oriented": np.array([(*box.center_m, *box.size_m, box.yaw_rad) for box in boxes]).reshape(-1, 7),
        "shape_num_points_at_fit": shapes.num_points_at_fit[slots],
        "shape_num_corners": [len(footprint) for footprint in footprints],
        "footprint_m": np.concatenate([np.zeros((0, 2), np.float32), *footprints]),
    }


def _features(bank: TrackBank, slots: np.ndarray) -> dict[str, object]:
    return {name: getattr(bank, part)[slots].cpu().numpy() for name, part in FEATURE_ATTRIBUTES.items()}


def _package_version() -> str:
    try:
        return importlib.metadata.version("autoseg3d_ros")
    except importlib.metadata.PackageNotFoundError:
        return "unknown"
