"""One distortion for a whole clip: what it does to points, and what it leaves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from autoseg3d_ros.training.augmentation import (
    NO_AUGMENTATION,
    Augmentation,
    AugmentationConfig,
    ElasticField,
    ElasticGrid,
)

NO_POINTS = np.zeros((0, 3), np.float32)
ALWAYS_ELASTIC = replace(AugmentationConfig(), elastic_probability=1.0)


def some_points(count: int = 500, seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).random((count, 3)) * [6, 5, 2.5] - [1, 2, 0]).astype(np.float32)


def drawn(config: AugmentationConfig, seed: int = 0, points: np.ndarray | None = None) -> Augmentation:
    points = some_points() if points is None else points
    return Augmentation.draw(config, [points[:100], NO_POINTS, points[100:]], np.random.default_rng(seed))


@pytest.mark.parametrize("frames", [[], [NO_POINTS], [NO_POINTS, np.ones((1, 3), np.float32)]])
@pytest.mark.parametrize("config", [NO_AUGMENTATION, ALWAYS_ELASTIC])
def test_no_points(config, frames):
    augmentation = Augmentation.draw(config, frames, np.random.default_rng(0))
    assert augmentation.moved(NO_POINTS).shape == (0, 3)
    assert augmentation.moved(np.ones((1, 3), np.float32)).shape == (1, 3)
    assert augmentation.recoloured(np.zeros((0, 3), np.uint8)).shape == (0, 3)


def test_no_augmentation_changes_nothing():
    points, colours = some_points(), np.arange(60, dtype=np.uint8).reshape(-1, 3)
    assert np.array_equal(drawn(NO_AUGMENTATION).moved(points), points)
    assert np.array_equal(drawn(NO_AUGMENTATION).recoloured(colours), colours)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"flip_probability": 1.0}, [-1.0, -2.0, 3.0]),
        ({"scale": (2.0, 2.0)}, [2.0, 4.0, 6.0]),
        ({"flip_probability": 1.0, "scale": (0.5, 0.5)}, [-0.5, -1.0, 1.5]),
    ],
)
def test_by_hand(changes, expected):
    augmentation = drawn(replace(NO_AUGMENTATION, **changes))
    assert augmentation.moved(np.array([[1.0, 2.0, 3.0]], np.float32)).tolist() == [expected]


def test_each_axis_is_flipped_by_itself():
    signs = {tuple(np.diag(drawn(replace(NO_AUGMENTATION, flip_probability=0.5), seed).linear)) for seed in range(40)}
    assert signs == {(1, 1, 1), (-1, 1, 1), (1, -1, 1), (-1, -1, 1)}


def test_rotation_about_z_leaves_z_and_distances():
    points = some_points()
    moved = drawn(replace(NO_AUGMENTATION, max_rotation_rad=3.14)).moved(points)
    assert np.array_equal(moved[:, 2], points[:, 2])
    assert not np.allclose(moved[:, :2], points[:, :2], atol=0.1)
    distances = [np.linalg.norm(each[:, None] - each[None], axis=-1) for each in (points, moved)]
    assert np.allclose(*distances, atol=1e-4)


def test_rotation_keeps_the_hand():
    assert np.linalg.det(drawn(replace(NO_AUGMENTATION, max_rotation_rad=3.14)).linear) == pytest.approx(1.0)


def test_numbers_are_those_of_the_paper():
    draws = [drawn(replace(AugmentationConfig(), elastic_probability=0.0), seed) for seed in range(300)]
    scales = np.array([np.linalg.norm(each.linear[2]) for each in draws])
    assert 0.8 <= scales.min() < 0.82 and 1.18 < scales.max() <= 1.2
    angles = np.array([np.arctan2(*each.linear[[1, 0], 0]) for each in draws])
    assert angles.min() < -3 and angles.max() > 3
    assert np.std([each.shift_m for each in draws], axis=0) == pytest.approx(0.1, rel=0.15)
    assert 0.4 < np.mean([np.linalg.det(each.linear) < 0 for each in draws]) < 0.6
    elastic = [bool(drawn(AugmentationConfig(), seed).elastic) for seed in range(60)]
    assert 15 < sum(elastic) < 45


def test_same_seed_same_bytes():
    points, colours = some_points(), some_points().astype(np.uint8)
    jittered = replace(ALWAYS_ELASTIC, colour_gain=0.2, colour_shift=10.0)
    first, second, other = (drawn(jittered, seed) for seed in (3, 3, 4))
    assert first.moved(points).tobytes() == second.moved(points).tobytes()
    assert first.moved(points).tobytes() != other.moved(points).tobytes()
    assert first.recoloured(colours).tobytes() == second.recoloured(colours).tobytes()


def test_points_move_whatever_else_is_moved_with_them():
    points, augmentation = some_points(), drawn(ALWAYS_ELASTIC)
    assert np.allclose(augmentation.moved(points)[7:9], augmentation.moved(points[7:9]), atol=1e-5)
    assert augmentation.moved(points).dtype == np.float32


# ------------------------------------------------------------------------------------------------------------- elastic


def a_field(displacement_m: np.ndarray) -> ElasticField:
    return ElasticField(np.array([1.0, 0.0, 0.0]), 0.5, displacement_m.astype(np.float32))


@pytest.mark.parametrize(
    ("x_m", "shift_m"), [(1.0, 0.0), (1.25, 0.15), (1.5, 0.3), (1.75, 0.2), (2.0, 0.1), (0.0, 0.0), (9.0, 0.1)]
)
def test_a_field_is_linear_between_its_nodes_and_ends_at_its_rim(x_m, shift_m):
    displacement_m = np.zeros((3, 3, 2, 2))
    displacement_m[1] = np.array([0.0, 0.3, 0.1])[:, None, None]  # along y, of the nodes at x = 1, 1.5 and 2
    moved = a_field(displacement_m).moved(np.array([[x_m, 0.2, 0.1]], np.float32))
    assert np.allclose(moved, [[x_m, 0.2 + shift_m, 0.1]], atol=1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axes_of_a_field_are_not_mixed_up(axis):
    displacement_m = np.zeros((3, 2, 2, 2))
    displacement_m[axis] = np.moveaxis(np.broadcast_to([0.0, 1.0], (2, 2, 2)), 2, axis)
    place_m = np.array([[1.1, 0.2, 0.3]], np.float32)
    moved = a_field(displacement_m).moved(place_m)[0] - place_m[0]
    expected = np.zeros(3)
    expected[axis] = (place_m[0, axis] - (axis == 0)) / 0.5
    assert np.allclose(moved, expected, atol=1e-6)


def test_an_elastic_field_covers_its_box_and_moves_no_farther_than_it_reaches():
    low_m, high_m = np.array([-1.0, 2.0, 0.0]), np.array([3.0, 6.5, 4.0])
    field = ElasticField.draw(ElasticGrid(6, 40), 0.02, low_m, high_m, np.random.default_rng(0))
    nodes = np.array(field.displacement_m.shape[1:])
    assert (field.origin_m + (nodes - 1) * field.spacing_m >= high_m).all()
    points = np.random.default_rng(1).uniform(low_m - 1, high_m + 1, (500, 3)).astype(np.float32)
    moved_m = np.abs(field.moved(points) - points).max()
    assert 0.02 < moved_m <= field.reach_m + 1e-6
    assert field.displacement_m.std() == pytest.approx(0.8 * (19 / 81) ** 1.5, rel=0.15)  # what smoothing leaves


def test_neighbours_stay_neighbours():
    points, augmentation = some_points(), drawn(replace(NO_AUGMENTATION, elastic_probability=1.0))
    assert len(augmentation.elastic) == 2
    nearby = points + np.float32(0.005)
    apart = np.linalg.norm(augmentation.moved(nearby) - augmentation.moved(points), axis=1)
    assert apart.max() < 10 * 0.005
    assert np.abs(augmentation.moved(points) - points).max() <= sum(field.reach_m for field in augmentation.elastic)


# -------------------------------------------------------------------------------------------------------------- colour


def test_colours_are_shifted_and_cut_off():
    config = replace(NO_AUGMENTATION, colour_gain=0.5, colour_shift=40.0)
    colours = np.array([[0, 0, 0], [128, 128, 128], [255, 255, 255]], np.uint8)
    jittered = [drawn(config, seed).recoloured(colours) for seed in range(20)]
    assert all(each.dtype == np.uint8 for each in jittered)
    assert len({each.tobytes() for each in jittered}) > 10
    middle = np.array(jittered)[:, 1]
    assert middle.min() >= 64 - 40 and middle.max() <= 192 + 40
    assert all((np.diff(each.astype(int), axis=0) >= 0).all() for each in jittered)  # does not wrap around
