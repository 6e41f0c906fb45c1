from __future__ import annotations

import numpy as np
import pytest

from autoseg3d_ros.tracking.consensus import connected, group_fragments, owners

LARGE = np.full(4, 10_000)
NO_PAIRS = np.zeros((0, 2), np.int32)


def group(owner, joined=(), apart=(), size=None, strength=None):
    joined = np.array(joined, np.int32).reshape(-1, 2)
    labels = group_fragments(
        np.array(size if size is not None else [10] * len(owner)),
        np.array(owner, np.int32),
        joined,
        np.array(strength if strength is not None else [1.0] * len(joined)),
        np.array(apart, np.int32).reshape(-1, 2),
    )
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


def sets(*groups):
    return {frozenset(members) for members in groups}


def test_no_fragments_no_groups():
    assert group_fragments(np.zeros(0), np.zeros(0, np.int32), NO_PAIRS, np.zeros(0), NO_PAIRS).shape == (0,)
    assert connected(0, NO_PAIRS).shape == (0,)


@pytest.mark.parametrize(
    ("case", "expected"),
    [
        ({"owner": [0]}, sets({0})),
        ({"owner": [0, 0]}, sets({0}, {1})),
        ({"owner": [0, 0, 0], "joined": [(0, 1)]}, sets({0, 1}, {2})),
        # History outweighs one frame: two owners are not joined by geometry.
        ({"owner": [1, 2], "joined": [(0, 1)]}, sets({0}, {1})),
        # One owner joins what does not touch (an object seen in two parts).
        ({"owner": [1, 0, 1]}, sets({0, 2}, {1})),
        # ... but not what geometry holds apart: a swallowed object can leave.
        ({"owner": [1, 1], "apart": [(1, 0)]}, sets({0}, {1})),
        ({"owner": [1, 1, 1], "apart": [(0, 2)], "size": [50, 10, 10]}, sets({0, 1}, {2})),
        # What left keeps its own parts together.
        ({"owner": [1, 1, 1], "apart": [(0, 2), (0, 1)], "joined": [(1, 2)], "size": [50, 9, 9]}, sets({0}, {1, 2})),
        # A new surface between two owners goes to the one it is joined to most firmly, and does not bridge them.
        ({"owner": [1, 0, 2], "joined": [(0, 1), (1, 2)], "strength": [1.0, 2.0]}, sets({0}, {1, 2})),
        ({"owner": [1, 0, 0, 2], "joined": [(0, 1), (1, 2), (2, 3)], "strength": [3, 1, 2]}, sets({0, 1, 2}, {3})),
    ],
)
def test_groups_by_hand(case, expected):
    assert group(**case) == expected


@pytest.mark.parametrize(
    ("counts", "size", "expected"),
    [
        ([0, 0, 0], 10, 0),
        ([0, 10, 0], 10, 1),
        ([0, 5, 5], 10, 0),  # half and half: nobody's
        ([0, 3, 7], 10, 2),
        ([90, 10, 0], 100, 0),  # ten points in a hundred are a contact, not a part
        ([70, 30, 0], 100, 1),  # voxels without an owner do not speak
        ([0, 2, 0], 100, 0),
    ],
)
def test_owner_by_hand(counts, size, expected):
    assert owners(np.array([counts]), np.array([size]), LARGE, 0.6).tolist() == [expected]


def test_a_sliver_swallowed_whole_is_the_owner():
    assert owners(np.array([[0, 5]]), np.array([100]), np.array([0, 6]), 0.6).tolist() == [1]


def test_owners_of_nothing():
    assert owners(np.zeros((0, 4), int), np.zeros(0, int), LARGE, 0.6).shape == (0,)
