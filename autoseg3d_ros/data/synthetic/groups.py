"""Groups of furniture as they stand in homes and offices, each drawn from `rng`.

Group frame of those in `AT_WALLS`: the wall is y = 0, x runs along it, y into the room. Those in `FREE` have their
origin at the centre. Lists begin with what carries: things stand on, in or under what comes before them. What does not
fit into its group is left out later (`settling`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np

from autoseg3d_ros.data.synthetic import furniture
from autoseg3d_ros.data.synthetic.arrangement import Placed, at_wall, stand_in_row, those_that_fit
from autoseg3d_ros.data.synthetic.families import Maker, draw
from autoseg3d_ros.data.synthetic.primitives import rigid
from autoseg3d_ros.data.synthetic.scene import Model
from autoseg3d_ros.data.synthetic.shelving import filled_shelf

Choice = TypeVar("Choice")
Group = Callable[[np.random.Generator], list[Placed]]

_ON_DESKS: tuple[Maker, ...] = (
    furniture.book,
    furniture.mug,
    furniture.bottle,
    furniture.flask,
    furniture.small_box,
    furniture.table_lamp,
    furniture.plant,
)
_ON_SIDEBOARDS: tuple[Maker, ...] = (
    furniture.table_lamp,
    furniture.small_box,
    furniture.bottle,
    furniture.book,
    furniture.plant,
    furniture.storage_box,
    furniture.laptop,
    furniture.ball,
    furniture.crate,
)
_IN_KITCHENS: tuple[Maker, ...] = (furniture.bottle, furniture.flask, furniture.mug, furniture.small_box)


def work_place(rng: np.random.Generator) -> list[Placed]:
    """A desk with one monitor, two of a kind or a laptop, a keyboard, small things; a chair before, a bin under it."""
    desk, chair = draw("desk", rng), draw(_one_of(("office chair", "office chair", "chair"), rng), rng)
    width, depth, top = *desk.size_m[:2], desk.levels_m[0]
    placed: list[Placed] = [(desk, at_wall(desk, 0.0))]
    centre = rng.uniform(-0.12, 0.12) * width
    screen, keyboard = draw("monitor", rng), furniture.keyboard(rng)
    num_screens = int(rng.integers(0, 3))
    if num_screens == 0:
        screen, num_screens = furniture.laptop(rng), 1
    else:
        placed.append((keyboard, rigid(centre, 0.78 * depth, top, rng.uniform(-0.15, 0.15))))
    pitch = screen.size_m[0] + rng.uniform(0.01, 0.05)
    for index in range(num_screens):
        x = centre + (index - (num_screens - 1) / 2) * pitch
        placed.append((screen, rigid(x, 0.36 * depth, top, rng.uniform(-0.06, 0.06))))
    edge = num_screens * pitch / 2
    for low, high in ((-width / 2 + 0.03, centre - edge), (centre + edge, width / 2 - 0.03)):
        placed += _row(_some(_ON_DESKS, 2, rng), (low, high), (0.3 * depth, 0.7 * depth), top, rng)
    sitting = rigid(centre, depth + rng.uniform(0.0, 0.4), 0.0, np.pi + rng.uniform(-0.6, 0.6))
    under = rigid(_side(rng) * (width / 2 - 0.25), 0.45 * depth)
    return [*placed, (chair, sitting), (furniture.waste_bin(rng), under)]


def lounge(rng: np.random.Generator) -> list[Placed]:
    """A sofa with pillows, a low table on a rug before it, a lamp beside it and an armchair across the corner."""
    sofa, table, seat = furniture.long_sofa(rng), furniture.coffee_table(rng), furniture.armchair(rng)
    width, depth = sofa.size_m[:2]
    side, cushion = _side(rng), furniture.pillow(rng)
    middle = depth + 0.35 + table.size_m[1] / 2 + rng.uniform(-0.05, 0.1)
    placed = [(sofa, at_wall(sofa, 0.0))]
    for index in range(int(rng.integers(0, 4))):
        model = cushion if rng.random() < 0.6 else furniture.pillow(rng)
        x = (-1, 1, 0)[index] * (width / 2 - 0.45)
        placed.append((model, rigid(x, 0.215 - float(model.bounds_m[0, 1]), sofa.levels_m[0], rng.uniform(-0.1, 0.1))))
    if rng.random() < 0.6:
        placed.append((furniture.rug(rng), rigid(0.0, middle)))
    placed.append((table, rigid(0.0, middle, yaw_rad=rng.uniform(-0.08, 0.08))))
    placed += _scattered(table, (0.0, middle), [furniture.mug, furniture.book, furniture.flask, furniture.laptop], rng)
    placed.append((furniture.floor_lamp(rng), rigid(side * (width / 2 + 0.24), 0.25)))
    if rng.random() < 0.6:
        place = -side * (width / 2 + 0.35), middle + rng.uniform(-0.1, 0.2)
        placed.append((seat, rigid(*place, 0.0, side * (np.pi / 2 + rng.uniform(-0.4, 0.1)))))
    return placed


def sleeping_place(rng: np.random.Generator) -> list[Placed]:
    """A bed with its head at the wall, one or two equal pillows, one or two equal nightstands with things on them."""
    bed, pillow, stand = furniture.bed(rng), furniture.flat_pillow(rng), furniture.nightstand(rng)
    width, lamp = bed.size_m[0], furniture.table_lamp(rng)
    placed = [(bed, at_wall(bed, 0.0))]
    num_pillows = 2 if width > 1.3 else 1
    for index in range(num_pillows):
        x = (index - (num_pillows - 1) / 2) * 0.5 * width
        placed.append((pillow, rigid(x, 0.08 + pillow.size_m[1] / 2, bed.levels_m[0], rng.uniform(-0.1, 0.1))))
    for side in (-1, 1) if rng.random() < 0.7 else (_side(rng),):
        x = side * (width / 2 + stand.size_m[0] / 2 + rng.uniform(0.02, 0.08))
        placed += [(stand, at_wall(stand, x)), (lamp, rigid(x - 0.05, 0.16, stand.levels_m[0]))]
        placed.append((furniture.mug(rng), rigid(x + 0.12, 0.3, stand.levels_m[0], rng.uniform(0, 6))))
    return placed


def sideboard(rng: np.random.Generator) -> list[Placed]:
    """A cabinet, a dresser or a chest with a row of things on it."""
    body = draw(_one_of(("cabinet", "dresser", "chest"), rng), rng)
    makers = (furniture.television, *_some(_ON_SIDEBOARDS, 2, rng)) if rng.random() < 0.4 else ()
    return [(body, at_wall(body, 0.0)), *_on_top(body, makers or _some(_ON_SIDEBOARDS, 5, rng), rng)]


def kitchen_line(rng: np.random.Generator) -> list[Placed]:
    """Cupboards under a worktop with a microwave, equal bottles and mugs; a fridge or a washing machine beside them."""
    counter, machine = furniture.kitchen_counter(rng), draw(_one_of(("fridge", "washing machine"), rng), rng)
    makers = (furniture.microwave, *_some(_IN_KITCHENS, 3, rng))
    bottle, mug = furniture.bottle(rng), furniture.mug(rng)
    things = [maker(rng) for maker in makers] + [bottle, bottle, bottle, mug, mug]
    width, depth = counter.size_m[:2]
    x_range = -width / 2 + 0.03, width / 2 - 0.03
    piles = those_that_fit([[thing] for thing in things], width - 0.06)
    row = stand_in_row(piles, x_range, (0.4 * depth, 0.5 * depth), counter.levels_m[0], rng)
    x = _side(rng) * (width / 2 + machine.size_m[0] / 2 + rng.uniform(0.015, 0.03))
    return [(counter, at_wall(counter, 0.0)), *row, (machine, at_wall(machine, x))]


def library(rng: np.random.Generator) -> list[Placed]:
    """One bookcase with books and things on its boards, or two of a kind side by side."""
    case = furniture.bookcase(rng)
    num_cases = 2 if rng.random() < 0.3 else 1
    placed: list[Placed] = []
    for index in range(num_cases):
        x = (index - (num_cases - 1) / 2) * (case.size_m[0] + 0.01)
        placed += filled_shelf(case, x, rng)
    return placed


def stack_of_boxes(rng: np.random.Generator) -> list[Placed]:
    """Two to four boxes of one kind that nearly touch, others on them."""
    kind = _one_of((furniture.storage_box, furniture.carton, furniture.crate), rng)(rng)
    count, pitch = int(rng.integers(2, 5)), kind.size_m[0] + rng.uniform(0.0, 0.02)
    places = [(index - (count - 1) / 2) * pitch for index in range(count)]
    y = kind.size_m[1] / 2 + rng.uniform(0.0, 0.08)
    placed = [(kind, rigid(x, y, yaw_rad=rng.uniform(-0.02, 0.02))) for x in places]
    for x in places:
        if kind.family == "crate":
            thing = _one_of((furniture.ball, furniture.book, furniture.flask), rng)(rng)
            placed.append((thing, rigid(x, y, kind.levels_m[0])))
        elif rng.random() < 0.5:
            thing = kind if rng.random() < 0.5 else furniture.small_box(rng)
            placed.append((thing, rigid(x, y, kind.levels_m[0], rng.uniform(-0.1, 0.1))))
    return placed


def wardrobes(rng: np.random.Generator) -> list[Placed]:
    """A wardrobe with boxes on it and a basket beside it."""
    body, basket = furniture.wardrobe(rng), furniture.crate(rng)
    x = _side(rng) * (body.size_m[0] / 2 + 0.05 + basket.size_m[0] / 2)
    ball = furniture.ball(rng)
    return [
        (body, at_wall(body, 0.0)),
        *_on_top(body, [furniture.storage_box, furniture.carton], rng),
        (basket, rigid(x, 0.22)),
        (ball, rigid(x, 0.22, basket.levels_m[0])),
    ]


def reading_corner(rng: np.random.Generator) -> list[Placed]:
    """An armchair, a lamp behind it, a stool with a book."""
    seat, stool, side = furniture.armchair(rng), furniture.stool(rng), _side(rng)
    width = seat.size_m[0]
    return [
        (seat, at_wall(seat, 0.0) @ rigid(y_m=0.15, yaw_rad=rng.uniform(-0.25, 0.25))),
        (furniture.floor_lamp(rng), rigid(side * (width / 2 + 0.25), 0.22)),
        (stool, rigid(-side * (width / 2 + 0.28), 0.5)),
        (furniture.book(rng), rigid(-side * (width / 2 + 0.28), 0.5, stool.levels_m[0], rng.uniform(0, 6))),
    ]


def loose_thing(rng: np.random.Generator) -> list[Placed]:
    """One thing on the floor at a wall."""
    kinds: tuple[Maker, ...] = (
        furniture.leafy_plant,
        furniture.waste_bin,
        furniture.carton,
        furniture.floor_lamp,
        furniture.ball,
        furniture.ottoman,
        furniture.stool,
        furniture.slatted_chair,
        furniture.storage_box,
        furniture.flat_pillow,
    )
    model = _one_of(kinds, rng)(rng)
    return [(model, at_wall(model, 0.0, rng.uniform(0.0, 0.15)))]


def dining_place(rng: np.random.Generator) -> list[Placed]:
    """A table with two to six chairs of one kind about it and things on it."""
    table = _one_of((furniture.table, furniture.round_table), rng)(rng)
    chair = _one_of((furniture.chair, furniture.slatted_chair, furniture.stool), rng)(rng)
    width, depth = table.size_m[:2]
    out = rng.uniform(0.02, 0.25)  # metres from the edge of the table to the middle of the seat
    places = [(0.0, depth / 2 + out, np.pi), (0.0, -depth / 2 - out, 0.0)]
    if width > 1.35:
        places = [(x, y, yaw) for _, y, yaw in places for x in (-width / 4, width / 4)]
    places += [(width / 2 + out, 0.0, np.pi / 2), (-width / 2 - out, 0.0, -np.pi / 2)][: int(rng.integers(0, 3))]
    placed = [(table, np.eye(4))]
    for x, y, yaw in places:
        placed.append((chair, rigid(x, y, 0.0, yaw + rng.normal(0, 0.12))))
    mug = furniture.mug(rng)
    return placed + _scattered(table, (0.0, 0.0), [lambda _: mug, lambda _: mug, *_some(_IN_KITCHENS, 3, rng)], rng)


def rug_place(rng: np.random.Generator) -> list[Placed]:
    """A rug with a ball, a box or an ottoman on it."""
    thing = _one_of((furniture.ball, furniture.carton, furniture.ottoman), rng)(rng)
    return [(furniture.rug(rng), np.eye(4)), (thing, rigid(rng.uniform(-0.2, 0.2), rng.uniform(-0.2, 0.2)))]


def _on_top(support: Model, makers: Sequence[Maker], rng: np.random.Generator) -> list[Placed]:
    """Stand things in a row on furniture whose back is at the wall and whose middle is at x = 0."""
    width, depth = support.size_m[:2]
    x_range = -width / 2 + 0.03, width / 2 - 0.03
    return _row(makers, x_range, (0.45 * depth, 0.55 * depth), support.levels_m[0], rng)


def _row(
    makers: Sequence[Maker],
    x_range_m: tuple[float, float],
    y_range_m: tuple[float, float],
    z_m: float,
    rng: np.random.Generator,
) -> list[Placed]:
    piles = those_that_fit([[maker(rng)] for maker in makers], x_range_m[1] - x_range_m[0])
    return stand_in_row(piles, x_range_m, y_range_m, z_m, rng)


def _scattered(
    table: Model, centre_m: tuple[float, float], makers: Sequence[Maker], rng: np.random.Generator
) -> list[Placed]:
    """Put things anywhere on the inner part of a table, turned anyhow."""
    reach = 0.33 * table.size_m[:2]
    places = rng.uniform(-reach, reach, (len(makers), 2)) + centre_m
    return [
        (maker(rng), rigid(x, y, table.levels_m[0], rng.uniform(0, 6)))
        for maker, (x, y) in zip(makers, places, strict=True)
    ]


def _some(makers: Sequence[Maker], at_most: int, rng: np.random.Generator) -> list[Maker]:
    """Return some of the makers in random order."""
    return [makers[index] for index in rng.permutation(len(makers))[: int(rng.integers(1, at_most + 1))]]


def _one_of(choices: Sequence[Choice], rng: np.random.Generator) -> Choice:
    return choices[int(rng.integers(len(choices)))]


def _side(rng: np.random.Generator) -> int:
    return int(rng.choice([-1, 1]))
