"""What is true of a frame, superpoint by superpoint."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from autoseg3d_ros.training.targets import (
    NOTHING,
    ClipObjects,
    FrameTargets,
    PointTruth,
    dominant,
    frame_targets,
    shares,
)


def targets_of(rows: list[int], superpoint: list[int], *, num_objects: int = 3, semantic: list[int] | None = None):
    objects = ClipObjects(torch.arange(num_objects * 6).view(-1, 6).float(), torch.arange(num_objects))
    truth = PointTruth(*(torch.tensor(values, dtype=torch.int64) for values in (rows, semantic or rows)))
    place = torch.tensor(superpoint, dtype=torch.int64)
    return frame_targets(truth, place, max(superpoint, default=-1) + 1, objects, num_semantics=4)


@pytest.mark.parametrize("num_objects", [0, 2])
def test_no_points(num_objects):
    targets = targets_of([], [], num_objects=num_objects)
    assert targets.point_masks.shape == targets.superpoint_masks.shape == (num_objects, 0)
    assert len(targets) == num_objects
    assert targets.belongs(torch.zeros(0, dtype=torch.int64)).shape == (0, num_objects)


def test_superpoints_without_points_are_nothing():
    nowhere, objects = torch.zeros(0, dtype=torch.int64), ClipObjects(torch.zeros(2, 6), torch.zeros(2))
    targets = frame_targets(PointTruth(nowhere, nowhere), nowhere, 3, objects, num_semantics=4)
    assert targets.superpoint_masks.int().tolist() == [[0, 0, 0], [0, 0, 0]]
    assert targets.semantic.tolist() == targets.fragment.tolist() == [NOTHING] * 3


def test_a_frame_of_void():
    targets = targets_of([NOTHING, NOTHING], [0, 1], num_objects=0)
    assert targets.point_masks.shape == (0, 2)
    assert targets.semantic.tolist() == targets.fragment.tolist() == [NOTHING, NOTHING]
    assert targets.void.tolist() == [True, True]


def by_hand() -> FrameTargets:
    #            superpoint 0: 2 of 3      1: half         2: 3 of 4, object 2    3: void
    rows = [0, 0, NOTHING] + [0, 1] + [2, 2, 2, NOTHING] + [NOTHING, NOTHING]
    return targets_of(rows, [0, 0, 0, 1, 1, 2, 2, 2, 2, 3, 3])


def test_by_hand():
    targets = by_hand()
    assert targets.superpoint_masks.int().tolist() == [[1, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]
    assert targets.semantic.tolist() == [0, NOTHING, 2, NOTHING]
    assert targets.fragment.tolist() == [NOTHING, NOTHING, 2, NOTHING]  # 2 of 3 points are less than 70 %
    assert targets.void.tolist() == [False, False, False, True]
    assert targets.point_masks.sum(dim=1).tolist() == [3, 1, 3]
    assert targets.point_masks[2].nonzero()[:, 0].tolist() == [5, 6, 7]
    assert targets.box_m.tolist()[1] == [6, 7, 8, 9, 10, 11]


def test_an_object_that_the_frame_does_not_see_keeps_its_row():
    targets = targets_of([2, 2], [0, 0])
    assert targets.point_masks.any(dim=1).tolist() == targets.superpoint_masks[:, 0].tolist() == [False, False, True]
    assert targets.label.tolist() == [0, 1, 2]


def test_an_object_seen_without_a_superpoint_of_its_own():
    targets = by_hand()
    assert targets.point_masks[1].any() and not targets.superpoint_masks[1].any()


def test_queries_belong_as_their_superpoints_do():
    assert by_hand().belongs(torch.tensor([2, 0, 3])).int().tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 0]]


def test_objects_of_one_class_share_their_superpoints_class():
    targets = targets_of([0, 1, 0, 1], [0, 0, 0, 0], semantic=[3, 3, 3, NOTHING])
    assert targets.semantic.tolist() == [3]
    assert not targets.superpoint_masks.any()


def test_a_superpoint_without_points_has_no_shares():
    share = shares(torch.tensor([0, 1]), torch.tensor([2, 2]), 3, 2)
    assert share.T.tolist() == [[0.0, 0.0], [0.0, 0.0], [0.5, 0.5]]
    assert dominant(share, 0.4).tolist() == [NOTHING, NOTHING, 0]


@pytest.mark.parametrize(("inside", "expected"), [(13, NOTHING), (14, NOTHING), (15, 0), (20, 0)])
def test_exactly_seventy_percent_is_no_fragment(inside, expected):
    assert targets_of([0] * inside + [NOTHING] * (20 - inside), [0] * 20).fragment.tolist() == [expected]


def test_shares_as_a_loop_counts_them():
    rng = np.random.default_rng(0)
    row, superpoint = rng.integers(-1, 5, 300), rng.integers(0, 7, 300)
    share = shares(torch.from_numpy(row), torch.from_numpy(superpoint), 7, 5)
    expected = [[np.mean(row[superpoint == place] == object_row) for place in range(7)] for object_row in range(5)]
    assert np.allclose(share.numpy(), expected)
