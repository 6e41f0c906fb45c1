from __future__ import annotations

import numpy as np
import pytest
import torch
from parity_cases import ParityCase, cases_of
from published_modules import load

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.long_term import Affinity, LongTermMemory

CPU_AND_CUDA = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
# The other two run over many frames: `tracking` reads them.
ONE_FRAME = [case for case in cases_of("ltm_") if case.name not in ("ltm_sequence", "ltm_revival")]


def small(width=16, num_heads=4):
    torch.manual_seed(0)
    return LongTermMemory(width, num_heads).eval()


def boxes(num, extent_m=3.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    center_m = extent_m * torch.rand(num, 3, generator=generator)
    return torch.cat((center_m, 0.2 + torch.rand(num, 3, generator=generator)), dim=1)


@pytest.mark.parametrize("case", ONE_FRAME, ids=lambda case: case.name)
@torch.no_grad()
def test_published_numbers(case: ParityCase) -> None:
    memory = load(LongTermMemory(), "long_term.", case.meta["weights_seed"], case.meta.get("weight_overrides"))
    embedding, box_m, track_embedding, track_box_m = (
        torch.from_numpy(case.given(name)) for name in ("det_embedding", "det_box", "track_embedding", "track_box")
    )
    embeddings = memory.embed(embedding, box_m)
    affinity = memory.affinity(embeddings.to_match, box_m, track_embedding, track_box_m)
    token = torch.cat((memory.track_embedding(embedding), memory.detection_embedding(embedding)))
    got = {
        "u": token[: len(embedding)],
        "o": token[len(embedding) :],
        "pos": memory.box_embedding(box_m),
        "tau": memory.distance_weight(token),
        "u2": embeddings.to_store,
        "o2": embeddings.to_match,
        "iou": affinity.iou,
        "match_logit": affinity.match_logit,
        "gate_logit": affinity.gate_logit,
        "M": affinity.match,
        "C": affinity.gate,
        "A": affinity.product,
        "final_score": affinity.score,
    }
    relative = 1e-3 if case.name == "ltm_many" else 2e-5
    for name, value in got.items():
        tolerance = relative * max(1.0, case.meta["max_abs_value"].get(name, 1.0))
        np.testing.assert_allclose(value.numpy(), case.expected(name), rtol=0, atol=tolerance, err_msg=name)


def test_softmax_times_gate_by_hand():
    third = float(np.log(3))
    affinity = Affinity(
        match_logit=torch.tensor([[0.0, third, 0.0], [0.0, 0.0, -1e9]]),
        gate_logit=torch.tensor([[0.0, third, -third], [0.0, 1e9, 0.0]]),
        iou=torch.tensor([[1.0, 0.5, 0.0], [0.0, 0.2, 1.0]]),
    )
    close = {"rtol": 0, "atol": 1e-6}
    torch.testing.assert_close(affinity.match, torch.tensor([[0.2, 0.6, 0.2], [0.5, 0.5, 0.0]]), **close)
    torch.testing.assert_close(affinity.gate, torch.tensor([[0.5, 0.75, 0.25], [0.5, 1.0, 0.5]]), **close)
    torch.testing.assert_close(affinity.product, torch.tensor([[0.1, 0.45, 0.05], [0.25, 0.5, 0.0]]), **close)
    torch.testing.assert_close(affinity.score, torch.tensor([[0.1, 0.225, 0.0], [0.0, 0.1, 0.0]]), **close)


def test_none_of_the_tracks_by_hand():
    """Weights 1, 3, 0 and, of none, 2; then a detection whose best track is as likely as none."""
    logit = torch.tensor([[1.0, 3.0, 1e-9], [2.0, 1.0, 1.0]]).log()
    zeros = torch.zeros(2, 3)
    affinity = Affinity(logit, zeros, torch.ones(2, 3), none_logit=torch.tensor([[2.0], [2.0]]).log())
    expected = torch.tensor([[0.0, 0.5, 0.0], [0.0, 0.0, 0.0]])
    torch.testing.assert_close(affinity.match, expected)
    torch.testing.assert_close(affinity.score, expected / 2)
    torch.testing.assert_close(affinity.choice_logit.exp()[:, 3], torch.tensor([2.0, 2.0]))
    assert Affinity(logit, zeros, zeros).choice_logit is logit


def test_a_dustbin_changes_nothing_else():
    plain, memory = small(), LongTermMemory(16, 4, dustbin=True)
    missing, unknown = memory.load_state_dict(plain.state_dict(), strict=False)
    assert (missing, unknown) == (["none_logit.weight", "none_logit.bias"], [])
    given = torch.randn(5, 16), boxes(5), torch.randn(7, 16), boxes(7, seed=1)
    one, other = plain.affinity(*given), memory.affinity(*given)
    assert one.none_logit is None
    assert torch.equal(one.match_logit, other.match_logit) and torch.equal(one.gate_logit, other.gate_logit)
    share = other.choice_logit.softmax(dim=1)
    assert share.shape == (5, 8)
    torch.testing.assert_close(share[:, 7:].log() - share[:, :1].log(), other.none_logit - other.match_logit[:, :1])


@pytest.mark.parametrize("device", CPU_AND_CUDA)
def test_logits_are_those_of_product_plus_overlap_for_every_pair(device):
    memory = small().to(device)
    box_m, track_box_m = boxes(5).to(device), boxes(7, seed=1).to(device)
    to_match, track = torch.randn(5, 16, device=device), torch.randn(7, 16, device=device)
    iou = box_iou(box_m, track_box_m)
    assert 0 < (iou > 0).sum() < iou.numel()
    fused = to_match[:, None] * track + memory.iou_embedding(iou[..., None])  # (D, T, w)
    affinity = memory.affinity(to_match, box_m, track, track_box_m)
    close = {"rtol": 0, "atol": 1e-4 if device == "cuda" else 1e-5}
    torch.testing.assert_close(affinity.match_logit, memory.match_logit(fused)[..., 0], **close)
    torch.testing.assert_close(affinity.gate_logit, memory.gate_logit(fused)[..., 0], **close)


@pytest.mark.parametrize("device", CPU_AND_CUDA)
@pytest.mark.parametrize("dustbin", [False, True])
@pytest.mark.parametrize(("num_detections", "num_tracks"), [(0, 0), (0, 3), (2, 0), (1, 1), (2, 3)])
def test_any_number_of_detections_and_tracks(num_detections, num_tracks, dustbin, device):
    memory = LongTermMemory(16, 4, dustbin).eval().to(device)
    box_m, track_box_m = boxes(num_detections).to(device), boxes(num_tracks, seed=1).to(device)
    embeddings = memory.embed(torch.randn(num_detections, 16, device=device), box_m)
    assert embeddings.to_store.shape == embeddings.to_match.shape == (num_detections, 16)
    affinity = memory.affinity(embeddings.to_match, box_m, torch.randn(num_tracks, 16, device=device), track_box_m)
    for matrix in (affinity.match, affinity.gate, affinity.product, affinity.score, affinity.iou):
        assert matrix.shape == (num_detections, num_tracks)
        assert matrix.isfinite().all()
    if num_tracks and not dustbin:
        torch.testing.assert_close(affinity.match.sum(dim=1), torch.ones(num_detections, device=device))


def test_order_does_not_matter():
    memory, embedding, box_m = small(), torch.randn(5, 16), boxes(5)
    track, track_box_m = torch.randn(4, 16), boxes(4, seed=1)
    shuffled, tracks_shuffled = torch.tensor([3, 0, 4, 1, 2]), torch.tensor([2, 0, 3, 1])
    embeddings, of_shuffled = memory.embed(embedding, box_m), memory.embed(embedding[shuffled], box_m[shuffled])
    torch.testing.assert_close(of_shuffled.to_store, embeddings.to_store[shuffled])
    expected = memory.affinity(embeddings.to_match, box_m, track, track_box_m).score[shuffled][:, tracks_shuffled]
    got = memory.affinity(
        of_shuffled.to_match, box_m[shuffled], track[tracks_shuffled], track_box_m[tracks_shuffled]
    ).score
    torch.testing.assert_close(got, expected)


def test_a_detection_sees_its_neighbours_and_hardly_what_is_far():
    memory = small()
    torch.nn.init.ones_(memory.distance_weight.bias)
    box_m, embedding = boxes(2, extent_m=0.5), torch.randn(2, 16)
    alone = memory.embed(embedding[:1], box_m[:1]).to_match
    far_m = torch.tensor([0.0, 0, 100, 0, 0, 0])
    beside_far = memory.embed(embedding, torch.stack((box_m[0], box_m[1] + far_m))).to_match[:1]
    torch.testing.assert_close(beside_far, alone)
    assert not torch.allclose(memory.embed(embedding, box_m).to_match[:1], alone, atol=1e-3)


@pytest.mark.parametrize(("width", "num_heads", "num_parameters"), [(256, 8, 929_546), (128, 4, None)])
def test_size_and_gradients(width, num_heads, num_parameters):
    torch.manual_seed(0)
    memory = LongTermMemory(width, num_heads)
    if num_parameters is not None:
        assert sum(parameter.numel() for parameter in memory.parameters()) == num_parameters
    embeddings = memory.embed(torch.randn(6, width), boxes(6))
    affinity = memory.affinity(embeddings.to_match, boxes(6), embeddings.to_store.roll(1, 0), boxes(6, seed=2))
    (affinity.match_logit + affinity.gate_logit).square().sum().backward()
    assert [name for name, p in memory.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6] == []
