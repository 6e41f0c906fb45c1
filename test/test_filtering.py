from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parity_cases import ParityCase, cases_of
from torch.testing import assert_close

from autoseg3d_ros.model.filtering import FilterConfig, filter_parts, filter_queries, matrix_nms

MATRIX_CASES = cases_of("nms_matrix")
FILTER_CASES = [case for case in cases_of("nms_") if not case.name.startswith("nms_matrix")]


@pytest.mark.parametrize("case", MATRIX_CASES, ids=lambda case: case.name)
def test_suppressed_as_published(case: ParityCase):
    masks, labels, scores = (torch.from_numpy(case.given(name)) for name in ("masks", "labels", "scores"))
    kernel = "gaussian" if "kernel=gaussian" in case.meta["function"] else "linear"
    order, score = matrix_nms(masks, labels, scores, kernel)
    assert order.tolist() == case.expected("order").tolist()
    assert labels[order].tolist() == case.expected("labels").tolist()
    assert_close(score, torch.from_numpy(case.expected("scores")), rtol=0, atol=2e-5)


@pytest.mark.parametrize("case", FILTER_CASES, ids=lambda case: case.name)
def test_filtered_as_published(case: ParityCase):
    filtered = filter_queries(
        torch.from_numpy(case.given("cls_logits")), torch.from_numpy(case.given("mask_logits")), FilterConfig()
    )
    assert filtered.query.tolist() == case.expected("kept").tolist()
    assert filtered.label.tolist() == case.expected("labels").tolist()
    assert torch.equal(filtered.mask, torch.from_numpy(case.expected("masks")))
    assert_close(filtered.score, torch.from_numpy(case.expected("scores")), rtol=0, atol=2e-5)


def logits(probability: list[list[float]]) -> torch.Tensor:
    """Return logits of which a softmax or sigmoid makes these probabilities."""
    values = torch.tensor(probability)
    return values.log() - (1 - values).log()


def classes(*probabilities: float) -> torch.Tensor:
    """Return class logits (Q, 2) of objects with these probabilities."""
    return torch.tensor([[p, 1 - p] for p in probabilities]).log()


@pytest.mark.parametrize("kernel", ["linear", "gaussian"])
@pytest.mark.parametrize(("num_masks", "num_points"), [(0, 0), (0, 5), (1, 0), (3, 0), (1, 5)])
def test_nothing_is_lost_where_nothing_overlaps(num_masks, num_points, kernel):
    score = torch.linspace(0.9, 0.5, num_masks)
    order, new = matrix_nms(torch.ones(num_masks, num_points), torch.zeros(num_masks, dtype=torch.int64), score, kernel)
    assert order.tolist() == list(range(num_masks))
    assert_close(new, score)


def test_three_masks_by_hand():
    masks = torch.tensor([[1.0, 1.0, 1.0, 0.0], [1.0, 1.0, 0.0, 0.0], [0.0, 1.0, 1.0, 1.0]])
    # IoU: 0 with 1 2/3, 0 with 2 1/2, 1 with 2 1/4. Better first: 0 (0.9), 2 (0.8), 1 (0.6).
    # 2 loses to 0: 1 - 1/2. 1 loses to 0: 1 - 2/3, to 2: (1 - 1/4) / (1 - 1/2) = 3/2; the least counts.
    order, score = matrix_nms(masks, torch.zeros(3, dtype=torch.int64), torch.tensor([0.9, 0.6, 0.8]))
    assert order.tolist() == [0, 2, 1]
    assert_close(score, torch.tensor([0.9, 0.4, 0.2]))


def test_masks_of_other_labels_do_not_count():
    order, score = matrix_nms(torch.ones(3, 4), torch.tensor([0, 1, 0]), torch.tensor([0.9, 0.8, 0.7]))
    assert order.tolist() == [0, 1, 2]
    assert_close(score, torch.tensor([0.9, 0.8, 0.0]))


@pytest.mark.parametrize("num_equal", [2, 3, 5])
def test_of_equal_hard_masks_the_best_remains(num_equal):
    apart = torch.tensor([[0.0, 0.0, 0.0, 1.0]])
    masks = torch.cat([torch.tensor([[1.0, 1.0, 1.0, 0.0]]).repeat(num_equal, 1), apart])
    order, score = matrix_nms(
        masks, torch.zeros(num_equal + 1, dtype=torch.int64), torch.linspace(0.9, 0.5, num_equal + 1)
    )
    assert order.tolist()[:2] == [0, num_equal]
    assert_close(score, torch.tensor([0.9, 0.5] + [0.0] * (num_equal - 1)))


