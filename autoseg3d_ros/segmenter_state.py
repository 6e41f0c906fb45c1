"""All that lasts from one frame to the next."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from autoseg3d_ros.fragment_merging import MapEvidence
from autoseg3d_ros.mapping.instance_map import InstanceMap
from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.records import Roi
from autoseg3d_ros.structures import Superpoints
from autoseg3d_ros.tracking.tracker import TrackUpdate
from autoseg3d_ros.tracking.tracks import TrackTable

if TYPE_CHECKING:
    from autoseg3d_ros.learned_memory import LearnedMemory


@dataclass
class SegmenterState:
    """The map and the tracks, and what the network remembers; components have no memory of their own."""

    map_id: uuid.UUID
    map: InstanceMap
    tracks: TrackTable
    shapes: InstanceShapes
    learned: LearnedMemory | None = None  # None: recognition by geometry has no further memory
    frame_index: int = 0  # of the next frame
    rois_px: dict[int, Roi] = field(default_factory=dict)  # by slot; of what the last frame showed

    def evidence(self, superpoints: Superpoints) -> MapEvidence:
        """Return what the map knows of a frame's points before they are added to it."""
        return MapEvidence(*self.map.slots_at(superpoints.xyz_m), self.map.num_voxels)

    def pass_on(self, update: TrackUpdate) -> bool:
        """Give what is known of merged and removed tracks to their heirs; return whether there were any."""
        gone = np.flatnonzero(update.heir_of_slot != np.arange(len(update.heir_of_slot)))
        if not len(gone):
            return False
        self.map.relabel(update.heir_of_slot)
        self.shapes.forget(gone)
        if self.learned is not None:
            self.learned.bank.pass_on(update.heir_of_slot)
        return True


def learned_memory(state: SegmenterState) -> LearnedMemory:
    """Return what the network remembers, once `prepare()` has put it there."""
    assert state.learned is not None
    return state.learned
