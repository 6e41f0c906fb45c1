"""Screens, keyboards and kitchen machines."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg3d_ros.data.synthetic.materials import enamel, grey, plain, screen, vivid
from autoseg3d_ros.data.synthetic.patterns import Patches, Print, Tiles
from autoseg3d_ros.data.synthetic.primitives import box, lathe, rigid
from autoseg3d_ros.data.synthetic.scene import Color, Material, Model, Part

_BLACK: Color = (0.02, 0.02, 0.025)
_GLASS = Material(_BLACK, _BLACK, Patches(), gloss=0.8)
_UPRIGHT = rigid(tilt_rad=-np.pi / 2)  # turns what lies with its face up to face +y


def monitor(rng: np.random.Generator) -> Model:
    """A dark screen in a frame on a stand."""
    width = rng.uniform(0.48, 0.56)
    height = 0.6 * width
    shell = plain(grey(rng, 0.03, 0.3))
    foot = lathe([(0, 0), (0.11, 0), (0.11, 0.012), (0.02, 0.02), (0, 0.02)])
    meshes = (foot, box((0.05, 0.03, 0.2)), box((width, 0.035, height), (0, 0.03, 0.1)))
    pane = box((width - 0.04, 0.005, height - 0.04), (0, 0.048, 0.12))
    return Model("monitor", (Part.of(shell, *meshes), Part(pane, _GLASS)))


def lit_monitor(rng: np.random.Generator) -> Model:
    """A flat screen with something on it, on a square foot."""
    width = rng.uniform(0.46, 0.66)
    height, low = 0.58 * width, rng.uniform(0.09, 0.16)
    foot, neck = box((0.24, 0.17, 0.012)), box((0.05, 0.02, low + 0.1), (0, -0.03, 0))
    body = box((width, 0.03, height), (0, 0, low))
    pane = box((width - 0.02, 0.004, height - 0.03), (0, 0.017, low + 0.02))
    content = screen(rng, (width - 0.02, height - 0.03), low + 0.02)
    return Model("monitor", (Part.of(plain(grey(rng, 0.05, 0.75)), foot, neck, body), Part(pane, content)))


def television(rng: np.random.Generator) -> Model:
    """A wide flat screen on two feet, mostly switched off."""
    width = rng.uniform(0.9, 1.25)
    height = 0.57 * width
    feet = [box((0.03, 0.22, 0.02), (side * 0.36 * width, 0, 0)) for side in (-1, 1)]
    feet += [box((0.03, 0.03, 0.07), (side * 0.36 * width, 0, 0)) for side in (-1, 1)]
    body = box((width, 0.045, height), (0, 0, 0.06))
    pane = box((width - 0.02, 0.004, height - 0.02), (0, 0.0245, 0.07))
    content = screen(rng, (width - 0.02, height - 0.02), 0.07) if rng.random() < 0.35 else _GLASS
    return Model("television", (Part.of(plain(grey(rng, 0.03, 0.2)), *feet, body), Part(pane, content)))


def keyboard(rng: np.random.Generator) -> Model:
    """A board with rows of keys."""
    width, depth = rng.choice([0.3, 0.43]), rng.uniform(0.125, 0.15)
    caps, gap = (0.06, 0.45) if rng.random() < 0.6 else (0.75, 0.3)
    board = plain(grey(rng, 0.03, 0.8))
    pitch = depth / 6.5
    keys = Tiles((pitch, pitch), 0.22 * pitch, (0, 1), tone=0.2)
    surface = Material(grey(rng, caps, caps + 0.1), grey(rng, gap, gap + 0.05), keys)
    field = box((width - 0.012, depth - 0.012, 0.008), (0, 0, 0.014))
    return Model("keyboard", (Part(box((width, depth, 0.016)), board), Part(field, surface)))


def laptop(rng: np.random.Generator) -> Model:
    """A base with keys and an open lid with a lit or dark screen."""
    width, depth, opened = rng.uniform(0.3, 0.37), rng.uniform(0.21, 0.25), np.radians(rng.uniform(8, 30))
    shell = plain(grey(rng, 0.1, 0.75))
    keys = Material(grey(rng, 0.05, 0.15), grey(rng, 0.3, 0.5), Tiles((0.019, 0.019), 0.004, (0, 1), tone=0.2))
    lid_pose = rigid(y_m=-depth / 2, z_m=0.018, tilt_rad=opened)
    lid = box((width, 0.008, depth)).moved(lid_pose)
    pane = box((width - 0.02, 0.003, depth - 0.025), (0, 0.005, 0.014)).moved(lid_pose)
    content = screen(rng, (width - 0.02, (depth - 0.025) * np.cos(opened)), 0.03)
    meshes = box((width, depth, 0.016)), lid
    field = box((width - 0.03, 0.5 * depth, 0.002), (0, -0.15 * depth, 0.016))
    return Model("laptop", (Part.of(shell, *meshes), Part(field, keys), Part(pane, content)))


def fridge(rng: np.random.Generator) -> Model:
    """A tall or a low body with one or two doors and bar handles."""
    width, depth = rng.uniform(0.54, 0.66), rng.uniform(0.58, 0.66)
    height = rng.uniform(1.5, 1.95) if rng.random() < 0.7 else rng.uniform(0.82, 0.88)
    split = 0.66 * height if height > 1 else 5.0
    body = enamel(rng, Tiles((10.0, 10.0), 0.012, (0, 2), (5.0, split), tone=0.0))
    bars = [box((0.02, 0.035, 0.3), (-width / 2 + 0.06, depth / 2 + 0.017, min(split, height) - 0.36))]
    if height > 1:
        bars.append(box((0.02, 0.035, 0.2), (-width / 2 + 0.06, depth / 2 + 0.017, split + 0.06)))
    parts = (
        Part(box((width, depth, height - 0.03), (0, 0, 0.03)), body),
        Part.of(plain(grey(rng, 0.2, 0.5)), box((width - 0.06, depth - 0.06, 0.04)), *bars),
    )
    return Model("fridge", parts, (height,))


def microwave(rng: np.random.Generator) -> Model:
    """A small oven with a dark window and a field of buttons."""
    width, depth, height = rng.uniform(0.44, 0.52), rng.uniform(0.3, 0.38), rng.uniform(0.25, 0.3)
    pane = box((0.62 * width, 0.006, 0.7 * height), (-0.14 * width, depth / 2 + 0.003, 0.14 * height))
    field = box((0.2 * width, 0.006, 0.7 * height), (0.35 * width, depth / 2 + 0.003, 0.14 * height))
    buttons = Material(grey(rng, 0.5, 0.7), grey(rng, 0.05, 0.15), Tiles((0.03, 0.03), 0.008, (0, 2)))
    body = box((width, depth, height - 0.012), (0, 0, 0.012))
    feet = [box((0.03, 0.03, 0.012), (dx, dy, 0)) for dx in (-0.18, 0.18) for dy in (-0.11, 0.11)]
    shell = enamel(rng, Patches(0.4, 2))
    shell = replace(shell, accent=shell.color)
    return Model("microwave", (Part.of(shell, body, *feet), Part(pane, _GLASS), Part(field, buttons)), (height,))


def washing_machine(rng: np.random.Generator) -> Model:
    """A white body with a round door and a strip of controls."""
    width, depth, height = 0.6, rng.uniform(0.52, 0.6), rng.uniform(0.82, 0.87)
    panel = Print((-0.28, height - 0.1), (0.28, height - 0.02), line_m=0.03)
    paint = enamel(rng, panel)
    ring = lathe([(0.0, 0.04), (0.13, 0.04), (0.15, 0.045), (0.19, 0.02), (0.19, 0.0)])
    glass = lathe([(0.14, 0.042), (0.1, 0.05), (0.0, 0.055)])
    place = rigid(y_m=depth / 2, z_m=0.45 * height) @ _UPRIGHT
    dial = lathe([(0.035, 0.0), (0.03, 0.02), (0.0, 0.02)]).moved(rigid(0.18, depth / 2, height - 0.06) @ _UPRIGHT)
    parts = (
        Part(box((width, depth, height)), paint),
        Part.of(plain(grey(rng, 0.4, 0.8)), ring.moved(place)),
        Part(glass.moved(place), _GLASS),
        Part(dial, plain(vivid(rng) if rng.random() < 0.3 else grey(rng, 0.2, 0.6))),
    )
    return Model("washing machine", parts, (height,))
