"""Parametric families: each function draws one thing of its kind, its size, colours and textures, from `rng`."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.materials import colourful, grey, hsv, plain, vivid, wood
from autoseg3d_ros.data.synthetic.patterns import Band, Mottled, Speckled
from autoseg3d_ros.data.synthetic.primitives import Mesh, box, cylinder, lathe, rigid, superellipsoid
from autoseg3d_ros.data.synthetic.scene import Color, Material, Model, Part

_BLACK: Color = (0.02, 0.02, 0.025)


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
    return Model("desk", (Part(top, timber), *(Part(leg, metal) for leg in legs), Part(panel, timber)), (height,))


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
    return Model("chair", (*(Part(post, frame) for post in posts), Part(cushion, cloth), Part(rest, cloth)), (seat,))


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
    return Model("sofa", tuple(Part(mesh, cloth) for mesh in meshes), (seat,))


def shelf(rng: np.random.Generator) -> Model:
    """An open bookcase."""
    width, depth, height = rng.uniform(0.8, 0.95), rng.uniform(0.30, 0.36), rng.uniform(1.25, 1.45)
    timber, thickness = wood(rng, axis=2), 0.025
    boards = np.array([0.06, *(0.06 + (height - 0.06) * np.array([0.36, 0.68])), height]) - thickness
    meshes = [
        *(box((thickness, depth, height), (side * (width - thickness) / 2, 0, 0)) for side in (-1, 1)),
        *(box((width - 2 * thickness, depth, thickness), (0, 0, level)) for level in boards),
        box((width - 2 * thickness, 0.01, height), (0, -depth / 2 + 0.005, 0)),
    ]
    return Model("shelf", tuple(Part(mesh, timber) for mesh in meshes), tuple((boards + thickness).tolist()))


def counter(rng: np.random.Generator) -> Model:
    """A closed body with a worktop that stands out a little."""
    width, depth, height = rng.uniform(1.42, 1.58), rng.uniform(0.6, 0.7), rng.uniform(0.71, 0.8)
    body, top = plain(grey(rng, 0.35, 0.7)), wood(rng, axis=0)
    parts = (
        Part(box((width - 0.03, depth - 0.02, height - 0.04)), body),
        Part(box((width, depth, 0.04), (0, 0, height - 0.04)), top),
    )
    return Model("counter", parts, (height,))


def chest(rng: np.random.Generator) -> Model:
    """A long low closed body."""
    width, depth, height = rng.uniform(1.05, 1.2), rng.uniform(0.38, 0.45), rng.uniform(0.5, 0.62)
    return Model("chest", (Part(box((width, depth, height)), wood(rng, axis=0)),), (height,))


def ottoman(rng: np.random.Generator) -> Model:
    """A soft round-edged seat."""
    width, depth, height = rng.uniform(0.8, 1.0), rng.uniform(0.55, 0.65), rng.uniform(0.38, 0.44)
    cloth = colourful(rng, Speckled(0.015), spread=0.2)
    return Model("ottoman", (Part(superellipsoid((width, depth, height), 7.0), cloth),), (height,))


def cabinet(rng: np.random.Generator) -> Model:
    """A closed body with two rows of drawer fronts and their handles."""
    width, depth, height = rng.uniform(0.9, 1.2), rng.uniform(0.42, 0.5), rng.uniform(0.7, 0.9)
    timber, handle = wood(rng, axis=0), plain(grey(rng, 0.05, 0.6))
    fronts, handles = [], []
    for x in (-width / 4, width / 4):
        for z in (0.06, 0.06 + (height - 0.1) / 2):
            fronts.append(box((width / 2 - 0.03, 0.02, (height - 0.1) / 2 - 0.02), (x, depth / 2, z)))
            handles.append(box((0.12, 0.025, 0.015), (x, depth / 2 + 0.02, z + (height - 0.1) / 4)))
    parts = (Part(box((width, depth, height)), timber), *(Part(front, timber) for front in fronts))
    return Model("cabinet", (*parts, *(Part(mesh, handle) for mesh in handles)), (height,))


def storage_box(rng: np.random.Generator) -> Model:
    """A cardboard or plastic box with a lid of another tone."""
    width, depth, height = rng.uniform(0.3, 0.4), rng.uniform(0.26, 0.34), rng.uniform(0.22, 0.32)
    body = colourful(rng, Band(height - 0.05, 1.0), spread=0.35)
    lid = box((width + 0.015, depth + 0.015, 0.05), (0, 0, height - 0.05))
    return Model("storage box", (Part(box((width, depth, height - 0.05)), body), Part(lid, body)), (height,))


def small_box(rng: np.random.Generator) -> Model:
    """A carton with a printed band."""
    width, depth, height = rng.uniform(0.14, 0.22), rng.uniform(0.12, 0.18), rng.uniform(0.12, 0.24)
    printed = colourful(rng, Band(0.35 * height, rng.uniform(0.5, 0.8) * height), spread=0.5)
    return Model("box", (Part(box((width, depth, height)), printed),), (height,))


def monitor(rng: np.random.Generator) -> Model:
    """A dark screen in a frame on a stand."""
    width = rng.uniform(0.48, 0.56)
    height = 0.6 * width
    shell, glass = plain(grey(rng, 0.03, 0.3)), plain(_BLACK)
    foot = lathe([(0, 0), (0.11, 0), (0.11, 0.012), (0.02, 0.02), (0, 0.02)])
    meshes = (foot, box((0.05, 0.03, 0.2)), box((width, 0.035, height), (0, 0.03, 0.1)))
    screen = box((width - 0.04, 0.005, height - 0.04), (0, 0.048, 0.12))
    return Model("monitor", (*(Part(mesh, shell) for mesh in meshes), Part(screen, glass)))


def bottle(rng: np.random.Generator) -> Model:
    """A bottle with a label and a cap."""
    radius, height = rng.uniform(0.036, 0.046), rng.uniform(0.25, 0.32)
    neck = 0.4 * radius
    glass = colourful(rng, Band(0.2 * height, 0.5 * height), spread=0.6)
    profile = [(0, 0), (radius, 0), (radius, 0.58 * height), (0.85 * radius, 0.66 * height), (neck, 0.8 * height)]
    body = lathe([*profile, (neck, 0.93 * height), (0, 0.93 * height)])
    cap = cylinder(1.2 * neck, 0.07 * height, (0, 0, 0.93 * height))
    return Model("bottle", (Part(body, glass), Part(cap, plain(vivid(rng)))))


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
    return Model("mug", (Part(cup, ceramic), *(Part(mesh, ceramic) for mesh in handle)))


def book(rng: np.random.Generator) -> Model:
    """A closed book lying flat."""
    width, depth, height = rng.uniform(0.2, 0.26), rng.uniform(0.15, 0.2), rng.uniform(0.03, 0.055)
    cover = colourful(rng, Band(-0.25 * width, 0.1 * width, axis=0), spread=0.5)
    pages = plain((0.75, 0.72, 0.62))
    boards = [box((width, depth, 0.004), (0, 0, z)) for z in (0.0, height - 0.004)]
    spine = box((width, 0.004, height), (0, -depth / 2, 0))
    block = box((width - 0.01, depth - 0.008, height - 0.008), (0, 0, 0.004))
    return Model("book", (*(Part(mesh, cover) for mesh in (*boards, spine)), Part(block, pages)), (height,))


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


def floor_lamp(rng: np.random.Generator) -> Model:
    """A pole on a plate with a shade."""
    height, radius = rng.uniform(1.25, 1.45), rng.uniform(0.14, 0.18)
    metal, shade = plain(grey(rng, 0.1, 0.5)), colourful(rng, Mottled(0.1), spread=0.2, value=0.8)
    stand = [cylinder(0.13, 0.025), cylinder(0.018, height - 0.1)]
    cone = lathe([(radius, height - 0.28), (0.6 * radius, height), (0, height)])
    inner = lathe([(0, height - 0.005), (0.6 * radius - 0.005, height - 0.005), (radius - 0.005, height - 0.28)])
    return Model("floor lamp", (*(Part(mesh, metal) for mesh in stand), Part(cone, shade), Part(inner, shade)))


def plant(rng: np.random.Generator) -> Model:
    """A pot with a bush of overlapping leaf balls."""
    radius, pot = rng.uniform(0.08, 0.1), rng.uniform(0.11, 0.14)
    clay = colourful(rng, Mottled(0.05), spread=0.3)
    hue = rng.uniform(0.25, 0.38)
    leaves = Material(hsv(hue, 0.7, 0.35), hsv(hue - 0.05, 0.6, 0.6), Speckled(0.02))
    sides = [(0, 0), (0.8 * radius, 0), (radius, pot), (0, pot)]
    centres = rng.uniform(-1, 1, (9, 3)) * (0.07, 0.07, 0.05) + (0, 0, pot + 0.02)
    bush = [superellipsoid(rng.uniform(0.1, 0.15, 3), 2.0, centre) for centre in centres]
    return Model("plant", (Part(lathe(sides), clay), *(Part(mesh, leaves) for mesh in bush)))


def _tilted(mesh: Mesh, tilt_rad: float) -> Mesh:
    """Return `mesh` tilted about x and put back on the ground."""
    tilted = mesh.moved(rigid(tilt_rad=tilt_rad))
    return tilted.moved(rigid(z_m=-float(tilted.corners_m[..., 2].min())))
