from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase
from published_modules import load
from torch import Tensor

from autoseg3d_ros.memory.long_term import Affinity, LongTermMemory, TrackEmbeddings
from autoseg3d_ros.model.decoder import Prediction
from autoseg3d_ros.training.loss_weights import LossWeights
from autoseg3d_ros.training.matcher import MatchingConfig, Pairs, match
from autoseg3d_ros.training.targets import NOTHING, FrameTargets
from autoseg3d_ros.training.track_losses import TrackedFrame, follow, gate_loss, match_loss, track_losses

# Published name -> ours.
GRADIENTS = {
    "embed_trans.weight": "match_logit.weight",
    "embed_trans.bias": "match_logit.bias",
    "embed_trans2.weight": "gate_logit.weight",
    "embed_trans2.bias": "gate_logit.bias",
    "query_inter.gen_tau.weight": "distance_weight.weight",
    "tracklet_trans.norm.weight": "track_embedding.norm.weight",
    "detector_trans.norm.weight": "detection_embedding.norm.weight",
    "box_trans.0.weight": "box_embedding.0.weight",
    "rel_dist_embed.0.weight": "iou_embedding.0.weight",
}


def published_frame(case: ParityCase, number: int) -> TrackedFrame:
    def read(name: str) -> Tensor:
        return torch.from_numpy(case.given(f"{name}_b0_t{number}"))

    belongs, object_row = read("query_masks").T, read("point_instance").long()
    num_queries, num_objects = belongs.shape
    targets = FrameTargets(
        point_masks=object_row == torch.arange(num_objects)[:, None],
        superpoint_masks=belongs.T,
        box_m=torch.zeros(num_objects, 6),
        label=torch.zeros(num_objects, dtype=torch.int64),
        semantic=torch.full((num_queries,), NOTHING),
        fragment=torch.full((num_queries,), NOTHING),
        void=torch.zeros(num_queries, dtype=torch.bool),
    )
    prediction = Prediction(read("cls"), read("masks").float(), at_points=True, box_m=None)
    box_m = read("boxes") + torch.nn.functional.pad(read("centroids"), (0, 3))
    pairs = match(prediction, targets, belongs, MatchingConfig())
    return TrackedFrame(read("queries").float(), box_m, belongs, pairs)


@parity_cases.parametrize("loss_ltm_")
def test_published_numbers(case: ParityCase) -> None:
    memory = load(LongTermMemory(), "long_term.", int(case.given("weight_seed")))
    frames = [published_frame(case, number) for number in range(int(case.given("n_frames")))]
    compared = list(enumerate(follow(memory, frames, "ema")))
    close = {"rtol": 0, "atol": 2e-5}
    for kind, value_of in (("asso", match_loss), ("gate", gate_loss)):
        attribute = "match" if kind == "asso" else "gate"
        calls = [(t, getattr(each, f"{attribute}_logit"), getattr(each, f"{attribute}_target")) for t, each in compared]
        calls = [call for call in calls if call[1].numel()]
        assert len(calls) == case.expected(f"{kind}_n")
        for number, (t, logit, target) in enumerate(calls):
            assert t == case.expected(f"{kind}_frame_{number}")
            assert target.int().tolist() == case.expected(f"{kind}_target_{number}").tolist()
            expected = case.expected(f"{kind}_logits_{number}")
            # From 13 detections on, the published distances are off by up to millimetres.
            np.testing.assert_allclose(logit.detach(), expected, rtol=0, atol=2e-5 if len(logit) < 13 else 2e-4)
            np.testing.assert_allclose(value_of(logit, target).item(), case.expected(f"{kind}_value_{number}"), **close)

    weights, losses = LossWeights(), track_losses(memory, frames, "ema")
    np.testing.assert_allclose(weights.track_match * losses.match.item(), case.expected("loss_asso"), **close)
    np.testing.assert_allclose(weights.track_gate * losses.gate.item(), case.expected("loss_rel_asso"), **close)
    (weights.track_match * losses.match + weights.track_gate * losses.gate).backward()
    gradients = {name: parameter.grad for name, parameter in memory.named_parameters()}
    for published, name in GRADIENTS.items():
        expected = case.expected(f"grad_{published}")
        tolerance = 2e-5 * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradients[name], expected, rtol=0, atol=tolerance, err_msg=name)


