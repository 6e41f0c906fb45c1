"""What stands in a bookcase: rows of books, piles of books, small things."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic import furniture
from autoseg3d_ros.data.synthetic.arrangement import Placed, at_wall, stand_in_row, those_that_fit
from autoseg3d_ros.data.synthetic.furniture.storage import BOARD_M
from autoseg3d_ros.data.synthetic.primitives import rigid
from autoseg3d_ros.data.synthetic.scene import Model

_MAKERS = (furniture.small_box, furniture.flask, furniture.mug, furniture.ball, furniture.table_lamp, furniture.bottle)


def filled_shelf(shelf: Model, x_m: float, rng: np.random.Generator) -> list[Placed]:
    """Return a bookcase at the wall y = 0 with things on some of its boards and on its top."""
    placed = [(shelf, at_wall(shelf, x_m))]
    levels = shelf.levels_m
    inside = shelf.size_m[0] / 2 - BOARD_M - 0.005
    for index, level in enumerate(levels):
        is_top = index == len(levels) - 1
        room_m = 0.6 if is_top else levels[index + 1] - BOARD_M - level - 0.01
        kind = rng.random()
        if kind < 0.45 and not is_top:
            placed += _books(x_m - inside, x_m + inside, shelf.size_m[1], level, rng)
        elif kind < 0.85:
            depth = shelf.size_m[1]
            piles = [pile for pile in _piles(rng) if sum(model.size_m[2] for model in pile) < room_m]
            x_range = x_m - inside, x_m + inside
            row = those_that_fit(piles, 2 * inside)
            placed += stand_in_row(row, x_range, (0.5 * depth, 0.6 * depth), level, rng)
    return placed


def _books(low_m: float, high_m: float, depth_m: float, level_m: float, rng: np.random.Generator) -> list[Placed]:
    """Return three to seven books side by side from one end of a board on, some of them equal."""
    books: list[Model] = []
    for _ in range(int(rng.integers(3, 8))):
        books.append(books[-1] if books and rng.random() < 0.35 else furniture.standing_book(rng))
    placed: list[Placed] = []
    x = low_m + rng.uniform(0.0, 0.3) * (high_m - low_m)
    for book in books:
        width = book.size_m[0]
        if x + width > high_m:
            break
        y = depth_m - 0.02 - book.size_m[1] / 2 - rng.uniform(0.0, 0.03)
        placed.append((book, rigid(x + width / 2, y, level_m)))
        x += width + rng.uniform(0.0, 0.003)
    return placed


def _piles(rng: np.random.Generator) -> list[list[Model]]:
    """Return a few single things, twins and piles of books, in random order."""
    chosen = [_MAKERS[index] for index in rng.permutation(len(_MAKERS))[: int(rng.integers(1, 4))]]
    piles = [[maker(rng)] for maker in chosen]
    if rng.random() < 0.4:
        piles.append(piles[0])
    if rng.random() < 0.4:
        piles.append([furniture.book(rng) for _ in range(int(rng.integers(1, 4)))])
    return piles
