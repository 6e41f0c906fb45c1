"""A way over the free floor that wanders from place to place and ends where it began."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

from autoseg3d_ros.data.synthetic.free_space import CELL_M, FreeSpace

_NEIGHBOURS = ((0, 1), (1, 0), (1, 1), (1, -1))
_SHY_M = 0.25  # a way avoids places that have less room than this to spare
_CANDIDATES = 30  # for the next place
_NEAREST_STOP_M = 0.5  # two stops in a row are at least this far apart
_STEP_M = 0.02  # between the places of a route
_SMOOTHING_M = (0.3, 0.15, 0.07)  # tried in this order, until the carrier touches nothing
_TOLERANCE_M = 0.02


@dataclass(frozen=True)
class Route:
    """A closed smooth line on the floor."""

    places_m: np.ndarray  # (L, 2) x, y, about `_STEP_M` apart
    along_m: np.ndarray  # (L,) the way to each place
    stops_m: np.ndarray  # (S,) the way to each stop, rising

    @property
    def length_m(self) -> float:
        return float(self.along_m[-1])

    def place(self, along_m: float) -> np.ndarray:
        """Return (2,) x, y."""
        return np.array([np.interp(along_m, self.along_m, column) for column in self.places_m.T])

    def heading_rad(self, along_m: float) -> float:
        """Return where the way leads, counter-clockwise from +x."""
        behind, ahead = self.place(along_m - 0.05), self.place(along_m + 0.05)
        return float(np.arctan2(*(ahead - behind)[::-1]))


def draw_route(space: FreeSpace, radius_m: float, length_m: float, rng: np.random.Generator) -> Route:
    """Return a route of at most about `length_m` over several stops; it has one place where that is too short."""
    ways = Ways(space, radius_m)
    start = int(rng.integers(len(ways.places_m)))
    home, before = ways.from_place(start)
    cost, left, legs, visited = home, length_m * ways.cost_of_a_metre, [ways.places_m[[start]]], [start]
    while (stop := _next_stop(ways, visited, cost, left - home, rng)) >= 0:
        legs.append(ways.line_m(before, stop))
        left -= cost[stop]
        visited.append(stop)
        cost, before = ways.from_place(stop)
    legs.append(ways.line_m(before, start))
    return _smooth(legs, space, radius_m)


def _next_stop(ways: Ways, visited: list[int], cost: np.ndarray, allowed: np.ndarray, rng: np.random.Generator) -> int:
    """Return a free cell that can be reached within what is `allowed` (K,), far from the visited, or -1."""
    possible = np.flatnonzero((cost < allowed) & (cost > _NEAREST_STOP_M))
    if not len(possible):
        return -1
    drawn = rng.choice(possible, _CANDIDATES)
    between_m = np.linalg.norm(ways.places_m[drawn][:, None] - ways.places_m[visited], axis=2).min(axis=1)
    return int(drawn[np.argmax(between_m * rng.uniform(0.4, 1.0, len(drawn)))])


def _smooth(legs: list[np.ndarray], space: FreeSpace, radius_m: float) -> Route:
    """Return the legs (each (L, 2)) as one line with round corners, as round as the free space allows."""
    corners = np.concatenate(legs)
    sharp, stops = _resampled(corners, np.cumsum([len(leg) for leg in legs[1:-1]], dtype=np.int64))
    smooth = sharp
    for smoothing_m in _SMOOTHING_M:
        rounded = gaussian_filter1d(sharp, smoothing_m / _STEP_M, axis=0, mode="nearest")
        if space.clearance_at(rounded).min() >= radius_m - _TOLERANCE_M:
            smooth = rounded
            break
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(smooth, axis=0), axis=1))])
    return Route(smooth, along, along[stops])


def _resampled(corners_m: np.ndarray, stops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return places (L, 2) at even steps along the line over the corners (K, 2), and the steps nearest the stops."""
    along = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(corners_m, axis=0), axis=1))])
    even = np.arange(0.0, along[-1] + _STEP_M, _STEP_M)
    places = np.stack([np.interp(even, along, column) for column in corners_m.T], axis=1)
    return places, np.rint(along[stops] / _STEP_M).astype(int)


class Ways:
    """Shortest ways over the free cells, which keep away from furniture where they can."""

    def __init__(self, space: FreeSpace, radius_m: float) -> None:
        self._rows, self._columns = np.nonzero(space.free)
        self._node: np.ndarray = np.full(space.free.shape, -1)  # (H, W) number of each free cell
        self._node[self._rows, self._columns] = np.arange(len(self._rows))
        self.places_m = space.origin_m + CELL_M * np.column_stack([self._columns, self._rows])  # (K, 2) free cells
        room_to_spare = space.clearance_m[self._rows, self._columns] - radius_m
        self._cost = 1 + 2 * np.clip(1 - room_to_spare / _SHY_M, 0, 1)
        self.cost_of_a_metre = float(self._cost.mean())
        self._graph = self._linked()

    def from_place(self, node: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the costs (K,) of the ways from a free cell to all cells, and predecessors (K,)."""
        return dijkstra(self._graph, directed=False, indices=node, return_predecessors=True)

    def line_m(self, before: np.ndarray, end: int) -> np.ndarray:
        """Return the places (L, 2) on the way to the free cell `end`, from the start that `before` belongs to."""
        nodes = [end]
        while before[nodes[-1]] >= 0:
            nodes.append(int(before[nodes[-1]]))
        return self.places_m[nodes[::-1]]

    def _linked(self) -> csr_array:
        ends = []
        for down, right in _NEIGHBOURS:
            row, column = self._rows + down, self._columns + right
            fits = (row < self._node.shape[0]) & (column >= 0) & (column < self._node.shape[1])
            start, end = np.flatnonzero(fits), self._node[row[fits], column[fits]]
            ends.append(np.stack([start, end])[:, end >= 0])
        links = np.concatenate(ends, axis=1)  # (2, links)
        length_m = np.linalg.norm(self.places_m[links[0]] - self.places_m[links[1]], axis=1)
        weight = length_m * self._cost[links].mean(axis=0)
        return csr_array((weight, links), shape=(len(self._rows), len(self._rows)))
