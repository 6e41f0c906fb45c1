"""Lives of tracks: births, confirmation, misses, retirement, revival, merging. Stateless rules on a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.config import LimitsConfig, TrackingConfig
from autoseg3d_ros.structures import EventType, InstanceEvent, InstanceState
from autoseg3d_ros.tracking.association import associate
from autoseg3d_ros.tracking.tracks import NO_SLOT, TrackTable

_LIVELINESS = (InstanceState.RETIRED, InstanceState.TENTATIVE, InstanceState.LOST, InstanceState.ACTIVE)


@dataclass(frozen=True)
class TrackUpdate:
    """What one frame did to the tracks."""

    slot_of_detection: np.ndarray  # (D,) int32, NO_SLOT where a detection stays without a track
    age: np.ndarray  # (D,) int32 observations that the track's memory holds already; 0 at birth and without a track
    heir_of_slot: np.ndarray  # (num_slots,) int32: who owns each slot's voxels now; NO_SLOT where it was removed
    events: tuple[InstanceEvent, ...]
    changed: np.ndarray  # slots whose record changed, ascending


class Tracker:
    """Applies one frame's detections to a `TrackTable`."""

    def __init__(self, config: TrackingConfig, limits: LimitsConfig) -> None:
        self._config = config
        self._limits = limits

    def new_table(self) -> TrackTable:
        """Return an empty table with room for all live and retired instances."""
        return TrackTable(self._limits.max_instances + self._limits.retired_capacity)

    def update(
        self,
        tracks: TrackTable,
        affinity: np.ndarray,
        scores: np.ndarray,
        may_be_born: np.ndarray,
        stamp_ns: int,
    ) -> TrackUpdate:
        """Match detections to tracks by `affinity` (D, T), T in the order of `tracks.occupied()`, and apply it.

        `scores` (D,) in [0, 1]; `may_be_born` (D,) bool: an unmatched detection starts a track only where true.
        With `live_first` the columns of retired tracks need not be comparable with those of live ones (§5.5).
        """
        frame = FrameUpdate(tracks, stamp_ns)
        slot_of_detection = self._match_detections(frame, affinity, scores)
        live = tracks.live()
        self._miss(frame, live[~frame.seen[live]])
        for detection in np.flatnonzero((slot_of_detection == NO_SLOT) & may_be_born):
            slot_of_detection[detection] = self._give_birth(frame, float(scores[detection]))
        age = np.maximum(tracks.num_observations[slot_of_detection] - 1, 0)
        return TrackUpdate(slot_of_detection, age, frame.heir_of_slot, tuple(frame.events), frame.changed_slots())

    def merge_duplicates(
        self, tracks: TrackTable, together: np.ndarray, apart: np.ndarray, stamp_ns: int
    ) -> TrackUpdate:
        """Count votes on pairs of slots, (P, 2) each, and let the younger of a proven pair be absorbed by the older."""
        frame = FrameUpdate(tracks, stamp_ns)
        for pairs, vote in ((together, 1), (apart, -1)):
            for first, second in pairs.tolist():
                pair = (min(first, second), max(first, second))
                votes = tracks.same_object_votes.get(pair, 0) + vote
                tracks.same_object_votes[pair] = max(votes, -self._config.merge_votes)
        proven = [pair for pair, votes in tracks.same_object_votes.items() if votes >= self._config.merge_votes]
        for pair in proven:
            if tracks.id[pair[0]] and tracks.id[pair[1]]:
                self._absorb(frame, pair)
        none = np.zeros(0, np.int32)
        return TrackUpdate(none, none, frame.heir_of_slot, tuple(frame.events), frame.changed_slots())

    def _match_detections(self, frame: FrameUpdate, affinity: np.ndarray, scores: np.ndarray) -> np.ndarray:
        """Match in one round or two; return the slot (D,) int32 of each detection, NO_SLOT for none."""
        slots = frame.tracks.occupied()
        slot_of_detection = np.zeros(len(scores), np.int32)
        for columns in self._rounds(frame.tracks, slots):
            rows = np.flatnonzero(slot_of_detection == NO_SLOT)
            matches = associate(affinity[np.ix_(rows, columns)], self._config.min_affinity)
            frame.seen[slots[columns[matches[:, 1]]]] = True
            for detection, column in zip(rows[matches[:, 0]], columns[matches[:, 1]], strict=True):
                slot = int(slots[column])
                if self._match(frame, slot, float(scores[detection]), float(affinity[detection, column])):
                    slot_of_detection[detection] = slot
        return slot_of_detection

    def _rounds(self, tracks: TrackTable, slots: np.ndarray) -> tuple[np.ndarray, ...]:
        """Return the columns that take part in each round of matching."""
        if not self._config.live_first:
            return (np.arange(len(slots)),)
        is_retired = tracks.state[slots] == InstanceState.RETIRED
        return np.flatnonzero(~is_retired), np.flatnonzero(is_retired)

    def _match(self, frame: FrameUpdate, slot: int, score: float, affinity: float) -> bool:
        """Count an observation of a track; false where a retired one finds no room among the live."""
        tracks = frame.tracks
        state = tracks.state[slot]
        if state == InstanceState.RETIRED:
            if not self._make_room_for_live(frame):
                return False
            frame.record(EventType.REVIVED, slot)
        tracks.num_observations[slot] += 1
        weight = 1 / (tracks.num_observations[slot] + self._config.score_prior)
        tracks.score[slot] += (score - tracks.score[slot]) * weight
        tracks.match_confidence[slot] = affinity
        tracks.last_seen_ns[slot] = frame.stamp_ns
        tracks.num_missed[slot] = 0
        if state != InstanceState.TENTATIVE:
            tracks.state[slot] = InstanceState.ACTIVE
        else:
            self._confirm_if_proven(frame, slot)
        frame.changed[slot] = True
        return True

    def _miss(self, frame: FrameUpdate, missed: np.ndarray) -> None:
        tracks = frame.tracks
        tracks.num_missed[missed] += 1
        for slot in missed[tracks.state[missed] == InstanceState.ACTIVE]:
            tracks.state[slot] = InstanceState.LOST
            frame.record(EventType.LOST, slot)
        num_missed, state = tracks.num_missed[missed], tracks.state[missed]
        for slot in missed[(state == InstanceState.TENTATIVE) & (num_missed >= self._config.max_missed)]:
            frame.remove(slot, "never_confirmed")
        for slot in missed[(state == InstanceState.LOST) & (num_missed >= self._config.lost_after)]:
            self._retire(frame, slot)

    def _give_birth(self, frame: FrameUpdate, score: float) -> int:
        """Start a track; return its slot, or NO_SLOT where the table is full of tracks seen in this very frame."""
        if not self._make_room_for_live(frame):
            return NO_SLOT
        slot = int(frame.tracks.free()[0])
        frame.tracks.add(slot, frame.stamp_ns, score / (1 + self._config.score_prior))
        frame.seen[slot] = True
        frame.record(EventType.CREATED, slot)
        self._confirm_if_proven(frame, slot)
        return slot

    def _confirm_if_proven(self, frame: FrameUpdate, slot: int) -> None:
        tracks = frame.tracks
        if tracks.num_observations[slot] >= self._config.min_observations:
            tracks.state[slot] = InstanceState.ACTIVE
            frame.record(EventType.CONFIRMED, slot)

    def _make_room_for_live(self, frame: FrameUpdate) -> bool:
        """Retire the least useful live track where the table is full; false where all of them are in view."""
        tracks = frame.tracks
        live = tracks.live()
        if len(live) < self._limits.max_instances:
            return True
        unseen = live[~frame.seen[live]]
        if len(unseen) == 0:
            return False
        # The least useful: missed for longest, then seen least often, then youngest.
        order = np.lexsort((-tracks.id[unseen], tracks.num_observations[unseen], -tracks.num_missed[unseen]))
        slot = int(unseen[order[0]])
        if tracks.state[slot] == InstanceState.TENTATIVE:
            frame.remove(slot, "memory_limit")
        else:
            self._retire(frame, slot)
        return True

    def _retire(self, frame: FrameUpdate, slot: int) -> None:
        tracks = frame.tracks
        retired = tracks.retired()
        if len(retired) >= self._limits.retired_capacity:
            evictable = retired[~frame.seen[retired]]
            if len(evictable) == 0:
                frame.remove(slot, "memory_limit")
                return
            frame.remove(int(evictable[0]), "memory_limit")
        tracks.state[slot] = InstanceState.RETIRED
        tracks.num_retirements += 1
        tracks.retired_at[slot] = tracks.num_retirements
        frame.record(EventType.RETIRED, slot)

    def _absorb(self, frame: FrameUpdate, pair: tuple[int, int]) -> None:
        """Let the older of two tracks take over the younger, and be at least as alive as it was."""
        tracks = frame.tracks
        older, younger = sorted(pair, key=lambda slot: int(tracks.id[slot]))
        before, other = tracks.state[older], tracks.state[younger]
        if before == InstanceState.TENTATIVE and other != InstanceState.TENTATIVE:
            frame.record(EventType.CONFIRMED, older)
        elif before == InstanceState.RETIRED and other != InstanceState.RETIRED:
            frame.record(EventType.REVIVED, older)
        frame.record(EventType.MERGED, younger, other_slot=older)
        if _LIVELINESS.index(other) > _LIVELINESS.index(before):
            tracks.state[older] = max(other, InstanceState.ACTIVE)  # a tentative one revives a retired one
        if tracks.num_observations[younger] > tracks.num_observations[older]:
            tracks.score[older] = tracks.score[younger]
        tracks.num_observations[older] = max(tracks.num_observations[older], tracks.num_observations[younger])
        tracks.first_seen_ns[older] = min(tracks.first_seen_ns[older], tracks.first_seen_ns[younger])
        tracks.last_seen_ns[older] = max(tracks.last_seen_ns[older], tracks.last_seen_ns[younger])
        tracks.num_missed[older] = min(tracks.num_missed[older], tracks.num_missed[younger])
        frame.heir_of_slot[frame.heir_of_slot == younger] = older
        tracks.remove(younger)
        frame.changed[older] = True


class FrameUpdate:
    """Collects what happens to a table within one frame."""

    def __init__(self, tracks: TrackTable, stamp_ns: int) -> None:
        self.tracks = tracks
        self.stamp_ns = stamp_ns
        self.events: list[InstanceEvent] = []
        self.changed = np.zeros(tracks.num_slots, bool)
        self.seen = np.zeros(tracks.num_slots, bool)  # matched or born in this frame
        self.heir_of_slot = np.arange(tracks.num_slots, dtype=np.int32)

    def record(self, event: EventType, slot: int, *, other_slot: int = NO_SLOT, reason: str = "") -> None:
        other_id = int(self.tracks.id[other_slot])
        self.events.append(InstanceEvent(event, int(self.tracks.id[slot]), self.stamp_ns, other_id, reason))
        self.changed[slot] = True

    def remove(self, slot: int, reason: str) -> None:
        self.record(EventType.REMOVED, slot, reason=reason)
        self.heir_of_slot[slot] = NO_SLOT
        self.tracks.remove(slot)

    def changed_slots(self) -> np.ndarray:
        return np.flatnonzero(self.changed & (self.tracks.id > 0))
