from __future__ import annotations

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase

from autoseg3d_ros.training.contrastive import TEMPERATURE, contrastive_loss, directed_loss
from autoseg3d_ros.training.loss_weights import LossWeights

WITH_GRADIENTS = ("loss_contrastive_00",)


def clip(case: ParityCase, sample: int) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    frames = range(int(case.given("frames")))
    names = [f"b{sample}_t{t}" for t in frames]
    embeddings = [torch.from_numpy(case.given(f"feats_{name}")).requires_grad_() for name in names]
    return embeddings, [torch.from_numpy(case.given(f"query_masks_{name}")).T for name in names]


@parity_cases.parametrize("loss_contrastive_")
def test_published_numbers(case: ParityCase) -> None:
    clips = [clip(case, sample) for sample in range(int(case.given("batch")))]
    loss = LossWeights().contrastive * torch.stack([contrastive_loss(*each) for each in clips]).mean()
    np.testing.assert_allclose(loss.item(), case.expected("merge_loss"), rtol=1e-3)
    pairs = case.expected("pair_losses")  # (samples, frames, 2): towards the next frame, towards the one before
    for (embeddings, belongs), expected in zip(clips, pairs, strict=True):
        for t in range(len(embeddings) - 1):
            both = contrastive_loss(embeddings[t : t + 2], belongs[t : t + 2]).item()
            np.testing.assert_allclose(both, expected[t, 0] + expected[t + 1, 1], rtol=1e-3)
    if case.name in WITH_GRADIENTS:
        loss.backward()
        for sample, (embeddings, _) in enumerate(clips):
            for t, embedding in enumerate(embeddings):
                expected = case.expected(f"grad_feats_b{sample}_t{t}")
                np.testing.assert_allclose(embedding.grad, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


X, Y = [1.0, 0.0], [0.0, 1.0]


@pytest.mark.parametrize(
    ("mean", "seen", "other_mean", "other_seen", "expected"),
    [
        ([X, Y], [False, False], [X, Y], [True, True], 0.0),
        ([X, Y], [True, False], [X, Y], [False, True], 0.0),  # none is in both
        ([X, Y], [True, False], [X, Y], [True, False], 0.0),  # nothing to confuse it with
        ([X, Y], [True, True], [X, Y], [True, True], np.log1p(np.exp(-1 / TEMPERATURE))),
        ([X, Y], [True, False], [X, X], [True, True], np.log(2)),  # the other one is a column, not a row
        ([X, Y], [True, True], [X, X], [True, False], 0.0),
    ],
)
def test_one_direction_by_hand(mean, seen, other_mean, other_seen, expected):
    loss = directed_loss(*(torch.tensor(value) for value in (mean, seen, other_mean, other_seen)))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_an_object_is_the_mean_of_its_queries():
    # Object 0 has two queries in the first frame, whose mean is (½, ½); object 1 has none there.
    embeddings = [torch.tensor([X, Y]), torch.tensor([X, Y])]
    belongs = [torch.tensor([[True, False], [True, False]]), torch.tensor([[True, False], [False, True]])]
    assert contrastive_loss(embeddings, belongs).item() == pytest.approx(np.log(2), rel=1e-5)  # there; back: 0


@pytest.mark.parametrize(
    ("num_queries", "num_objects"),
    [((0,), 0), ((3,), 2), ((0, 0), 0), ((0, 3), 2), ((2, 2), 0), ((1, 1), 1)],
)
def test_legal_and_zero(num_queries, num_objects):
    embeddings = [torch.ones(num, 4, requires_grad=True) for num in num_queries]
    loss = contrastive_loss(embeddings, [torch.ones(num, num_objects, dtype=torch.bool) for num in num_queries])
    if num_objects < 2 or 0 in num_queries or len(num_queries) < 2:
        assert loss.item() == 0
    loss.backward()
    assert all(torch.isfinite(embedding.grad).all() for embedding in embeddings if embedding.grad is not None)


def test_half_precision_is_judged_in_full():
    torch.manual_seed(0)
    embeddings = [torch.randn(4, 8), torch.randn(4, 8)]
    belongs = [torch.eye(4, dtype=torch.bool)] * 2
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = contrastive_loss(embeddings, belongs)
    assert got.item() == contrastive_loss(embeddings, belongs).item()
