"""The sparse feature pyramid of ESAM++ (arXiv 2605.29505): few channels where voxels are many, features of all strides.

For machines without a GPU, where most of the U-Net's time goes into its finest strides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from autoseg3d_ros.model.backbone import (
    ConvNormReLU,
    DecoderStage,
    EncoderStage,
    SkipMemory,
    VoxelNorm,
    encode,
    unchanged,
)
from autoseg3d_ros.model.sparse import SparseTensor, SubmanifoldConv, nearest_parent


@dataclass(frozen=True)
class PyramidConfig:
    """The channels of a pyramid."""

    stem: int  # stride 1
    stem_kernel: Literal[3, 5]
    encoder: tuple[int, int, int, int]  # strides 2, 4, 8, 16
    up: tuple[int, int, int, int]  # what comes from the coarser stride, at strides 8, 4, 2, 1
    decoder: tuple[int, int, int, int]  # strides 8, 4, 2, 1; up + skip where the stage has no block
    encoder_blocks: tuple[int, int, int, int]
    decoder_blocks: tuple[int, int, int, int]
    num_channels: int = 96  # of the output, a quarter from each stride


SIZES = {
    "edge": PyramidConfig(
        stem=12,
        stem_kernel=5,
        encoder=(32, 64, 128, 256),
        up=(256, 128, 96, 36),
        decoder=(256, 128, 96, 24),
        encoder_blocks=(2, 2, 2, 2),
        decoder_blocks=(2, 2, 2, 2),
    ),
    # At stride 1, where most voxels are, one convolution of 27 cells and no block.
    "tiny": PyramidConfig(
        stem=8,
        stem_kernel=3,
        encoder=(16, 32, 48, 64),
        up=(48, 32, 24, 16),
        decoder=(48, 32, 24, 24),
        encoder_blocks=(1, 1, 1, 1),
        decoder_blocks=(1, 1, 1, 0),
        num_channels=64,
    ),
}


class PyramidBackbone(nn.Module):
    """Four encoder and four decoder stages; every voxel reads the decoder's features at all four strides.

    A coarse feature is read by all voxels below it. A transposed convolution of size 2 and stride 8 would reach 8 of
    the 512.
    """

    def __init__(self, config: PyramidConfig) -> None:
        super().__init__()
        self.num_channels = config.num_channels
        self.memory_channels = config.encoder
        self.stem = ConvNormReLU(SubmanifoldConv(3, config.stem, config.stem_kernel), config.stem)
        inputs = (config.stem, *config.encoder[:-1])
        self.encoder = nn.ModuleList(
            EncoderStage(*sizes) for sizes in zip(inputs, config.encoder, config.encoder_blocks, strict=True)
        )
        below = (config.encoder[-1], *config.decoder[:-1])
        self.decoder = nn.ModuleList(
            DecoderStage(*sizes)
            for sizes in zip(below, config.up, reversed(inputs), config.decoder, config.decoder_blocks, strict=True)
        )
        share = config.num_channels // len(config.decoder)
        self.heads = nn.ModuleList(_linear(channels, share) for channels in config.decoder)
        self.fusion = nn.Sequential(
            _linear(config.num_channels, config.num_channels), _linear(config.num_channels, config.num_channels)
        )

    @classmethod
    def of(cls, size: str) -> PyramidBackbone:
        """Return a pyramid of the size `edge` or `tiny`."""
        return cls(SIZES[size])

    def forward(self, x: SparseTensor, memory: SkipMemory = unchanged) -> SparseTensor:
        """Return (V, num_channels) features of the voxels of `x`, whose features are normalised colours (V, 3).

        `memory` is given the encoder's outputs at strides 2, 4, 8, 16 and returns what the decoder reads instead.
        """
        stem = self.stem(x)
        *skips, coarse = memory(encode(self.encoder, stem))
        shares: list[Tensor] = []
        for stage, skip, head in zip(self.decoder, [*reversed(skips), stem], self.heads, strict=True):
            coarse = stage(coarse, skip)
            share = coarse.with_features(head(coarse.features))
            shares.append(nearest_parent(share, x.stride))
        return x.with_features(self.fusion(torch.cat(shares, 1)))


def _linear(in_channels: int, channels: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(in_channels, channels, bias=False), VoxelNorm(channels), nn.ReLU())
