"""What borders between fragments show: hand-made steps, folds and colours."""

from __future__ import annotations

import numpy as np
import pytest
from builders import depth_of_plane, frame_of_depth

from autoseg3d_ros.lifting.adjacency import border_cues, border_evidence, ids_on_grid, link_ends
from autoseg3d_ros.lifting.surface import estimate_surface
from autoseg3d_ros.structures import NO_MASK, BorderCues, BorderEvidence, CameraIntrinsics

CAMERA = CameraIntrinsics(width=160, height=120, fx=140.0, fy=140.0, cx=79.5, cy=59.5)
LEFT_RIGHT = np.repeat(np.int32([[0] * 80 + [1] * 80]), 120, axis=0)
WALL = np.full((120, 160), 2.0, np.float32)


def evidence_of(depth_m: np.ndarray, ids: np.ndarray = LEFT_RIGHT, rgb: np.ndarray | None = None) -> BorderEvidence:
    return border_evidence(ids, int(ids.max()) + 1, estimate_surface(frame_of_depth(CAMERA, depth_m, rgb)))


def roof(sign: float) -> np.ndarray:
    """Two planes at 90 degrees that meet in the middle column: +1 towards the camera, -1 away from it."""
    slope = np.sqrt(0.5)
    planes = [depth_of_plane(CAMERA, (side * slope, 0.0, slope), 1.0) for side in (-1.0, 1.0)]
    return np.maximum(*planes) if sign > 0 else np.minimum(*planes)


def test_no_ids_is_no_evidence() -> None:
    evidence = border_evidence(
        np.full((120, 160), NO_MASK, np.int32), 0, estimate_surface(frame_of_depth(CAMERA, WALL))
    )
    assert evidence.pairs.shape == (0, 2)
    assert all(len(values) == 0 for values in (evidence.length_px, evidence.step, evidence.colour, evidence.area_m2))


def test_one_fragment_has_no_border_but_an_area() -> None:
    evidence = evidence_of(WALL, np.zeros((120, 160), np.int32))
    assert len(evidence.pairs) == 0
    assert evidence.area_m2 == pytest.approx(160 * 120 * (2.0 / 140.0) ** 2, rel=0.15)


def test_a_border_through_a_wall_shows_nothing() -> None:
    evidence = evidence_of(WALL)
    assert evidence.pairs.tolist() == [[0, 1]]
    assert evidence.length_px == pytest.approx(120)
    assert evidence.step == evidence.concave == evidence.colour == pytest.approx(0, abs=0.02)
    assert evidence.angle_deg == pytest.approx(0, abs=0.5)
    assert evidence.area_m2[0] == pytest.approx(evidence.area_m2[1], rel=1e-3)


def test_a_step() -> None:
    depth_m = WALL.copy()
    depth_m[:, 80:] = 1.5
    evidence = evidence_of(depth_m)
    assert evidence.step == pytest.approx(1)
    assert evidence.concave == pytest.approx(0)


def test_a_shallow_step_shows_in_part_and_less_where_the_noise_is_larger() -> None:
    depth_m = WALL.copy()
    depth_m[:, 80:] = 1.98
    frame = frame_of_depth(CAMERA, depth_m)
    usual, noisy = (border_evidence(LEFT_RIGHT, 2, estimate_surface(frame, 1, scale)).step for scale in (1.0, 3.0))
    assert 0.1 < usual < 0.9
    assert noisy < 0.5 * usual


def test_inward_and_outward_folds_have_opposite_signs() -> None:
    inward, outward = evidence_of(roof(-1.0)), evidence_of(roof(1.0))
    assert inward.concave == pytest.approx(1, abs=0.02)
    assert inward.angle_deg == pytest.approx(-90, abs=3)
    assert outward.concave == pytest.approx(0)
    assert outward.angle_deg == pytest.approx(90, abs=3)
    assert inward.step == pytest.approx(0, abs=0.02) and outward.step == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize(
    ("right", "low", "high"),
    [
        ((200, 40, 40), 0.95, 1.0),  # another hue
        ((15, 15, 15), 0.3, 0.6),  # as grey but much darker: hardly a shadow
        ((160, 160, 160), 0.0, 0.05),  # a shadow
    ],
)
def test_colour_counts_unless_shading_explains_it(right: tuple[int, int, int], low: float, high: float) -> None:
    rgb = np.full((120, 160, 3), 190, np.uint8)
    rgb[:, 80:] = right
    evidence = evidence_of(WALL, rgb=rgb)
    assert low <= evidence.colour[0] <= high
    assert evidence.step == pytest.approx(0, abs=0.02)


