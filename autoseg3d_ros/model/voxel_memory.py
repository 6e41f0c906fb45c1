"""Voxel memory: at four strides, features of earlier frames flow into those of the current one (`method.md` §2.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from autoseg3d_ros.model.backbone import VoxelNorm
from autoseg3d_ros.model.group_reduction import count_by_group, mean_by_group
from autoseg3d_ros.model.sparse import SparseTensor, SubmanifoldConv, read_at, union

_CROP_MARGIN = 0.75  # of the frame's extent, on each side: a box 2.5 times as long


@dataclass(frozen=True)
class MemoryBounds:
    """What a stride may remember of a sample: voxels near the middle of its newest frame, and of these the nearest.

    The defaults keep a flat whole, as the published models do.
    """

    voxel_m: float = 0.02  # edge at stride 1
    max_distance_m: float = 20.0
    max_voxels: int = 300_000


@dataclass
class VoxelMemoryState:
    """The remembered features, one tensor a stride, `None` before the first voxel. A new state remembers nothing."""

    levels: list[SparseTensor | None] = field(default_factory=lambda: [None] * 4)


class NoVoxelMemory(nn.Module):
    """Remembers nothing and changes nothing."""

    def forward(self, levels: list[SparseTensor], state: VoxelMemoryState, bounds: MemoryBounds) -> list[SparseTensor]:
        """Return `levels`."""
        return levels


class VoxelMemory(nn.Module):
    """Adapters for the strides 2, 4, 8, 16 of a backbone, and the rule of what is remembered."""

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.adapters = nn.ModuleList(map(MemoryAdapter, channels))

    def forward(self, levels: list[SparseTensor], state: VoxelMemoryState, bounds: MemoryBounds) -> list[SparseTensor]:
        """Return the features that the decoder reads, at the voxels of `levels`, and update `state` in place.

        Outside training the state keeps no gradients. A frame without voxels changes nothing.
        """
        recalled = []
        for i, level in enumerate(levels):
            features, state.levels[i] = self._recall(i, level, state.levels[i], bounds)
            recalled.append(level.with_features(features))
        return recalled

    def _recall(
        self, i: int, level: SparseTensor, before: SparseTensor | None, bounds: MemoryBounds
    ) -> tuple[Tensor, SparseTensor | None]:
        adapt = self.adapters[i]
        if not len(level.features):
            return level.features, before
        if before is None:
            # The published weights were trained so: of the first frame, the adapted features are remembered.
            adapted = adapt(level, level)
            remembered = level.with_features(adapted)
        else:
            remembered = union(before, level, "max")
            adapted = adapt(level, _crop(remembered, level))
        kept = remembered.keep(_within(remembered, level, bounds))
        return adapted, kept if self.training else kept.with_features(kept.features.detach())


class MemoryAdapter(nn.Module):
    """A residual for the current features, from the remembered ones near by and from their mean.

    New adapters are the identity: the scale of the last normalisation begins at zero. (The released code meant to begin
    at zero too, but does not.)
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.near = LocalConv(channels, dilation=1)
        self.near_norm = VoxelNorm(channels)
        self.far = LocalConv(channels, dilation=3)
        self.far_norm = VoxelNorm(channels)
        self.fusion = nn.Linear(3 * channels, channels, bias=False)
        self.fusion_norm = VoxelNorm(channels)
        nn.init.zeros_(self.fusion_norm.weight)

    def forward(self, current: SparseTensor, remembered: SparseTensor) -> Tensor:
        """Return (V, C) features at the voxels of `current`, all of which `remembered` has."""
        near = self.near_norm(self.near.at(current.coords, remembered)).relu_()
        far = self.far_norm(self.far.at(current.coords, remembered)).relu_()
        mean = _mean_of_sample(remembered)[current.coords[:, 0].long()]
        residual = self.fusion_norm(self.fusion(torch.cat([near, far, mean], 1)))
        return (current.features + residual).relu()


class LocalConv(SubmanifoldConv):
    """A 3x3x3 convolution that is needed at a few of the voxels it reads from: there it costs what these few cost."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__(channels, channels, 3, dilation)
        self._step = dilation

    def at(self, coords: Tensor, x: SparseTensor) -> Tensor:
        """Return what the convolution of `x` gives (M, C) at rows batch, x, y, z (M, 4)."""
        steps = torch.arange(-1, 2, device=coords.device) * (self._step * x.stride)
        offset = torch.stack(torch.meshgrid(steps, steps, steps, indexing="ij")[::-1], -1).view(1, -1, 3)  # x fastest
        cell = torch.cat([coords[:, None, :1].expand(-1, offset.shape[1], 1), coords[:, None, 1:] + offset], 2)
        return read_at(x, cell.view(-1, 4)).view(len(coords), -1) @ self.weight.flatten(0, 1)


@dataclass(frozen=True)
class _Boxes:
    """Boxes around the voxels of each sample, (B, 3) float32 in voxels of stride 1; inverted where it has none."""

    low: Tensor
    high: Tensor

    @staticmethod
    def around(coords: Tensor, num_samples: int) -> _Boxes:
        sample = coords[:, :1].long().expand(-1, 3)
        xyz = coords[:, 1:].float()
        infinite = xyz.new_full((num_samples, 3), torch.inf)
        return _Boxes(
            infinite.scatter_reduce(0, sample, xyz, "amin"), (-infinite).scatter_reduce(0, sample, xyz, "amax")
        )


def _num_samples(tensor: SparseTensor) -> int:
    return int(tensor.coords[:, 0].max()) + 1


def _mean_of_sample(tensor: SparseTensor) -> Tensor:
    sample = tensor.coords[:, 0].long()
    return mean_by_group(tensor.features, sample, _num_samples(tensor))


def _crop(remembered: SparseTensor, current: SparseTensor) -> SparseTensor:
    boxes = _Boxes.around(current.coords, _num_samples(remembered))
    margin = _CROP_MARGIN * (boxes.high - boxes.low)
    sample, xyz = remembered.coords[:, 0].long(), remembered.coords[:, 1:].float()
    inside = (xyz >= (boxes.low - margin)[sample]) & (xyz <= (boxes.high + margin)[sample])
    return remembered.keep(inside.all(1))


def _within(remembered: SparseTensor, current: SparseTensor, bounds: MemoryBounds) -> Tensor:
    """Return which voxels (V,) the bounds keep; a sample without current voxels keeps all."""
    num_samples = _num_samples(remembered)
    boxes = _Boxes.around(current.coords, num_samples)
    middle = (boxes.low + boxes.high) / 2  # NaN where there is no voxel, and NaN > x is false
    sample, xyz = remembered.coords[:, 0].long(), remembered.coords[:, 1:].float()
    distance_m = (xyz - middle[sample]).norm(dim=1) * bounds.voxel_m
    keep = ~(distance_m > bounds.max_distance_m)
    if len(keep) > bounds.max_voxels:
        keep &= _rank_in_sample(distance_m, sample, num_samples) < bounds.max_voxels
    return keep


def _rank_in_sample(value: Tensor, sample: Tensor, num_samples: int) -> Tensor:
    """Return each element's place (V,) among those of its sample, from 0 for the smallest value."""
    order = value.argsort(stable=True)
    order = order[sample[order].argsort(stable=True)]
    count = count_by_group(sample, num_samples).long()
    start = count.cumsum(0) - count
    place = torch.arange(len(order), device=order.device) - start[sample[order]]
    return torch.empty_like(order).scatter(0, order, place)
