"""Plants and lamps: thin stems, poles and shades."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import colourful, grey, hsv, plain
from autoseg3d_ros.data.synthetic.patterns import Mottled, Speckled, Stripes
from autoseg3d_ros.data.synthetic.primitives import cylinder, lathe, rigid, superellipsoid
from autoseg3d_ros.data.synthetic.scene import Material, Model, Part


def floor_lamp(rng: np.random.Generator) -> Model:
    """A pole on a plate with a shade."""
    height, radius = rng.uniform(1.25, 1.45), rng.uniform(0.14, 0.18)
    metal, shade = plain(grey(rng, 0.1, 0.5)), colourful(rng, Mottled(0.1), spread=0.2, value=0.8)
    stand = [cylinder(0.13, 0.025), cylinder(0.018, height - 0.1)]
    cone = lathe([(radius, height - 0.28), (0.6 * radius, height), (0, height)])
    inner = lathe([(0, height - 0.005), (0.6 * radius - 0.005, height - 0.005), (radius - 0.005, height - 0.28)])
    return Model("floor lamp", (Part.of(metal, *stand), Part.of(shade, cone, inner)))


def table_lamp(rng: np.random.Generator) -> Model:
    """A thin or a round foot with a shade."""
    height, radius, shade_height = rng.uniform(0.32, 0.5), rng.uniform(0.09, 0.13), rng.uniform(0.13, 0.18)
    low = height - shade_height
    shade = colourful(rng, Stripes(2, 0.04, 0.2), spread=0.15, value=0.8)
    belly = rng.uniform(0.012, 0.07)
    foot = lathe([(0, 0), (0.07, 0), (0.07, 0.012), (belly, 0.3 * low), (0.8 * belly, 0.5 * low), (0.01, 0.8 * low)])
    pole = cylinder(0.008, low + 0.05)
    cone = lathe([(radius, low), (0.65 * radius, height), (0, height)])
    inner = lathe([(0, height - 0.004), (0.65 * radius - 0.004, height - 0.004), (radius - 0.004, low)])
    ceramic = colourful(rng, Mottled(0.05), spread=0.2)
    return Model("table lamp", (Part.of(ceramic, foot, pole), Part.of(shade, cone, inner)))


def plant(rng: np.random.Generator) -> Model:
    """A pot with a bush of overlapping leaf balls."""
    radius, pot = rng.uniform(0.08, 0.1), rng.uniform(0.11, 0.14)
    clay = colourful(rng, Mottled(0.05), spread=0.3)
    hue = rng.uniform(0.25, 0.38)
    leaves = Material(hsv(hue, 0.7, 0.35), hsv(hue - 0.05, 0.6, 0.6), Speckled(0.02))
    sides = [(0, 0), (0.8 * radius, 0), (radius, pot), (0, pot)]
    centres = rng.uniform(-1, 1, (9, 3)) * (0.07, 0.07, 0.05) + (0, 0, pot + 0.02)
    bush = [superellipsoid(rng.uniform(0.1, 0.15, 3), 2.0, centre) for centre in centres]
    return Model("plant", (Part(lathe(sides), clay), Part.of(leaves, *bush)))


def leafy_plant(rng: np.random.Generator) -> Model:
    """A pot with long thin leaves that lean outwards, from a hand high to man-high."""
    size = rng.uniform(0.4, 1.3)
    radius, pot, num_leaves = 0.06 + 0.09 * size, 0.1 + 0.18 * size, int(rng.integers(9, 17))
    hue = rng.uniform(0.24, 0.4)
    green = Material(hsv(hue, 0.65, 0.3), hsv(hue - 0.04, 0.55, 0.55), Stripes(2, rng.uniform(0.03, 0.1), 0.5))
    earth = cylinder(0.9 * radius, 0.01, (0, 0, pot - 0.03))
    sides = [(0, 0), (0.75 * radius, 0), (radius, pot), (0.9 * radius, pot), (0.88 * radius, pot - 0.04)]
    leaves = []
    for index in range(num_leaves):
        length, width = rng.uniform(0.6, 1.0) * size, rng.uniform(0.03, 0.06) + 0.04 * size
        leaf = superellipsoid((width, 0.008, 0.85 * length), 2.0, num_cells=4)
        yaw = 2.4 * index + rng.uniform(-0.3, 0.3)  # radians, near the golden angle
        leaves.append(leaf.moved(rigid(z_m=pot - 0.03, yaw_rad=yaw, tilt_rad=-rng.uniform(0.03, 0.5))))
    clay = colourful(rng, Mottled(0.05), spread=0.3)
    return Model("plant", (Part(lathe(sides), clay), Part(earth, plain((0.05, 0.035, 0.02))), Part.of(green, *leaves)))