class Echo(LongTermMemory):
    """Stores and compares what it is given; the logit of a pair is the product, so that tracks can be read."""

    def embed(self, embedding: Tensor, box_m: Tensor) -> TrackEmbeddings:
        return TrackEmbeddings(embedding, torch.ones_like(embedding))

    def affinity(self, to_match: Tensor, box_m: Tensor, track_embedding: Tensor, track_box_m: Tensor) -> Affinity:
        product = to_match @ track_embedding.T
        return Affinity(product, -product, product)


class EchoOrNone(Echo):
    """The same with a dustbin, whose logit is 6."""

    def affinity(self, to_match: Tensor, box_m: Tensor, track_embedding: Tensor, track_box_m: Tensor) -> Affinity:
        pairs = super().affinity(to_match, box_m, track_embedding, track_box_m)
        return replace(pairs, none_logit=torch.full((len(to_match), 1), 6.0))


def echo() -> Echo:
    return Echo(width=4, num_heads=1)


def frame(values: list[float], of_object: list[int], num_objects: int, matched: list[int]) -> TrackedFrame:
    """Return queries whose embedding is a number, of objects or NOTHING; `matched` are the queries that detect."""
    query = torch.tensor(matched, dtype=torch.int64)
    owner = torch.tensor(of_object, dtype=torch.int64)
    return TrackedFrame(
        embedding=torch.tensor(values, dtype=torch.float32)[:, None],
        box_m=torch.zeros(len(values), 6),
        belongs=owner[:, None] == torch.arange(num_objects),
        matched=Pairs(query, owner[query]),
    )


CLIP = [
    frame([8, 5], [2, NOTHING], 3, matched=[0]),  # object 2 is born
    frame([4, 6, 1], [0, 2, 2], 3, matched=[0, 1]),  # object 0 is born, object 2 seen again
    frame([], [], 3, matched=[]),
    frame([1, 1, 1], [1, 2, 0], 3, matched=[0, 1, 2]),
    frame([1], [NOTHING], 3, matched=[]),
]


@pytest.mark.parametrize(
    ("rule", "tracks"),  # what is stored of objects 2, 0 and 1 before each frame
    [
        ("ema", [[], [8], [7, 4], [7, 4], [4, 2.5, 1]]),
        ("count", [[], [8], [7, 4], [7, 4], [5, 2.5, 1]]),
    ],
)
def test_tracks_by_hand(rule, tracks):
    compared = follow(echo(), CLIP, rule)
    for each, frame_, stored in zip(compared, CLIP, tracks, strict=True):
        assert each.gate_logit.tolist() == [[-value for value in stored]] * len(frame_.embedding)
    assert [each.match_target.tolist() for each in compared] == [[], [0], [], [0, 1], []]
    assert compared[1].gate_target.int().tolist() == [[0], [1], [1]]
    assert compared[3].gate_target.int().tolist() == [[0, 0], [1, 0], [0, 1]]
    assert compared[3].match_logit.tolist() == [[7, 4], [7, 4]]  # the newborn is not among the rows


def test_with_a_dustbin_what_is_new_is_none_of_the_tracks():
    compared = follow(EchoOrNone(width=4, num_heads=1, dustbin=True), CLIP, "count")
    assert [each.match_target.tolist() for each in compared] == [[0], [1, 0], [], [2, 0, 1], []]
    assert compared[0].match_logit.tolist() == [[6]]  # it can only be new: no loss
    assert compared[1].match_logit.tolist() == [[8, 6], [8, 6]]
    assert compared[3].match_logit.tolist() == [[7, 4, 6]] * 3
    without = follow(echo(), CLIP, "count")
    for each, other in zip(compared, without, strict=True):
        assert each.gate_logit.equal(other.gate_logit) and each.gate_target.equal(other.gate_target)


