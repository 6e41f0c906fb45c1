from __future__ import annotations

import numpy as np
import parity_cases
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_cases import ParityCase

from autoseg3d_ros.model.decoder import Prediction
from autoseg3d_ros.training.matcher import (
    MatchingConfig,
    Pairs,
    cheapest,
    cheapest_exactly,
    match,
    matching_cost,
    matching_costs,
)
from autoseg3d_ros.training.targets import FrameTargets

FORBIDDEN = 1e8


def rows(pairs: Pairs) -> list[list[int]]:
    return torch.stack((pairs.query, pairs.target), dim=1).tolist()


@parity_cases.parametrize("match_")
def test_published_costs_and_pairs(case: ParityCase) -> None:
    logits, mask_logits, masks, queries, label = (
        torch.from_numpy(case.given(name)) for name in ("cls", "masks", "gt_masks", "query_masks", "labels")
    )
    config = MatchingConfig()
    parts = matching_costs(logits, mask_logits, label, masks)
    for name, weight, part in zip(("cls", "bce", "dice"), (0.5, 1, 1), parts, strict=True):
        np.testing.assert_allclose(weight * part, case.expected(f"cost_{name}"), rtol=0, atol=1e-4, err_msg=name)
    cost = matching_cost(logits, mask_logits, label, masks, config)
    total = torch.where(queries.T, cost, FORBIDDEN)
    np.testing.assert_allclose(total, case.expected("cost_total"), rtol=0, atol=1e-4)
    for num_queries, name in ((1, "sparse_k1"), (2, "one2many_k2"), (4, "one2many_k4")):
        assert rows(cheapest(cost, queries.T, num_queries)) == case.expected(f"pairs_{name}").tolist(), name


@pytest.mark.parametrize(
    ("cost", "num_queries", "released", "exact"),
    [
        (np.zeros((0, 0)), 1, [], []),
        (np.zeros((0, 2)), 1, [], []),
        (np.zeros((2, 0)), 1, [], []),
        ([[3]], 1, [], [[0, 0]]),  # the only query of the frame
        ([[3], [None]], 1, [[0, 0]], [[0, 0]]),
        ([[None], [None]], 1, [], []),  # an object that the frame does not show
        ([[3], [2]], 1, [[1, 0]], [[1, 0]]),
        ([[2], [2]], 1, [], [[0, 0]]),  # two equal best ones
        ([[2], [2], [2]], 2, [], [[0, 0], [1, 0]]),
        ([[2], [2], [3]], 2, [[0, 0], [1, 0]], [[0, 0], [1, 0]]),
        ([[1], [3], [3]], 2, [[0, 0]], [[0, 0], [1, 0]]),  # the second best is not cheaper than the third
        ([[3], [2]], 2, [[1, 0]], [[0, 0], [1, 0]]),  # no third query: the second is the bar
        ([[3], [2], [None]], 2, [[0, 0], [1, 0]], [[0, 0], [1, 0]]),
        ([[1, 4], [2, 3], [None, 5]], 1, [[0, 0], [1, 1]], [[0, 0], [1, 1]]),
        ([[1, 1], [2, 2]], 1, [[0, 0], [0, 1]], [[0, 0], [0, 1]]),  # a query may answer for two
    ],
)
def test_the_cheapest_by_hand(cost, num_queries, released, exact):
    table = np.array(cost, np.float64)  # None, a query that does not belong, is NaN
    belongs, cost = torch.from_numpy(~np.isnan(table)), torch.from_numpy(np.nan_to_num(table))
    assert rows(cheapest(cost, belongs, num_queries)) == released
    assert rows(cheapest_exactly(cost, belongs, num_queries)) == exact


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 6), st.integers(0, 4), st.integers(1, 4), st.integers(0, 1000))
def test_exact_pairs_contain_the_released_ones(num_queries, num_objects, k, seed):
    generator = torch.Generator().manual_seed(seed)
    cost = torch.randint(5, (num_queries, num_objects), generator=generator).float()  # ties are frequent
    belongs = torch.rand(num_queries, num_objects, generator=generator) < 0.7
    released, exact = (set(map(tuple, rows(way(cost, belongs, k)))) for way in (cheapest, cheapest_exactly))
    assert released <= exact
    assert all(belongs[pair] for pair in exact)
    per_object = [sum(pair[1] == target for pair in exact) for target in range(num_objects)]
    assert per_object == belongs.sum(dim=0).clamp(max=k).tolist()


def test_costs_by_hand():
    # One query: class 0 with probability 3/4, its mask one half at each of two points.
    class_cost, mask_cost, dice_cost = matching_costs(
        torch.tensor([[np.log(3.0), 0.0]]),
        torch.zeros(1, 2),
        torch.tensor([0, 0]),
        torch.tensor([[True, False], [False, False]]),
    )
    torch.testing.assert_close(class_cost, torch.tensor([[-0.75, -0.75]]))
    torch.testing.assert_close(mask_cost, torch.full((1, 2), float(np.log(2.0))))
    torch.testing.assert_close(dice_cost, torch.tensor([[1 - 2 / 3, 1 - 1 / 2]]))  # (2·½+1)/(1+1+1), 1/(1+0+1)


def targets_of(point_masks, superpoint_masks) -> FrameTargets:
    num_objects, num_superpoints = len(superpoint_masks), len(superpoint_masks[0])
    return FrameTargets(
        point_masks=torch.tensor(point_masks, dtype=torch.bool),
        superpoint_masks=torch.tensor(superpoint_masks, dtype=torch.bool),
        box_m=torch.zeros(num_objects, 6),
        label=torch.zeros(num_objects, dtype=torch.int64),
        semantic=torch.zeros(num_superpoints, dtype=torch.int64),
        fragment=torch.zeros(num_superpoints, dtype=torch.int64),
        void=torch.zeros(num_superpoints, dtype=torch.bool),
    )


def test_a_prediction_is_held_against_the_masks_of_its_kind():
    targets = targets_of(point_masks=[[1, 1, 0, 0]], superpoint_masks=[[1, 1]])
    belongs = targets.belongs(torch.tensor([0, 1]))
    over_superpoints = torch.tensor([[5.0, 5], [5, -5]])
    over_points = torch.tensor([[-5.0, -5, 5, 5], [5, 5, -5, -5]])
    for at_points, mask_logits, best in ((False, over_superpoints, 0), (True, over_points, 1)):
        prediction = Prediction(torch.zeros(2, 2), mask_logits, at_points, None)
        assert rows(match(prediction, targets, belongs, MatchingConfig())) == [[best, 0]]
    twin = Prediction(torch.zeros(2, 2), torch.zeros(2, 2), False, None)
    assert rows(match(twin, targets, belongs, MatchingConfig())) == []
    assert rows(match(twin, targets, belongs, MatchingConfig(exact=True))) == [[0, 0]]


def test_half_precision_is_compared_in_full():
    targets = targets_of(point_masks=[[1, 1]], superpoint_masks=[[1, 1]])
    belongs = targets.belongs(torch.tensor([0, 1]))
    prediction = Prediction(torch.zeros(2, 2), torch.tensor([[8.0, 8.0], [8.01, 8.01]]), True, None)
    with torch.autocast("cpu", dtype=torch.bfloat16):  # has no 8.01
        assert rows(match(prediction, targets, belongs, MatchingConfig())) == [[1, 0]]
