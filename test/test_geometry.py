from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros import geometry
from autoseg3d_ros.structures import CameraIntrinsics

CAMERA = CameraIntrinsics(width=64, height=48, fx=50.0, fy=60.0, cx=31.5, cy=23.5)


def test_backprojection_by_hand():
    points = geometry.backproject(np.array([20 * 64 + 40]), np.array([2.0], np.float32), CAMERA)
    np.testing.assert_allclose(points, [[(40 - 31.5) / 50 * 2, (20 - 23.5) / 60 * 2, 2.0]], rtol=1e-6)
    assert points.dtype == np.float32
    assert geometry.backproject(np.zeros(0, int), np.zeros(0, np.float32), CAMERA).shape == (0, 3)


@given(st.lists(st.tuples(*[st.integers(-(2**20), 2**20 - 1)] * 3), min_size=1, max_size=20))
def test_keys_are_as_distinct_as_cells_and_never_negative(cells):
    keys = geometry.pack_cells(np.array(cells, np.int64))
    assert (keys >= 0).all()
    assert len(np.unique(keys)) == len(set(cells))


def test_voxels_are_floors_not_roundings():
    points = np.array([[-0.001, 0.0, 0.0199], [0.0, 0.0201, 0.021]], np.float32)
    expected = geometry.pack_cells(np.array([[-1, 0, 0], [0, 1, 1]]))
    np.testing.assert_array_equal(geometry.voxel_keys(points, 0.02), expected)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ([[0, 0, 0], [1, 1, 1]], 1.0),
        ([[0.5, 0, 0], [1.5, 1, 1]], 0.5 / 1.5),
        ([[2, 0, 0], [3, 1, 1]], 0.0),
        ([[1, 0, 0], [2, 1, 1]], 0.0),
        ([[0, 0, 0], [0, 0, 0]], 0.0),
    ],
)
def test_box_iou_by_hand(box, expected):
    unit = np.array([[[0, 0, 0], [1, 1, 1]]], np.float32)
    np.testing.assert_allclose(geometry.box_iou(unit, np.array([box], np.float32)), [[expected]], rtol=1e-6)


def test_box_iou_of_nothing_is_empty():
    none = np.zeros((0, 2, 3), np.float32)
    assert geometry.box_iou(none, none).shape == (0, 0)


def test_boxes_of_groups_leave_empty_groups_and_minus_one_out():
    points = np.array([[0, 0, 0], [1, 2, 3], [9, 9, 9], [-5, -5, -5]], np.float32)
    boxes = geometry.boxes_of_groups(points, np.array([2, 2, 0, -1]), 3)
    assert boxes[2].tolist() == [[0, 0, 0], [1, 2, 3]]
    assert boxes[0].tolist() == [[9, 9, 9], [9, 9, 9]]
    assert not boxes[1].any()
    assert geometry.boxes_of_groups(points[:0], np.zeros(0, int), 2).tolist() == np.zeros((2, 2, 3)).tolist()


def test_oriented_box_of_a_turned_rectangle():
    angle = np.deg2rad(30)
    random = np.random.default_rng(0)
    local = random.uniform([-1, -0.25, 0], [1, 0.25, 0.5], (4000, 3))
    turned = local @ np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0], [0, 0, 1]])
    box, footprint = geometry.oriented_box((turned + [3, 4, 5]).astype(np.float32))
    np.testing.assert_allclose(box.center_m, [3, 4, 5.25], atol=0.02)
    np.testing.assert_allclose(sorted(box.size_m), [0.5, 0.5, 2.0], atol=0.05)
    long_axis_rad = box.yaw_rad if box.size_m[0] > box.size_m[1] else box.yaw_rad + np.pi / 2
    assert np.isclose(np.sin(2 * (long_axis_rad - angle)), 0, atol=0.05)
    edges = np.roll(footprint, -1, axis=0) - footprint
    area = 0.5 * np.sum(footprint[:, 0] * edges[:, 1] - footprint[:, 1] * edges[:, 0])
    assert area == pytest.approx(1.0, abs=0.05)  # positive: counter-clockwise


@pytest.mark.parametrize("num_points", [1, 2])
def test_oriented_box_of_hardly_any_points(num_points):
    points = np.arange(3 * num_points, dtype=np.float32).reshape(-1, 3)
    box, footprint = geometry.oriented_box(points)
    assert np.isfinite([*box.center_m, *box.size_m, box.yaw_rad]).all()
    assert len(footprint) == num_points
