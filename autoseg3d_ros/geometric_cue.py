"""How far detections are where tracks were: boxes, overlap in the map, or both; poses may have drifted in between."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg3d_ros.recognition import Percept, Recognized, overlap_affinity
from autoseg3d_ros.segmenter_state import SegmenterState
from autoseg3d_ros.tracking.association import geometric_affinity

_DRIFT_S = 10.0  # the error of the poses has built up after so long out of view
_MAX_POINTS = 1_000  # of a frame, that are looked up around their places


@dataclass(frozen=True)
class PlacesOnDevice:
    """What places say of detections and some of the tracks (T), for the network."""

    margin_m: Tensor | float  # (T,) by which both boxes of a pair grow
    overlap: Tensor | None  # (D, T) in 0..1, where it counts
    with_boxes: bool

    def cue(self, iou: Tensor) -> Tensor:
        """Return (D, T) in 0..1, where boxes have the intersection over union `iou` (D, T)."""
        if self.overlap is None:
            return iou
        return (iou + self.overlap) / 2 if self.with_boxes else self.overlap


@dataclass(frozen=True)
class Places:
    """What places say of the detections of a frame and all tracks (T), in the order of `tracks.occupied()`."""

    margin_m: np.ndarray | None  # (T,) float32
    overlap: np.ndarray | None  # (D, T) float32
    with_boxes: bool

    def of(self, columns: np.ndarray, device: torch.device) -> PlacesOnDevice:
        """Return what is said of the tracks in `columns` (T',)."""

        def put(values: np.ndarray) -> Tensor:
            return torch.from_numpy(values[..., columns]).to(device, non_blocking=True)

        return PlacesOnDevice(
            0.0 if self.margin_m is None else put(self.margin_m),
            None if self.overlap is None else put(self.overlap),
            self.with_boxes,
        )


@dataclass(frozen=True)
class GeometricCue:
    """What the learned affinity is multiplied by.

    `kind` "box" is the published IoU of boxes. "overlap" is the share of what is seen of the two that lies in the same
    voxels. "both" is their mean: each is 0 where the other can still tell (boxes of thin things and of parts, voxels of
    sides never seen before), which a product would not forgive; and where two tracks are near, the one that both speak
    for comes first, which the larger of them would not see.
    """

    kind: str = "box"  # box, overlap or both
    pose_error_m: float = 0.0  # largest error of the poses between two visits of a place

    def places(self, recognized: Recognized, percept: Percept, state: SegmenterState) -> Places:
        """Return what places say; the map does not have the frame yet."""
        error_m = self._error_m(percept, state) if self.pose_error_m else None
        if self.kind == "box":
            overlap = None
        elif error_m is None:
            overlap = overlap_affinity(recognized, state, box_weight=0.0)
        else:
            overlap = displaced_overlap(recognized, percept, state, error_m)
        return Places(error_m, overlap, with_boxes=self.kind == "both")

    def _error_m(self, percept: Percept, state: SegmenterState) -> np.ndarray:
        """Return by how much poses may have drifted since each track was last seen: (T,) float32."""
        tracks = state.tracks
        unseen_s = (percept.frame.stamp_ns - tracks.last_seen_ns[tracks.occupied()]) / 1e9
        return (self.pose_error_m * np.clip(unseen_s / _DRIFT_S, 0.0, 1.0)).astype(np.float32)


def displaced_overlap(
    recognized: Recognized, percept: Percept, state: SegmenterState, error_m: np.ndarray
) -> np.ndarray:
    """Return (D, T) float32 as `overlap_affinity` does, but points may miss the voxels of a track by `error_m` (T,).

    Points walk along the three axes: whatever way a surface was displaced, one of them crosses it. So the number of
    lookups grows with the error, not with its cube; and only every so-manyth point of the frame is looked up.
    """
    slots, detections = state.tracks.occupied(), recognized.detections
    xyz_m, of_point = percept.superpoints.xyz_m, detections.of_point
    stride = max(1, -(-len(xyz_m) // _MAX_POINTS))
    near = _near_tracks(xyz_m[::stride], state, error_m)  # (P, T)
    is_in = of_point[::stride] == np.arange(len(detections))[:, None]  # (D, P)
    return geometric_affinity(
        stride * (is_in.astype(np.float32) @ near.astype(np.float32)),
        stride * (is_in & near.any(axis=1)).sum(axis=1),
        stride * near.sum(axis=0),
        detections.num_points,
        state.map.num_voxels[slots],
        np.zeros((len(detections), len(slots)), np.float32),
        box_weight=0.0,
    )


def _near_tracks(xyz_m: np.ndarray, state: SegmenterState, error_m: np.ndarray) -> np.ndarray:
    """Return (P, T) bool: which tracks own or dispute a voxel within `error_m` (T,) of points (P, 3) along an axis."""
    slots, voxel_m = state.tracks.occupied(), state.map.voxel_m
    column_of_slot, error_of_slot = np.full((2, state.tracks.num_slots), -1)
    column_of_slot[slots], error_of_slot[slots] = np.arange(len(slots)), np.rint(error_m / voxel_m)  # voxels
    steps = _steps(int(error_of_slot.max(initial=0)))
    looked_up = (xyz_m + voxel_m * steps[:, None]).reshape(-1, 3)
    distance = np.abs(steps).sum(axis=1)[:, None]
    near = np.zeros((len(xyz_m), len(slots)), bool)
    for found in state.map.slots_at(looked_up):
        found = np.maximum(found, 0).reshape(len(steps), -1)  # (steps, P)
        step, point = np.nonzero(distance <= error_of_slot[found])
        near[point, column_of_slot[found[step, point]]] = True
    return near


def _steps(reach: int) -> np.ndarray:
    """Return cells (L, 3) float32 along the axes, at most `reach` from the one at 0, which is the first.

    Every second cell will do: where a lookup finds no voxel, it sees the one beside it.
    """
    along = np.arange(2, reach + 1, 2, dtype=np.float32)
    axes = np.concatenate((np.eye(3), -np.eye(3))).astype(np.float32)
    return np.concatenate((np.zeros((1, 3), np.float32), (along[:, None, None] * axes).reshape(-1, 3)))