@pytest.mark.parametrize("seed", range(5))
def test_equal_soft_masks_near_one_leave_no_negative_score(seed):
    mask = (15 + 0.5 * torch.randn(1000, generator=torch.Generator().manual_seed(seed))).sigmoid()
    score = torch.tensor([0.9, 0.8, 0.7, 0.6])  # in float32 the intersection of such masks can exceed their union
    _, new = matrix_nms(mask.expand(4, -1), torch.zeros(4, dtype=torch.int64), score)
    assert new[0] == score[0]
    assert ((new[1:] >= 0) & (new[1:] < 1e-5)).all()


@given(st.integers(1, 6), st.integers(1, 3), st.integers(0, 10_000), st.sampled_from(["linear", "gaussian"]))
def test_scores_only_fall_and_the_best_keeps_its_own(num_masks, num_labels, seed, kernel):
    generator = torch.Generator().manual_seed(seed)
    masks = torch.randint(0, 2, (num_masks, 4), generator=generator).float()  # many are equal, some are empty
    label = torch.randint(0, num_labels, (num_masks,), generator=generator)
    score = torch.rand(num_masks, generator=generator)
    order, new = matrix_nms(masks, label, score, kernel)
    assert sorted(order.tolist()) == list(range(num_masks))
    assert ((new >= 0) & (new <= score[order])).all()
    assert (new.diff() <= 0).all()
    assert new[0] == score.max()


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize(("num_queries", "num_points"), [(0, 0), (0, 10), (2, 0), (1, 10)])
def test_nothing_found(num_queries, num_points, num_classes):
    filtered = filter_queries(
        torch.zeros(num_queries, num_classes + 1), torch.zeros(num_queries, num_points), FilterConfig()
    )
    assert filtered.mask.shape == (0, num_points)
    assert filtered.query.shape == filtered.score.shape == filtered.label.shape == (0,)


def test_a_mask_needs_more_points_than_the_least_number():
    masks = torch.full((2, 9), -20.0)
    masks[0, :3] = 20.0
    masks[1, 5:] = 20.0
    filtered = filter_queries(classes(0.9, 0.8), masks, FilterConfig(min_points=3))
    assert filtered.query.tolist() == [1]
    assert filtered.mask.tolist() == [[False] * 5 + [True] * 4]


def test_a_point_needs_more_than_the_threshold():
    below, above = 0.39, 0.41
    masks = logits([[0.9, below, above, 0.5]])
    filtered = filter_queries(classes(0.9), masks, FilterConfig(min_points=0))
    assert filtered.mask.tolist() == [[True, False, True, True]]
    half = filter_queries(classes(0.9), torch.tensor([[5.0, 0.0]]), FilterConfig(min_points=0, mask_threshold=0.5))
    assert half.mask.tolist() == [[True, False]]  # exactly 0.5 is not more


def test_a_score_needs_more_than_the_threshold():
    masks = torch.full((1, 4), 100.0)  # sigmoid exactly 1
    score = filter_queries(torch.zeros(1, 2), masks, FilterConfig(min_points=0)).score
    above = FilterConfig(min_points=0, min_score=score.item())
    assert filter_queries(torch.zeros(1, 2), masks, above).score.shape == (0,)


def test_score_is_the_class_times_the_mean_of_the_points_inside():
    masks = logits([[0.9, 0.7, 0.45, 0.1]])
    filtered = filter_queries(classes(0.8), masks, FilterConfig(min_points=0))
    assert_close(filtered.score, torch.tensor([0.8 * 0.8]), rtol=0, atol=1e-5)


def test_a_query_may_be_objects_of_several_classes():
    class_logits = torch.tensor([[0.2, 0.1, 0.45, 0.25], [0.5, 0.35, 0.05, 0.1]]).log()
    masks = torch.tensor([[20.0, 20.0, -20.0, -20.0], [-20.0, -20.0, 20.0, 20.0]])
    filtered = filter_queries(class_logits, masks, FilterConfig(min_points=0))
    assert filtered.query.tolist() == [1, 0, 1]
    assert filtered.label.tolist() == [0, 2, 1]
    assert_close(filtered.score, torch.tensor([0.5, 0.45, 0.35]), rtol=0, atol=1e-5)


