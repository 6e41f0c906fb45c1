"""The labelled map: voxels with a colour and the slot of the instance that holds them, under a hard cap.

A *slot* is a track's place in the track table (`tracking/tracks.py`), 0 = no instance. Slots rather than ids are kept
because slots are few and dense: sums over instances are then single `bincount`s.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.config import LimitsConfig, MapConfig
from autoseg3d_ros.geometry import pack_cells, voxel_keys
from autoseg3d_ros.mapping.voxel_hash import MISSING, VoxelHash

UNMAPPED = -1
_MAX_VOTES = 10  # bounds how long a voxel keeps an old owner against new evidence
_MAX_SAMPLES = 64  # of the running means of position and colour
_FORGET_SHARE = 0.1  # of the capacity, at a time, so that rebuilding is rare


@dataclass(frozen=True)
class MapPoints:
    """The map as a cloud in the world frame."""

    xyz_m: np.ndarray  # (M, 3) float32
    rgb: np.ndarray  # (M, 3) uint8
    instance_id: np.ndarray  # (M,) int32, 0 = none
    score: np.ndarray  # (M,) float32, of the instance


class InstanceMap:
    """Voxel-hashed labels. `limits.max_points` bounds it; the voxels unseen for longest are forgotten first."""

    def __init__(self, config: MapConfig, limits: LimitsConfig, num_slots: int) -> None:
        self.voxel_m = config.voxel_m
        self.capacity = limits.max_points
        self._hash = VoxelHash(self.capacity)
        self._key = np.zeros(self.capacity, np.int64)
        self._xyz_rgb = np.zeros((self.capacity, 6), np.float32)  # running means, metres and 0 to 255
        self._num_samples = np.zeros(self.capacity, np.int16)
        self._slot = np.zeros(self.capacity, np.int32)
        self._votes = np.zeros(self.capacity, np.int16)
        self._challenger = np.zeros(self.capacity, np.int32)
        self._last_seen = np.zeros(self.capacity, np.int32)
        self.num_voxels = np.zeros(num_slots, np.int64)  # of each slot; kept up to date, for counting all is slow

    def __len__(self) -> int:
        return len(self._hash)

    @property
    def xyz_m(self) -> np.ndarray:
        """(M, 3) float32, the mean point of each voxel, world."""
        return self._xyz_rgb[: len(self), :3]

    @property
    def rgb(self) -> np.ndarray:
        """(M, 3) uint8."""
        return np.rint(self._xyz_rgb[: len(self), 3:]).astype(np.uint8)

    @property
    def slot(self) -> np.ndarray:
        """(M,) int32, the owner of each voxel; 0 = none."""
        return self._slot[: len(self)]

    def columns(self) -> dict[str, np.ndarray]:
        """Return all that is kept of the voxels by name, views of (M, ...) each, in the order of their rows."""
        return {name: column[: len(self)] for name, column in self._columns().items()}

    def fill(self, columns: Mapping[str, np.ndarray]) -> None:
        """Hold these voxels, at most `capacity`, in place of all others; the columns are those of `columns()`."""
        for name, column in self._columns().items():
            column[: len(columns[name])] = columns[name]
        self._end_after(len(columns["key"]))

    def slots_at(self, xyz_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return who owns the place of each of (N, 3) points and who disputes it, (N,) int32 each.

        0 = nobody, UNMAPPED = no voxel there. The challenger is the last other slot observed there since the owner was:
        a track born on another's voxels is found again by it until the vote has decided.
        A far surface is sampled more thinly than voxels are small, so a point whose own voxel is missing asks the three
        neighbours that it lies nearest to, the nearest first.
        """
        in_voxels = xyz_m.astype(np.float64) / self.voxel_m
        cells = np.floor(in_voxels).astype(np.int64)
        rows = self._hash.find(pack_cells(cells))
        missing = np.flatnonzero(rows == MISSING)
        off_centre = in_voxels[missing] - cells[missing] - 0.5
        towards = np.sign(off_centre).astype(np.int64)
        for axis in np.argsort(-np.abs(off_centre), axis=1).T:
            near = cells[missing]
            near[np.arange(len(missing)), axis] += towards[np.arange(len(missing)), axis]
            rows[missing] = np.where(rows[missing] == MISSING, self._hash.find(pack_cells(near)), rows[missing])
        known = rows != MISSING
        return (
            np.where(known, self._slot[rows], UNMAPPED).astype(np.int32),
            np.where(known, self._challenger[rows], UNMAPPED).astype(np.int32),
        )

    def integrate(self, xyz_m: np.ndarray, rgb: np.ndarray, slot: np.ndarray, frame_index: int) -> None:
        """Add a frame's points (N, 3), colours (N, 3) uint8 and owners (N,); owner 0 leaves a voxel's label alone.

        A voxel's owner is decided by a majority vote over time (Boyer and Moore): agreeing observations strengthen it,
        others weaken it, and at zero the newcomer takes over.
        """
        keys, first, inverse, count = np.unique(
            voxel_keys(xyz_m, self.voxel_m), return_index=True, return_inverse=True, return_counts=True
        )
        if len(keys) > self.capacity:
            keys, first = keys[: self.capacity], first[: self.capacity]
        rows = self._rows_for(keys)
        means = _means(np.concatenate([xyz_m, rgb], axis=1, dtype=np.float32), inverse.reshape(-1), count)
        self._update_means(rows, means[: len(keys)])
        self._vote(rows, slot[first])
        self._last_seen[rows] = frame_index

    def points_of(self, wanted: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the points (P, 3) and owners (P,) of the slots marked in `wanted` (num_slots,) bool."""
        rows = np.flatnonzero(wanted[self.slot])
        return self._xyz_rgb[rows, :3], self._slot[rows]

    def relabel(self, new_slot: np.ndarray) -> None:
        """Give every voxel of slot s to `new_slot[s]`, (num_slots,) int32."""
        for column in (self._slot, self._challenger):
            column[: len(self)] = new_slot[column[: len(self)]]
        self._count_voxels()

    def _rows_for(self, keys: np.ndarray) -> np.ndarray:
        rows = self._hash.find(keys)
        num_new = int((rows == MISSING).sum())
        if len(self) + num_new > self.capacity:
            self._last_seen[rows[rows != MISSING]] = np.iinfo(np.int32).max  # what is in view now stays
            self._forget_longest_unseen(max(len(self) + num_new - self.capacity, int(_FORGET_SHARE * self.capacity)))
            rows = self._hash.find(keys)
        new = rows == MISSING
        fresh = self._hash.insert(keys[new])
        rows[new] = fresh
        self._key[fresh] = keys[new]
        self._num_samples[fresh] = 0
        self._slot[fresh] = 0
        self._votes[fresh] = 0
        self._challenger[fresh] = 0
        self.num_voxels[0] += len(fresh)
        return rows

    def _forget_longest_unseen(self, num: int) -> None:
        size = len(self)
        num = min(num, size)
        kept = np.sort(np.argsort(self._last_seen[:size], kind="stable")[num:])
        for column in self._columns().values():
            column[: len(kept)] = column[kept]
        self._end_after(len(kept))

    def _end_after(self, num_rows: int) -> None:
        self._hash.rebuild(self._key[:num_rows])
        self._count_voxels()

    def _columns(self) -> dict[str, np.ndarray]:
        return {
            "key": self._key,
            "xyz_rgb": self._xyz_rgb,
            "num_samples": self._num_samples,
            "slot": self._slot,
            "votes": self._votes,
            "challenger": self._challenger,
            "last_seen": self._last_seen,
        }

    def _update_means(self, rows: np.ndarray, xyz_rgb: np.ndarray) -> None:
        samples = np.minimum(self._num_samples[rows] + 1, _MAX_SAMPLES).astype(np.int16)
        means = self._xyz_rgb[rows]
        means += (xyz_rgb - means) / samples[:, None].astype(np.float32)
        self._xyz_rgb[rows] = means
        self._num_samples[rows] = samples

    def _vote(self, rows: np.ndarray, slot: np.ndarray) -> None:
        rows, slot = rows[slot > 0], slot[slot > 0]
        owner = self._slot[rows]
        agrees = owner == slot
        votes = self._votes[rows] + np.where(agrees, 1, -1)
        taken_over = (votes < 0) | (owner == 0)
        num_slots = len(self.num_voxels)
        self.num_voxels -= np.bincount(owner[taken_over], minlength=num_slots)
        self.num_voxels += np.bincount(slot[taken_over], minlength=num_slots)
        self._slot[rows] = np.where(taken_over, slot, owner)
        self._votes[rows] = np.where(taken_over, 1, np.minimum(votes, _MAX_VOTES))
        self._challenger[rows] = np.where(agrees | taken_over, 0, slot)

    def _count_voxels(self) -> None:
        self.num_voxels = np.bincount(self.slot, minlength=len(self.num_voxels))


def _means(values: np.ndarray, group: np.ndarray, count: np.ndarray) -> np.ndarray:
    sums = [np.bincount(group, weights=values[:, axis], minlength=len(count)) for axis in range(values.shape[1])]
    return (np.stack(sums, axis=1) / count[:, None]).astype(np.float32)
