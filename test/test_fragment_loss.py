from __future__ import annotations

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase
from published_modules import load

from autoseg3d_ros.memory.fragments import FragmentMerging, Fragments, cluster
from autoseg3d_ros.memory.partition import DecodedFragments, FragmentPartition
from autoseg3d_ros.model.decoder import DecoderConfig, QueryDecoder
from autoseg3d_ros.training.fragment_loss import fragment_loss, pair_loss, pair_target
from autoseg3d_ros.training.targets import NOTHING, ClipObjects, PointTruth, frame_targets

# Published name -> ours.
GRADIENTS = {
    "merge_embed_trans.weight": "merge_logit.weight",
    "merge_embed_trans.bias": "merge_logit.bias",
    "merge_fusion.gate.bias": "gate.bias",
    "merge_dist_embed.0.weight": "iou_embedding.0.weight",
    "merge_query_inter.norm1.weight": "interaction.norm.weight",
}


def fragments_of(superpoint: torch.Tensor, object_row: torch.Tensor) -> torch.Tensor:
    num_objects = int(object_row.max()) + 1
    objects = ClipObjects(torch.zeros(num_objects, 6), torch.zeros(num_objects, dtype=torch.int64))
    truth = PointTruth(object_row, torch.full_like(object_row, NOTHING))
    return frame_targets(truth, superpoint, int(superpoint.max()) + 1, objects, num_semantics=1).fragment


def fragments(embedding: torch.Tensor, box_m: torch.Tensor) -> Fragments:
    return Fragments(embedding, torch.zeros(len(embedding), 2), box_m)


def decoded(embedding: torch.Tensor, box_m: torch.Tensor) -> DecodedFragments:
    num = len(embedding)
    share, void, borders = (embedding @ embedding.T).sigmoid(), embedding[:, 0].sigmoid(), torch.zeros(num, num, 7)
    return DecodedFragments(embedding, box_m, box_m[:, :3], box_m, share, void, borders)


def loss_of(merging, embedding, box_m, fragment, is_void=False):
    void = torch.as_tensor(is_void).expand(len(fragment)) & (fragment == NOTHING)
    described = (decoded if isinstance(merging, FragmentPartition) else fragments)(embedding, box_m)
    return fragment_loss(merging, described, fragment, void)


@parity_cases.parametrize("loss_lmi_")
def test_published_numbers(case: ParityCase) -> None:
    seed = int(case.given("weight_seed"))
    merging = load(FragmentMerging(), "fragment_merging.", seed)
    decoder = load(QueryDecoder(DecoderConfig()), "decoder.", seed)
    superpoint, object_row = (
        torch.from_numpy(case.given(name)).long() for name in ("superpoints_0", "point_instance_0")
    )
    queries, centroid_m = (torch.from_numpy(case.given(name)).float() for name in ("queries_0", "centroids_0"))
    with torch.no_grad():
        embedding = decoder.norm(queries)
        box_m = decoder._boxes(embedding, centroid_m, centroid_m)
    assert box_m is not None
    offset_m = torch.cat((box_m[:, :3] - centroid_m, box_m[:, 3:]), dim=1)
    np.testing.assert_allclose(offset_m, case.expected("pred_boxes_0"), rtol=0, atol=1e-5)

    fragment = fragments_of(superpoint, object_row)
    kept = fragment != NOTHING
    assert torch.arange(len(fragment))[kept].tolist() == case.expected("target_superpoints_0").tolist()
    assert pair_target(fragment[kept]).int().tolist() == case.expected("target_0").tolist()

    loss = loss_of(merging, embedding, box_m, fragment)
    np.testing.assert_allclose(loss.item(), case.expected("loss"), rtol=0, atol=2e-6)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in merging.named_parameters()}
    for published, name in GRADIENTS.items():
        expected = case.expected(f"grad_{published}")
        tolerance = 2e-5 * max(1.0, np.abs(expected).max())
        np.testing.assert_allclose(gradients[name], expected, rtol=0, atol=tolerance, err_msg=name)


@parity_cases.parametrize("util_pairwise_target_")
def test_published_pair_target(case: ParityCase) -> None:
    groups = [case.given(f"group_{number}") for number in range(int(case.given("n_groups")))]
    fragment = torch.full((int(max(group.max() for group in groups)) + 1,), NOTHING)
    for number, group in enumerate(groups):
        fragment[group] = number
    kept = fragment != NOTHING
    assert torch.arange(len(fragment))[kept].tolist() == case.expected("ids").tolist()
    assert pair_target(fragment[kept]).int().tolist() == case.expected("mask").tolist()


