"""Procedural textures: each maps points in the object frame to a blend weight between two colours.

They are functions of 3D position, so that a surface keeps its texture from every view without texture coordinates.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np


class Pattern(Protocol):
    """A texture without colours."""

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        """Return the share (N,) float32 in [0, 1] of the accent colour at (3, N) float32 points of the object frame."""
        ...


@dataclass(frozen=True)
class Mottled:
    """Soft clouds about `size_m` wide."""

    size_m: float = 0.05

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        return 0.5 + 0.5 * soft_noise(points_m / self.size_m)


@dataclass(frozen=True)
class Wood:
    """Grain along one axis, wavy, with lines about `spacing_m` apart."""

    axis: int = 0
    spacing_m: float = 0.03

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        stretched = points_m / self.spacing_m
        stretched[self.axis] *= 0.05
        across = stretched.sum(axis=0) - stretched[self.axis]
        return 0.5 + 0.5 * np.sin(2 * np.pi * across + 4.0 * soft_noise(stretched * 0.4))


@dataclass(frozen=True)
class Planks:
    """Floor boards: each has its tone, a dark joint runs between two."""

    width_m: float = 0.14
    length_m: float = 1.1

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        across = points_m[1] / self.width_m
        row = np.floor(across)
        along = points_m[0] / self.length_m + 0.37 * row
        tone = 0.7 * cell_noise(np.stack([row, np.floor(along)]))
        joint = (across - row < 0.03) | (along - np.floor(along) < 0.004)
        return np.where(joint, np.float32(1), tone + 0.2 * Wood(axis=0, spacing_m=0.04).weight(points_m))


@dataclass(frozen=True)
class Speckled:
    """A random tone for each grain: carpet, fabric, stone."""

    grain_m: float = 0.008

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        # The offset keeps a face that lies on a cell boundary inside one layer of cells.
        return cell_noise(np.floor(points_m / self.grain_m + 0.37))


@dataclass(frozen=True)
class Band:
    """The accent between two heights with soft clouds elsewhere: labels, lids, hems."""

    low_m: float
    high_m: float
    axis: int = 2

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        height = points_m[self.axis]
        inside = (height > self.low_m) & (height < self.high_m)
        return np.where(inside, np.float32(1), 0.2 * Mottled(0.08).weight(points_m))


def soft_noise(points: np.ndarray) -> np.ndarray:
    """Return smooth noise (N,) in [-1, 1] with features about one unit wide at (3, N) points."""
    phases = sum(wave[:, None] * axis for wave, axis in zip(_WAVES.T, points, strict=True)) + _PHASES  # (6, N)
    return np.sin(phases).mean(axis=0)


def cell_noise(cells: np.ndarray) -> np.ndarray:
    """Return a random number (N,) in [0, 1) for each (K, N) whole-numbered cell; equal cells give equal numbers."""
    mixed = np.zeros(cells.shape[1], dtype=np.uint64)
    for axis in cells.astype(np.int64).astype(np.uint64):  # two's complement keeps negative cells distinct
        mixed = _scrambled(mixed + axis + np.uint64(0x9E3779B97F4A7C15))
    return (mixed >> np.uint64(40)).astype(np.float32) / np.float32(2**24)


def _scrambled(bits: np.ndarray) -> np.ndarray:
    """Return (N,) uint64 in which each bit depends on all bits of the input: the finalizer of SplitMix64 (S. Vigna)."""
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return bits ^ (bits >> np.uint64(31))


# Directions and lengths of the waves that soft_noise adds up; fixed, so that a texture never changes.
_WAVES = (2.2 * np.random.default_rng(0).normal(size=(6, 3))).astype(np.float32)
_PHASES = np.random.default_rng(1).uniform(0, 2 * np.pi, size=(6, 1)).astype(np.float32)
