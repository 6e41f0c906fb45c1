"""Shelves, cabinets, wardrobes and chests of drawers."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import grey, lacquer, plain, wood
from autoseg3d_ros.data.synthetic.patterns import Tiles
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, rigid
from autoseg3d_ros.data.synthetic.scene import Material, Model, Part

BOARD_M = 0.025  # thickness of a bookcase's boards


def shelf(rng: np.random.Generator) -> Model:
    """An open bookcase."""
    width, depth, height = rng.uniform(0.8, 0.95), rng.uniform(0.30, 0.36), rng.uniform(1.25, 1.45)
    timber, thickness = wood(rng, axis=2), BOARD_M
    boards = np.array([0.06, *(0.06 + (height - 0.06) * np.array([0.36, 0.68])), height]) - thickness
    meshes = [
        *(box((thickness, depth, height), (side * (width - thickness) / 2, 0, 0)) for side in (-1, 1)),
        *(box((width - 2 * thickness, depth, thickness), (0, 0, level)) for level in boards),
        box((width - 2 * thickness, 0.01, height), (0, -depth / 2 + 0.005, 0)),
    ]
    return Model("shelf", (Part.of(timber, *meshes),), tuple((boards + thickness).tolist()))


def bookcase(rng: np.random.Generator) -> Model:
    """A shelf of three to five boards 0.3 to 0.4 m apart, with a back or without."""
    width, depth, num_boards = rng.uniform(0.6, 1.2), rng.uniform(0.28, 0.38), int(rng.integers(3, 6))
    body = wood(rng, axis=2) if rng.random() < 0.6 else plain(grey(rng, 0.3, 0.95))
    levels = 0.09 + rng.uniform(0.32, 0.4) * np.arange(num_boards)
    height = float(levels[-1])
    meshes = [box((BOARD_M, depth, height), (side * (width - BOARD_M) / 2, 0, 0)) for side in (-1, 1)]
    meshes += [box((width - 2 * BOARD_M, depth, BOARD_M), (0, 0, level - BOARD_M)) for level in levels]
    if rng.random() < 0.6:
        meshes.append(box((width - 2 * BOARD_M, 0.008, height), (0, -depth / 2 + 0.004, 0)))
    return Model("shelf", (Part.of(body, *meshes),), tuple(levels.tolist()))


def chest(rng: np.random.Generator) -> Model:
    """A long low closed body."""
    width, depth, height = rng.uniform(1.05, 1.2), rng.uniform(0.38, 0.45), rng.uniform(0.5, 0.62)
    return Model("chest", (Part(box((width, depth, height)), wood(rng, axis=0)),), (height,))


def cabinet(rng: np.random.Generator) -> Model:
    """A closed body with two rows of drawer fronts and their handles."""
    width, depth, height = rng.uniform(0.9, 1.2), rng.uniform(0.42, 0.5), rng.uniform(0.7, 0.9)
    timber, handle = wood(rng, axis=0), plain(grey(rng, 0.05, 0.6))
    fronts, handles = [], []
    for x in (-width / 4, width / 4):
        for z in (0.06, 0.06 + (height - 0.1) / 2):
            fronts.append(box((width / 2 - 0.03, 0.02, (height - 0.1) / 2 - 0.02), (x, depth / 2, z)))
            handles.append(box((0.12, 0.025, 0.015), (x, depth / 2 + 0.02, z + (height - 0.1) / 4)))
    return Model(
        "cabinet", (Part.of(timber, box((width, depth, height)), *fronts), Part.of(handle, *handles)), (height,)
    )


def dresser(rng: np.random.Generator) -> Model:
    """A chest of two to five rows of drawers in one to three columns, each with a knob or a bar."""
    num_columns, num_rows = int(rng.integers(1, 4)), int(rng.integers(2, 6))
    width, depth = num_columns * rng.uniform(0.4, 0.55), rng.uniform(0.4, 0.52)
    height = 0.1 + num_rows * rng.uniform(0.16, 0.22)
    return Model("dresser", _drawer_unit(rng, (width, depth, height), num_columns, num_rows), (height,))


def nightstand(rng: np.random.Generator) -> Model:
    """A small chest with one or two drawers."""
    size = rng.uniform(0.38, 0.5), rng.uniform(0.35, 0.42), rng.uniform(0.45, 0.6)
    return Model("nightstand", _drawer_unit(rng, size, 1, int(rng.integers(1, 3))), (size[2],))


def wardrobe(rng: np.random.Generator) -> Model:
    """A tall body with two or three doors."""
    num_doors = int(rng.integers(2, 4))
    width, depth, height = num_doors * rng.uniform(0.42, 0.55), rng.uniform(0.52, 0.62), rng.uniform(1.75, 2.1)
    door = width / num_doors
    body = _front_material(rng, (door, 10.0), (width / 2, 5.0))
    hinges = (np.arange(num_doors - 1) + 1) * door - width / 2
    handles = [box((0.015, 0.03, 0.18), (x + side * 0.05, depth / 2, 0.95)) for x in hinges for side in (-1, 1)]
    plinth = box((width - 0.02, depth - 0.04, 0.06))
    parts = (
        Part(box((width, depth, height - 0.06), (0, 0, 0.06)), body),
        Part.of(plain(grey(rng, 0.1, 0.7)), plinth, *handles),
    )
    return Model("wardrobe", parts, (height,))


def _drawer_unit(
    rng: np.random.Generator, size_m: tuple[float, float, float], num_columns: int, num_rows: int
) -> tuple[Part, ...]:
    """Return a body on feet with drawers: the joints are painted, knobs and bars stand out."""
    width, depth, height = size_m
    low = rng.uniform(0.05, 0.1)
    pitch = width / num_columns, (height - low) / num_rows
    body = _front_material(rng, pitch, (width / 2, low))
    x, y = width / 2 - 0.04, depth / 2 - 0.06
    feet = [box((0.04, 0.04, low), (dx, dy, 0)) for dx in (-x, x) for dy in (-y, y)]
    knob = _knob(rng, depth)
    columns = (np.arange(num_columns) - (num_columns - 1) / 2) * pitch[0]
    rows = low + (np.arange(num_rows) + 0.5) * pitch[1]
    knobs = [knob.moved(rigid(x, 0.0, z)) for x in columns for z in rows]
    return Part(box((width, depth, height - low), (0, 0, low)), body), Part.of(
        plain(grey(rng, 0.05, 0.8)), *feet, *knobs
    )


def _knob(rng: np.random.Generator, depth_m: float) -> Mesh:
    """Return a knob or a bar on the front of a body that is `depth_m` deep."""
    width = 0.03 if rng.random() < 0.5 else rng.uniform(0.08, 0.2)
    return box((width, 0.025, 0.02 if width > 0.03 else 0.03), (0, depth_m / 2 + 0.0125, -0.01))


def _front_material(rng: np.random.Generator, pitch_m: tuple[float, float], offset_m: tuple[float, float]) -> Material:
    """Return a lacquer or a wood tone with dark joints between fronts."""
    joints = Tiles(pitch_m, rng.uniform(0.006, 0.014), (0, 2), offset_m, tone=rng.choice([0.0, 0.15]))
    return lacquer(rng, joints)
