"""Over-segmentation of a scanned surface, as the benchmarks' `segs.json` files have it.

P. F. Felzenszwalb and D. P. Huttenlocher, "Efficient Graph-Based Image Segmentation", IJCV 59(2), 2004, on the graph of
neighbouring vertices. The weight of an edge says how much the surface bends along it. ScanNet takes the angle between
the two normals alone, which on its meshes are smoothed across every step; exact normals are not, so that a picture or a
rug would vanish in the wall or floor behind it. Here a step between parallel surfaces therefore weighs, too.

The paper takes edge by edge in rising order. Here all components grow at once, band by band of rising weights, each
component along its least edge: the paper's predicate and, but for edges of nearly one weight, its order.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

THRESHOLD = 0.01  # the paper's k, and ScanNet's value of it
MIN_VERTICES = 20  # ScanNet's
# Limits of the bands: flat, then twice as much each time; 2 is the greatest weight there is.
_BANDS = np.array([0.0, *2.0 ** np.arange(-20.0, 2.0), np.inf])
_NO_EDGE = -1


def segment(
    vertices_m: np.ndarray,
    normals: np.ndarray,
    edges: np.ndarray,
    threshold: float = THRESHOLD,
    min_vertices: int = MIN_VERTICES,
) -> np.ndarray:
    """Return the segment (V,) int32, numbered from 0 by first vertex, of each vertex (V, 3).

    `normals` are (V, 3) and unit, `edges` (E, 2) pairs of vertices. A greater `threshold` gives larger segments.
    Segments of fewer than `min_vertices` are joined to the neighbour to which the surface bends least, if there is one.
    """
    return segment_graph(len(vertices_m), edges, bending(vertices_m, normals, edges), threshold, min_vertices)


def segment_mesh(vertices_m: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return the segment (V,) int32, numbered from 0 by first vertex, of each vertex of a triangle mesh (V, 3), (F, 3).

    Weighs as ScanNet's segmentator does, whose meshes are scans, too: 1 - cos of the angle between the normals, squared
    where the surface bends outwards, so that what is round stays whole. `faces` must be wound alike.
    """
    corner, next_corner = faces.ravel(), np.roll(faces, -1, axis=1).ravel()
    edges = _unique_pairs(corner, next_corner, len(vertices_m))
    one, other = edges.T
    normals = _vertex_normals(vertices_m, faces)
    turn = np.clip(1 - np.einsum("ij,ij->i", normals[one], normals[other]), 0, 2)
    outwards = np.einsum("ij,ij->i", vertices_m[other] - vertices_m[one], normals[other] - normals[one]) > 0
    return segment_graph(len(vertices_m), edges, np.where(outwards, turn**2, turn), THRESHOLD, MIN_VERTICES)


