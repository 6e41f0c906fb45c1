"""A fixed-size hash from voxel keys to rows: open addressing, linear probing, whole arrays at a time.

Look-ups and insertions cost the same however full the map of a long run gets, because the table is allocated once at
less than half load. There is no deletion: forgetting voxels rebuilds the table, which the map does seldom and in bulk.
"""

from __future__ import annotations

import numpy as np

MISSING = -1
_EMPTY_KEY = np.int64(-1)  # packed voxel keys are never negative
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class VoxelHash:
    """Maps int64 keys ≥ 0 to row numbers in order of insertion, up to `capacity` of them."""

    def __init__(self, capacity: int) -> None:
        bits = max(4, int(2 * capacity - 1).bit_length())
        self._capacity = capacity
        self._shift = np.uint64(64 - bits)
        self._slot_mask = (1 << bits) - 1
        self._keys = np.full(1 << bits, _EMPTY_KEY, np.int64)
        self._rows = np.zeros(1 << bits, np.int32)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def find(self, keys: np.ndarray) -> np.ndarray:
        """Return the row of each key (N,), MISSING where it is not there; (N,) int64."""
        rows = np.full(len(keys), MISSING, np.int64)
        active = np.arange(len(keys))
        slot = self._home_slot(keys)
        while len(active):
            stored = self._keys[slot]
            hit = stored == keys[active]
            rows[active[hit]] = self._rows[slot[hit]]
            probe_on = ~hit & (stored != _EMPTY_KEY)
            active, slot = active[probe_on], (slot[probe_on] + 1) & self._slot_mask
        return rows

    def insert(self, keys: np.ndarray) -> np.ndarray:
        """Add distinct keys (N,) that are not there yet; return their new rows, which follow the order of `keys`.

        Raises OverflowError where they do not fit: the caller makes room first.
        """
        if self._size + len(keys) > self._capacity:
            raise OverflowError(f"voxel hash: {self._size} + {len(keys)} keys exceed the capacity {self._capacity}")
        rows = np.arange(self._size, self._size + len(keys))
        active = np.arange(len(keys))
        slot = self._home_slot(keys)
        while len(active):
            free = self._keys[slot] == _EMPTY_KEY
            # Several keys may want one free slot: all write, one stays, the others probe on.
            self._keys[slot[free]] = keys[active[free]]
            won = self._keys[slot] == keys[active]
            self._rows[slot[won]] = rows[active[won]]
            active, slot = active[~won], (slot[~won] + 1) & self._slot_mask
        self._size += len(keys)
        return rows

    def rebuild(self, keys: np.ndarray) -> None:
        """Forget everything, then insert distinct `keys` as rows 0..N-1."""
        self._keys.fill(_EMPTY_KEY)
        self._size = 0
        self.insert(keys)

    def _home_slot(self, keys: np.ndarray) -> np.ndarray:
        return ((keys.astype(np.uint64) * _MULTIPLIER) >> self._shift).astype(np.int64)
