"""Short-term memory: superpoints read what nearby superpoints of the last frames were (`method.md` §6)."""

from __future__ import annotations

from collections import deque

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.interaction import attend, distance_logits, distance_weight


class ShortTermState:
    """The superpoints of the last frames that had any: (features (S, C), centroid_m (S, 3)) for each, oldest first."""

    def __init__(self, num_frames: int) -> None:
        self.frames: deque[tuple[Tensor, Tensor]] = deque(maxlen=num_frames)

    def remember(self, features: Tensor, centroid_m: Tensor) -> None:
        """Keep the superpoints of a frame; one without superpoints is passed over."""
        if len(features):
            self.frames.append((features, centroid_m))

    def recall(self) -> tuple[Tensor, Tensor]:
        """Return features (K, C) and centroids (K, 3) of all frames; there must be one."""
        features, centroids_m = zip(*self.frames, strict=True)
        return torch.cat(features), torch.cat(centroids_m)


class ShortTermMemory(nn.Module):
    """Cross-attention to the superpoints remembered, weakened by distance. The first frame passes unchanged.

    Published, the sum of features and attention goes through a ReLU, which costs nothing where the backbone ends in
    one. Where features have signs, `residual` leaves it out, and begins with an attention that adds nothing.
    """

    def __init__(
        self,
        width: int = 96,
        num_heads: int = 8,
        max_distance_weight: float = 10.0,
        dropout: float = 0.1,
        *,
        residual: bool = False,
    ) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(width, num_heads, dropout=dropout)
        self.distance_weight = distance_weight(width, num_heads)
        self._max_distance_weight = max_distance_weight
        self._residual = residual
        if residual:
            nn.init.zeros_(self.attention.out_proj.weight)

    def forward(self, features: Tensor, centroid_m: Tensor, state: ShortTermState) -> Tensor:
        """Return the refreshed features (S, C) of superpoints at (S, 3) in the map frame, and remember them in `state`.

        Gradients run back through the frames in training only.
        """
        if state.frames:
            features = self._refresh(features, centroid_m, state)
        state.remember(features if self.training else features.detach(), centroid_m)
        return features

    def weight(self, features: Tensor) -> Tensor:
        """Return how much a metre counts for each superpoint in each head: (S, heads), bounded from above only."""
        return self.distance_weight(features).clamp(max=self._max_distance_weight)

    def _refresh(self, features: Tensor, centroid_m: Tensor, state: ShortTermState) -> Tensor:
        past, past_centroid_m = state.recall()
        logits = distance_logits(self.weight(features), centroid_m, past_centroid_m)
        refreshed = features + attend(self.attention, features, past, past, logits)
        return refreshed if self._residual else refreshed.relu()


class NoShortTermMemory(nn.Module):
    """Leaves the features as they are, and remembers nothing."""

    def forward(self, features: Tensor, centroid_m: Tensor, state: ShortTermState) -> Tensor:
        """Return `features`."""
        return features
