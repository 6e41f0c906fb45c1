"""Footprints with a margin, and painted in a grid."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros.client.footprints import OCCUPIED, Grid, footprint_m, inflated, painted

SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], np.float32)
GRID = Grid(x_m=-1.0, y_m=-2.0, resolution_m=0.5, num_columns=8, num_rows=10)


def signed_area_m2(polygon):
    x, y = polygon[:, 0], polygon[:, 1]
    return 0.5 * float(np.sum(x * np.roll(y, -1) - y * np.roll(x, -1)))


def depth_inside_m(polygon, points):
    """How deep points (P, 2) lie in a counter-clockwise convex polygon; negative outside."""
    edges = np.roll(polygon, -1, axis=0) - polygon
    normals = np.stack([-edges[:, 1], edges[:, 0]], axis=1) / np.linalg.norm(edges, axis=1)[:, None]
    return ((points[:, None] - polygon[None]) * normals[None]).sum(axis=2).min(axis=1)


@pytest.mark.parametrize("num_corners", [0, 1, 3])
def test_the_footprint_of_a_message(num_corners):
    corners = [SimpleNamespace(x=1.0 + i, y=2.0 * i, z=0.0) for i in range(num_corners)]
    polygon = footprint_m(SimpleNamespace(footprint=SimpleNamespace(points=corners)))
    assert polygon.shape == (num_corners, 2)
    assert polygon.tolist() == [[1.0 + i, 2.0 * i] for i in range(num_corners)]


def test_nothing_stays_nothing_and_no_margin_changes_nothing():
    assert inflated(np.zeros((0, 2), np.float32), 0.3).shape == (0, 2)
    assert inflated(SQUARE, 0.0) is SQUARE


@pytest.mark.parametrize("num_corners", [1, 2, 4], ids=["point", "line", "square"])
@given(margin_m=st.floats(0.01, 3.0))
def test_all_within_the_margin_is_inside_and_little_else(num_corners, margin_m):
    polygon = SQUARE[:num_corners]
    larger = inflated(polygon, margin_m)
    assert signed_area_m2(larger) > 0, "counter-clockwise"
    turns = np.linspace(0, 2 * np.pi, 50)
    circle = margin_m * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    around = (polygon[:, None] + circle[None]).reshape(-1, 2)
    assert depth_inside_m(larger, around).min() > -1e-5
    nearest_m = np.linalg.norm(larger[:, None] - polygon[None], axis=2).min(axis=1)
    assert nearest_m.max() < 1.02 * margin_m + 1e-5


def test_no_polygons_leave_the_grid_free():
    cells = painted([np.zeros((0, 2), np.float32)], GRID)
    assert (cells.shape, cells.dtype) == ((10, 8), np.int8)
    assert not cells.any()


def test_cells_are_where_the_polygon_is():
    cells = painted([SQUARE + np.float32([0.5, -1.0])], GRID)  # x 0.5 to 1.5, y -1 to 0
    assert set(np.unique(cells)) == {0, OCCUPIED}
    rows, columns = np.nonzero(cells)
    assert {(row, column) for row in (2, 3) for column in (3, 4)} <= set(
        zip(rows.tolist(), columns.tolist(), strict=True)
    )
    assert rows.min() >= 1 and rows.max() <= 4 and columns.min() >= 2 and columns.max() <= 5, "one cell more at most"


def test_what_is_smaller_than_a_cell_is_painted_too():
    assert (painted([SQUARE[:1]], GRID) == OCCUPIED).sum() >= 1
    assert (painted([0.01 * SQUARE], GRID) == OCCUPIED).sum() >= 1


def test_what_leaves_the_grid_is_cut():
    cells = painted([SQUARE * 100 - 50], GRID)
    assert (cells == OCCUPIED).all()
    assert not painted([SQUARE + 100], GRID).any()
