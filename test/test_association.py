from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg3d_ros.tracking.association import associate, geometric_affinity, overlap_counts


@pytest.mark.parametrize("shape", [(0, 0), (0, 3), (3, 0)])
def test_nothing_matches_nothing(shape):
    assert associate(np.zeros(shape), 0.1).shape == (0, 2)


@pytest.mark.parametrize(
    ("affinity", "threshold", "expected"),
    [
        ([[0.9]], 0.5, [[0, 0]]),
        ([[0.5]], 0.5, []),  # at the threshold is not above it
        ([[0.9, 0.8], [0.8, 0.1]], 0.05, [[0, 1], [1, 0]]),  # the best sum, not the greedy best first
        ([[0.9, 0.8], [0.8, 0.1]], 0.85, [[0, 0]]),
        ([[0.9], [0.95]], 0.1, [[1, 0]]),
        ([[-1.0, -2.0]], -5.0, []),  # an affinity below zero never makes a match
    ],
)
def test_matches_by_hand(affinity, threshold, expected):
    assert associate(np.array(affinity), threshold).tolist() == expected


@given(arrays(np.float64, st.tuples(st.integers(0, 6), st.integers(0, 6)), elements=st.floats(0, 1)), st.floats(0, 1))
def test_matches_are_one_to_one_and_above_the_threshold(affinity, threshold):
    matches = associate(affinity, threshold)
    assert len(set(matches[:, 0])) == len(set(matches[:, 1])) == len(matches)
    assert (affinity[matches[:, 0], matches[:, 1]] > threshold).all()
    unmatched_rows = np.setdiff1d(np.arange(len(affinity)), matches[:, 0])
    unmatched_columns = np.setdiff1d(np.arange(affinity.shape[1]), matches[:, 1])
    assert not (affinity[np.ix_(unmatched_rows, unmatched_columns)] > max(threshold, 0)).any()


def test_overlap_counts_by_hand():
    group = np.array([0, 0, 1, 1, -1, 0])
    slot = np.array([2, 2, 2, 0, 2, -1])
    assert overlap_counts(group, 2, slot, 4).tolist() == [[0, 0, 2, 0], [1, 0, 1, 0]]
    assert overlap_counts(group[:0], 0, slot[:0], 4).shape == (0, 4)


def affinity_of(counts, seen, size, extent=1000):
    no_boxes = np.zeros(np.shape(counts), np.float32)
    extents = np.full(len(seen), extent)
    counts = np.array(counts)
    return geometric_affinity(counts, counts.sum(axis=1), np.array(seen), np.array(size), extents, no_boxes, 0.0)


def test_a_detection_that_is_all_that_is_seen_of_a_track_has_affinity_one():
    assert affinity_of([[100]], [100], [100]).tolist() == [[1.0]]


def test_new_surface_does_not_count_against_a_match():
    assert affinity_of([[60]], [60], [100]).tolist() == [[1.0]]


def test_a_few_points_along_a_contact_with_a_large_track_are_no_match():
    assert affinity_of([[5]], [5], [100])[0, 0] == pytest.approx(0.1)


def test_all_of_a_track_that_was_but_a_sliver_is_a_match():
    assert affinity_of([[5]], [5], [100], extent=6)[0, 0] == 1.0


def test_half_a_track_is_half_a_match():
    assert affinity_of([[50], [50]], [100], [50, 50]).tolist() == [[0.5], [0.5]]


def test_boxes_weigh_in_by_their_weight():
    ten = np.array([10])
    assert geometric_affinity(ten[None], ten, ten, ten, ten, np.array([[0.5]], np.float32), 0.2)[0, 0] == pytest.approx(
        0.9
    )


def test_affinity_of_nothing_is_empty():
    assert affinity_of(np.zeros((0, 2)), [3, 4], []).shape == (0, 2)
    assert affinity_of(np.zeros((2, 0)), [], [3, 4]).shape == (2, 0)
