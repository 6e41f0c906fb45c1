from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from parity_cases import ParityCase, parametrize
from published_modules import load
from torch.testing import assert_close

from autoseg3d_ros.model.attention_mask import blocked_by_point_mask, blocked_by_superpoint_mask
from autoseg3d_ros.model.decoder import Decoded, DecoderConfig, QueryDecoder
from autoseg3d_ros.model.places import Places
from autoseg3d_ros.model.pooling import GeometricPooling, Pooled

SMALL = DecoderConfig(in_channels=8, width=16, num_heads=4, hidden=32, num_semantics=5)


def seen_by_layers(decoder: QueryDecoder) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return a list that fills, when the decoder runs, with the blocked superpoints and the output of each layer."""
    seen = []
    for layer in decoder.layers:
        layer.register_forward_hook(lambda _, inputs, output: seen.append((inputs[3], output)))
    return seen


@parametrize("decoder_")
def test_decoded_as_published(case: ParityCase):
    decoder = load(
        QueryDecoder(DecoderConfig()), "decoder.", case.meta["weights_seed"], case.meta.get("weight_overrides")
    )
    pooled = Pooled(
        *(torch.from_numpy(case.given(f"superpoint_{name}")) for name in ("features", "centroids")),
        torch.from_numpy(case.given("point_weights")),
        torch.zeros(len(case.given("superpoint_centroids")), 6),  # without places nobody looks
    )
    layers = seen_by_layers(decoder)
    names = ("xyz", "point_features", "superpoint")
    decoded = decoder(*(torch.from_numpy(case.given(name)) for name in names), pooled)
    ours = {"sem": decoded.semantic_logits, "embedding": decoded.embedding}
    for number, prediction in enumerate(decoded.predictions):
        ours[f"cls_{number}"] = prediction.class_logits
        ours[f"mask_{number}"] = prediction.mask_logits
        ours[f"box_{number}"] = torch.cat([prediction.box_m[:, :3] - pooled.centroid_m, prediction.box_m[:, 3:]], dim=1)
    for number, (blocked, queries) in enumerate(layers):
        ours[f"blocked_layer{number}"] = blocked
        ours[f"query_layer{number}"] = queries
    expected = {name.removeprefix("out__") for name in case._arrays if name.startswith("out__")}
    assert ours.keys() == expected
    for name, value in ours.items():
        tolerance = 0 if value.dtype == torch.bool else 2e-5 * max(1, case.meta["max_abs_value"][name])
        assert_close(value, torch.from_numpy(case.expected(name)), rtol=0, atol=tolerance, msg=lambda m, n=name: n + m)


def frame(num_points: int, num_superpoints: int, channels: int = 8) -> tuple[torch.Tensor, ...]:
    """Return places, features and superpoints of random points and what they say of the superpoints."""
    xyz_m, features = torch.randn(num_points, 3), torch.randn(num_points, channels)
    superpoint = torch.arange(num_points) % max(num_superpoints, 1)
    return xyz_m, features, superpoint, GeometricPooling(channels)(xyz_m, features, superpoint, num_superpoints)


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize(("num_points", "num_superpoints"), [(0, 0), (1, 1), (7, 1), (7, 7), (40, 5)])
@pytest.mark.parametrize("num_classes", [1, 18])
@pytest.mark.parametrize("training", [True, False])
def test_shapes(num_points, num_superpoints, num_classes, training):
    config = DecoderConfig(in_channels=8, width=16, num_heads=4, num_classes=num_classes, num_semantics=5)
    with torch.set_grad_enabled(training):
        decoded = QueryDecoder(config).train(training)(*frame(num_points, num_superpoints))
    assert [prediction.at_points for prediction in decoded.predictions] == [False, False, True, True]
    for prediction in decoded.predictions:
        assert prediction.class_logits.shape == (num_superpoints, num_classes + 1)
        assert prediction.box_m.shape == (num_superpoints, 6)
        assert prediction.mask_logits.shape == (
            num_superpoints,
            num_points if prediction.at_points else num_superpoints,
        )
        assert prediction.mask_logits.isfinite().all()
        assert (prediction.box_m[:, 3:] > 0).all()
    assert decoded.semantic_logits.shape == (num_superpoints, 6)
    assert decoded.embedding.shape == (num_superpoints, 16)
    assert decoded.query.tolist() == list(range(num_superpoints))
    assert decoded.last is decoded.predictions[-1]


def test_no_query_of_some_superpoints():
    decoded = QueryDecoder(SMALL)(*frame(40, 5), query=torch.zeros(0, dtype=torch.int64))
    assert decoded.last.mask_logits.shape == (0, 40)


def without_self_attention(decoder: QueryDecoder) -> QueryDecoder:
    for layer in decoder.layers:
        torch.nn.init.zeros_(layer.self_attention.out_proj.weight)
        torch.nn.init.zeros_(layer.self_attention.out_proj.bias)
    return decoder


def rows(decoded: Decoded, index: torch.Tensor) -> list[torch.Tensor]:
    """Return everything that is said of some queries."""
    said = [(each.class_logits, each.mask_logits, each.box_m) for each in decoded.predictions]
    return [value[index] for values in said for value in values] + [
        decoded.semantic_logits[index],
        decoded.embedding[index],
        decoded.query[index],
    ]


def test_queries_meet_only_in_the_self_attention():
    query, inputs = torch.tensor([3, 1]), frame(40, 5)
    decoder = QueryDecoder(SMALL)
    assert not torch.allclose(decoder(*inputs).embedding[query], decoder(*inputs, query=query).embedding)
    decoder = without_self_attention(decoder)
    everything, some = decoder(*inputs), decoder(*inputs, query=query)
    for whole, part in zip(rows(everything, query), rows(some, torch.arange(2)), strict=True):
        assert_close(whole, part)


@pytest.mark.parametrize(("num_points", "num_superpoints"), [(0, 0), (1, 1), (40, 5)])
def test_fragments_are_decoded_beside_the_rest_and_only_when_asked_for(num_points, num_superpoints):
    decoder, inputs = QueryDecoder(SMALL), frame(num_points, num_superpoints)
    plain, both, all_rows = decoder(*inputs), decoder(*inputs, with_fragments=True), torch.arange(num_superpoints)
    assert plain.fragments is None and both.fragments.fragments is None
    for without, beside in zip(rows(plain, all_rows), rows(both, all_rows), strict=True):
        assert torch.equal(without, beside)
    assert both.fragments.predictions[0] is both.predictions[0]
    assert [one.at_points for one in both.fragments.predictions] == [one.at_points for one in both.predictions]
    assert both.fragments.query is both.query


def test_fragments_do_not_see_each_other_but_all_superpoints():
    decoder, inputs, query = QueryDecoder(SMALL), frame(40, 5), torch.tensor([3, 1])
    everything = decoder(*inputs, with_fragments=True)
    some = decoder(*inputs, query=query, with_fragments=True)
    for whole, part in zip(rows(everything.fragments, query), rows(some.fragments, torch.arange(2)), strict=True):
        assert_close(whole, part)
    assert not torch.allclose(everything.fragments.embedding, everything.embedding)


def test_fragments_follow_their_own_masks():
    decoder, (xyz_m, features, superpoint, pooled) = QueryDecoder(SMALL), frame(40, 5)
    fragments = decoder(xyz_m, features, superpoint, pooled, with_fragments=True).fragments
    queries, superpoints = decoder.query_embedding(pooled.features), decoder.superpoint_embedding(pooled.features)
    places = Places(pooled.centroid_m, pooled.centroid_m, pooled.box_m, pooled.box_m)
    for layer, before in zip(decoder.layers, fragments.predictions, strict=False):
        logits = before.mask_logits
        blocked = (
            blocked_by_point_mask(logits, superpoint, pooled.point_weight, 5)
            if before.at_points
            else blocked_by_superpoint_mask(logits)
        )
        queries = layer.think(layer.look_at_superpoints(queries, superpoints, places, blocked))
    assert_close(fragments.embedding, decoder.norm(queries))
    assert_close(fragments.semantic_logits, decoder.semantic_head(decoder.norm(queries)))


def test_gradients_of_the_fragments_reach_all_but_the_self_attention():
    decoder = QueryDecoder(SMALL).train()
    loss_of_everything(decoder(*frame(40, 5), with_fragments=True).fragments).backward()
    left_out = {
        name.split(".")[2] for name, value in decoder.named_parameters() if value.grad is None or not value.grad.any()
    }
    assert left_out == {"self_attention", "self_norm"}


def test_order_of_the_queries_does_not_matter():
    inputs, order = frame(40, 5), torch.tensor([4, 2, 0, 1, 3])
    decoder = QueryDecoder(SMALL)
    for whole, part in zip(
        rows(decoder(*inputs), order), rows(decoder(*inputs, query=order), torch.arange(5)), strict=True
    ):
        assert_close(whole, part)


@pytest.mark.parametrize("has_places", [False, True])
def test_proposals_are_the_first_prediction(has_places):
    inputs, decoder = frame(40, 5), QueryDecoder(replace(SMALL, has_places=has_places))
    proposals, first = decoder.propose(inputs[3]), decoder(*inputs).predictions[0]
    assert_close(proposals.class_logits, first.class_logits)
    assert_close(proposals.box_m, first.box_m)


def test_a_decoder_without_boxes_says_nothing_of_them():
    decoder = QueryDecoder(DecoderConfig(in_channels=8, width=16, num_heads=4, has_box=False))
    inputs = frame(40, 5)
    assert torch.equal(decoder.propose(inputs[3]).box_m, inputs[3].box_m)
    assert decoder(*inputs).last.box_m is None
    assert not any(name.startswith("box_head") for name in decoder.state_dict())


def test_superpoints_outside_the_mask_are_blocked_unless_all_are():
    masks = torch.tensor([[1.0, -1.0, 0.0], [-1.0, -1.0, -1.0]])
    assert blocked_by_superpoint_mask(masks).tolist() == [[False, True, False], [False, False, False]]


def test_superpoints_are_blocked_by_the_weight_of_their_points_outside_the_mask():
    superpoint, weight = torch.tensor([0, 1, 1, 2, 2]), torch.tensor([1.0, 1.0, 0.8, 1.5, 0.4])[:, None]
    masks = [
        [1.0, -1.0, -1.0, -1.0, 1.0],  # means of the weights outside: 0, 0.9, 0.75
        [1.0, -1.0, 1.0, 1.0, -1.0],  # 0, 0.5 (not more than half), 0.2
        [-1.0, -1.0, -1.0, -1.0, 1.0],  # 1, 0.9, 0.75: the least one is open all the same
        [-1.0, -1.0, -1.0, -1.0, -1.0],  # nothing inside: everything open
    ]
    expected = [[False, True, True], [False, False, False], [True, True, False], [False, False, False]]
    assert blocked_by_point_mask(torch.tensor(masks), superpoint, weight, 3).tolist() == expected


def loss_of_everything(decoded: Decoded) -> torch.Tensor:
    said = [(each.class_logits, each.mask_logits, each.box_m) for each in decoded.predictions]
    values = [value for values in said for value in values] + [decoded.semantic_logits]
    return torch.stack([value.square().mean() for value in values]).sum()


def test_gradients_reach_every_parameter_and_input():
    decoder = QueryDecoder(SMALL).train()
    xyz_m, features, superpoint, pooled = frame(40, 5)
    features.requires_grad_()
    decoded = decoder(xyz_m, features, superpoint, replace(pooled, features=pooled.features.detach()))
    loss_of_everything(decoded).backward()
    assert features.grad.any()
    assert [
        name for name, parameter in decoder.named_parameters() if parameter.grad is None or not parameter.grad.any()
    ] == []


def test_half_precision_says_nearly_the_same():
    pooling, decoder = GeometricPooling(8).eval(), QueryDecoder(SMALL).eval()
    xyz_m, features, superpoint, pooled = frame(400, 5)
    pooled = pooling(xyz_m, features, superpoint, 5)
    whole = decoder(xyz_m, features, superpoint, pooled)
    with torch.autocast("cpu", torch.bfloat16):
        half_pooled = pooling(xyz_m, features, superpoint, 5)
        half = decoder(xyz_m, features, superpoint, pooled)
    assert_close(half_pooled.features, pooled.features, rtol=0, atol=0.05)
    assert half_pooled.features.dtype == half.last.box_m.dtype == torch.float32
    first, half_first = whole.predictions[0], half.predictions[0]  # later ones may see other superpoints
    assert_close(half_first.box_m, first.box_m, rtol=0, atol=0.05)
    assert_close(half_first.mask_logits.float(), first.mask_logits, rtol=0, atol=0.05)
    assert half.embedding.isfinite().all()


def test_same_seed_same_output():
    inputs = frame(40, 5)
    outputs = []
    for _ in range(2):
        torch.manual_seed(1)
        outputs.append(QueryDecoder(SMALL)(*inputs).embedding)
    assert torch.equal(*outputs)


def test_number_of_parameters():
    assert sum(parameter.numel() for parameter in QueryDecoder(DecoderConfig()).parameters()) == 3_644_113
