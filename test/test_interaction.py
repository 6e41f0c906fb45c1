from __future__ import annotations

import pytest
import torch
from torch import nn

from autoseg3d_ros.memory.interaction import (
    QueryInteraction,
    ResidualFeedForward,
    attend,
    distance_logits,
    distance_weight,
)

WIDTH, HEADS = 8, 2


@pytest.fixture
def attention():
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(WIDTH, HEADS).eval()
    nn.init.normal_(layer.in_proj_bias)
    return layer


def attend_in_words(layer, query, key, value, logits):
    """Scaled products plus `logits`, softmax over the keys, head by head."""
    parts = zip((query, key, value), layer.in_proj_weight.chunk(3), layer.in_proj_bias.chunk(3), strict=True)
    q, k, v = (nn.functional.linear(x, weight, bias).split(WIDTH // HEADS, dim=1) for x, weight, bias in parts)
    heads = [
        (q[h] @ k[h].T / (WIDTH // HEADS) ** 0.5 + (0 if logits is None else logits[h])).softmax(dim=1) @ v[h]
        for h in range(HEADS)
    ]
    return layer.out_proj(torch.cat(heads, dim=1))


@pytest.mark.parametrize("added", [False, True])
def test_attention_is_what_the_formula_says(attention, added):
    query, key, value = torch.randn(3, WIDTH), torch.randn(5, WIDTH), torch.randn(5, WIDTH)
    logits = torch.randn(HEADS, 3, 5) if added else None
    expected = attend_in_words(attention, query, key, value, logits)
    torch.testing.assert_close(attend(attention, query, key, value, logits), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("queries", "keys"), [(0, 0), (0, 4), (3, 0)])
def test_attention_to_or_of_nothing(attention, queries, keys):
    query, key = torch.randn(queries, WIDTH), torch.randn(keys, WIDTH)
    read = attend(attention, query, key, key, torch.zeros(HEADS, queries, keys))
    assert torch.equal(read, torch.zeros(queries, WIDTH))


def test_distance_logits_by_hand():
    weight = torch.tensor([[1.0, -2.0]])  # one query, two heads; the second is drawn to what is far
    here, there = torch.zeros(1, 3), torch.tensor([[0.0, 0, 0], [3, 4, 0]])
    assert distance_logits(weight, here, there).tolist() == [[[0, -5]], [[0, 10]]]


def test_distances_are_exact_far_from_the_origin_and_for_many_tokens():
    generator = torch.Generator().manual_seed(0)
    center_m = 20 + torch.rand(60, 3, generator=generator)
    got = -distance_logits(torch.ones(60, 1), center_m, center_m)[0]
    exact = torch.cdist(center_m.double(), center_m.double())
    assert got.diagonal().tolist() == [0] * 60
    torch.testing.assert_close(got.double(), exact, rtol=1e-6, atol=1e-6)


def test_at_first_distance_counts_the_same_for_every_query():
    torch.manual_seed(0)
    weight = distance_weight(WIDTH, 1000)(torch.randn(2, WIDTH))
    assert torch.equal(weight[0], weight[1])
    assert 0 <= weight.min() < 0.1 and 1.9 < weight.max() <= 2


def test_feed_forward_by_hand():
    layer = ResidualFeedForward(2)
    state = {"linear1.weight": [[1, 0], [0, 1]], "linear1.bias": [0, 0], "linear2.weight": [[1, 0], [0, 4]]}
    layer.load_state_dict({name: torch.tensor(v).float() for name, v in state.items()}, strict=False)
    nn.init.zeros_(layer.linear2.bias)
    out = layer(torch.tensor([[1.0, -3]]))  # (1, -3) + (relu(1), 4 relu(-3)) = (2, -3), normalised
    torch.testing.assert_close(out, torch.tensor([[1.0, -1]]), rtol=0, atol=1e-5)


@pytest.fixture
def interaction():
    torch.manual_seed(1)
    return QueryInteraction(WIDTH, HEADS).eval()


def test_no_token_and_one(interaction):
    assert interaction(torch.zeros(0, WIDTH)).shape == (0, WIDTH)
    assert interaction(torch.zeros(0, WIDTH), torch.zeros(0, WIDTH), torch.zeros(HEADS, 0, 0)).shape == (0, WIDTH)
    assert interaction(torch.randn(1, WIDTH)).isfinite().all()


def test_the_code_of_a_place_says_where_to_look_and_is_not_read(interaction):
    token, code = torch.randn(4, WIDTH), torch.randn(4, WIDTH)
    alike = token[:1].expand(4, WIDTH)
    torch.testing.assert_close(interaction(alike, code), interaction(alike))
    assert not torch.allclose(interaction(token, code), interaction(token), atol=1e-3)


def test_a_token_that_is_far_from_all_others_sees_itself_alone(interaction):
    token = torch.randn(4, WIDTH)
    far = torch.zeros(HEADS, 4, 4)
    far[:, 0, 1:] = -1e9
    torch.testing.assert_close(interaction(token, None, far)[:1], interaction(token[:1]))
    torch.testing.assert_close(interaction(token, None, far)[1:], interaction(token)[1:])