@parity_cases.parametrize("util_cluster_")
def test_published_clusters(case: ParityCase) -> None:
    label = cluster(torch.from_numpy(case.given("similarity"))).tolist()
    assert [label.index(each) for each in label] == case.expected("first_member").tolist()


KINDS = (FragmentMerging, FragmentPartition)
LOG_2 = float(np.log(2))


@pytest.mark.parametrize(
    ("logit", "fragment", "expected"),
    [
        (np.zeros((0, 0)), [], 0),
        ([[0.0]], [3], LOG_2),
        ([[0.0, 0], [0, 0]], [3, 3], LOG_2),  # four true pairs
        ([[0.0, 0], [0, 0]], [3, 1], 2 * LOG_2),  # two true pairs of four
        ([[99.0, -99], [-99, 99]], [0, 1], 0),
        ([[99.0, 99], [-99, 99]], [0, 1], 99 / 2),
    ],
)
def test_pair_loss_by_hand(logit, fragment, expected):
    target = pair_target(torch.tensor(fragment, dtype=torch.int64))
    counted = torch.ones_like(target)
    loss = pair_loss(torch.tensor(logit, dtype=torch.float32), target, counted)
    assert loss.item() == pytest.approx(expected, abs=1e-5)


def test_pairs_that_are_not_asked_for_do_not_count():
    logit, target = torch.tensor([[0.0, 5.0], [5.0, 9.0]]), torch.eye(2, dtype=torch.bool)
    counted = torch.tensor([[True, False], [False, False]])
    assert pair_loss(logit, target, counted).item() == pytest.approx(LOG_2)


def tiny(kind=FragmentMerging):
    torch.manual_seed(0)
    return kind(width=16, num_heads=2)


@pytest.mark.parametrize("is_void", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fragment", [[], [NOTHING], [0], [NOTHING, NOTHING], [0, 0], [0, NOTHING, 1, 0]])
def test_every_frame_is_legal(fragment, kind, is_void):
    merging, num = tiny(kind), len(fragment)
    given = torch.randn(num, 16), torch.rand(num, 6), torch.tensor(fragment, dtype=torch.int64)
    loss = loss_of(merging, *given, is_void)
    loss.backward()
    assert torch.isfinite(loss) and (loss > 0) == any(each != NOTHING for each in fragment)


@pytest.mark.parametrize(("kind", "is_void"), [(FragmentMerging, True), (FragmentPartition, False)])
def test_superpoints_of_nothing_change_nothing(kind, is_void):
    merging, embedding, box_m = tiny(kind), torch.randn(4, 16), torch.rand(4, 6)
    fragment = torch.tensor([0, NOTHING, 1, 0])
    rows = torch.tensor([0, 2, 3])
    apart = loss_of(merging, embedding[rows], box_m[rows], fragment[rows])
    assert loss_of(merging, embedding, box_m, fragment, is_void).item() == pytest.approx(apart.item(), rel=1e-6)


def test_in_a_partition_void_is_learned_to_be_a_part_of_nothing():
    merging, embedding, box_m = tiny(FragmentPartition), torch.randn(3, 16), torch.rand(3, 6)
    losses = torch.nn.functional.softplus(merging.logits(decoded(embedding, box_m)))  # of "not one object"
    fragment = torch.tensor([0, NOTHING, NOTHING])
    own = torch.nn.functional.softplus(-merging.logits(decoded(embedding, box_m))[0, 0])
    expected = own + losses[0, 1] + losses[0, 2] + losses[1, 0] + losses[2, 0]  # void with void is not asked
    assert loss_of(merging, embedding, box_m, fragment, True).item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_every_parameter_learns(kind):
    merging = tiny(kind)
    loss_of(merging, torch.randn(5, 16), torch.rand(5, 6) + 0.5, torch.tensor([0, 0, 1, 1, 2])).backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in merging.parameters())


def test_half_precision_is_judged_in_full():
    merging, embedding, box_m = tiny(), torch.randn(3, 16), torch.rand(3, 6)
    fragment = torch.tensor([0, 0, 1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = loss_of(merging, embedding, box_m, fragment)
    assert got.item() == loss_of(merging, embedding, box_m, fragment).item()
