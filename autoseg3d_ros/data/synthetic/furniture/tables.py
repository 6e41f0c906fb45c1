"""Tables, desks and counters."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import grey, lacquer, plain, wood
from autoseg3d_ros.data.synthetic.patterns import Tiles
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, cylinder, lathe
from autoseg3d_ros.data.synthetic.scene import Material, Model, Part


def desk(rng: np.random.Generator) -> Model:
    """A wooden top on four legs with a panel at the back."""
    width, depth, height = rng.uniform(1.45, 1.65), rng.uniform(0.65, 0.75), rng.uniform(0.71, 0.76)
    timber, metal = wood(rng, axis=0), plain(grey(rng, 0.1, 0.5))
    top = box((width, depth, 0.04), (0, 0, height - 0.04))
    legs = [
        box((0.05, 0.05, height - 0.04), (x, y, 0))
        for x in (-width / 2 + 0.05, width / 2 - 0.05)
        for y in (-depth / 2 + 0.05, depth / 2 - 0.05)
    ]
    panel = box((width - 0.1, 0.02, 0.35), (0, -depth / 2 + 0.08, height - 0.39))
    return Model("desk", (Part.of(timber, top, panel), Part.of(metal, *legs)), (height,))


def plain_desk(rng: np.random.Generator) -> Model:
    """A desk on two side frames, or with a drawer unit on one side."""
    width, depth, height = rng.uniform(1.1, 1.6), rng.uniform(0.55, 0.75), rng.uniform(0.70, 0.76)
    top, frame = _table_top(rng), plain(grey(rng, 0.1, 0.85))
    leg, x = rng.uniform(0.03, 0.05), width / 2 - 0.06
    sides = [_side_frame(side * x, depth - 0.06, height - 0.03, leg) for side in (-1, 1)]
    parts = [Part(box((width, depth, 0.03), (0, 0, height - 0.03)), top)]
    if rng.random() < 0.5:
        side = rng.choice([-1, 1])
        sides.pop(0 if side < 0 else 1)
        unit = 0.4
        body = lacquer(rng, Tiles((10.0, 0.5 * (height - 0.05)), 0.012, (0, 2), (5.0, 0.03), tone=0.0))
        place = (side * (width / 2 - unit / 2 - 0.02), 0, 0)
        parts += [Part(box((unit, depth - 0.06, height - 0.03), place), body)]
    parts.append(Part.of(frame, *[mesh for side_frame in sides for mesh in side_frame]))
    return Model("desk", tuple(parts), (height,))


def table(rng: np.random.Generator) -> Model:
    """A rectangular top on four legs, round or square."""
    width, depth, height = rng.uniform(0.8, 1.7), rng.uniform(0.7, 0.9), rng.uniform(0.70, 0.77)
    return Model("table", _four_legged(rng, width, depth, height), (height,))


def coffee_table(rng: np.random.Generator) -> Model:
    """A low table, mostly with a board below."""
    width, depth, height = rng.uniform(0.7, 1.1), rng.uniform(0.45, 0.6), rng.uniform(0.36, 0.46)
    parts = _four_legged(rng, width, depth, height)
    if rng.random() < 0.6:
        parts += (Part(box((width - 0.12, depth - 0.12, 0.015), (0, 0, 0.12)), parts[0].material),)
    return Model("table", parts, (height,))


def round_table(rng: np.random.Generator) -> Model:
    """A round top on one column with a plate for a foot."""
    radius, height = rng.uniform(0.4, 0.6), rng.uniform(0.70, 0.76)
    plate = cylinder(radius, 0.03, (0, 0, height - 0.03))
    profile = [(0.0, 0.0), (0.55 * radius, 0.0), (0.5 * radius, 0.025), (0.04, 0.04), (0.04, height - 0.03)]
    return Model("table", (Part(plate, _table_top(rng)), Part(lathe(profile), plain(grey(rng, 0.1, 0.8)))), (height,))


def counter(rng: np.random.Generator) -> Model:
    """A closed body with a worktop that stands out a little."""
    width, depth, height = rng.uniform(1.42, 1.58), rng.uniform(0.6, 0.7), rng.uniform(0.71, 0.8)
    body, top = plain(grey(rng, 0.35, 0.7)), wood(rng, axis=0)
    parts = (
        Part(box((width - 0.03, depth - 0.02, height - 0.04)), body),
        Part(box((width, depth, 0.04), (0, 0, height - 0.04)), top),
    )
    return Model("counter", parts, (height,))


def kitchen_counter(rng: np.random.Generator) -> Model:
    """A row of cupboards under a worktop: joints between the fronts, a handle on each, a plinth."""
    num_fronts, unit = int(rng.integers(2, 5)), rng.uniform(0.45, 0.6)
    width, depth, height = num_fronts * unit, rng.uniform(0.58, 0.64), rng.uniform(0.85, 0.92)
    fronts = lacquer(rng, Tiles((unit, 10.0), 0.008, (0, 2), (width / 2, 5.0), tone=0.12))
    body = box((width, depth - 0.03, height - 0.14), (0, -0.015, 0.1))
    plinth = box((width, depth - 0.1, 0.1), (0, -0.05, 0))
    centres = (np.arange(num_fronts) - (num_fronts - 1) / 2) * unit
    handles = [box((0.16, 0.025, 0.014), (x, depth / 2 - 0.02, height - 0.12)) for x in centres]
    worktop = box((width + 0.02, depth, 0.04), (0, 0, height - 0.04))
    parts = (Part(body, fronts), Part.of(plain(grey(rng, 0.1, 0.5)), plinth, *handles), Part(worktop, _table_top(rng)))
    return Model("counter", parts, (height,))


def _four_legged(rng: np.random.Generator, width: float, depth: float, height: float) -> tuple[Part, ...]:
    thickness, leg, inset = rng.uniform(0.02, 0.045), rng.uniform(0.03, 0.07), rng.uniform(0.04, 0.09)
    is_round, low = rng.random() < 0.4, height - thickness
    legs = [
        cylinder(leg / 2, low, (x, y, 0)) if is_round else box((leg, leg, low), (x, y, 0))
        for x in (-width / 2 + inset, width / 2 - inset)
        for y in (-depth / 2 + inset, depth / 2 - inset)
    ]
    metal = plain(grey(rng, 0.08, 0.8)) if rng.random() < 0.6 else wood(rng, axis=2)
    return Part(box((width, depth, thickness), (0, 0, low)), _table_top(rng)), Part.of(metal, *legs)


def _side_frame(x_m: float, depth_m: float, height_m: float, bar_m: float) -> list[Mesh]:
    """Return two posts with a bar on the ground between them."""
    y = (depth_m - bar_m) / 2
    posts = [box((bar_m, bar_m, height_m), (x_m, side * y, 0)) for side in (-1, 1)]
    return [*posts, box((bar_m, depth_m - 2 * bar_m, bar_m), (x_m, 0, 0))]


def _table_top(rng: np.random.Generator) -> Material:
    return wood(rng, axis=0) if rng.random() < 0.65 else plain(grey(rng, 0.15, 0.9))
