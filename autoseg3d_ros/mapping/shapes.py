"""Boxes, centroids and footprints of instances, fitted to their map voxels and kept until these change."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.geometry import oriented_box
from autoseg3d_ros.mapping.instance_map import InstanceMap
from autoseg3d_ros.structures import OrientedBox

_REFIT_SHARE = 0.02  # of an instance's voxels gained or lost since the last fit
_MAX_FIT_POINTS = 1_000
_TRIM_SHARE = 0.01  # at both ends of each axis: stray depth must not inflate a box

_NO_BOX = OrientedBox((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0)


class InstanceShapes:
    """One fitted shape a slot; a slot without voxels has a box of zero size."""

    def __init__(self, num_slots: int) -> None:
        self.centroid_m = np.zeros((num_slots, 3), np.float32)
        self.box_m = np.zeros((num_slots, 2, 3), np.float32)  # world axis-aligned, minimum and maximum corner
        self.oriented: list[OrientedBox] = [_NO_BOX] * num_slots
        self.footprint_m: list[np.ndarray] = [np.zeros((0, 2), np.float32)] * num_slots
        self.num_points_at_fit = np.zeros(num_slots, np.int64)  # voxels of the slot when its shape was fitted

    def update(self, instance_map: InstanceMap, slots: np.ndarray) -> None:
        """Fit again those of `slots` whose voxels changed by more than a little."""
        change = np.abs(instance_map.num_voxels - self.num_points_at_fit)[slots]
        stale = slots[change > _REFIT_SHARE * self.num_points_at_fit[slots]]
        if len(stale) == 0:
            return
        wanted = np.zeros(len(self.oriented), bool)
        wanted[stale] = True
        points, owner = instance_map.points_of(wanted)
        owner = owner.astype(np.uint16)  # numpy sorts 16-bit integers by radix, ten times as fast
        order = np.argsort(owner, kind="stable")
        ends = np.searchsorted(owner[order], stale, side="right")
        starts = np.searchsorted(owner[order], stale, side="left")
        for slot, start, end in zip(stale.tolist(), starts.tolist(), ends.tolist(), strict=True):
            self._fit(slot, points[order[start:end]])

    def stand_in(self, instance_map: InstanceMap, slots: np.ndarray, xyz_m: np.ndarray, owner: np.ndarray) -> None:
        """Fit those of `slots` that hold no voxel, because another still owns theirs, to points of this frame.

        `xyz_m` (N, 3) world points of the frame, `owner` (N,) the slot each was given.
        """
        for slot in slots[instance_map.num_voxels[slots] == 0].tolist():
            points = xyz_m[owner == slot]
            if len(points):
                self._fit(slot, points)
                self.num_points_at_fit[slot] = 0

    def forget(self, slots: np.ndarray) -> None:
        """Let `slots` be without a shape: their instances are gone, and others may come into them."""
        self.centroid_m[slots] = 0.0
        for slot in slots.tolist():
            self._fit(slot, np.zeros((0, 3), np.float32))

    def _fit(self, slot: int, points: np.ndarray) -> None:
        self.num_points_at_fit[slot] = len(points)
        if len(points) == 0:
            self.box_m[slot], self.oriented[slot] = 0.0, _NO_BOX
            self.footprint_m[slot] = np.zeros((0, 2), np.float32)
            return
        points = points[:: -(-len(points) // _MAX_FIT_POINTS)]
        trimmed = int(_TRIM_SHARE * len(points))
        low, high = np.sort(points, axis=0)[[trimmed, -1 - trimmed]]
        inner = points[((points >= low) & (points <= high)).all(axis=1)]
        kept = inner if len(inner) else points
        self.centroid_m[slot] = kept.mean(axis=0)
        self.box_m[slot] = kept.min(axis=0), kept.max(axis=0)
        self.oriented[slot], self.footprint_m[slot] = oriented_box(kept)
