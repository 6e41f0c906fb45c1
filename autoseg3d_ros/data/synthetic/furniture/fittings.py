"""What belongs to a wall or to the floor and is a thing of its own all the same."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import grey, hsv, lacquer, plain, printed, upholstery, vivid, wood
from autoseg3d_ros.data.synthetic.patterns import Band, Checks, Patches, Print, Stripes, Tiles
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, ribbon
from autoseg3d_ros.data.synthetic.scene import Material, Model, Part


def door(rng: np.random.Generator) -> Model:
    """A leaf with panels in a frame, with a handle."""
    width, height = rng.uniform(0.8, 0.95), rng.uniform(1.98, 2.08)
    num_panels = int(rng.integers(1, 4))
    panels = Tiles((10.0, (height - 0.06) / num_panels), rng.uniform(0.01, 0.05), (0, 2), (5.0, 0.0), tone=0.0)
    leaf = wood(rng, axis=2) if rng.random() < 0.4 else lacquer(rng, panels)
    bar = box((0.12, 0.03, 0.02), (rng.choice([-1, 1]) * (width / 2 - 0.16), 0.045, 1.02))
    parts = (
        Part(box((width - 0.12, 0.035, height - 0.06), (0, 0.0, 0)), leaf),
        Part.of(plain(grey(rng, 0.3, 0.9)), *_frame(width, height, 0.06, 0.06, sill=False)),
        Part(bar, plain(grey(rng, 0.1, 0.6))),
    )
    return Model("door", parts)


def window(rng: np.random.Generator) -> Model:
    """A frame with a cross bar and a bright pane: hedges below, sky above."""
    width, height = rng.uniform(0.8, 1.5), rng.uniform(0.9, 1.25)
    horizon = rng.uniform(0.2, 0.6) * height
    sky, garden = hsv(rng.uniform(0.54, 0.62), rng.uniform(0.05, 0.4), 0.95), hsv(rng.uniform(0.2, 0.36), 0.4, 0.6)
    outside = Material(sky, garden, Band(0.0, horizon), gloss=0.7)
    bars = [box((0.05, 0.05, height - 0.1), (0, 0, 0.05))] if width > 1.0 else []
    frame = _frame(width, height, 0.06, 0.06, sill=True)
    pane = box((width - 0.1, 0.03, height - 0.1), (0, 0, 0.05))
    return Model("window", (Part(pane, outside), Part.of(plain(grey(rng, 0.5, 0.95)), *frame, *bars)))


def picture(rng: np.random.Generator) -> Model:
    """A painting, a poster or a print in a frame."""
    width, height = rng.uniform(0.25, 1.0), rng.uniform(0.25, 0.8)
    rim = rng.uniform(0.012, 0.04)
    kind = rng.integers(4)
    if kind == 0:
        image = printed(rng, Print((-0.35 * width, 0.1 * height), (0.35 * width, 0.9 * height), rng.uniform(0.03, 0.1)))
    elif kind == 1:
        image = printed(rng, Checks(rng.uniform(0.1, 0.3), (0, 2)))
    else:
        image = printed(rng, Patches(rng.uniform(0.12, 0.4), int(rng.integers(3, 6)), rng.uniform(0, 50)))
    canvas = box((width - 2 * rim, 0.012, height - 2 * rim), (0, 0, rim))
    spot = 0.3 * min(width, height)
    blot = box((spot, 0.003, rng.uniform(0.6, 1.4) * spot), (rng.uniform(-0.2, 0.2) * width, 0.0065, 0.3 * height))
    frame = Part.of(_frame_material(rng), *_frame(width, height, rim, 0.025, sill=True))
    parts = (Part(canvas, image), frame, Part(blot, plain(vivid(rng))))
    return Model("picture", parts[: 3 if rng.random() < 0.5 else 2])


def curtain(rng: np.random.Generator) -> Model:
    """A sheet in folds."""
    width, height, fold = rng.uniform(0.3, 0.55), rng.uniform(1.9, 2.15), rng.uniform(0.08, 0.12)
    x = np.linspace(-width / 2, width / 2, 60)
    folds = np.column_stack([x, 0.03 * np.sin(2 * np.pi * x / fold)])
    return Model("curtain", (Part(ribbon(folds, height), upholstery(rng)),))


def radiator(rng: np.random.Generator) -> Model:
    """A row of upright ribs between two pipes."""
    num_ribs, height = int(rng.integers(8, 18)), rng.uniform(0.5, 0.62)
    pitch = 0.055
    width = num_ribs * pitch
    centres = (np.arange(num_ribs) - (num_ribs - 1) / 2) * pitch
    ribs = [box((0.035, 0.09, height - 0.1), (x, 0, 0.1)) for x in centres]
    pipes = [box((width, 0.03, 0.03), (0, 0, z)) for z in (0.13, height - 0.06)]
    feet = [box((0.03, 0.06, 0.1), (side * (width / 2 - pitch / 2), 0, 0)) for side in (-1, 1)]
    return Model("radiator", (Part.of(plain(grey(rng, 0.7, 0.92)), *ribs, *pipes, *feet),))


def rug(rng: np.random.Generator) -> Model:
    """A thin cloth on the floor with a pattern and, mostly, a border."""
    width, depth = rng.uniform(1.1, 2.2), rng.uniform(0.8, 1.5)
    patterns = (
        Checks(rng.uniform(0.15, 0.4)),
        Stripes(int(rng.integers(2)), rng.uniform(0.08, 0.3)),
        Patches(rng.uniform(0.15, 0.5), 3, rng.uniform(0, 50)),
        Tiles((rng.uniform(0.15, 0.3),) * 2, 0.03),
    )
    cloth = printed(rng, patterns[rng.integers(len(patterns))])
    field = Part(box((width - 0.12, depth - 0.12, 0.006)), cloth)
    return Model("rug", (Part(box((width, depth, 0.005)), plain(vivid(rng))), field))


def _frame(width_m: float, height_m: float, bar_m: float, depth_m: float, *, sill: bool) -> list[Mesh]:
    """Return the bars round an opening; without a sill it is open below."""
    side = (width_m - bar_m) / 2
    bars = [box((bar_m, depth_m, height_m), (x, 0, 0)) for x in (-side, side)]
    bars.append(box((width_m - 2 * bar_m, depth_m, bar_m), (0, 0, height_m - bar_m)))
    return [*bars, box((width_m - 2 * bar_m, depth_m, bar_m))] if sill else bars


def _frame_material(rng: np.random.Generator) -> Material:
    return wood(rng, axis=2) if rng.random() < 0.5 else plain(grey(rng, 0.03, 0.9))
