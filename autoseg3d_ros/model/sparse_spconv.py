"""Sparse convolution by spconv (CUDA, or its CPU build for comparison) on the kernel maps of this package.

The maps and the order of the rows are ours, so nothing but the layout of the kernel differs: spconv wants
[Cout, kx, ky, kz, Cin], and takes any such shape with the right number of kernel offsets. The only importer of spconv.
"""

from __future__ import annotations

import importlib.util
from functools import cache

import torch
from torch import Tensor

from autoseg3d_ros.model.kernel_maps import KernelMap


@cache
def is_available() -> bool:
    """Return whether spconv is installed."""
    return importlib.util.find_spec("spconv") is not None


def convolve(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    """Return (num_out, Cout) as `sparse_torch.convolve` does. Raises ImportError where spconv is missing."""
    from spconv.core import ConvAlgo
    from spconv.pytorch.functional import indice_conv

    filters = weight.permute(2, 0, 1)[:, :, None, None, :].contiguous()
    lengths = torch.tensor(kernel_map.pairs.lengths, dtype=torch.int32)  # spconv reads them on the CPU: no waiting
    pairs = kernel_map.pairs.padded
    out: Tensor = indice_conv(features, filters, pairs, lengths, kernel_map.num_out, ConvAlgo.Native)
    return out