def test_only_the_best_pairs_of_query_and_class_go_on():
    masks = torch.full((3, 4), 20.0) * torch.eye(3, 4).mul(2).sub(1)
    filtered = filter_queries(classes(0.5, 0.9, 0.7), masks, FilterConfig(top_k=2, min_points=0))
    assert filtered.query.tolist() == [1, 2]


def test_void_lowers_the_score_and_the_rank():
    """The better class score is that of a wall."""
    masks = logits([[0.9, 0.9, 0.1, 0.1], [0.1, 0.1, 0.9, 0.9]])
    filtered = filter_queries(classes(0.9, 0.8), masks, FilterConfig(min_points=0), torch.tensor([0.9, 0.0]))
    assert filtered.query.tolist() == [1]
    assert_close(filtered.score, torch.tensor([0.72]))
    unaware = filter_queries(classes(0.9, 0.8), masks, FilterConfig(min_points=0))
    assert unaware.query.tolist() == [0, 1]


# ---------------------------------------------------------------------------------------------- parts of a partition


def parts(class_logits, part, superpoint, void=None, **changes):
    settings = FilterConfig(**{"min_points": 0, **changes})
    part, superpoint = (torch.tensor(ids, dtype=torch.int64) for ids in (part, superpoint))
    return filter_parts(class_logits, None if void is None else torch.tensor(void), part, superpoint, settings)


def test_a_part_has_the_probability_of_its_surest_query():
    """The others of an object are taught to be none; a network that has learnt it says so."""
    found = parts(classes(0.01, 0.9, 0.8, 0.01), [0, 1, 0, 0], [0, 0, 0, 1, 2, 3])
    assert_close(found.score, torch.tensor([0.9, 0.8]))  # the best part first
    assert found.mask.tolist() == [[False, False, False, True, False, False], [True, True, True, False, True, True]]
    assert found.label.tolist() == [0, 0]
    assert found.query.tolist() == [1, 2]


def test_a_small_superpoint_taken_for_something_makes_no_object_of_the_floor():
    floor = {"part": [0, 0], "superpoint": [0, 1, 1, 1]}
    assert len(parts(classes(0.9, 0.9), **floor, void=[0.0, 0.9]).query) == 0  # 0.9 * (1 - 0.675) is not above 0.3
    assert len(parts(classes(0.9, 0.9), **floor, void=[0.9, 0.0]).query) == 1


def test_the_query_that_is_surest_for_most_points_answers_for_a_part():
    assert parts(classes(0.8, 0.5, 0.6), [0, 0, 0], [0, 1, 1, 2]).query.tolist() == [1]
    assert parts(classes(0.8, 0.5), [0, 0], [0, 1]).query.tolist() == [0]
    assert parts(classes(0.8, 0.8), [0, 0], [1, 0]).query.tolist() == [0]  # the first of equals


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [[0], [1], [2]]),
        ({"min_score": 0.7}, [[0], [1]]),  # every value has to be exceeded
        ({"min_points": 1}, [[0], [2]]),
        ({"top_k": 1}, [[0]]),
        ({"min_score": 0.95}, []),
    ],
)
def test_parts_that_are_no_objects(changes, expected):
    found = parts(classes(0.9, 0.8, 0.7), [0, 1, 2], [0, 0, 1, 2, 2], **changes)
    assert found.query.tolist() == [query for (query,) in expected]
    assert found.mask.shape == (len(expected), 5)


def test_void_lowers_the_score_of_a_part_and_chooses_who_answers():
    found = parts(classes(0.9, 0.8), [0, 0], [0, 1], void=[0.5, 0.25])
    assert found.query.tolist() == [1]
    assert_close(found.score, torch.tensor([0.9 * (0.5 + 0.75) / 2]))


def test_a_part_has_the_class_of_its_surest_query():
    class_logits = torch.tensor([[0.5, 0.1, 0.4], [0.2, 0.6, 0.2]]).log()
    assert parts(class_logits, [0, 0], [0, 0, 1]).label.tolist() == [1]
    assert parts(class_logits[:1], [0], [0, 0]).label.tolist() == [0]


@pytest.mark.parametrize(("part", "superpoint"), [([], []), ([0], []), ([0, 0], [])])
def test_parts_without_a_point(part, superpoint):
    found = parts(torch.zeros(len(part), 2), part, superpoint)
    assert found.mask.shape == (0, 0) and len(found.query) == len(found.score) == len(found.label) == 0
