"""What the query decoder is made of (`method.md` §3)."""

from __future__ import annotations

from torch import Tensor, nn


class TwoLayers(nn.Module):
    """A network with one hidden layer."""

    def __init__(self, num_inputs: int, width: int, num_outputs: int) -> None:
        """Make random weights: `width` channels in between."""
        super().__init__()
        self.first = nn.Linear(num_inputs, width)
        self.last = nn.Linear(width, num_outputs)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return (..., outputs) from (..., inputs)."""
        return self.last(self.hidden(inputs))

    def hidden(self, inputs: Tensor) -> Tensor:
        """Return (..., width), what the last layer sees of (..., inputs)."""
        return self.first(inputs).relu_()


class DecoderLayer(nn.Module):
    """Queries look at superpoints, then at each other, then think: three steps, each normalised after its residual."""

    def __init__(self, width: int, num_heads: int, hidden: int) -> None:
        """Make random weights: `width` channels, `hidden` of them inside the feed-forward network."""
        super().__init__()
        self.cross_attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.cross_norm = nn.LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.self_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.feed_forward_norm = nn.LayerNorm(width)
        for parameter in self.cross_attention.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, queries: Tensor, superpoints: Tensor, blocked: Tensor, alone: bool = False) -> Tensor:
        """Return (Q, d) from queries (Q, d), superpoints (S, d) and, True = may not be looked at, `blocked` (Q, S).

        If `alone`, queries do not look at each other.
        """
        queries = self.look_at_superpoints(queries, superpoints, blocked)
        return self.think(queries if alone else self.look_at_queries(queries))

    def look_at_superpoints(self, queries: Tensor, superpoints: Tensor, blocked: Tensor) -> Tensor:
        """Let each query (Q, d) attend to the superpoints (S, d) that are not `blocked` (Q, S) for it."""
        seen, _ = self.cross_attention(queries, superpoints, superpoints, attn_mask=blocked, need_weights=False)
        return self.cross_norm(queries + seen)

    def look_at_queries(self, queries: Tensor) -> Tensor:
        """Let all queries (Q, d) attend to each other."""
        seen, _ = self.self_attention(queries, queries, queries, need_weights=False)
        return self.self_norm(queries + seen)

    def think(self, queries: Tensor) -> Tensor:
        """Apply the feed-forward network to each query (Q, d)."""
        return self.feed_forward_norm(queries + self.feed_forward(queries))
