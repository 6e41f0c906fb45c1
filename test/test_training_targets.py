from __future__ import annotations

import pytest
import torch

from autoseg3d_ros.training.targets import NOTHING, ClipObjects, PointTruth, dominant, frame_targets, shares


def objects(num: int) -> ClipObjects:
    return ClipObjects(torch.zeros(num, 6), torch.zeros(num, dtype=torch.int64))


def ints(values) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.int64)


@pytest.mark.parametrize(("num_points", "num_superpoints", "num_objects"), [(0, 0, 0), (0, 0, 2), (0, 3, 2), (4, 2, 0)])
def test_empty_frames_are_legal(num_points, num_superpoints, num_objects):
    truth = PointTruth(torch.full((num_points,), NOTHING), torch.full((num_points,), NOTHING))
    superpoint = torch.arange(num_points) % max(num_superpoints, 1)
    targets = frame_targets(truth, superpoint, num_superpoints, objects(num_objects), num_semantics=3)
    assert len(targets) == num_objects
    assert targets.point_masks.shape == (num_objects, num_points) and not targets.point_masks.any()
    assert targets.superpoint_masks.shape == (num_objects, num_superpoints) and not targets.superpoint_masks.any()
    assert targets.semantic.tolist() == targets.fragment.tolist() == [NOTHING] * num_superpoints


def test_by_hand():
    #             superpoint 0      1           2        3
    superpoint = ints([0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 3])
    object_row = ints([1, 1, 1, 0, 0, 0, 1, -1, -1, -1, 0])
    semantic = ints([2, 2, 2, 2, 0, 0, 1, 1, -1, -1, 1])
    targets = frame_targets(PointTruth(object_row, semantic), superpoint, 4, objects(3), num_semantics=3)
    assert targets.point_masks.int().tolist() == [
        [0, 0, 0, 1, 1, 1, 0, 0, 0, 0, 1],
        [1, 1, 1, 0, 0, 0, 1, 0, 0, 0, 0],
        [0] * 11,  # an object of the clip that this frame does not show
    ]
    # Half of superpoint 1 is object 0: not more than half.
    assert targets.superpoint_masks.int().tolist() == [[0, 0, 0, 1], [1, 0, 0, 0], [0, 0, 0, 0]]
    assert targets.semantic.tolist() == [2, NOTHING, NOTHING, 1]
    assert targets.fragment.tolist() == [1, NOTHING, NOTHING, 0]
    assert targets.belongs(ints([3, 0])).int().tolist() == [[1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(("inside", "expected"), [(13, NOTHING), (14, NOTHING), (15, 0), (20, 0)])
def test_exactly_seventy_percent_is_no_fragment(inside, expected):
    row = ints([0] * inside + [NOTHING] * (20 - inside))
    share = shares(row, torch.zeros(20, dtype=torch.int64), 1, 1)
    assert dominant(share, 0.7).tolist() == [expected]
