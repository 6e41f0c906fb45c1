"""Chairs, sofas, beds and other things to sit or lie on."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import colourful, grey, plain, upholstery, wood
from autoseg3d_ros.data.synthetic.patterns import Speckled
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, cylinder, rigid, superellipsoid
from autoseg3d_ros.data.synthetic.scene import Model, Part


def chair(rng: np.random.Generator) -> Model:
    """A seat on four legs; the back rest is at -y."""
    width, seat, height = rng.uniform(0.40, 0.46), rng.uniform(0.43, 0.47), rng.uniform(0.80, 0.88)
    frame, cloth = wood(rng, axis=2), colourful(rng, Speckled(0.012), spread=0.25)
    posts = [
        box((0.04, 0.04, seat if y > 0 else height), (x, y, 0))
        for x in (-width / 2 + 0.02, width / 2 - 0.02)
        for y in (-width / 2 + 0.02, width / 2 - 0.02)
    ]
    cushion = superellipsoid((width, width, 0.07), 6.0, (0, 0, seat - 0.01))
    rest = box((width - 0.08, 0.03, 0.6 * (height - seat)), (0, -width / 2 + 0.02, height - 0.6 * (height - seat)))
    return Model("chair", (Part.of(frame, *posts), Part.of(cloth, cushion, rest)), (seat,))


def slatted_chair(rng: np.random.Generator) -> Model:
    """A wooden chair with a flat seat, slats in its back and thin bars between its legs."""
    width, depth, seat = rng.uniform(0.38, 0.46), rng.uniform(0.38, 0.44), rng.uniform(0.43, 0.47)
    height, leg = rng.uniform(0.82, 1.0), rng.uniform(0.025, 0.04)
    x, y = width / 2 - leg / 2, depth / 2 - leg / 2
    frame = [box((leg, leg, seat - 0.02 if dy > 0 else height), (dx, dy, 0)) for dx in (-x, x) for dy in (-y, y)]
    frame += [box((0.015, depth - leg, 0.02), (dx, 0, 0.45 * seat)) for dx in (-x, x)]
    num_slats = rng.integers(2, 6)
    slats = np.linspace(seat + 0.1, height - 0.06, num_slats)
    frame += [box((width - 2 * leg, 0.015, 0.04), (0, -y, z)) for z in slats]
    plate = box((width, depth - 2 * leg - 0.005, 0.02), (0, 0, seat - 0.02))
    timber = wood(rng, axis=2) if rng.random() < 0.6 else plain(grey(rng, 0.15, 0.85))
    return Model("chair", (Part.of(timber, *frame), Part.of(upholstery(rng), plate)), (seat,))


def office_chair(rng: np.random.Generator) -> Model:
    """A swivel chair on a star foot with castors; with or without arms."""
    width, seat = rng.uniform(0.44, 0.52), rng.uniform(0.44, 0.52)
    back_low, back_high = seat + rng.uniform(0.08, 0.16), seat + rng.uniform(0.45, 0.65)
    metal, cloth = plain(grey(rng, 0.12, 0.6)), upholstery(rng)
    reach = rng.uniform(0.27, 0.32)
    spoke = box((0.04, reach, 0.03), (0, reach / 2, 0.07))
    wheel = superellipsoid((0.05, 0.06, 0.06), 3.0, (0, reach, 0.0), num_cells=4)
    turns = [rigid(yaw_rad=angle) for angle in 2 * np.pi * np.arange(5) / 5]
    stand = [mesh.moved(turn) for turn in turns for mesh in (spoke, wheel)]
    stand += [cylinder(0.025, seat - 0.14, (0, 0, 0.08)), box((0.06, 0.03, back_high - seat), (0, -width / 2, seat))]
    if rng.random() < 0.6:
        for side in (-1, 1):
            x = side * (width / 2 + 0.03)
            stand += [box((0.03, 0.04, 0.24), (x, 0, seat - 0.06)), box((0.06, 0.26, 0.03), (x, 0, seat + 0.18))]
    seat_mesh = superellipsoid((width, width - 0.02, 0.09), 5.0, (0, 0.02, seat - 0.07), num_cells=8)
    rest = superellipsoid((width - 0.04, 0.07, back_high - back_low), 4.0, (0, -width / 2 + 0.05, back_low), 8)
    return Model("office chair", (Part.of(metal, *stand), Part.of(cloth, seat_mesh, rest)), (seat,))


def stool(rng: np.random.Generator) -> Model:
    """A round seat on three or four slanting legs."""
    radius, height, num_legs = rng.uniform(0.15, 0.19), rng.uniform(0.42, 0.66), rng.integers(3, 5)
    leg = cylinder(0.016, height - 0.03).moved(rigid(y_m=0.95 * radius, tilt_rad=np.arctan(0.3 * radius / height)))
    legs = [leg.moved(rigid(yaw_rad=angle)) for angle in 2 * np.pi * np.arange(num_legs) / num_legs]
    seat = cylinder(radius, 0.04, (0, 0, height - 0.04))
    frame = [_grounded(leg) for leg in legs]
    return Model("stool", (Part.of(plain(grey(rng, 0.1, 0.8)), *frame), Part.of(wood(rng, axis=0), seat)), (height,))


def sofa(rng: np.random.Generator) -> Model:
    """Base, back, two arms and two seat cushions in one cloth."""
    width, depth, seat = rng.uniform(1.45, 1.7), rng.uniform(0.78, 0.88), rng.uniform(0.40, 0.45)
    cloth = colourful(rng, Speckled(0.015), spread=0.2)
    inside = (width - 0.36) / 2
    meshes = [
        box((width - 0.3, depth - 0.05, seat - 0.14), (0, 0, 0.03)),
        superellipsoid((width - 0.3, 0.24, 0.78), 9.0, (0, -depth / 2 + 0.12, 0.04)),
        *(superellipsoid((0.18, depth, 0.6), 9.0, (side * (width / 2 - 0.09), 0, 0.0)) for side in (-1, 1)),
        *(superellipsoid((inside, depth - 0.2, 0.15), 7.0, (side * inside / 2, 0.09, seat - 0.14)) for side in (-1, 1)),
    ]
    return Model("sofa", (Part.of(cloth, *meshes),), (seat,))


def long_sofa(rng: np.random.Generator) -> Model:
    """A sofa of two or three seats on feet, its cushions in a cloth of their own."""
    return Model("sofa", *_seat_row(rng, int(rng.integers(2, 4))))


def armchair(rng: np.random.Generator) -> Model:
    """A sofa for one."""
    return Model("armchair", *_seat_row(rng, 1))


def ottoman(rng: np.random.Generator) -> Model:
    """A soft round-edged seat."""
    width, depth, height = rng.uniform(0.8, 1.0), rng.uniform(0.55, 0.65), rng.uniform(0.38, 0.44)
    cloth = colourful(rng, Speckled(0.015), spread=0.2)
    return Model("ottoman", (Part(superellipsoid((width, depth, height), 7.0), cloth),), (height,))


def bed(rng: np.random.Generator) -> Model:
    """A frame with a head board at -y, a mattress and a blanket over its foot end."""
    width, length, top = rng.choice([0.9, 1.4, 1.6]), rng.uniform(1.9, 2.05), rng.uniform(0.42, 0.55)
    timber, sheet, cloth = wood(rng, axis=0), plain(grey(rng, 0.75, 0.92)), upholstery(rng)
    feet = [
        box((0.06, 0.06, 0.15), (x, y, 0))
        for x in (-width / 2 + 0.05, width / 2 - 0.05)
        for y in (-length / 2 + 0.05, length / 2 - 0.05)
    ]
    base = box((width, length, 0.12), (0, 0, 0.14))
    head = box((width, 0.05, rng.uniform(0.75, 1.1)), (0, -length / 2 - 0.025, 0))
    mattress = superellipsoid((width - 0.04, length - 0.04, top - 0.26), 14.0, (0, 0, 0.26), num_cells=8)
    cover = rng.uniform(0.5, 0.7) * length
    blanket = superellipsoid((width + 0.03, cover, top - 0.2), 16.0, (0, (length - cover) / 2, 0.215), num_cells=8)
    parts = (Part.of(timber, *feet, base, head), Part(mattress, sheet), Part(blanket, cloth))
    return Model("bed", parts, (top,))


def _seat_row(rng: np.random.Generator, num_seats: int) -> tuple[tuple[Part, ...], tuple[float, ...]]:
    """Return the parts and the levels of a sofa with so many seats."""
    place, arm = rng.uniform(0.56, 0.68), rng.uniform(0.1, 0.2)
    width, depth, seat = num_seats * place + 2 * arm, rng.uniform(0.76, 0.92), rng.uniform(0.4, 0.46)
    height, foot, back = rng.uniform(0.72, 0.9), rng.uniform(0.04, 0.14), 0.2
    body, cushions = upholstery(rng), upholstery(rng)
    if rng.random() < 0.5:
        cushions = body
    x, y = width / 2 - 0.06, depth / 2 - 0.06
    feet = [box((0.05, 0.05, foot + 0.01), (dx, dy, 0)) for dx in (-x, x) for dy in (-y, y)]
    shell = [
        box((width - 2 * arm, depth, seat - 0.14 - foot), (0, 0, foot)),
        superellipsoid((width - 2 * arm, back, height - foot), 9.0, (0, -depth / 2 + back / 2, foot), num_cells=8),
    ]
    for side in (-1, 1):
        base = (side * (width - arm) / 2, 0, foot)
        shell.append(superellipsoid((arm, depth, rng.uniform(0.53, 0.56) - foot), 9.0, base, num_cells=8))
    centres = (np.arange(num_seats) - (num_seats - 1) / 2) * place
    seats = [superellipsoid((place, depth - back, 0.15), 8.0, (x, back / 2, seat - 0.15), 8) for x in centres]
    parts = (Part.of(body, *shell), Part.of(plain(grey(rng, 0.1, 0.4)), *feet), Part.of(cushions, *seats))
    return parts, (seat,)


def _grounded(mesh: Mesh) -> Mesh:
    """Return the mesh put on the ground."""
    return mesh.moved(rigid(z_m=-float(mesh.corners_m[..., 2].min())))
