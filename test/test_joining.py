"""Pieces of one object as one superpoint, in training."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros.training.joining import joined


class Drawn:
    """A generator that draws what it is told: the share that takes part, and each superpoint's number."""

    def __init__(self, share: float, numbers: list[float]) -> None:
        self._share, self._numbers = share, numbers

    def random(self, num: int | None = None):
        return self._share if num is None else np.array(self._numbers)


@pytest.mark.parametrize(
    ("ids", "instance", "share", "numbers", "expected"),
    [
        ([], [], 1.0, [], []),
        ([4, 4, 9], [0, 0, 0], 1.0, [0, 0], [4, 4, 9]),  # of no object
        ([4, 4, 9], [1, 1, 1], 1.0, [0, 0], [4, 4, 4]),
        ([4, 4, 9], [1, 1, 2], 1.0, [0, 0], [4, 4, 9]),
        ([4, 9, 7], [1, 1, 1], 0.5, [0.6, 0.4, 0.2], [4, 7, 7]),  # numbers are of 4, 7, 9; 4 takes no part
        ([4, 4, 4, 9], [1, 1, 2, 1], 1.0, [0, 0], [4, 4, 4, 9]),  # two thirds are no majority
        ([4, 4, 4, 4, 9], [1, 1, 1, 2, 1], 1.0, [0, 0], [4, 4, 4, 4, 4]),  # three quarters are
        ([1, 2, 3, 4], [5, 6, 6, 5], 1.0, [0, 0, 0, 0], [1, 2, 2, 1]),
        ([1, 2, 3, 4], [5, 6, 6, 5], 0.0, [0, 0, 0, 0], [1, 2, 3, 4]),  # none takes part
    ],
)
def test_by_hand(ids, instance, share, numbers, expected):
    result = joined(np.array(ids, np.int16), np.array(instance, np.int32), Drawn(share, numbers))
    assert result.tolist() == expected


@given(st.integers(0, 60), st.integers(0, 2**16))
def test_superpoints_only_grow_and_void_stays(num, seed):
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, 9, num).astype(np.int16)
    instance = (ids // 2).astype(np.int32)  # superpoints 0 and 1 are void, 2 and 3 are of object 1, and so on
    result = joined(ids, instance, rng)
    assert result.dtype == ids.dtype and set(result.tolist()) <= set(ids.tolist())
    for one in np.unique(ids):
        assert len(np.unique(result[ids == one])) == 1  # a superpoint is not torn apart
    assert (result // 2 == instance).all()  # nor united with another object's
    assert (result[instance == 0] == ids[instance == 0]).all()
