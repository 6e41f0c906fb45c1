"""The small network that heads and embeddings are made of (`method.md` §3)."""

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