def _vertex_normals(vertices_m: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Return (V, 3) float64 unit normals: the mean of the faces of a vertex by their area; zero where it has none."""
    first, second, third = (vertices_m[corner].astype(np.float64) for corner in faces.T)
    twice_area = np.cross(second - first, third - first)  # (F, 3) along the normal
    corner = faces.ravel()
    total = np.stack([np.bincount(corner, np.repeat(axis, 3), len(vertices_m)) for axis in twice_area.T], axis=1)
    return total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-18)


def neighbours(vertices_m: np.ndarray, reach_m: float, num_neighbours: int = 8) -> np.ndarray:
    """Return the edges (E, 2) int32, each once, from each vertex (V, 3) to its nearest ones within `reach_m`."""
    if len(vertices_m) < 2:
        return np.zeros((0, 2), np.int32)
    num_found = min(num_neighbours + 1, len(vertices_m))  # the vertex itself among them
    _, other = cKDTree(vertices_m).query(vertices_m, k=range(1, num_found + 1), distance_upper_bound=reach_m)
    one, other = np.repeat(np.arange(len(vertices_m)), num_found), other.ravel()
    found = (other != one) & (other < len(vertices_m))
    return _unique_pairs(one[found], other[found], len(vertices_m))


def _unique_pairs(one: np.ndarray, other: np.ndarray, num_vertices: int) -> np.ndarray:
    """Return each pair of vertices once, the lower first, (E, 2) int32 in ascending order."""
    low, high = np.minimum(one, other).astype(np.int64), np.maximum(one, other)
    return np.stack(np.divmod(np.unique(low * num_vertices + high), max(num_vertices, 1)), axis=1).astype(np.int32)


def bending(vertices_m: np.ndarray, normals: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return how much the surface bends along each edge (E,) float64 in [0, 2]: 1 - cos of the angle it turns.

    On a smooth surface the edge leaves the tangent plane at half the angle between the normals. At a step it leaves it
    at more than that: the greater of the two angles counts.
    """
    one, other = edges.T
    cosine = np.einsum("ij,ij->i", normals[one], normals[other], dtype=np.float64)
    along = (vertices_m[other] - vertices_m[one]).astype(np.float64)
    square = np.maximum((along**2).sum(axis=1), 1e-18)
    rise = np.maximum(
        np.einsum("ij,ij->i", along, normals[one]) ** 2, np.einsum("ij,ij->i", along, normals[other]) ** 2
    )
    return np.clip(np.maximum(1 - cosine, 2 * rise / square), 0, 2)


@dataclass
class _Components:
    """A partition of the vertices, with what the paper's predicate asks of each component."""

    of_vertex: np.ndarray  # (V,) component
    size: np.ndarray  # (C,) vertices
    internal: np.ndarray  # (C,) the greatest weight in the least spanning tree of the component: the paper's Int

    def join(self, one: np.ndarray, other: np.ndarray, weight: np.ndarray) -> np.ndarray:
        """Join pairs of components along edges; return the new number (C,) of each former component."""
        num = len(self.size)
        pairs = coo_array((np.ones(len(one), bool), (one, other)), shape=(num, num))
        num_joined, joined = connected_components(pairs, directed=False)
        internal = np.zeros(num_joined)
        np.maximum.at(internal, joined, self.internal)
        np.maximum.at(internal, joined[one], weight)
        self.of_vertex = joined[self.of_vertex]
        self.size = np.bincount(joined, self.size, num_joined)
        self.internal = internal
        return joined


@dataclass
class _Edges:
    """Edges between different components, in rising order of weight."""

    one: np.ndarray  # (E,) component
    other: np.ndarray  # (E,)
    weight: np.ndarray  # (E,)

    def __len__(self) -> int:
        return len(self.weight)

    def of(self, chosen: np.ndarray | slice) -> _Edges:
        return _Edges(self.one[chosen], self.other[chosen], self.weight[chosen])

    def after(self, joined: np.ndarray) -> _Edges:
        """Return the edges between components that have the new numbers `joined`, without those inside one."""
        one, other = joined[self.one], joined[self.other]
        return _Edges(one, other, self.weight).of(one != other)

    def least(self, num_components: int) -> np.ndarray:
        """Return the first edge (C,) of each component, _NO_EDGE where it has none."""
        least = np.full(num_components, _NO_EDGE)
        index = np.arange(len(self))
        for end in (self.one, self.other):
            first = np.full(num_components, _NO_EDGE)
            first[end[::-1]] = index[::-1]  # of several values for one place the last one stays
            least = np.where((least < 0) | ((first >= 0) & (first < least)), first, least)
        return least


def segment_graph(
    num_vertices: int, edges: np.ndarray, weights: np.ndarray, threshold: float, min_vertices: int
) -> np.ndarray:
    """Return the component (V,) int32, numbered from 0 by first vertex, after joining along `edges` (E, 2)."""
    components = _Components(np.arange(num_vertices), np.ones(num_vertices), np.zeros(num_vertices))
    order = np.argsort(weights, kind="stable")
    one, other = edges[order].T
    everything = _Edges(one, other, weights[order])
    limits = np.searchsorted(everything.weight, _BANDS, side="right").tolist()
    bands = [everything.of(slice(*pair)) for pair in zip([0, *limits[:-1]], limits, strict=True)]
    for band in bands:
        _grow(components, band.after(components.of_vertex), threshold)
    for band in bands:
        _join_small(components, band.after(components.of_vertex), min_vertices)
    return _numbered_by_first_vertex(components.of_vertex)


def _grow(components: _Components, edges: _Edges, threshold: float) -> None:
    """Join components along edges by the predicate of the paper (its equations 3 and 4), until none is left to join."""
    while len(edges):
        limit = components.internal + threshold / components.size
        least = edges.least(len(limit))
        # Where even the least edge is beyond the limit, no edge of the component will ever be taken: the paper's lemma.
        is_final = (least >= 0) & (edges.weight[least] > limit)
        edges_open = ~(is_final[edges.one] | is_final[edges.other])
        chosen = np.unique(least[(least >= 0) & ~is_final])
        chosen = chosen[edges_open[chosen]]
        within = edges.weight[chosen] <= np.minimum(limit[edges.one[chosen]], limit[edges.other[chosen]])
        taken = edges.of(chosen[within])
        joined = components.join(taken.one, taken.other, taken.weight)
        edges = edges.of(edges_open).after(joined)


def _join_small(components: _Components, edges: _Edges, min_vertices: int) -> None:
    """Join every component that is too small along its least edge, until none has an edge left."""
    while len(edges):
        is_small = components.size < min_vertices
        edges = edges.of(is_small[edges.one] | is_small[edges.other])
        least = edges.least(len(components.size))
        taken = edges.of(np.unique(least[is_small & (least >= 0)]))
        edges = edges.after(components.join(taken.one, taken.other, taken.weight))


def _numbered_by_first_vertex(label: np.ndarray) -> np.ndarray:
    _, first, compact = np.unique(label, return_index=True, return_inverse=True)
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first)] = np.arange(len(first), dtype=np.int32)
    return rank[compact.reshape(label.shape)]
