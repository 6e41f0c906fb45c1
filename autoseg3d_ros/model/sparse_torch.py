"""Sparse convolution with plain torch: gather rows, multiply, add up. Any device, differentiable once.

On the CPU the compiled kernel does the same where set-up built it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import embedding_bag

from autoseg3d_ros.model import sparse_native
from autoseg3d_ros.model.kernel_maps import KernelMap, Pairs

_FEW_CHANNELS = 8  # up to here one wide product, with zeros for missing neighbours, beats one product an offset


def convolve(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return (num_out, Cout): for each output row the sum of its input rows, each times its kernel offset's weight.

    `features` (num_in, Cin), `weight` (K, Cin, Cout).
    """
    out: Tensor = _Convolution.apply(features, weight, kernel_map)
    return out


class _Convolution(torch.autograd.Function):
    """Keeps only its inputs for the backward pass, where a plain composition would keep every gathered row."""

    @staticmethod
    def forward(context: Any, features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        context.save_for_backward(features, weight)
        context.kernel_map = kernel_map
        return _sum_over_kernel(features, weight, kernel_map)

    @staticmethod
    def backward(context: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        features, weight = context.saved_tensors
        kernel_map: KernelMap = context.kernel_map
        grad_features = grad_weight = None
        if context.needs_input_grad[0]:
            grad_features = _sum_over_kernel(grad, weight.transpose(1, 2), kernel_map.transposed)
        if context.needs_input_grad[1]:
            grad_weight = _weight_gradient(features, grad, kernel_map)
        return grad_features, grad_weight, None


def _sum_over_kernel(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    if sparse_native.can_convolve(features, weight):
        return sparse_native.convolve(features, weight, kernel_map.table)
    if features.shape[1] <= _FEW_CHANNELS:
        return _one_wide_product(features, weight, kernel_map)
    return torch.cat([_sum_of_block(features, weight, block) for block in kernel_map.blocks])


def _sum_of_block(features: Tensor, weight: Tensor, pairs: Pairs) -> Tensor:
    products = features.new_empty(len(pairs.in_row), weight.shape[2])
    by_offset = zip(pairs.in_row.split(pairs.lengths), weight, products.split(pairs.lengths), strict=True)
    for rows, kernel, product in by_offset:
        torch.mm(features.index_select(0, rows), kernel, out=product)
    if not len(products):
        return products.new_zeros(len(pairs.start), weight.shape[2])
    # An embedding bag is torch's fastest segmented sum on the CPU, four times as fast as index_add_.
    return embedding_bag(pairs.by_output, products, pairs.start, mode="sum")


def _one_wide_product(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    padded = torch.cat([features, features.new_zeros(1, features.shape[1])])
    gathered = padded[kernel_map.table.T]
    return gathered.flatten(1) @ weight.flatten(0, 1)


def _weight_gradient(features: Tensor, grad: Tensor, kernel_map: KernelMap) -> Tensor:
    pairs = kernel_map.pairs
    rows = zip(pairs.in_row.split(pairs.lengths), pairs.out_row.split(pairs.lengths), strict=True)
    return torch.stack([features[in_row].T @ grad[out_row] for in_row, out_row in rows])
