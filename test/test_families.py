"""Every family of the synthetic world over many draws: whole meshes, plausible sizes, textures, a place to stand."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from autoseg3d_ros.data.synthetic.arrangement import at_wall, stand_in_row, those_that_fit
from autoseg3d_ros.data.synthetic.families import FAMILIES, MAKERS, ON_WALLS, class_id, draw
from autoseg3d_ros.data.synthetic.patterns import (
    Band,
    Checks,
    Mottled,
    Patches,
    Pattern,
    Planks,
    Print,
    Speckled,
    Stripes,
    Tiles,
    Wood,
)
from autoseg3d_ros.data.synthetic.primitives import box, joined, piece_bounds, ribbon, rigid
from autoseg3d_ros.data.synthetic.scene import Model
from autoseg3d_ros.data.synthetic.settling import settled

NUM_SEEDS = 20
EVERY_MAKER = [pytest.param(family, maker, id=maker.__name__) for family, makers in MAKERS.items() for maker in makers]
WITH_EDGES_INSIDE = ("keyboard", "picture", "rug", "crate", "book", "washing machine", "microwave", "laptop", "ball")


@cache
def draws(maker) -> list[Model]:
    return [maker(np.random.default_rng(seed)) for seed in range(NUM_SEEDS)]


def test_families_are_many_and_numbered_from_one() -> None:
    assert len(FAMILIES) >= 24 and len(set(FAMILIES)) == len(FAMILIES)
    assert [class_id(family) for family in FAMILIES] == list(range(1, len(FAMILIES) + 1))
    assert set(FAMILIES) > ON_WALLS
    with pytest.raises(ValueError):
        class_id("unicorn")


@pytest.mark.parametrize(("family", "maker"), EVERY_MAKER)
def test_every_draw_is_whole_and_stands_on_the_floor(family: str, maker) -> None:
    for model in draws(maker):
        assert model.family == family
        corners = np.concatenate([part.mesh.corners_m for part in model.parts])
        normals = np.concatenate([part.mesh.normals for part in model.parts])
        area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1) / 2
        assert np.isfinite(corners).all() and area.min() > 1e-10
        assert np.linalg.norm(normals, axis=2) == pytest.approx(1.0)
        assert model.bounds_m[0, 2] == pytest.approx(0.0, abs=1e-9)
        assert (np.abs(model.bounds_m[:, :2].mean(axis=0)) < 0.16).all()  # about the middle: leaves may lean out
        assert model.size_m.max() < 2.5 and np.sort(model.size_m)[1] > 0.07
        assert len(corners) < 20_000 and len(model.parts) <= 4
        assert all(0.0 < level <= model.size_m[2] + 1e-9 for level in model.levels_m)


@pytest.mark.parametrize(("family", "maker"), EVERY_MAKER)
def test_draws_differ_with_the_seed_and_only_with_it(family: str, maker) -> None:
    def looks(model: Model) -> tuple:
        return (*model.size_m, *(part.material for part in model.parts))

    models = draws(maker)
    assert looks(models[3]) == looks(maker(np.random.default_rng(3)))
    assert len({looks(model) for model in models}) == NUM_SEEDS


@pytest.mark.parametrize(("family", "maker"), EVERY_MAKER)
def test_colours_are_reflectances(family: str, maker) -> None:
    for model in draws(maker):
        colors = np.array([(part.material.color, part.material.accent) for part in model.parts])
        assert colors.min() >= 0.0 and colors.max() <= 1.0 and colors.max() > 0.005
        assert all(0.0 <= part.material.gloss <= 1.0 for part in model.parts)


@pytest.mark.parametrize("family", WITH_EDGES_INSIDE)
def test_texture_has_edges_inside_the_object(family: str) -> None:
    contrasts = []
    for seed in range(NUM_SEEDS):
        rng = np.random.default_rng(seed)
        for part in draw(family, rng).parts:
            corners, weights = part.mesh.corners_m, rng.dirichlet(np.ones(3), 4000)
            points = np.einsum("nc,ncd->dn", weights, corners[rng.integers(len(corners), size=4000)])
            share = part.material.pattern.weight(points.astype(np.float32))
            distance = np.linalg.norm(np.subtract(part.material.color, part.material.accent))
            contrasts.append((share.max() - share.min()) * distance)
    assert np.sort(contrasts)[-NUM_SEEDS // 2] > 0.1


@pytest.mark.parametrize(
    "pattern",
    [
        Stripes(0, 0.1),
        Checks(0.2),
        Tiles((0.2, 0.1), 0.02),
        Patches(0.3, 4, 5.0),
        Mottled(),
        Wood(),
        Planks(),
        Speckled(),
        Band(0.0, 0.1),
        Print((-0.5, -0.5), (0.5, 0.5), 0.1),
    ],
    ids=lambda item: type(item).__name__,
)
def test_pattern_is_a_share_that_varies_and_depends_on_the_place_only(pattern: Pattern) -> None:
    points = np.random.default_rng(0).uniform(-1, 1, (3, 5000)).astype(np.float32)
    before = points.copy()
    weight = pattern.weight(points)
    assert weight.dtype == np.float32 and weight.min() >= 0.0 and weight.max() <= 1.0 and weight.std() > 0.05
    assert (points == before).all()
    assert (pattern.weight(points[:, ::-1]) == weight[::-1]).all()


@pytest.mark.parametrize(
    ("pattern", "point", "share"),
    [
        (Stripes(0, 0.1), (0.0, 0.0, 0.0), 1.0),
        (Stripes(0, 0.1), (0.05, 0.0, 0.0), 0.0),
        (Checks(0.2), (0.0, 0.0, 0.0), 1.0),
        (Checks(0.2), (0.0, 0.1, 0.0), 0.5),
        (Checks(0.2), (0.1, 0.1, 0.0), 0.0),
        (Tiles((0.2, 0.2), 0.02, tone=0.0), (0.2, 0.1, 0.0), 1.0),
        (Tiles((0.2, 0.2), 0.02, tone=0.0), (0.191, 0.1, 0.0), 1.0),
        (Tiles((0.2, 0.2), 0.02, tone=0.0), (0.1, 0.1, 0.0), 0.0),
        (Tiles((0.2, 0.2), 0.02, offset_m=(0.1, 0.0), tone=0.0), (0.1, 0.1, 0.0), 1.0),
        (Print((0.0, 0.0), (1.0, 1.0)), (-0.1, 0.0, 0.5), 0.0),
    ],
)
def test_pattern_by_hand(pattern: Pattern, point: tuple, share: float) -> None:
    assert pattern.weight(np.array(point, np.float32)[:, None]) == pytest.approx([share])


def test_joined_mesh_keeps_its_pieces_also_when_moved() -> None:
    table = joined(
        [box((1.0, 1.0, 0.1), (0, 0, 0.9)), joined([box((0.1, 0.1, 0.9)), box((0.1, 0.1, 0.5), (0.3, 0, 0))])]
    )
    expected = [[(-0.5, -0.5, 0.9), (0.5, 0.5, 1.0)], [(-0.05, -0.05, 0), (0.05, 0.05, 0.9)]]
    expected.append([(0.25, -0.05, 0), (0.35, 0.05, 0.5)])
    assert piece_bounds(table) == pytest.approx(np.array(expected))
    moved = piece_bounds(table.moved(rigid(1.0, 2.0, 3.0)))
    assert moved == pytest.approx(np.array(expected) + (1.0, 2.0, 3.0))


def test_ribbon_has_the_area_of_its_line_and_faces_across_it() -> None:
    sheet = ribbon(np.array([(0.0, 0.0), (1.0, 0.0), (3.0, 0.0)]), 2.0)
    edges = np.cross(sheet.corners_m[:, 1] - sheet.corners_m[:, 0], sheet.corners_m[:, 2] - sheet.corners_m[:, 0])
    assert np.linalg.norm(edges, axis=1).sum() / 2 == pytest.approx(6.0)
    assert np.abs(sheet.normals) == pytest.approx(np.broadcast_to((0.0, 1.0, 0.0), sheet.normals.shape))


@pytest.mark.parametrize("family", sorted(ON_WALLS))
def test_what_hangs_on_a_wall_has_its_back_at_the_wall(family: str) -> None:
    model = draw(family, np.random.default_rng(0))
    place = at_wall(model, 1.0, 0.05)
    corners = np.concatenate([part.mesh.moved(place).corners_m.reshape(-1, 3) for part in model.parts])
    assert corners[:, 1].min() == pytest.approx(0.05)
    assert model.size_m[1] < 0.2  # thin


def test_those_that_fit_are_taken_in_order_and_stand_apart() -> None:
    rng = np.random.default_rng(0)
    narrow, wide = draw("bottle", rng), draw("bed", rng)
    assert those_that_fit([], 1.0) == []
    assert those_that_fit([[wide], [narrow], [narrow]], 0.2) == [[narrow]]
    placed = stand_in_row([[narrow]] * 3, (-0.3, 0.3), (0.1, 0.2), 0.7, rng)
    assert len(settled(placed)) == 0  # in the air
    assert len(settled([(model, rigid(*pose[:2, 3])) for model, pose in placed])) == 3


def test_settling_drops_what_meets_and_what_floats_and_keeps_what_fits_under() -> None:
    rng = np.random.default_rng(1)
    desk, ball, book = draw("desk", rng), draw("ball", rng), draw("book", rng)
    top = desk.levels_m[0]
    group = [
        (desk, np.eye(4)),
        (ball, rigid(0.1, 0.1)),  # under it
        (ball, rigid(0.15, 0.1)),  # in the other ball
        (book, rigid(0.0, 0.0, top)),
        (ball, rigid(0.0, 0.0, top + 0.5)),  # in the air
        (ball, rigid(3.0, 0.0, top)),  # beside the top
    ]
    assert settled(group) == [group[0], group[1], group[3]]
    assert settled([]) == []