def test_a_narrow_gap_is_bridged_and_a_wide_one_is_not() -> None:
    narrow, wide = LEFT_RIGHT.copy(), LEFT_RIGHT.copy()
    narrow[:, 79:81], wide[:, 78:82] = NO_MASK, NO_MASK
    assert evidence_of(WALL, narrow).pairs.tolist() == [[0, 1]]
    assert len(evidence_of(WALL, wide).pairs) == 0


def test_pairs_are_ordered_and_each_stands_once() -> None:
    ids = np.repeat(np.int32([[2] * 60 + [0] * 60 + [1] * 40]), 120, axis=0)
    ids[60:] = np.where(ids[60:] == 1, 2, ids[60:])  # 2 touches 0 in two places and 1 in one
    evidence = evidence_of(WALL, ids)
    assert evidence.pairs.tolist() == [[0, 1], [0, 2], [1, 2]]
    np.testing.assert_allclose(evidence.length_px, [60, 180, 40], atol=3)


def test_unknown_surface_gives_no_evidence() -> None:
    depth_m = WALL.copy()
    depth_m[:, 60:] = 0
    evidence = evidence_of(depth_m)
    assert len(evidence.pairs) == 0
    assert evidence.area_m2[1] == 0


@pytest.mark.parametrize(("width", "height"), [(1, 1), (2, 5), (3, 3)])
@pytest.mark.parametrize(("row", "column"), [(0, 3), (3, 0), (2, 2), (2, -2)])
def test_link_ends_match_in_shape_even_in_tiny_images(width: int, height: int, row: int, column: int) -> None:
    number = np.arange(width * height).reshape(height, width)
    p, q = link_ends((height, width), row, column)
    assert number[p].shape == number[q].shape
    assert (number[q] - number[p] == row * width + column).all()
    assert number[p].size == max(height - row, 0) * max(width - abs(column), 0)


def test_any_id_wins_over_none_on_the_grid() -> None:
    ids = np.full((120, 160), NO_MASK, np.int32)
    ids[1, 1], ids[119, 159] = 0, 4
    surface = estimate_surface(frame_of_depth(CAMERA, WALL), factor=3)
    grid = ids_on_grid(ids, surface)
    assert grid.shape == (40, 54)
    assert grid[0, 0] == 0 and grid[39, 53] == 4 and np.count_nonzero(grid >= 0) == 2


def test_cues_by_hand() -> None:
    one = np.ones(2, np.float32)
    evidence = BorderEvidence(
        pairs=np.int32([[0, 1], [1, 2]]),
        length_px=np.float32([np.exp(5) - 1, 10]),
        step=0.1 * one,
        concave=0.2 * one,
        colour=0.3 * one,
        angle_deg=np.float32([45, -90]),
        area_m2=np.ones(3, np.float32),
    )
    cues = border_cues(evidence)
    assert cues.pairs.tolist() == [[0, 1], [1, 2]]
    expected = [
        [1, 1, 1, 0.1, 0.2, 0.3, 0.5],
        [1, np.log(11) / 5, 1, 0.1, 0.2, 0.3, -1],
    ]  # 0 and 2 have one border each
    assert cues.values == pytest.approx(np.float32(expected))
    matrix = cues.matrix(4)
    assert np.array_equal(matrix, matrix.transpose(1, 0, 2))
    assert np.array_equal(matrix[[0, 1], [1, 2]], cues.values) and np.count_nonzero(matrix[..., 0]) == 4


def test_the_share_of_a_border_is_that_of_the_one_that_has_less() -> None:
    corner = np.zeros((120, 160), np.int32)
    corner[:, 80:] = 1
    corner[60:, 80:] = 2
    evidence = evidence_of(WALL, corner)
    share = {tuple(pair): value for pair, value in zip(evidence.pairs.tolist(), border_cues(evidence).values[:, 2])}  # noqa: B905
    assert share[0, 1] == pytest.approx(60 / 120, abs=0.03)  # of the left half's border, 60 rows are with each
    assert share[1, 2] == pytest.approx(80 / 140, abs=0.03)


def test_cues_of_nothing_and_of_some() -> None:
    none = evidence_of(WALL, np.zeros((120, 160), np.int32))
    assert border_cues(none).values.shape == (0, 7) and not border_cues(none).matrix(1).any()
    cues = BorderCues(np.int32([[0, 1], [0, 2], [1, 2]]), np.arange(21, dtype=np.float32).reshape(3, 7))
    kept = cues.renumbered(np.int32([0, -1, 1]))
    assert kept.pairs.tolist() == [[0, 1]] and kept.values.tolist() == [cues.values[1].tolist()]
    assert cues.renumbered(np.int32([-1, -1, -1])).pairs.shape == (0, 2)
