"""Footprints of instances as a costmap takes them: polygons with a margin, and cells painted in a grid."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

FREE, OCCUPIED = 0, 100  # of nav_msgs/OccupancyGrid
_NUM_DIRECTIONS = 16
_SUBCELL_BITS = 8  # corners are painted to a 256th of a cell


@dataclass(frozen=True)
class Grid:
    """Where the cells are: row 0 begins at `y_m`, column 0 at `x_m`, in the map frame."""

    x_m: float
    y_m: float
    resolution_m: float
    num_columns: int
    num_rows: int


def footprint_m(instance: Any) -> np.ndarray:
    """Return the footprint of an `Instance` message as (K, 2) float32, counter-clockwise, map frame."""
    return np.array([(point.x, point.y) for point in instance.footprint.points], np.float32).reshape(-1, 2)


def inflated(polygon_m: np.ndarray, margin_m: float) -> np.ndarray:
    """Return a convex polygon (L, 2) that holds all within `margin_m` of the convex `polygon_m` (K, 2).

    It is at most 2 % of the margin larger than that. A point or a line has room around it too; nothing stays nothing.
    """
    if margin_m <= 0.0 or len(polygon_m) == 0:
        return polygon_m
    turns = np.arange(_NUM_DIRECTIONS) * (2 * math.pi / _NUM_DIRECTIONS)
    around = margin_m / math.cos(math.pi / _NUM_DIRECTIONS) * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    corners = (polygon_m[:, None] + around[None]).reshape(-1, 2).astype(np.float32)
    return cv2.convexHull(corners, clockwise=False).reshape(-1, 2)


def painted(polygons_m: Iterable[np.ndarray], grid: Grid) -> np.ndarray:
    """Return (num_rows, num_columns) int8: OCCUPIED where a convex polygon covers a cell's centre, or touches it."""
    cells = np.full((grid.num_rows, grid.num_columns), FREE, np.uint8)
    for polygon_m in polygons_m:
        if len(polygon_m):
            in_cells = (polygon_m.astype(np.float64) - (grid.x_m, grid.y_m)) / grid.resolution_m - 0.5
            corners = np.rint(in_cells * (1 << _SUBCELL_BITS)).astype(np.int32)
            cv2.fillConvexPoly(cells, corners, OCCUPIED, lineType=cv2.LINE_8, shift=_SUBCELL_BITS)
    return cells.view(np.int8)
