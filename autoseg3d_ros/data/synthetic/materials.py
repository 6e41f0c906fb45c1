"""Colours and textures drawn at random, within what is usual for cloth, wood, paint and plastic."""

from __future__ import annotations

import colorsys

import numpy as np

from autoseg3d_ros.data.synthetic.patterns import Mottled, Pattern, Planks, Speckled, Wood
from autoseg3d_ros.data.synthetic.scene import Color, Material


def colourful(rng: np.random.Generator, pattern: Pattern, spread: float, value: float | None = None) -> Material:
    """A random colour with an accent that differs from it by `spread` in brightness."""
    hue, saturation = rng.uniform(), rng.uniform(0.25, 0.85)
    value = rng.uniform(0.3, 0.85) if value is None else value
    other = value + spread if value < 0.5 else value - spread
    return Material(hsv(hue, saturation, value), hsv(hue + rng.uniform(-0.06, 0.06), 0.8 * saturation, other), pattern)


def wood(rng: np.random.Generator, axis: int) -> Material:
    """A wood with its grain along one axis of the object."""
    hue, saturation, value = rng.uniform(0.05, 0.1), rng.uniform(0.25, 0.65), rng.uniform(0.3, 0.8)
    pattern = Wood(axis, rng.uniform(0.02, 0.05))
    return Material(hsv(hue, saturation, value), hsv(hue, saturation + 0.05, 0.82 * value), pattern)


def wall_paint(rng: np.random.Generator) -> Material:
    """Wall paint."""
    hue, saturation, value = rng.uniform(), rng.uniform(0.02, 0.2), rng.uniform(0.8, 0.92)
    return Material(hsv(hue, saturation, value), hsv(hue, saturation, value - 0.03), Mottled(0.4))


def flooring(rng: np.random.Generator) -> Material:
    """Boards or a carpet."""
    if rng.random() < 0.5:
        boards = wood(rng, axis=0)
        return Material(boards.color, boards.accent, Planks())
    hue, saturation, value = rng.uniform(), rng.uniform(0.05, 0.35), rng.uniform(0.35, 0.6)
    return Material(hsv(hue, saturation, value), hsv(hue, saturation, value - 0.1), Speckled())


def plain(color: Color) -> Material:
    """One colour."""
    return Material(color, color, Mottled())


def grey(rng: np.random.Generator, low: float, high: float) -> Color:
    """A grey, hardly tinted, of a brightness from `low` to `high`."""
    return hsv(rng.uniform(), 0.08, rng.uniform(low, high))


def vivid(rng: np.random.Generator) -> Color:
    """A strong colour of any hue."""
    return hsv(rng.uniform(), 0.75, rng.uniform(0.5, 0.9))


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Return the linear reflectance of a colour as it is to look on a screen."""
    shown = colorsys.hsv_to_rgb(hue % 1.0, saturation, min(max(value, 0.03), 0.95))
    return tuple(channel**2.2 for channel in shown)
