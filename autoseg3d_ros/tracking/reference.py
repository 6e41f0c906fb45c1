"""The rules of the published code where they differ from ours, for results that can be held against published ones."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg3d_ros.config import TrackingConfig
from autoseg3d_ros.structures import EventType
from autoseg3d_ros.tracking.tracker import FrameUpdate, Tracker, TrackUpdate
from autoseg3d_ros.tracking.tracks import TrackTable

# What of the published rules is a setting: any affinity above 0 will do, tracks need no proof, 50 misses are forgiven.
REFERENCE = TrackingConfig(
    min_affinity=0.0, min_observations=1, lost_after=51, live_first=True, score_prior=0, reference=True
)


class ReferenceTracker(Tracker):
    """A `Tracker` that births, ages and forgets as the published code does (`method.md` §5.4, §5.5)."""

    def update(
        self, tracks: TrackTable, affinity: np.ndarray, scores: np.ndarray, may_be_born: np.ndarray, stamp_ns: int
    ) -> TrackUpdate:
        """Apply one frame as `Tracker.update` does, then what the published code does beside it.

        - Where tracks are alive and nothing matches them, a track born in that very frame has missed once already.
        - The memory of a revived track weighs one observation less than that of a track that was never gone.
        """
        any_live = len(tracks.live()) > 0
        update = super().update(tracks, affinity, scores, may_be_born, stamp_ns)
        is_born = self._has(EventType.CREATED, update, tracks)
        is_revived = self._has(EventType.REVIVED, update, tracks)
        if any_live and not ((update.slot_of_detection > 0) & ~is_born & ~is_revived).any():
            tracks.num_missed[update.slot_of_detection[is_born]] = 1
        return replace(update, age=update.age - is_revived)

    def _match_detections(self, frame: FrameUpdate, affinity: np.ndarray, scores: np.ndarray) -> np.ndarray:
        occupied = frame.tracks.occupied()
        self._forget_expired(frame)
        return super()._match_detections(frame, affinity[:, frame.tracks.id[occupied] > 0], scores)

    def _forget_expired(self, frame: FrameUpdate) -> None:
        """Remove tracks retired for more than twice as many frames as they may miss."""
        tracks, retired = frame.tracks, frame.tracks.retired()
        tracks.num_missed[retired] += 1
        age = tracks.num_missed[retired] - self._config.lost_after
        for slot in retired[age > 2 * (self._config.lost_after - 1)]:
            frame.remove(int(slot), "expired")

    @staticmethod
    def _has(event: EventType, update: TrackUpdate, tracks: TrackTable) -> np.ndarray:
        """Return (D,) bool: whether this happened to the track of each detection."""
        ids = [happened.instance_id for happened in update.events if happened.type == event]
        return np.isin(tracks.id[update.slot_of_detection], ids)
