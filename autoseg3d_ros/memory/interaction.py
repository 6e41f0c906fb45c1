"""Blocks that the memories share: attention with an additive term, and how queries see each other (`method.md` §5)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

_LARGEST_FIRST_WEIGHT = 2.0  # per metre


def attend(layer: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor, logits: Tensor | None) -> Tensor:
    """Return what queries (Q, w) read from values (K, w) by their keys (K, w): (Q, w); without any key, zeros.

    `logits` (heads, Q, K) are added to the scaled products of queries and keys.
    """
    if len(key) == 0:  # torch refuses it
        return torch.zeros_like(query)
    if logits is not None:
        logits = logits.to(query.dtype)
    return layer(query, key, value, attn_mask=logits, need_weights=False)[0]


def distance_weight(width: int, num_heads: int) -> nn.Linear:
    """Return the layer that says how much a metre counts in each head, at first U(0, 2) whatever the query (§6)."""
    layer = nn.Linear(width, num_heads)
    nn.init.zeros_(layer.weight)
    nn.init.uniform_(layer.bias, 0.0, _LARGEST_FIRST_WEIGHT)
    return layer


def distance_logits(weight: Tensor, center_m: Tensor, key_center_m: Tensor) -> Tensor:
    """Return -weight * distance, (heads, Q, K), for weights (Q, heads) per metre and centres (Q, 3) and (K, 3)."""
    # The faster form by a matrix product is wrong by millimetres, more so far from the origin.
    distance_m = torch.cdist(center_m, key_center_m, compute_mode="donot_use_mm_for_euclid_dist")
    return -weight.T[:, :, None] * distance_m


class ResidualFeedForward(nn.Module):
    """LN(x + W2 relu(W1 x)), all of one width."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear1 = nn.Linear(width, width)
        self.linear2 = nn.Linear(width, width)
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """Return (..., width) of (..., width)."""
        return self.norm(x + self.linear2(self.linear1(x).relu()))


class QueryInteraction(nn.Module):
    """One layer of self-attention and feed-forward, each with residual and layer norm."""

    def __init__(self, width: int, num_heads: int) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, num_heads)
        self.norm = nn.LayerNorm(width)
        self.feed_forward = ResidualFeedForward(width)

    def forward(self, token: Tensor, code: Tensor | None = None, logits: Tensor | None = None) -> Tensor:
        """Return tokens (L, w) after they have seen each other.

        `code` (L, w), of their places, enters queries and keys only; `logits` (heads, L, L) are added to the attention.
        """
        query = token if code is None else token + code
        return self.feed_forward(self.norm(token + attend(self.attention, query, query, token, logits)))
