"""Sparse tensors on voxel grids and their convolutions, in the conventions of MinkowskiEngine (method.md §1.4, §2.1).

A sparse tensor is a row of features for each occupied voxel of one stride. Kernels are [K, Cin, Cout], x fastest, as
published, whichever backend computes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import torch
from torch import Tensor, nn

from autoseg3d_ros.model import sparse_native, sparse_spconv, sparse_torch
from autoseg3d_ros.model.kernel_maps import KernelMap, VoxelLevel, morton_key


class VoxelGrid:
    """The occupied voxels of a batch at their finest stride and, built when first asked for, at the coarser ones.

    The rows of every level are in Morton order (x lowest), whatever the order of the points was.
    """

    def __init__(self, finest: VoxelLevel) -> None:
        self._levels = {finest.stride: finest}
        self.stride = finest.stride

    @classmethod
    def of_points(cls, xyz_m: Tensor, batch: Tensor, voxel_m: float) -> tuple[VoxelGrid, Tensor]:
        """Return the voxels floor(xyz / voxel) of points (N, 3) and the voxel row (N,) of each."""
        cells = torch.floor(xyz_m / voxel_m).to(torch.int64)
        return cls.of_repeated(torch.cat([batch[:, None].to(torch.int64), cells], 1), 1)

    @classmethod
    def of_repeated(cls, coords: Tensor, stride: int) -> tuple[VoxelGrid, Tensor]:
        """Return the voxels named by rows batch, x, y, z (M, 4), which may repeat, and the voxel row (M,) of each."""
        sorted_key, order = torch.sort(morton_key(coords, stride))
        key, place = torch.unique_consecutive(sorted_key, return_inverse=True)
        row = torch.empty_like(place)
        row[order] = place
        unique = coords.new_empty(len(key), 4)
        unique[row] = coords
        return cls(VoxelLevel(unique, key, stride)), row

    @classmethod
    def of_coords(cls, coords: Tensor, stride: int) -> VoxelGrid:
        """Return the voxels of `coords` (V, 4): unique, multiples of the stride, rows in the order of another grid.

        Raises ValueError where they repeat or are not in Morton order: use `of_repeated`, which orders them.
        """
        key = morton_key(coords, stride)
        if not bool((key[1:] > key[:-1]).all()):
            raise ValueError("voxel coordinates: expected unique rows in Morton order; use VoxelGrid.of_repeated")
        return cls(VoxelLevel(coords, key, stride))

    @property
    def coords(self) -> Tensor:
        """Rows batch, x, y, z (V, 4) int64 of the finest stride."""
        return self.at(self.stride).coords

    def at(self, stride: int) -> VoxelLevel:
        """Return the level of a stride, 2^n times the finest."""
        if stride not in self._levels:
            if stride <= self.stride:
                raise ValueError(f"voxel grid: no stride {stride}, the finest is {self.stride}")
            self._levels[stride] = self.at(stride // 2).coarser
        return self._levels[stride]

    def num_voxels(self, stride: int) -> int:
        """Return how many voxels a stride has."""
        return len(self.at(stride))

    def find(self, coords: Tensor, stride: int) -> Tensor:
        """Return the row (M,) of each voxel (M, 4) at a stride, -1 where there is none."""
        return self.at(stride).find(coords)


@dataclass(frozen=True)
class SparseTensor:
    """One row of `features` (V, C) for each voxel of `grid` at `stride`."""

    features: Tensor
    grid: VoxelGrid
    stride: int = 1

    @property
    def coords(self) -> Tensor:
        """Rows batch, x, y, z (V, 4)."""
        return self.grid.at(self.stride).coords

    def with_features(self, features: Tensor) -> SparseTensor:
        """Return other features (V, C') at the same voxels."""
        return replace(self, features=features)

    def keep(self, chosen: Tensor) -> SparseTensor:
        """Return the voxels where `chosen` (V,) is true, on a grid of their own whose finest stride is this one."""
        level = self.grid.at(self.stride)
        finest = VoxelLevel(level.coords[chosen], level.key[chosen], self.stride)
        return SparseTensor(self.features[chosen], VoxelGrid(finest), self.stride)


Backend: TypeAlias = Callable[[Tensor, Tensor, KernelMap], Tensor]


def _quickest_backend(features: Tensor) -> Backend:
    uses_spconv = features.is_cuda and sparse_spconv.is_available()
    return sparse_spconv.convolve if uses_spconv else sparse_torch.convolve


@dataclass(frozen=True)
class NormReLU:
    """Batch normalisation after a convolution, a skip connection (V, Cout) where there is one, and ReLU."""

    norm: nn.BatchNorm1d
    skip: Tensor | None = None

    def after(self, features: Tensor) -> Tensor:
        """Return what follows features (V, Cout), which are given up."""
        features = self.norm(features)
        # In place: on the CPU a fresh array of this size costs five times what the ReLU does.
        return (features if self.skip is None else features.add_(self.skip)).relu_()

    def folded(self) -> sparse_native.Ending:
        """Return the same for the compiled kernel. Only in evaluation mode."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        scale = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return sparse_native.Ending(scale, norm.bias - norm.running_mean * scale, self.skip)


class Convolution(nn.Module):
    """A bias-free kernel `weight` [K, Cin, Cout], initialised as MinkowskiEngine does: uniform by the fan-in."""

    backend: Backend | None = None  # None = the quickest one for the device; benchmarks name one

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int) -> None:
        super().__init__()
        volume = kernel_size**3
        bound = 1 / math.sqrt(volume * in_channels)
        self.weight = nn.Parameter(torch.empty(volume, in_channels, out_channels).uniform_(-bound, bound))

    def forward(self, x: SparseTensor, following: NormReLU | None = None) -> SparseTensor:
        """Convolve, and do what follows."""
        kernel_map, stride = self._map(x)
        return SparseTensor(self._convolve(x.features, kernel_map, following), x.grid, stride)

    def _map(self, x: SparseTensor) -> tuple[KernelMap, int]:
        """Return the kernel map from `x`, and the stride that it leads to."""
        raise NotImplementedError

    def _convolve(self, features: Tensor, kernel_map: KernelMap, following: NormReLU | None) -> Tensor:
        weight: Tensor = self.weight
        if torch.is_autocast_enabled(features.device.type):  # as torch does it for its own products
            dtype = torch.get_autocast_dtype(features.device.type)
            features, weight = features.to(dtype), weight.to(dtype)
        if following is None:
            return self._backend(features)(features, weight, kernel_map)
        can_fold = self.backend is None and not torch.is_grad_enabled() and not following.norm.training
        if can_fold and sparse_native.can_convolve(features, weight):
            return sparse_native.convolve(features, weight, kernel_map.table, following.folded())
        return following.after(self._backend(features)(features, weight, kernel_map))

    def _backend(self, features: Tensor) -> Backend:
        return self.backend or _quickest_backend(features)


class SubmanifoldConv(Convolution):
    """Convolution with a centred kernel onto the same voxels."""

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, dilation: int = 1) -> None:
        super().__init__(in_channels, out_channels, kernel_size)
        self._kernel_size, self._dilation = kernel_size, dilation

    def _map(self, x: SparseTensor) -> tuple[KernelMap, int]:
        return x.grid.at(x.stride).neighbours(self._kernel_size, self._dilation), x.stride


class StridedConv(Convolution):
    """Convolution of size 2 and stride 2: a voxel reads its children."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def _map(self, x: SparseTensor) -> tuple[KernelMap, int]:
        return x.grid.at(x.stride).from_children, 2 * x.stride


class InverseConv(Convolution):
    """Transposed convolution of size 2 and stride 2 onto the existing voxels of the finer stride."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, 2)

    def _map(self, x: SparseTensor) -> tuple[KernelMap, int]:
        return x.grid.at(x.stride // 2).from_parent, x.stride // 2


def nearest_parent(tensor: SparseTensor, stride: int) -> Tensor:
    """Return the features (V_stride, C) of the coarse voxel that each voxel of a finer stride lies in."""
    row = torch.arange(tensor.grid.num_voxels(stride), device=tensor.features.device)
    while stride < tensor.stride:
        row = tensor.grid.at(stride).parent[row]
        stride *= 2
    return tensor.features[row]


def union(a: SparseTensor, b: SparseTensor, how: Literal["max", "add"]) -> SparseTensor:
    """Return the voxels of either: their sum (a missing one counts 0) or maximum (a missing one does not count)."""
    grid, row = VoxelGrid.of_repeated(torch.cat([a.coords, b.coords]), a.stride)
    features = torch.cat([a.features, b.features])
    out = features.new_zeros(grid.num_voxels(a.stride), features.shape[1])
    if how == "add":
        out = out.index_add(0, row, features)
    else:
        out = out.scatter_reduce(0, row[:, None].expand_as(features), features, "amax", include_self=False)
    return SparseTensor(out, grid, a.stride)


def read_at(tensor: SparseTensor, coords: Tensor) -> Tensor:
    """Return the features (M, C) at voxels (M, 4) of the tensor's stride, 0 where there is none."""
    padded = torch.cat([tensor.features, tensor.features.new_zeros(1, tensor.features.shape[1])])
    return padded[tensor.grid.find(coords, tensor.stride)]
