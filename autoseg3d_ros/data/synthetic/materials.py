"""Colours and textures drawn at random, within what is usual for cloth, wood, paint and plastic."""

from __future__ import annotations

import colorsys

import numpy as np

from autoseg3d_ros.data.synthetic.patterns import (
    Checks,
    Mottled,
    Patches,
    Pattern,
    Planks,
    Print,
    Speckled,
    Stripes,
    Tiles,
    Wood,
)
from autoseg3d_ros.data.synthetic.scene import Color, Material


def colourful(rng: np.random.Generator, pattern: Pattern, spread: float, value: float | None = None) -> Material:
    """A random colour with an accent that differs from it by `spread` in brightness."""
    hue, saturation = rng.uniform(), rng.uniform(0.25, 0.85)
    value = rng.uniform(0.3, 0.85) if value is None else value
    other = value + spread if value < 0.5 else value - spread
    return Material(hsv(hue, saturation, value), hsv(hue + rng.uniform(-0.06, 0.06), 0.8 * saturation, other), pattern)


def muted(rng: np.random.Generator, pattern: Pattern, spread: float) -> Material:
    """A colour as of cloth that is lived with, mostly greyish, seldom strong."""
    hue, saturation, value = rng.uniform(), 0.75 * rng.random() ** 1.5, rng.uniform(0.2, 0.85)
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


def floor_covering(rng: np.random.Generator) -> Material:
    """Boards, a carpet or stone tiles."""
    if rng.random() < 0.7:
        return flooring(rng)
    side, value = rng.choice([0.2, 0.3, 0.45]), rng.uniform(0.35, 0.85)
    stone = hsv(rng.uniform(0.02, 0.12), rng.uniform(0.0, 0.25), value)
    joint = hsv(0.1, 0.05, value - 0.2 if value > 0.5 else value + 0.25)
    return Material(stone, joint, Tiles((side, side), 0.006))


def wall_covering(rng: np.random.Generator, along: int) -> Material:
    """Paint, wallpaper or tiles of a wall that runs along an axis of the world."""
    kind = rng.random()
    if kind < 0.55:
        return wall_paint(rng)
    if kind < 0.7:  # one strong colour
        hue, saturation, value = rng.uniform(), rng.uniform(0.15, 0.5), rng.uniform(0.5, 0.85)
        return Material(hsv(hue, saturation, value), hsv(hue, saturation, value - 0.04), Mottled(0.4))
    hue, saturation, value = rng.uniform(), rng.uniform(0.02, 0.3), rng.uniform(0.7, 0.92)
    patterns: tuple[Pattern, ...] = (
        Stripes(along, rng.uniform(0.1, 0.4)),
        Tiles((rng.uniform(0.1, 0.3), rng.uniform(0.1, 0.3)), 0.006, (along, 2)),
        Patches(rng.uniform(0.03, 0.08), 2),
    )
    accent = hsv(hue + rng.uniform(-0.1, 0.1), saturation + 0.1, value - rng.uniform(0.04, 0.2))
    return Material(hsv(hue, saturation, value), accent, patterns[rng.integers(len(patterns))])


def flooring(rng: np.random.Generator) -> Material:
    """Boards or a carpet."""
    if rng.random() < 0.5:
        boards = wood(rng, axis=0)
        return Material(boards.color, boards.accent, Planks())
    hue, saturation, value = rng.uniform(), rng.uniform(0.05, 0.35), rng.uniform(0.35, 0.6)
    return Material(hsv(hue, saturation, value), hsv(hue, saturation, value - 0.1), Speckled())


def upholstery(rng: np.random.Generator) -> Material:
    """Cloth: plain in half of the cases, else with stripes, checks or spots."""
    patterns: tuple[Pattern, ...] = (
        Stripes(int(rng.integers(3)), rng.uniform(0.03, 0.15), rng.uniform(0.2, 0.6)),
        Checks(rng.uniform(0.05, 0.2)),
        Patches(rng.uniform(0.05, 0.15), 2, rng.uniform(0, 50)),
    )
    if rng.random() < 0.5:
        return muted(rng, Speckled(rng.uniform(0.008, 0.02)), spread=0.2)
    return printed(rng, patterns[rng.integers(len(patterns))])


def printed(rng: np.random.Generator, pattern: Pattern) -> Material:
    """Two colours of clearly different brightness, of any two hues."""
    low, high = rng.uniform(0.15, 0.5), rng.uniform(0.65, 0.95)
    pair = [hsv(rng.uniform(), rng.uniform(0.05, 0.65), value) for value in (low, high)]
    first = int(rng.integers(2))
    return Material(pair[first], pair[1 - first], pattern)


def lacquer(rng: np.random.Generator, pattern: Pattern) -> Material:
    """Paint on furniture, white, grey, of a wood's tone or coloured; the accent is the dark of its joints."""
    kind = rng.random()
    if kind < 0.4:
        color = grey(rng, 0.55, 0.95)
    elif kind < 0.75:
        color = hsv(rng.uniform(0.05, 0.1), rng.uniform(0.25, 0.65), rng.uniform(0.3, 0.8))
    else:
        color = hsv(rng.uniform(), rng.uniform(0.1, 0.6), rng.uniform(0.35, 0.8))
    dark = rng.uniform(0.15, 0.45)
    return Material(color, (dark * color[0], dark * color[1], dark * color[2]), pattern)


def enamel(rng: np.random.Generator, pattern: Pattern) -> Material:
    """The skin of a machine: white, steel, or now and then a colour."""
    color = grey(rng, 0.55, 0.95) if rng.random() < 0.8 else vivid(rng)
    return Material(color, (0.2 * color[0], 0.2 * color[1], 0.2 * color[2]), pattern, gloss=0.2)


def cardboard(rng: np.random.Generator, label: Pattern) -> Material:
    """Brown board with a light label."""
    return Material(hsv(rng.uniform(0.07, 0.1), rng.uniform(0.3, 0.5), rng.uniform(0.5, 0.75)), (0.8,) * 3, label)


def screen(rng: np.random.Generator, size_m: tuple[float, float], low_m: float) -> Material:
    """A screen `size_m` wide and high, from the height `low_m` on, with a window of text or a picture on it."""
    width, height = size_m
    page = Print((-0.4 * width, low_m + 0.1 * height), (rng.uniform(0.0, 0.4) * width, low_m + 0.9 * height), 0.016)
    image = Patches(rng.uniform(0.1, 0.25), 4, rng.uniform(0, 50))
    pattern: Pattern = page if rng.random() < 0.6 else image
    back = hsv(rng.uniform(0.5, 0.75), rng.uniform(0.2, 0.8), rng.uniform(0.2, 0.6))
    return Material(back, hsv(rng.uniform(), 0.1, 0.95), pattern, gloss=0.6)


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
