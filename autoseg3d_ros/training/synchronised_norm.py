"""Batch normalisation over the batches of several processes, as if they were one batch in one process."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn

from autoseg3d_ros.model.backbone import VoxelNorm


class _Sum(torch.autograd.Function):
    """The sum over the processes; what depends on it in any of them comes back to each."""

    @staticmethod
    def forward(_ctx: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_ctx: Any, gradient: Tensor) -> Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


class SynchronisedNorm(VoxelNorm):
    """A `VoxelNorm` whose mean and variance are those over the rows of all processes, which call it together.

    torch has one for CUDA alone. Each process needs a row; where one has none, `is_open` has to be off in all of them:
    then the running statistics are used, and stay as they are.
    """

    is_open = True

    def forward(self, input: Tensor) -> Tensor:
        """Return (V, C) normalised features."""
        if not (self.training and self.is_open):
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        count = input.new_tensor([float(len(input))])
        sums = _Sum.apply(torch.cat((input.sum(dim=0), count)))
        num_rows = sums[-1].detach()
        centred = input - sums[:-1] / num_rows
        squares = _Sum.apply(centred.square().sum(dim=0))
        self._remember(sums[:-1].detach() / num_rows, squares.detach() / (num_rows - 1))
        return centred * torch.rsqrt(squares / num_rows + self.eps) * self.weight + self.bias

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        assert self.running_mean is not None and self.running_var is not None and self.momentum is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean, self.momentum)
        self.running_var.lerp_(variance, self.momentum)


def open_norms(network: nn.Module, is_open: bool) -> None:
    """Let the norms of a network speak with those of the other processes, or not; others are left alone."""
    for module in network.modules():
        if isinstance(module, SynchronisedNorm):
            module.is_open = is_open


def synchronise(network: nn.Module) -> None:
    """Put a `SynchronisedNorm` in the place of each `VoxelNorm`, with the same tensors under the same names."""
    for module in list(network.modules()):
        for name, norm in list(module.named_children()):
            if isinstance(norm, VoxelNorm):
                setattr(module, name, _synchronised(norm))


def _synchronised(norm: VoxelNorm) -> SynchronisedNorm:
    other = SynchronisedNorm(norm.num_features, norm.eps, norm.momentum)
    other.weight, other.bias = norm.weight, norm.bias
    other.running_mean, other.running_var = norm.running_mean, norm.running_var
    other.num_batches_tracked = norm.num_batches_tracked
    return other.train(norm.training)