LOG_2 = float(np.log(2))


@pytest.mark.parametrize(
    ("logit", "target", "expected"),
    [
        (np.zeros((0, 0)), [], 0),
        (np.zeros((0, 3)), [], 0),
        ([[5.0]], [0], 0),  # one track: it must be this one
        ([[0.0, 0], [0, np.log(3)]], [0, 1], (LOG_2 + np.log(4 / 3)) / 2),
    ],
)
def test_match_loss_by_hand(logit, target, expected):
    loss = match_loss(torch.tensor(logit), torch.tensor(target, dtype=torch.int64))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("logit", "target", "expected"),
    [
        (np.zeros((0, 2)), np.zeros((0, 2), bool), 0),
        (np.zeros((2, 0)), np.zeros((2, 0), bool), 0),
        ([[0.0, 0]], [[True, False]], LOG_2),
        ([[99.0, -99], [99, -99]], [[True, False], [False, False]], 99 / 4),
    ],
)
def test_gate_loss_by_hand(logit, target, expected):
    assert gate_loss(torch.tensor(logit), torch.tensor(target)).item() == pytest.approx(expected, abs=1e-6)


def test_losses_are_sums_over_the_frames():
    losses = track_losses(echo(), CLIP, "count")
    three_to_one = np.log1p(np.exp(-3)), np.log1p(np.exp(3))
    assert losses.match.item() == pytest.approx(0 + sum(three_to_one) / 2, rel=1e-5)

    def bce(logit: float, target: bool) -> float:
        return float(np.log1p(np.exp(-logit if target else logit)))

    second = (bce(-8, False) + bce(-8, True) + bce(-8, True)) / 3
    fourth = (2 * bce(-7, False) + bce(-7, True) + 2 * bce(-4, False) + bce(-4, True)) / 6
    fifth = (bce(-5, False) + bce(-2.5, False) + bce(-1, False)) / 3
    assert losses.gate.item() == pytest.approx(second + fourth + fifth, rel=1e-5)


def random_clip(num_queries: list[int], width: int = 16) -> list[TrackedFrame]:
    torch.manual_seed(1)
    clip = [frame([0.0] * num, [q % 3 for q in range(num)], 3, list(range(min(num, 3)))) for num in num_queries]
    return [
        replace(each, embedding=torch.randn(len(each.embedding), width), box_m=torch.rand(len(each.embedding), 6))
        for each in clip
    ]


@pytest.mark.parametrize("dustbin", [False, True])
@pytest.mark.parametrize("num_queries", [[0], [1], [4], [0, 0], [0, 4, 0, 4], [1, 1], [4, 0, 5]])
def test_every_clip_is_legal_and_has_gradients(num_queries, dustbin):
    torch.manual_seed(0)
    memory = LongTermMemory(16, 2, dustbin)
    losses = track_losses(memory, random_clip(num_queries), "count")
    assert torch.isfinite(losses.match) and torch.isfinite(losses.gate)
    (losses.match + losses.gate).backward()


@pytest.mark.parametrize("dustbin", [False, True])
def test_every_parameter_learns_and_through_time(dustbin):
    torch.manual_seed(0)
    memory = LongTermMemory(16, 2, dustbin)
    clip = random_clip([4, 4, 4])
    clip[0].embedding.requires_grad_()
    losses = track_losses(memory, clip, "count")
    (losses.match + losses.gate).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in memory.parameters())
    first = clip[0].embedding.grad
    assert first is not None and first[:3].abs().sum() > 0  # nothing is held against tracks in the first frame itself


def test_half_precision_is_judged_in_full():
    torch.manual_seed(0)
    memory, clip = LongTermMemory(16, 2), random_clip([4, 4])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = track_losses(memory, clip, "count")
    expected = track_losses(memory, clip, "count")
    assert (got.match.item(), got.gate.item()) == (expected.match.item(), expected.gate.item())
