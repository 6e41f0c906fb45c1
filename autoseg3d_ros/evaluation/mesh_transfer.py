"""From the points of a map to the vertices of a scanned mesh, as the published evaluation does (`method.md` §9.2)."""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

NO_POINT = -1


def nearest_point(points_m: np.ndarray, vertices_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return for each vertex its nearest point (V,) int64 and the distance to it (V,) float32.

    `points_m` (N, 3) and `vertices_m` (V, 3) in one frame. Of points equally near, the first is taken. Without points
    the index is NO_POINT and the distance infinite.
    """
    index = np.full(len(vertices_m), NO_POINT, np.int64)
    distance_m = np.full(len(vertices_m), np.inf)
    if not len(points_m) or not len(vertices_m):
        return index, distance_m.astype(np.float32)
    tree = cKDTree(points_m)
    open_rows, num_neighbours = np.arange(len(vertices_m)), 2
    while len(open_rows):  # ties beyond the neighbours asked for are rare: ask for more of these vertices only
        distance, neighbour = tree.query(np.asarray(vertices_m)[open_rows], k=num_neighbours)
        is_nearest = distance == distance[:, :1]
        index[open_rows] = np.where(is_nearest, neighbour, len(points_m)).min(axis=1)
        distance_m[open_rows] = distance[:, 0]
        more = is_nearest[:, -1] & (num_neighbours < len(points_m))
        open_rows, num_neighbours = open_rows[more], 4 * num_neighbours
    return index, distance_m.astype(np.float32)


def segment_vote(masks: np.ndarray, segment_id: np.ndarray) -> np.ndarray:
    """Return masks (I, V) bool that hold whole segments: those of which more than half was in the mask.

    `masks` (I, V) bool, `segment_id` (V,) any integers. Exactly half is off.
    """
    segments, of_vertex, size = np.unique(segment_id, return_inverse=True, return_counts=True)
    voted = np.zeros(masks.shape, bool)
    for mask, result in zip(masks, voted, strict=True):
        result[:] = (2 * np.bincount(of_vertex[mask], minlength=len(segments)) > size)[of_vertex]
    return voted
