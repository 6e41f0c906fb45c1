from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros import geometry
from autoseg3d_ros.memory.boxes import box_iou, corners_of

UNIT = (0, 0, 0, 1, 1, 1)


@pytest.mark.parametrize(("a", "b"), [(0, 0), (0, 3), (3, 0)])
def test_no_boxes(a, b):
    assert box_iou(torch.zeros(a, 6), torch.zeros(b, 6)).shape == (a, b)
    assert corners_of(torch.zeros(a, 6)).shape == (a, 6)


def test_corners_by_hand():
    boxes = torch.tensor([[[1.0, 2, 3, 4, 2, 0]]])  # any number of leading axes
    assert corners_of(boxes).tolist() == [[[-1, 1, 3, 3, 3, 3]]]


@pytest.mark.parametrize(
    ("a", "b", "iou"),
    [
        (UNIT, UNIT, 1),
        (UNIT, (0.5, 0, 0, 1, 1, 1), 1 / 3),
        (UNIT, (0, 0, 0, 0.5, 0.5, 0.5), 1 / 8),  # inside
        (UNIT, (1, 0, 0, 1, 1, 1), 0),  # touching
        (UNIT, (3, 3, 3, 1, 1, 1), 0),  # apart on all axes: no product of two negative lengths
        ((0, 0, 0, 1, 1, 0), (0, 0, 0, 1, 1, 0), 0),  # flat
        ((0, 0, 0, 1e-3, 1e-3, 1e-3), (0, 0, 0, 1e-3, 1e-3, 1e-3), 1e-3),  # 1e-9 of at least 1e-6 m³
    ],
)
def test_iou_by_hand(a, b, iou):
    got = box_iou(torch.tensor([a], dtype=torch.float32), torch.tensor([b], dtype=torch.float32))
    assert got.tolist() == [[pytest.approx(iou, abs=1e-7)]]


@pytest.mark.parametrize(
    ("margin_m", "iou"),
    [
        (0.0, [0, 1 / 3]),
        (0.5, [1 / 3, (1.5 * 4) / (2 * 8 - 1.5 * 4)]),  # boxes with sides of 1 become boxes with sides of 2
        (torch.tensor([0.5, 0.0]), [1 / 3, 1 / 3]),
    ],
)
def test_both_boxes_grow_by_a_margin(margin_m, iou):
    a = torch.tensor([UNIT], dtype=torch.float32)
    b = torch.tensor([(1.0, 0, 0, 1, 1, 1), (0.5, 0, 0, 1, 1, 1)])
    assert box_iou(a, b, margin_m).tolist() == [pytest.approx(iou, abs=1e-6)]


def test_a_door_that_was_displaced_still_overlaps():
    door, displaced = torch.tensor([[0, 0, 1, 0.9, 0.02, 2.0]]), torch.tensor([[0, 0.08, 1, 0.9, 0.02, 2.0]])
    assert box_iou(door, displaced).item() == 0
    assert box_iou(door, displaced, 0.1).item() == pytest.approx(0.14 / 0.30, abs=1e-6)


@given(st.integers(0, 2**32 - 1))
def test_iou_is_that_of_the_map_for_boxes_of_any_size(seed):
    generator = np.random.default_rng(seed)
    boxes = np.c_[generator.uniform(-2, 2, (7, 3)), generator.uniform(0.1, 3, (7, 3))].astype(np.float32)
    a, b = torch.from_numpy(boxes).split((3, 4))
    as_corners = corners_of(torch.from_numpy(boxes)).reshape(-1, 2, 3).numpy()
    expected = geometry.box_iou(as_corners[:3], as_corners[3:])
    np.testing.assert_allclose(box_iou(a, b).numpy(), expected, rtol=0, atol=1e-5)
    assert torch.equal(box_iou(a, b), box_iou(b, a).T)
