"""The typed state of all tracks: a table with one row, the *slot*, per live or retired instance."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from autoseg3d_ros.structures import InstanceState

NO_SLOT = 0


@dataclass
class TrackTable:
    """Columns of equal length; row 0 is never used, so that slot 0 can mean "no instance".

    A slot is free when its id is 0. Ids count up from 1 and are never given twice.
    """

    capacity: int
    next_id: int = 1
    id: np.ndarray = field(init=False)  # (K + 1,) int32
    state: np.ndarray = field(init=False)  # (K + 1,) uint8 InstanceState
    score: np.ndarray = field(init=False)  # (K + 1,) float32, running mean with the prior of the settings
    match_confidence: np.ndarray = field(init=False)  # (K + 1,) float32, NaN at birth
    first_seen_ns: np.ndarray = field(init=False)  # (K + 1,) int64
    last_seen_ns: np.ndarray = field(init=False)  # (K + 1,) int64
    num_observations: np.ndarray = field(init=False)  # (K + 1,) int32
    num_missed: np.ndarray = field(init=False)  # (K + 1,) int32, consecutive
    retired_at: np.ndarray = field(init=False)  # (K + 1,) int64, order of retirement
    num_retirements: int = 0
    # Pairs of slots that may be one object: votes for (positive) and against.
    same_object_votes: dict[tuple[int, int], int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        rows = self.capacity + 1
        self.id = np.zeros(rows, np.int32)
        self.state = np.zeros(rows, np.uint8)
        self.score = np.zeros(rows, np.float32)
        self.match_confidence = np.full(rows, np.nan, np.float32)
        self.first_seen_ns = np.zeros(rows, np.int64)
        self.last_seen_ns = np.zeros(rows, np.int64)
        self.num_observations = np.zeros(rows, np.int32)
        self.num_missed = np.zeros(rows, np.int32)
        self.retired_at = np.zeros(rows, np.int64)

    @property
    def num_slots(self) -> int:
        """Rows of the table, the unused row 0 included."""
        return self.capacity + 1

    def occupied(self) -> np.ndarray:
        """Return the slots in use, retired ones included, ascending."""
        return np.flatnonzero(self.id)

    def live(self) -> np.ndarray:
        """Return the slots of tentative, active and lost tracks, ascending."""
        return np.flatnonzero((self.id > 0) & (self.state != InstanceState.RETIRED))

    def retired(self) -> np.ndarray:
        """Return the slots of retired tracks, the longest retired first."""
        slots = np.flatnonzero((self.id > 0) & (self.state == InstanceState.RETIRED))
        return slots[np.argsort(self.retired_at[slots], kind="stable")]

    def free(self) -> np.ndarray:
        """Return the free slots, ascending."""
        return np.flatnonzero(self.id[1:] == 0) + 1

    def add(self, slot: int, stamp_ns: int, score: float) -> None:
        """Start a tentative track with a new id in a free slot."""
        self.id[slot] = self.next_id
        self.next_id += 1
        self.state[slot] = InstanceState.TENTATIVE
        self.score[slot] = score
        self.match_confidence[slot] = np.nan
        self.first_seen_ns[slot] = self.last_seen_ns[slot] = stamp_ns
        self.num_observations[slot] = 1
        self.num_missed[slot] = 0

    def remove(self, slot: int) -> None:
        """Free a slot; its id is not used again."""
        self.id[slot] = 0
        self.state[slot] = InstanceState.UNKNOWN
        self.same_object_votes = {pair: votes for pair, votes in self.same_object_votes.items() if slot not in pair}
