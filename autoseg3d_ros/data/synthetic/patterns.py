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


@dataclass(frozen=True)
class Stripes:
    """Bands of equal width along one axis: cloth, wallpaper, corrugation."""

    axis: int = 0
    pitch_m: float = 0.08
    share: float = 0.5  # of the pitch that has the accent

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        return (_fraction(points_m[self.axis] / self.pitch_m + 0.25) < self.share).astype(np.float32)


@dataclass(frozen=True)
class Checks:
    """Woven checks: two crossing sets of bands, darkest where they cross."""

    pitch_m: float = 0.1
    axes: tuple[int, int] = (0, 1)

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        first, second = (_fraction(points_m[axis] / self.pitch_m + 0.25) < 0.5 for axis in self.axes)
        return np.float32(0.5) * first + np.float32(0.5) * second


@dataclass(frozen=True)
class Tiles:
    """Rectangles of slightly different tone between joints of the accent: tiles, keys, drawer fronts, bricks."""

    pitch_m: tuple[float, float] = (0.3, 0.3)
    joint_m: float = 0.005
    axes: tuple[int, int] = (0, 1)
    offset_m: tuple[float, float] = (0.0, 0.0)  # where one joint is
    tone: float = 0.25

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        joint: np.ndarray | bool = False
        cells = []
        for axis, pitch, offset in zip(self.axes, self.pitch_m, self.offset_m, strict=True):
            place = (points_m[axis] - np.float32(offset)) / np.float32(pitch) + np.float32(0.5 * self.joint_m / pitch)
            cells.append(np.floor(place))
            joint = joint | (place - cells[-1] < self.joint_m / pitch)
        tone = np.float32(self.tone) * cell_noise(np.stack(cells))
        return np.where(joint, np.float32(1), tone)


@dataclass(frozen=True)
class Patches:
    """Flat areas with curved outlines in a few tones: paintings, camouflage, marble, a map."""

    size_m: float = 0.15
    num_tones: int = 4
    offset_m: float = 0.0  # another offset, another picture

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        noise = soft_noise((points_m + np.float32(self.offset_m)) / np.float32(self.size_m))
        tone = np.floor((0.5 + 0.75 * noise) * self.num_tones) / np.float32(self.num_tones - 1)
        return np.clip(tone, 0, 1).astype(np.float32)


@dataclass(frozen=True)
class Print:
    """A rectangle of the accent with lines of print in it: labels, posters, pages, lit screens."""

    low_m: tuple[float, float]
    high_m: tuple[float, float]
    line_m: float = 0.03
    axes: tuple[int, int] = (0, 2)

    def weight(self, points_m: np.ndarray) -> np.ndarray:
        across, up = points_m[self.axes[0]], points_m[self.axes[1]]
        inside = (across > self.low_m[0]) & (across < self.high_m[0]) & (up > self.low_m[1]) & (up < self.high_m[1])
        row = np.floor(up / np.float32(self.line_m))
        words = np.floor(across / np.float32(2.2 * self.line_m) + 0.37 * row)
        written = (up / np.float32(self.line_m) - row < 0.45) & (cell_noise(np.stack([row, words])) < 0.6)
        return np.where(inside, np.where(written, np.float32(0.3), np.float32(1)), np.float32(0))


def _fraction(values: np.ndarray) -> np.ndarray:
    return values - np.floor(values)


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
