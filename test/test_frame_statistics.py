"""Rates, ages and stage times of a bounded window."""

from __future__ import annotations

import math

import pytest

from autoseg3d_ros.ros.frame_statistics import CountRates, FrameStatistics, Percentiles, PublishedFrame


def frame(published_s: float, age_ms: float = 10.0, **stage_ms: float) -> PublishedFrame:
    return PublishedFrame(published_s, age_ms, age_ms + 1.0, stage_ms)


def test_no_frames():
    summary = FrameStatistics().summary(now_s=5.0)
    assert (summary.rate_hz, summary.stage_ms) == (0.0, {})
    assert math.isnan(summary.age_ms.p50) and math.isnan(summary.stamp_age_ms.p95)


def test_ages_and_stages_of_the_window():
    statistics = FrameStatistics()
    for index in range(101):
        statistics.add(frame(100.0 + index / 20, age_ms=float(index), masks=2.0, track=float(index)))
    summary = statistics.summary(now_s=105.0)
    assert summary.rate_hz == pytest.approx(20.0)
    assert summary.age_ms == Percentiles(50.0, 95.0)
    assert summary.stamp_age_ms == Percentiles(51.0, 96.0)
    assert summary.stage_ms == {"masks": Percentiles(2.0, 2.0), "track": Percentiles(50.0, 95.0)}


def test_frames_leave_the_window():
    statistics = FrameStatistics()
    statistics.add(frame(1.0, age_ms=999.0))
    statistics.add(frame(50.0))
    assert statistics.summary(now_s=51.0).age_ms.p95 == 10.0
    assert statistics.summary(now_s=51.0).rate_hz == pytest.approx(0.1), "one frame in ten seconds"
    assert statistics.summary(now_s=99.0).rate_hz == 0.0


def test_memory_is_bounded():
    statistics = FrameStatistics()
    for index in range(5000):
        statistics.add(frame(index / 1000))
    assert len(statistics._frames) == 1000
    rates = CountRates()
    for index in range(500):
        rates.sample({"/rgb": index}, now_s=index / 100)
    assert len(rates._samples) <= 64


def test_rates_of_counts():
    rates = CountRates()
    assert rates.sample({}, now_s=0.0) == {}
    assert rates.sample({"/rgb": 0}, now_s=1.0) == {"/rgb": 0.0}
    assert rates.sample({"/rgb": 30, "/pose": 100}, now_s=2.0) == {"/rgb": 15.0, "/pose": 50.0}
    for second in range(3, 40):
        newest = rates.sample({"/rgb": 30 + 10 * second}, now_s=float(second))
    assert newest == {"/rgb": pytest.approx(10.0)}, "what was long ago does not count"
    assert rates.sample({"/rgb": 2}, now_s=41.0) == {"/rgb": 0.0}, "it has begun anew"
