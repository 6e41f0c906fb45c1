"""The embedding by which ESAM recognises an object (`method.md` §3, "Contrastive embedding")."""

from __future__ import annotations

from typing import Literal

from torch import Tensor, nn
from torch.nn import functional


class MergeHead(nn.Module):
    """Two layers on the embedding of a query; the result has length one."""

    def __init__(self, width: int = 256, norm: Literal["layer", "batch"] = "layer") -> None:
        """Make random weights. The published ESAM with SAM masks normalises over the batch, all others over a layer."""
        super().__init__()
        normalisation = nn.LayerNorm if norm == "layer" else nn.BatchNorm1d
        self.net = nn.Sequential(
            nn.Linear(width, 2 * width),
            normalisation(2 * width),
            nn.ReLU(),
            nn.Linear(2 * width, width),
            normalisation(width),
        )

    def forward(self, queries: Tensor) -> Tensor:
        """Return embeddings (Q, d) of length one from queries (Q, d)."""
        return functional.normalize(self.net(queries), dim=1)
