"""Cues of place: distances to boxes, attention that falls with the distance, the size of superpoints."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.memory.interaction import distance_weight
from autoseg3d_ros.model.decoder import DecoderConfig, QueryDecoder
from autoseg3d_ros.model.places import (
    BoxPenalty,
    Places,
    SizeEmbedding,
    distance_to_boxes,
    hull_boxes,
    near_first,
    refined_boxes,
)
from autoseg3d_ros.model.pooling import GeometricPooling

SMALL = DecoderConfig(in_channels=8, width=16, num_heads=4, hidden=32, num_semantics=5, has_places=True)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(
    ("point_m", "distance_m"),
    [
        ((0.0, 0.0, 0.0), 0.0),
        ((1.0, 0.5, 0.25), 0.0),  # on a corner
        ((2.0, 0.0, 0.0), 1.0),
        ((-4.0, 4.5, 0.0), 5.0),  # 3 and 4 outside
        ((2.0, 2.5, 2.25), 3.0),  # 1, 2 and 2
    ],
)
def test_distance_to_a_box_of_2_by_1_by_half_a_metre(point_m, distance_m):
    box_m = torch.tensor([[0.0, 0.0, 0.0, 2.0, 1.0, 0.5]])
    assert distance_to_boxes(box_m, torch.tensor([point_m])).item() == pytest.approx(distance_m)


@pytest.mark.parametrize(("num_boxes", "num_points"), [(0, 0), (0, 3), (2, 0)])
def test_no_boxes_or_no_points(num_boxes, num_points):
    assert distance_to_boxes(torch.zeros(num_boxes, 6), torch.zeros(num_points, 3)).shape == (num_boxes, num_points)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**16))
def test_no_point_of_a_box_is_nearer_than_its_distance(seed):
    generator = torch.Generator().manual_seed(seed)
    box_m = torch.rand(4, 6, generator=generator) * 3
    xyz_m = torch.randn(7, 3, generator=generator) * 3
    inside_m = box_m[:, None, :3] + (torch.rand(4, 50, 3, generator=generator) - 0.5) * box_m[:, None, 3:]
    nearest_m = torch.cdist(xyz_m.expand(4, 7, 3), inside_m).amin(dim=2)
    assert (distance_to_boxes(box_m, xyz_m) <= nearest_m + 1e-5).all()


def test_a_penalty_is_at_first_the_same_for_all_queries_and_does_not_move_their_boxes():
    penalty = BoxPenalty(16)
    box_m = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]]).repeat(2, 1).requires_grad_()
    taken = penalty(torch.randn(2, 16), box_m, torch.tensor([[0.0, 0.0, 0.0], [2.5, 0.0, 0.0]]))
    expected = 2 * math.log1p(math.e)
    torch.testing.assert_close(taken, torch.tensor([[0.0, expected], [0.0, expected]]))
    taken.sum().backward()
    assert box_m.grad is None
    assert penalty.weight.weight.grad is not None and penalty.weight.weight.grad.abs().sum() > 0


def test_attention_falls_with_the_distance_and_never_sees_what_is_blocked():
    weight = distance_weight(16, 4)
    key_m = torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [3.0, 0.0, 0.0]])
    blocked = torch.tensor([[False, False, True]])
    logits = near_first(weight, torch.zeros(1, 16), torch.zeros(1, 3), key_m, blocked)
    assert logits.shape == (4, 1, 3)
    torch.testing.assert_close(logits[:, 0, 1], -weight.bias.detach())
    assert (logits[:, 0, 0] == 0).all() and (logits[:, 0, 2] == -torch.inf).all()


def test_sizes_do_not_depend_on_which_horizontal_axis_is_which():
    embedding = SizeEmbedding(8)
    size_m, turned_m = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2.0, 1.0, 3.0]])
    place_m, mean_m = torch.tensor([[5.0, 6.0, 1.0]]), torch.tensor([0.0, 0.0, 0.5])
    torch.testing.assert_close(embedding(size_m, place_m, mean_m), embedding(turned_m, place_m, mean_m))
    upright_m = torch.tensor([[1.0, 3.0, 2.0]])
    assert not torch.allclose(embedding(size_m, place_m, mean_m), embedding(upright_m, place_m, mean_m))
    assert not torch.allclose(embedding(size_m, place_m, mean_m), embedding(size_m, place_m, mean_m - 1))


def test_two_equal_objects_are_told_apart_by_their_place_alone():
    """Without places the masks of two queries of equal features are equal; the penalty parts them."""
    decoder = QueryDecoder(SMALL).eval()
    xyz_m = torch.cat([torch.zeros(4, 3), torch.full((4, 3), 5.0)])
    superpoint = torch.arange(8) // 4
    features = torch.ones(8, 8)
    pooled = GeometricPooling(8)(xyz_m, features, superpoint, 2)
    with torch.no_grad():
        mask = decoder(xyz_m, features, superpoint, pooled).last.mask_logits
    assert mask[0, 0] > mask[0, 4] + 1 and mask[1, 4] > mask[1, 0] + 1


@pytest.mark.parametrize(("num_points", "num_superpoints"), [(0, 0), (1, 1), (30, 4)])
def test_any_number_of_points_is_legal_and_all_weights_learn(num_points, num_superpoints):
    pooling, decoder = GeometricPooling(8, has_places=True), QueryDecoder(SMALL)
    xyz_m, features = torch.randn(num_points, 3), torch.randn(num_points, 8)
    superpoint = torch.arange(num_points) % max(num_superpoints, 1)
    decoded = decoder(xyz_m, features, superpoint, pooling(xyz_m, features, superpoint, num_superpoints))
    assert decoded.last.mask_logits.shape == (num_superpoints, num_points)
    if num_superpoints > 1:
        terms = [decoded.semantic_logits.square().sum()]
        for one in decoded.predictions:
            terms += [one.mask_logits.square().sum(), one.class_logits.square().sum(), one.box_m.square().sum()]
        torch.stack(terms).sum().backward()
        without = [name for name, one in decoder.named_parameters() if one.grad is None or not one.grad.abs().sum()]
        # Later layers may show each query one superpoint alone: then no distance counts.
        assert not [name for name in without if "self_distance" in name or "penalty" in name or "0.cross_dist" in name]
        assert all(one.grad.abs().sum() > 0 for one in pooling.size_embedding.parameters())


def test_a_hull_holds_the_own_superpoint_and_those_inside_the_mask():
    box_m = torch.tensor([[0.0, 0, 0, 2, 2, 2], [4.0, 0, 0, 2, 2, 2], [0.0, 9, 0, 2, 2, 2]])
    places = Places(box_m[:2, :3], box_m[:, :3], box_m[:2], box_m)
    inside = torch.tensor([[False, True, False], [False, False, False]])
    expected = torch.tensor([[2.0, 0, 0, 6, 2, 2], [4.0, 0, 0, 2, 2, 2]])
    torch.testing.assert_close(hull_boxes(inside, places), expected)
    nothing = Places(box_m[:0, :3], box_m[:0, :3], box_m[:0], box_m[:0])
    assert hull_boxes(torch.zeros(0, 0, dtype=torch.bool), nothing).shape == (0, 6)


def test_boxes_are_refined_in_their_own_sizes():
    box_m = torch.tensor([[1.0, 1, 1, 1.99, 0.99, 0.49]])
    change = torch.tensor([[0.5, 0, 0, math.log(2), 0, 0]])
    torch.testing.assert_close(refined_boxes(box_m, change), torch.tensor([[2.0, 1, 1, 4, 1, 0.5]]))
