"""From map points to mesh vertices: empties first, hand-computed, then against brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.evaluation.mesh_transfer import NO_POINT, nearest_point, segment_vote


def test_no_vertices() -> None:
    index, distance_m = nearest_point(np.ones((3, 3)), np.zeros((0, 3)))
    assert (index.shape, index.dtype, distance_m.shape, distance_m.dtype) == ((0,), np.int64, (0,), np.float32)


def test_no_points() -> None:
    index, distance_m = nearest_point(np.zeros((0, 3), np.float32), np.ones((2, 3), np.float32))
    assert index.tolist() == [NO_POINT, NO_POINT]
    assert distance_m.tolist() == [np.inf, np.inf]


def test_one_point_serves_every_vertex() -> None:
    index, distance_m = nearest_point(np.zeros((1, 3)), np.array([[3.0, 4.0, 0.0], [0.0, 0.0, 0.0]]))
    assert (index.tolist(), distance_m.tolist()) == ([0, 0], [5.0, 0.0])


def test_of_points_equally_near_the_first_is_taken() -> None:
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    points_m = np.concatenate([[[5.0, 5.0, 5.0]], corners, corners])
    index, distance_m = nearest_point(points_m, np.array([[0.0, 0.0, 0.0], [2.0, 2.0, 2.0], [6.0, 5.0, 5.0]]))
    assert index.tolist() == [1, 8, 0]
    assert distance_m == pytest.approx([3**0.5, 3**0.5, 1.0])


@given(st.integers(0, 1000), st.integers(1, 40), st.integers(0, 20))
@settings(max_examples=50, deadline=None)
def test_equals_brute_force_on_a_grid_full_of_ties(seed: int, num_points: int, num_vertices: int) -> None:
    rng = np.random.default_rng(seed)
    points_m, vertices_m = rng.integers(0, 3, (num_points, 3)), rng.integers(0, 3, (num_vertices, 3))
    index, distance_m = nearest_point(points_m.astype(np.float32), vertices_m.astype(np.float32))
    distance = np.linalg.norm(vertices_m[:, None] - points_m, axis=2)
    np.testing.assert_array_equal(index, distance.argmin(axis=1))
    np.testing.assert_allclose(distance_m, distance.min(axis=1), rtol=1e-6)


VOTES = {
    "no mask": (np.zeros((0, 3), bool), [1, 1, 2], np.zeros((0, 3), bool)),
    "no vertex": (np.zeros((2, 0), bool), [], np.zeros((2, 0), bool)),
    "more than half": ([[1, 1, 0]], [4, 4, 4], [[1, 1, 1]]),
    "exactly half is off": ([[1, 1, 0, 0]], [4, 4, 4, 4], [[0, 0, 0, 0]]),
    "segments of any number, in any order": ([[1, 0, 1, 1, 0]], [9, -1, 7, 9, 9], [[1, 0, 1, 1, 1]]),
    "each mask on its own": ([[1, 1, 0], [0, 1, 1]], [1, 1, 2], [[1, 1, 0], [0, 0, 1]]),
}


@pytest.mark.parametrize("case", VOTES.values(), ids=VOTES.keys())
def test_vote_of_segments(case: tuple) -> None:
    masks, segment_id, expected = case
    voted = segment_vote(np.array(masks, bool), np.array(segment_id, int))
    assert voted.dtype == np.bool_
    np.testing.assert_array_equal(voted, np.array(expected, bool))
