"""Which points of an image to ask a promptable model about: few, and none that was answered already."""

from __future__ import annotations

from functools import lru_cache

import numpy as np


class GridPrompts:
    """The points of a grid from coarse to fine, without those that a mask covers."""

    def __init__(self, shape: tuple[int, int], num_rows: int, num_columns: int) -> None:
        """Take the size (rows, columns) of the image and of the grid."""
        points = grid_points(shape, num_rows, num_columns)
        self._points = points[coarse_to_fine(shape, num_rows, num_columns)]
        self._step = np.array(shape) / (num_rows, num_columns)
        self._waits = np.ones(len(points), bool)
        self._last = np.zeros(len(points), bool)  # to be asked after all others

    def next(self, count: int) -> np.ndarray:
        """Return at most `count` points (n, 2) int, (row, column), that were not returned before; none = all done."""
        first, last = np.flatnonzero(self._waits & ~self._last), np.flatnonzero(self._waits & self._last)
        chosen = np.concatenate([first, last])[:count]
        self._waits[chosen] = False
        return self._points[chosen]

    def cover(self, mask: np.ndarray) -> None:
        """Leave out the points inside a mask (h, w) bool from now on."""
        self._waits &= ~mask[tuple(self._points.T)]

    def put_off_around(self, point: np.ndarray) -> None:
        """Ask the neighbours of a point (2,) that got no good answer last: they seldom get a better one."""
        steps = np.abs(self._points - point) / self._step
        self._last |= (steps < 1.5).all(axis=1)


def grid_points(shape: tuple[int, int], num_rows: int, num_columns: int) -> np.ndarray:
    """Return the pixels (n, 2) int, (row, column), under an even grid, row by row; none twice in a small image."""
    row, column = (
        np.unique(((np.arange(count) + 0.5) * (side / count)).astype(np.int64))
        for side, count in zip(shape, (num_rows, num_columns), strict=True)
    )
    return np.stack(np.meshgrid(row, column, indexing="ij"), axis=-1).reshape(-1, 2)


@lru_cache(maxsize=4)
def coarse_to_fine(shape: tuple[int, int], num_rows: int, num_columns: int) -> np.ndarray:
    """Return the order (n,) int of the grid's points in which each is the farthest from all before it.

    So the first points of any number are spread evenly. The one nearest to the middle is the first.
    """
    points = grid_points(shape, num_rows, num_columns)
    distance2 = np.full(len(points), np.inf)
    farthest = int(np.square(points - points.mean(axis=0)).sum(axis=1).argmin())
    order = []
    for _ in range(len(points)):
        order.append(farthest)
        distance2 = np.minimum(distance2, np.square(points - points[farthest]).sum(axis=1))
        farthest = int(distance2.argmax())
    return np.array(order, np.int64)
