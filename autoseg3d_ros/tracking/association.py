"""Who is who: from an affinity matrix to one-to-one matches, and the geometric affinity itself. Pure functions."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linear_sum_assignment

_LEAST_SUPPORT = 0.5


def associate(affinity: np.ndarray, threshold: float) -> np.ndarray:
    """Return matches (M, 2) int64 of (detection, track) that maximise the sum of affinity (D, T), each used once.

    A pair counts only above `threshold`: pairs at or below it are worth nothing, so that a detection or a track stays
    unmatched rather than take a partner that is too weak (`method.md` §5; the reference accepts anything above 0).
    Rows are in order of detections; an empty matrix gives no match.
    """
    worth = np.where(affinity > threshold, affinity, 0.0)
    detection, track = linear_sum_assignment(worth, maximize=True)
    accepted = worth[detection, track] > 0
    return np.stack([detection[accepted], track[accepted]], axis=1)


def overlap_counts(group: np.ndarray, num_groups: int, slot: np.ndarray, num_slots: int) -> np.ndarray:
    """Return (G, num_slots) int64: how many points of each group lie in voxels held by each slot.

    `group` (N,) in [0, G) or -1 for none; `slot` (N,) ≥ 0, or negative where the map has no voxel.
    """
    counted = (group >= 0) & (slot >= 0)
    cell = group[counted].astype(np.int64) * num_slots + slot[counted]
    return np.bincount(cell, minlength=num_groups * num_slots).reshape(num_groups, num_slots)


def geometric_affinity(
    counts: np.ndarray,
    known: np.ndarray,
    seen: np.ndarray,
    size: np.ndarray,
    extent: np.ndarray,
    iou_of_boxes: np.ndarray,
    box_weight: float,
) -> np.ndarray:
    """Return (D, T) float32 in [0, 1]: how well detections cover what is seen of each track.

    `counts` (D, T) points of the detection in the track's voxels, owned or disputed; `known` (D,) points of the
    detection in voxels of any track; `seen` (T,) points of the whole frame in those of the track; `size` (D,) points of
    the detection; `extent` (T,) voxels of the track, seen or not. The overlap is the intersection over union of the two
    among points whose voxel has an owner, so that surfaces seen for the first time do not count against a match. But a
    union of less than half the smaller of the two is raised to that: a few points along the contact with a neighbour
    are no match, while all points of a track that was but a sliver are.
    `iou_of_boxes` (D, T) helps where the map has no say: objects that moved a little, drifting poses.
    """
    union = known[:, None] + seen[None, :] - counts
    least = _LEAST_SUPPORT * np.minimum(size[:, None], extent[None, :])
    overlap = counts / np.maximum(np.maximum(union, least), 1)
    return ((1.0 - box_weight) * overlap + box_weight * iou_of_boxes).astype(np.float32)
