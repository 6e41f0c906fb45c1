"""The compiled CPU kernels of sparse_native.cpp, where set-up built them; without them plain torch does the same."""

from __future__ import annotations

import ctypes
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

LIBRARY = Path(__file__).with_name("libsparse_native.so")
_LARGEST_BLOCK = 512  # output rows; their features and their inputs' stay in the cache of one core
_BLOCKS_A_THREAD = 4  # at least, so that all threads are busy to the end
_SMALLEST_BLOCK = 16


_is_off = False


@contextmanager
def plain_torch() -> Iterator[None]:
    """Do without the library for a while, to compare."""
    global _is_off
    before, _is_off = _is_off, True
    try:
        yield
    finally:
        _is_off = before


def library() -> ctypes.CDLL | None:
    """Return the library, or None where it was not built. Raises OSError where it is there and cannot be loaded."""
    return None if _is_off else _load()


@cache
def _load() -> ctypes.CDLL | None:
    if not LIBRARY.exists():
        return None
    kernels = ctypes.CDLL(str(LIBRARY))
    kernels.convolve.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_int64] * 6 + [ctypes.c_int]
    kernels.inherit.argtypes = [ctypes.c_void_p] * 7 + [ctypes.c_int64] * 3 + [ctypes.c_int]
    kernels.convolve.restype = kernels.inherit.restype = None
    return kernels


def can_convolve(features: Tensor, weight: Tensor) -> bool:
    """Return whether the library computes this: float32 on the CPU, output channels in fours."""
    fits = features.device.type == "cpu" and features.dtype == weight.dtype == torch.float32
    return fits and weight.shape[2] % 4 == 0 and library() is not None


@dataclass(frozen=True)
class Ending:
    """What follows a convolution: out * scale + shift + skip, of which the negative becomes 0."""

    scale: Tensor  # (Cout,)
    shift: Tensor  # (Cout,)
    skip: Tensor | None  # (num_out, Cout)


def convolve(features: Tensor, weight: Tensor, table: Tensor, ending: Ending | None = None) -> Tensor:
    """Return (num_out, Cout) from features (num_in, Cin), weight (K, Cin, Cout) and a map's table (K, num_out)."""
    kernels = library()
    assert kernels is not None
    (num_offsets, cin, cout), num_out = weight.shape, table.shape[1]
    out = features.new_empty(num_out, cout)
    num_threads = torch.get_num_threads()
    block = math.ceil(num_out / (num_threads * _BLOCKS_A_THREAD))
    block = min(max(block, _SMALLEST_BLOCK), _LARGEST_BLOCK)
    given = [features, weight, table, out, *((ending.scale, ending.shift, ending.skip) if ending else (None,) * 3)]
    given = [None if tensor is None else tensor.contiguous() for tensor in given]
    pointers = (None if tensor is None else tensor.data_ptr() for tensor in given)
    kernels.convolve(*pointers, len(features), num_out, num_offsets, cin, cout, block, num_threads)
    return out


def inherit(children: Tensor, coarse: Tensor, parent: Tensor, octant: Tensor, places: tuple[Tensor, Tensor]) -> Tensor:
    """Return the rows (K, V) int32 of the neighbours of voxels with parents and octants (V,) int64.

    `children` (V_coarse + 1, 8) and `coarse` (K', V_coarse) are int32, `places` two (K, 8) int64:
    which neighbour of the parent, which child of it.
    """
    kernels = library()
    assert kernels is not None
    neighbour, child = places
    table = torch.empty(len(neighbour), len(parent), dtype=torch.int32)
    pointers = (tensor.data_ptr() for tensor in (children, coarse, parent, octant, neighbour, child, table))
    kernels.inherit(*pointers, len(parent), coarse.shape[1], len(neighbour), torch.get_num_threads())
    return table
