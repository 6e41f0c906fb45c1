"""Things that stand on, in and under furniture."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import cardboard, colourful, plain, printed, upholstery, vivid
from autoseg3d_ros.data.synthetic.patterns import Band, Mottled, Print, Speckled, Stripes
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, cylinder, lathe, rigid, superellipsoid
from autoseg3d_ros.data.synthetic.scene import Color, Model, Part

_PAPER: Color = (0.75, 0.72, 0.62)


def storage_box(rng: np.random.Generator) -> Model:
    """A cardboard or plastic box with a lid of another tone."""
    width, depth, height = rng.uniform(0.3, 0.4), rng.uniform(0.26, 0.34), rng.uniform(0.22, 0.32)
    body = colourful(rng, Band(height - 0.05, 1.0), spread=0.35)
    lid = box((width + 0.015, depth + 0.015, 0.05), (0, 0, height - 0.05))
    return Model("storage box", (Part.of(body, box((width, depth, height - 0.05)), lid),), (height,))


def crate(rng: np.random.Generator) -> Model:
    """An open box of five boards; things may lie in it."""
    width, depth, height = rng.uniform(0.34, 0.5), rng.uniform(0.28, 0.36), rng.uniform(0.16, 0.28)
    wall = 0.012
    boards = [
        box((width, depth, wall)),
        *(box((wall, depth, height - wall), (side * (width - wall) / 2, 0, wall)) for side in (-1, 1)),
        *(box((width - 2 * wall, wall, height - wall), (0, side * (depth - wall) / 2, wall)) for side in (-1, 1)),
    ]
    slats = Stripes(2, rng.uniform(0.05, 0.09), 0.15)
    return Model("crate", (Part.of(colourful(rng, slats, spread=0.4), *boards),), (wall,))


def small_box(rng: np.random.Generator) -> Model:
    """A carton with a printed band."""
    width, depth, height = rng.uniform(0.14, 0.22), rng.uniform(0.12, 0.18), rng.uniform(0.12, 0.24)
    ink = colourful(rng, Band(0.35 * height, rng.uniform(0.5, 0.8) * height), spread=0.5)
    return Model("box", (Part(box((width, depth, height)), ink),), (height,))


def carton(rng: np.random.Generator) -> Model:
    """A brown carton with a label and a strip of tape, or a bright printed one."""
    width, depth, height = rng.uniform(0.25, 0.55), rng.uniform(0.2, 0.4), rng.uniform(0.15, 0.42)
    if rng.random() < 0.3:
        label = Print((-0.4 * width, 0.2 * height), (0.4 * width, 0.85 * height), line_m=0.2 * height)
        return Model("box", (Part(box((width, depth, height)), printed(rng, label)),), (height,))
    label = Print((-0.1 * width, 0.45 * height), (0.35 * width, 0.8 * height), line_m=0.02)
    tape = box((0.05, depth + 0.002, 0.002), (0, 0, height))
    flaps = [box((0.05, 0.002, 0.06), (0, side * (depth / 2 + 0.001), height - 0.06)) for side in (-1, 1)]
    parts = Part(box((width, depth, height)), cardboard(rng, label)), Part.of(plain((0.6, 0.5, 0.32)), tape, *flaps)
    return Model("box", parts, (height + 0.002,))


def bottle(rng: np.random.Generator) -> Model:
    """A bottle with a label and a cap."""
    radius, height = rng.uniform(0.036, 0.046), rng.uniform(0.25, 0.32)
    neck = 0.4 * radius
    glass = colourful(rng, Band(0.2 * height, 0.5 * height), spread=0.6)
    profile = [(0, 0), (radius, 0), (radius, 0.58 * height), (0.85 * radius, 0.66 * height), (neck, 0.8 * height)]
    body = lathe([*profile, (neck, 0.93 * height), (0, 0.93 * height)])
    cap = cylinder(1.2 * neck, 0.07 * height, (0, 0, 0.93 * height))
    return Model("bottle", (Part(body, glass), Part(cap, plain(vivid(rng)))))


def flask(rng: np.random.Generator) -> Model:
    """A straight bottle or a jar: broad, with a wide lid."""
    radius, height = rng.uniform(0.035, 0.055), rng.uniform(0.12, 0.3)
    body = lathe([(0, 0), (radius, 0), (radius, 0.8 * height), (0.7 * radius, 0.88 * height), (0, 0.88 * height)])
    lid = cylinder(0.75 * radius, 0.12 * height, (0, 0, 0.88 * height))
    ink = colourful(rng, Stripes(2, height / rng.integers(2, 6), rng.uniform(0.2, 0.6)), spread=0.4)
    return Model("bottle", (Part(body, ink), Part(lid, plain(vivid(rng)))))


def mug(rng: np.random.Generator) -> Model:
    """An open cup with a handle."""
    radius, height = rng.uniform(0.042, 0.05), rng.uniform(0.095, 0.12)
    inner = radius - 0.005
    cup = lathe([(0, 0), (radius, 0), (radius, height), (inner, height), (inner, 0.01), (0, 0.01)])
    angles = np.linspace(-0.5 * np.pi, 0.5 * np.pi, 7)
    handle = [
        box(
            (0.016, 0.012, 0.016),
            (radius + 0.7 * radius * np.cos(a), 0, 0.5 * height + 0.3 * height * np.sin(a) - 0.008),
        )
        for a in angles
    ]
    ceramic = colourful(rng, Mottled(0.04), spread=0.2)
    return Model("mug", (Part.of(ceramic, cup, *handle),))


def book(rng: np.random.Generator) -> Model:
    """A closed book lying flat."""
    width, depth, height = rng.uniform(0.2, 0.26), rng.uniform(0.15, 0.2), rng.uniform(0.03, 0.055)
    cover = colourful(rng, Band(-0.25 * width, 0.1 * width, axis=0), spread=0.5)
    boards = [box((width, depth, 0.004), (0, 0, z)) for z in (0.0, height - 0.004)]
    spine = box((width, 0.004, height), (0, -depth / 2, 0))
    block = box((width - 0.01, depth - 0.008, height - 0.008), (0, 0, 0.004))
    return Model("book", (Part.of(cover, *boards, spine), Part(block, plain(_PAPER))), (height,))


def standing_book(rng: np.random.Generator) -> Model:
    """A book that stands with its spine to the front."""
    thickness, depth, height = rng.uniform(0.025, 0.06), rng.uniform(0.15, 0.21), rng.uniform(0.2, 0.28)
    title = Band(rng.uniform(0.1, 0.4) * height, rng.uniform(0.5, 0.8) * height)
    boards = [box((0.003, depth, height), (side * (thickness - 0.003) / 2, 0, 0)) for side in (-1, 1)]
    spine = box((thickness - 0.006, 0.003, height), (0, (depth - 0.003) / 2, 0))
    block = box((thickness - 0.006, depth - 0.012, height - 0.012), (0, 0.0, 0.006))
    cover = colourful(rng, title, spread=0.45)
    return Model("book", (Part.of(cover, *boards, spine), Part(block, plain(_PAPER))))


def ball(rng: np.random.Generator) -> Model:
    """A ball with a stripe."""
    diameter = rng.uniform(0.18, 0.26)
    rubber = colourful(rng, Band(0.4 * diameter, 0.6 * diameter), spread=0.5)
    return Model("ball", (Part(superellipsoid((diameter,) * 3), rubber),))


def waste_bin(rng: np.random.Generator) -> Model:
    """An open waste bin, wider at the top."""
    top, bottom, height = rng.uniform(0.14, 0.17), rng.uniform(0.10, 0.13), rng.uniform(0.3, 0.42)
    shell = lathe([(0, 0), (bottom, 0), (top, height), (top - 0.008, height), (bottom - 0.008, 0.01), (0, 0.01)])
    return Model("bin", (Part(shell, colourful(rng, Mottled(0.1), spread=0.2)),))


def pillow(rng: np.random.Generator) -> Model:
    """A soft square leaning back."""
    size = rng.uniform(0.36, 0.44)
    cloth = colourful(rng, Speckled(0.02), spread=0.3)
    lying = superellipsoid((size, size, 0.14), 3.0)
    return Model("pillow", (Part(_tilted(lying, np.radians(68.0)), cloth),))


def flat_pillow(rng: np.random.Generator) -> Model:
    """A pillow lying on a bed."""
    size = rng.uniform(0.5, 0.65), rng.uniform(0.34, 0.42), rng.uniform(0.1, 0.15)
    return Model("pillow", (Part(superellipsoid(size, 3.0, num_cells=8), upholstery(rng)),))


def _tilted(mesh: Mesh, tilt_rad: float) -> Mesh:
    """Return `mesh` tilted about x and put back on the ground."""
    tilted = mesh.moved(rigid(tilt_rad=tilt_rad))
    return tilted.moved(rigid(z_m=-float(tilted.corners_m[..., 2].min())))
