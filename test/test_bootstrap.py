"""Intervals over scenes: empties first, hand-computed, then what any interval must hold."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.evaluation.bootstrap import Interval, interval

NAN = float("nan")


def mean(records: Sequence[float]) -> float:
    return sum(records) / len(records)


def limits(found: Interval) -> list[float]:
    return [found.value, found.low, found.high]


def test_no_scene_has_no_score() -> None:
    assert limits(interval([], mean)) == pytest.approx([NAN] * 3, nan_ok=True)


def test_one_scene_says_nothing_of_the_spread() -> None:
    assert limits(interval([0.4], mean)) == pytest.approx([0.4, NAN, NAN], nan_ok=True)


def test_equal_scenes_leave_no_spread() -> None:
    assert limits(interval([0.25] * 5, mean)) == [0.25] * 3


def test_two_scenes() -> None:
    """Means are 0, 1/2, 1 with probabilities 1/4, 1/2, 1/4: the quantiles are sure."""
    assert limits(interval([0.0, 1.0], mean)) == [0.5, 0.0, 1.0]
    assert limits(interval([0.0, 1.0], mean, confidence=0.6)) == [0.5, 0.0, 1.0]
    assert limits(interval([0.0, 1.0], mean, confidence=0.3)) == [0.5, 0.5, 0.5]


def test_spread_of_many_scenes_is_that_of_their_mean() -> None:
    scenes = np.random.default_rng(5).normal(0.0, 1.0, 400).tolist()
    found = interval(scenes, mean)
    assert found.high - found.low == pytest.approx(2 * 1.96 * np.std(scenes) / 20, rel=0.1)


def test_resamples_without_a_score_are_left_out() -> None:
    found = interval([NAN, 1.0, 1.0], lambda records: mean([one for one in records if one == one] or [NAN]))
    assert limits(found) == [1.0, 1.0, 1.0]
    assert limits(interval([NAN, NAN], mean)) == pytest.approx([NAN] * 3, nan_ok=True)


def test_the_seed_decides() -> None:
    scenes = np.random.default_rng(5).random(20).tolist()
    assert interval(scenes, mean, seed=3) == interval(scenes, mean, seed=3)
    assert interval(scenes, mean, seed=3) != interval(scenes, mean, seed=4)


@given(st.lists(st.floats(0.0, 1.0), min_size=2, max_size=8), st.sampled_from([0.5, 0.8, 0.95]))
@settings(max_examples=25, deadline=None)
def test_limits_are_in_order_and_within_what_scenes_score(scenes: list[float], confidence: float) -> None:
    found = interval(scenes, mean, num_resamples=100, confidence=confidence)
    wider = interval(scenes, mean, num_resamples=100, confidence=0.99)
    assert min(scenes) - 1e-12 <= wider.low <= found.low <= found.high <= wider.high <= max(scenes) + 1e-12
    assert not math.isnan(found.value)
