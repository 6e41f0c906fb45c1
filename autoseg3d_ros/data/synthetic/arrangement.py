"""Things on furniture: rows of piles with random gaps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg3d_ros.data.synthetic.primitives import rigid
from autoseg3d_ros.data.synthetic.scene import Model

Placed = tuple[Model, np.ndarray]  # a model and where it stands, (4, 4) from the object to its group or to the world


def stand_on(
    support: Model, support_x_m: float, piles: Sequence[Sequence[Model]], rng: np.random.Generator
) -> list[Placed]:
    """Stand piles of things in a row on a piece of furniture whose back is at the wall."""
    width, depth = support.size_m[:2]
    x_range = (support_x_m - width / 2 + 0.04, support_x_m + width / 2 - 0.04)
    return stand_in_row(piles, x_range, (0.4 * depth, 0.6 * depth), support.levels_m[0], rng)


def stand_in_row(
    piles: Sequence[Sequence[Model]],
    x_range_m: tuple[float, float],
    y_range_m: tuple[float, float],
    z_m: float,
    rng: np.random.Generator,
) -> list[Placed]:
    """Stand piles of things side by side in random order and with random gaps; the first of a pile is its lowest."""
    piles = [piles[index] for index in rng.permutation(len(piles))]
    yaws = [rng.uniform(-0.12, 0.12, len(pile)) for pile in piles]
    widths = np.array([_width_m(pile, yaw) for pile, yaw in zip(piles, yaws, strict=True)])
    gaps = rng.dirichlet(np.ones(len(piles) + 1)) * (x_range_m[1] - x_range_m[0] - widths.sum())
    centres = x_range_m[0] + np.cumsum(gaps[:-1]) + np.cumsum(widths) - widths / 2
    placed: list[Placed] = []
    for pile, pile_yaws, x in zip(piles, yaws, centres, strict=True):
        y, z = rng.uniform(*y_range_m), z_m
        for model, yaw in zip(pile, pile_yaws, strict=True):
            placed.append((model, rigid(x, y, z, yaw_rad=yaw)))
            z += model.size_m[2]
    return placed


def _width_m(pile: Sequence[Model], yaws_rad: np.ndarray) -> float:
    """Return the width about the pile's axis that its turned things need."""
    reach = np.array([np.abs(model.bounds_m[:, :2]).max(axis=0) for model in pile])  # (K, 2) half extents in x and y
    return float(2 * (reach[:, 0] * np.cos(yaws_rad) + reach[:, 1] * np.abs(np.sin(yaws_rad))).max())


def at_wall(model: Model, x_m: float, gap_m: float = 0.0) -> np.ndarray:
    """Return where a model stands with its back at the wall y = 0."""
    return rigid(x_m, gap_m - float(model.bounds_m[0, 1]))


def those_that_fit(piles: Sequence[Sequence[Model]], width_m: float) -> list[Sequence[Model]]:
    """Return the piles for which a row of some width has room, taken in order, with 2 cm to spare for each."""
    chosen: list[Sequence[Model]] = []
    for pile in piles:
        needed = _width_m(pile, np.full(len(pile), 0.12)) + 0.02
        if needed <= width_m:
            chosen.append(pile)
            width_m -= needed
    return chosen
