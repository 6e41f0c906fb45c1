"""Sums, means, maxima and boxes of groups: by hand, against loops, and without a wait for the device."""

from __future__ import annotations

import pytest
import torch

from autoseg3d_ros.model.group_reduction import (
    boxes_by_group,
    count_by_group,
    max_by_group,
    mean_by_group,
    sum_by_group,
)

DEVICES = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
REDUCTIONS = [sum_by_group, mean_by_group, max_by_group, boxes_by_group]


@pytest.mark.parametrize(
    ("reduction", "expected"),
    [
        (sum_by_group, [[4.0], [0.0], [-4.0], [0.0]]),
        (mean_by_group, [[4.0], [0.0], [-2.0], [0.0]]),
        (max_by_group, [[4.0], [0.0], [-1.0], [0.0]]),  # below zero, too
    ],
)
def test_by_hand(reduction, expected):
    values, group = torch.tensor([[-1.0], [-3.0], [4.0]]), torch.tensor([2, 2, 0])
    assert reduction(values, group, 4).tolist() == expected


def test_a_box_by_hand():
    xyz_m = torch.tensor([[1.0, -2.0, 0.0], [3.0, -2.0, 1.0], [7.0, 7.0, 7.0]])
    boxes = boxes_by_group(xyz_m, torch.tensor([1, 1, 0]), 3)
    assert boxes.tolist() == [[7.0, 7.0, 7.0, 0.0, 0.0, 0.0], [2.0, -2.0, 0.5, 2.0, 0.0, 1.0], [0.0] * 6]


def test_counts_and_sums_of_single_values():
    group = torch.tensor([2, 2, 0])
    assert count_by_group(group, 4).tolist() == [1.0, 0.0, 2.0, 0.0]
    assert sum_by_group(torch.tensor([1.5, 2.0, 3.0]), group, 4).tolist() == [3.0, 0.0, 3.5, 0.0]


@pytest.mark.parametrize("num_groups", [0, 3])
def test_no_rows(num_groups):
    nothing = torch.zeros(0, dtype=torch.int64)
    assert count_by_group(nothing, num_groups).tolist() == [0.0] * num_groups
    for reduction in REDUCTIONS:
        found = reduction(torch.zeros(0, 3), nothing, num_groups)
        assert found.shape == (num_groups, 6 if reduction is boxes_by_group else 3)
        assert not found.any()


@pytest.mark.parametrize("device", DEVICES)
def test_against_loops(device):
    generator = torch.Generator().manual_seed(0)
    values, group = torch.randn(200, 3, generator=generator), torch.randint(0, 9, (200,), generator=generator)
    rows = [values[group == index] for index in range(9)]
    on = values.to(device), group.to(device), 9
    torch.testing.assert_close(sum_by_group(*on).cpu(), torch.stack([row.sum(0) for row in rows]))
    torch.testing.assert_close(mean_by_group(*on).cpu(), torch.stack([row.mean(0) for row in rows]))
    torch.testing.assert_close(max_by_group(*on).cpu(), torch.stack([row.amax(0) for row in rows]))
    assert count_by_group(group.to(device), 9).tolist() == [len(row) for row in rows]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_nothing_waits_for_the_device():
    values, group = torch.randn(50, 3, device="cuda"), torch.randint(0, 9, (50,), device="cuda")
    torch.cuda.set_sync_debug_mode("error")
    try:
        count_by_group(group, 9)
        for reduction in REDUCTIONS:
            reduction(values, group, 9)
    finally:
        torch.cuda.set_sync_debug_mode("default")
