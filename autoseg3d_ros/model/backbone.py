"""Res16UNet34C: the sparse U-Net of the published models, voxel colours to 96 features (`method.md` §2.1)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor, nn

from autoseg3d_ros.model.sparse import InverseConv, NormReLU, SparseTensor, StridedConv, SubmanifoldConv

SkipMemory: TypeAlias = Callable[[list[SparseTensor]], list[SparseTensor]]

_STEM_CHANNELS = 32
_ENCODER_CHANNELS = (32, 64, 128, 256)  # strides 2, 4, 8, 16
_ENCODER_BLOCKS = (2, 3, 4, 6)
_DECODER_CHANNELS = (256, 128, 96, 96)  # strides 8, 4, 2, 1
_DECODER_BLOCKS = 2
# The released code hands its momentum to these layers, but not to those inside the blocks, which keep torch's 0.1.
_MOMENTUM = 0.02


class VoxelNorm(nn.BatchNorm1d):
    """Batch normalisation over voxels; in training, fewer than two voxels are normalised by the running statistics."""

    def forward(self, input: Tensor) -> Tensor:
        """Return (V, C) normalised features; V = 0 is legal."""
        if self.training and len(input) < 2:
            return nn.functional.batch_norm(
                input, self.running_mean, self.running_var, self.weight, self.bias, False, 0.0, self.eps
            )
        return super().forward(input)


class ConvNormReLU(nn.Module):
    """A sparse convolution, batch normalisation and ReLU."""

    def __init__(self, conv: nn.Module, channels: int, momentum: float = _MOMENTUM) -> None:
        super().__init__()
        self.conv = conv
        self.norm = VoxelNorm(channels, momentum=momentum)

    def forward(self, x: SparseTensor) -> SparseTensor:
        out: SparseTensor = self.conv(x, NormReLU(self.norm))
        return out


class BasicBlock(nn.Module):
    """Two 3x3x3 convolutions and a skip connection, which is a linear map where the number of channels changes."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv1 = SubmanifoldConv(in_channels, channels, 3)
        self.norm1 = VoxelNorm(channels)
        self.conv2 = SubmanifoldConv(channels, channels, 3)
        self.norm2 = VoxelNorm(channels)
        self.skip: nn.Module = nn.Identity()
        if in_channels != channels:
            self.skip = nn.Sequential(
                nn.Linear(in_channels, channels, bias=False), VoxelNorm(channels, momentum=_MOMENTUM)
            )

    def forward(self, x: SparseTensor) -> SparseTensor:
        hidden = self.conv1(x, NormReLU(self.norm1))
        out: SparseTensor = self.conv2(hidden, NormReLU(self.norm2, self.skip(x.features)))
        return out


def blocks(in_channels: int, channels: int, num_blocks: int) -> nn.Sequential:
    """Return `num_blocks` basic blocks, the first of which changes the number of channels."""
    inputs = [in_channels] + [channels] * (num_blocks - 1)
    return nn.Sequential(*(BasicBlock(width, channels) for width in inputs))


class EncoderStage(nn.Module):
    """Half the resolution, then basic blocks."""

    def __init__(self, in_channels: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.down = ConvNormReLU(StridedConv(in_channels, in_channels), in_channels)
        self.blocks = blocks(in_channels, channels, num_blocks)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self.blocks(self.down(x))


class DecoderStage(nn.Module):
    """Twice the resolution, then basic blocks over [upsampled, skip]."""

    def __init__(self, in_channels: int, up_channels: int, skip_channels: int, channels: int, num_blocks: int) -> None:
        super().__init__()
        self.up = ConvNormReLU(InverseConv(in_channels, up_channels), up_channels)
        self.blocks = blocks(up_channels + skip_channels, channels, num_blocks)

    def forward(self, x: SparseTensor, skip: SparseTensor) -> SparseTensor:
        return self.blocks(skip.with_features(torch.cat([self.up(x).features, skip.features], 1)))


def unchanged(levels: list[SparseTensor]) -> list[SparseTensor]:
    """The memory of a backbone that has none."""
    return levels


class Res16UNet34C(nn.Module):
    """Four encoder and four decoder stages; between them a memory may change the encoder's outputs."""

    num_channels = _DECODER_CHANNELS[-1]
    memory_channels = _ENCODER_CHANNELS

    def __init__(self) -> None:
        super().__init__()
        self.stem = ConvNormReLU(SubmanifoldConv(3, _STEM_CHANNELS, 5), _STEM_CHANNELS)
        inputs = (_STEM_CHANNELS, *_ENCODER_CHANNELS[:-1])
        self.encoder = nn.ModuleList(map(EncoderStage, inputs, _ENCODER_CHANNELS, _ENCODER_BLOCKS))
        below = (_ENCODER_CHANNELS[-1], *_DECODER_CHANNELS[:-1])
        self.decoder = nn.ModuleList(
            DecoderStage(width, channels, skip, channels, _DECODER_BLOCKS)
            for width, skip, channels in zip(below, reversed(inputs), _DECODER_CHANNELS, strict=True)
        )

    def forward(self, x: SparseTensor, memory: SkipMemory = unchanged) -> SparseTensor:
        """Return (V, 96) features of the voxels of `x`, whose features are normalised colours (V, 3) (§1.4).

        `memory` is given the encoder's outputs at strides 2, 4, 8, 16 and returns what the decoder reads instead.
        """
        stem = self.stem(x)
        levels = encode(self.encoder, stem)
        *skips, x = memory(levels)
        for stage, skip in zip(self.decoder, [*reversed(skips), stem], strict=True):
            x = stage(x, skip)
        return x


def encode(stages: nn.ModuleList, x: SparseTensor) -> list[SparseTensor]:
    """Return the output of each encoder stage, finest first."""
    levels = []
    for stage in stages:
        x = stage(x)
        levels.append(x)
    return levels
