"""What the query decoder is made of (`method.md` §3)."""

from __future__ import annotations

from torch import Tensor, nn

from autoseg3d_ros.memory.interaction import distance_logits, distance_weight
from autoseg3d_ros.model.places import Places, near_first


class DecoderLayer(nn.Module):
    """Queries look at superpoints, then at each other, then think: three steps, each normalised after its residual."""

    def __init__(self, width: int, num_heads: int, hidden: int, has_places: bool = False) -> None:
        """Make random weights: `width` channels, `hidden` of them inside the feed-forward network.

        With `has_places` attention falls with the distance, by a weight that the query chooses.
        """
        super().__init__()
        self.cross_attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.cross_norm = nn.LayerNorm(width)
        self.self_attention = nn.MultiheadAttention(width, num_heads, batch_first=True)
        self.self_norm = nn.LayerNorm(width)
        self.feed_forward = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))
        self.feed_forward_norm = nn.LayerNorm(width)
        self.cross_distance = distance_weight(width, num_heads) if has_places else None
        self.self_distance = distance_weight(width, num_heads) if has_places else None
        for parameter in self.cross_attention.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(
        self, queries: Tensor, superpoints: Tensor, places: Places, blocked: Tensor, alone: bool = False
    ) -> Tensor:
        """Return (Q, d) from queries (Q, d), superpoints (S, d) and, True = may not be looked at, `blocked` (Q, S).

        If `alone`, queries do not look at each other.
        """
        queries = self.look_at_superpoints(queries, superpoints, places, blocked)
        return self.think(queries if alone else self.look_at_queries(queries, places))

    def look_at_superpoints(self, queries: Tensor, superpoints: Tensor, places: Places, blocked: Tensor) -> Tensor:
        """Let each query (Q, d) attend to the superpoints (S, d) that are not `blocked` (Q, S) for it."""
        mask = blocked
        if self.cross_distance is not None and len(queries):  # torch refuses a mask of nothing
            mask = near_first(self.cross_distance, queries, places.query_m, places.superpoint_m, blocked)
        seen, _ = self.cross_attention(queries, superpoints, superpoints, attn_mask=mask, need_weights=False)
        return self.cross_norm(queries + seen)

    def look_at_queries(self, queries: Tensor, places: Places) -> Tensor:
        """Let all queries (Q, d) attend to each other."""
        mask = None
        if self.self_distance is not None and len(queries):
            mask = distance_logits(self.self_distance(queries), places.query_m, places.query_m).to(queries.dtype)
        seen, _ = self.self_attention(queries, queries, queries, attn_mask=mask, need_weights=False)
        return self.self_norm(queries + seen)

    def think(self, queries: Tensor) -> Tensor:
        """Apply the feed-forward network to each query (Q, d)."""
        return self.feed_forward_norm(queries + self.feed_forward(queries))
