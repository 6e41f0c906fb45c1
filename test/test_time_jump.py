"""Stamps that jump back: noticed once, forgotten cleanly, and never the end of the stream."""

from __future__ import annotations

import itertools
import logging

import pytest
from stream_builders import MS, SECOND, Bench, never

from autoseg3d_ros.stream.time_jump import JumpDetector, StampVerdict

CURRENT, JUMPED, STALE = StampVerdict.CURRENT, StampVerdict.JUMPED, StampVerdict.STALE


@pytest.mark.parametrize(
    "observed",
    [
        [("a", 0.0, CURRENT)],
        [("a", 5.0, CURRENT), ("a", 4.0, CURRENT), ("a", 3.999, JUMPED), ("a", 4.0, CURRENT)],
        [("a", 5.0, CURRENT), ("b", 0.0, CURRENT), ("a", 6.0, CURRENT)],
        [("a", 9.0, CURRENT), ("b", 9.0, CURRENT), ("a", 0.0, JUMPED), ("b", 9.1, STALE), ("b", 0.0, CURRENT)],
        [("a", 9.0, CURRENT), ("b", 9.0, CURRENT), ("a", 0.0, JUMPED), ("b", 10.1, CURRENT), ("b", 10.2, CURRENT)],
        [("a", 1.2, CURRENT), ("b", 0.9, CURRENT), ("a", 0.0, JUMPED), ("b", 0.0, CURRENT), ("b", 0.1, CURRENT)],
        [("a", 9.0, CURRENT), ("a", 0.0, JUMPED), ("a", 9.0, CURRENT), ("a", 0.0, JUMPED)],
        [("a", 9.0, CURRENT), ("a", 0.0, JUMPED), ("b", 9.1, STALE), ("b", 0.0, CURRENT)],  # b was not heard before
        [("a", 9.0, CURRENT), ("b", 9.0, CURRENT), ("a", 0.0, JUMPED), ("b", 8.9, STALE), ("b", 0.1, CURRENT)],
        [("a", 9.0, CURRENT), ("a", 0.0, JUMPED), ("a", 8.9, CURRENT), ("b", 8.9, CURRENT), ("b", 9.1, CURRENT)],
    ],
)
def test_jump_detector(observed):
    detector = JumpDetector()
    for topic, stamp_s, verdict in observed:
        assert detector.observe(topic, round(stamp_s * SECOND)) is verdict


def test_a_topic_that_does_not_follow_the_jump_is_stale_for_a_second_at_most():
    detector = JumpDetector()
    detector.observe("pose", 100 * SECOND)
    detector.observe("image", 100 * SECOND)
    assert detector.observe("pose", 98 * SECOND) is JUMPED
    verdicts = [detector.observe("image", 100 * SECOND + index * 100 * MS) for index in range(1, 30)]
    assert verdicts == [STALE] * 10 + [CURRENT] * 19


def test_jump_detector_forgets():
    detector = JumpDetector()
    detector.observe("a", 9 * SECOND)
    detector.clear()
    assert detector.observe("a", 0) is CURRENT


# --- in the assembler ------------------------------------------------------------------------------------------------


def play(bench, start_ms=10_000):
    """Feed two seconds of a bag: poses at 100 Hz, images at 20 Hz; return (stamp, epoch) of the frames."""
    frames = []
    for stamp_ms in range(start_ms, start_ms + 2000, 10):
        bench.pose(stamp_ms)
        if stamp_ms % 50 == 0:
            bench.images(stamp_ms)
        frames += [(pair.colour_stamp_ns // MS, pair.epoch) for pair in bench.after(10).poll()]
    return frames


def test_a_bag_that_loops_gives_the_same_frames_and_one_more_epoch_each_time(caplog):
    bench = Bench()
    with caplog.at_level(logging.WARNING):
        for loop in range(3):
            assert play(bench) == [(stamp_ms, loop) for stamp_ms in range(10_000, 12_000, 50)]
            assert bench.assembler.epoch == loop
    assert sum("jumped back" in record.message for record in caplog.records) == 2
    assert bench.drops() == {}


@pytest.mark.parametrize("first", ["pose", "colour", "depth"])
def test_whichever_topic_jumps_first_the_jump_is_one(first):
    bench = Bench().pose(10_000).images(10_000)
    assert bench.stamps() == [10_000]
    bench.images(10_050, never, never)  # waits for a pose that never comes
    topics = {"pose": bench.pose, "colour": bench.colour, "depth": bench.depth}
    topics.pop(first)(0)
    for add in topics.values():
        add(10_060)  # the tail of the old time line
    for add in topics.values():
        add(0)
    (pair,) = bench.poll()
    assert (pair.colour_stamp_ns, pair.epoch, bench.assembler.epoch) == (0, 1, 1)
    assert bench.images(50).pose(50).stamps() == [50]
    assert bench.assembler.epoch == 1


def test_the_frames_before_and_after_a_jump_may_come_mixed():
    """Topics keep no order between them: here each brings its first frame and the one after the jump at once."""
    for order in itertools.permutations(["pose", "colour", "depth"]):
        bench = Bench()
        for topic in order:
            for stamp_ms in (10_000, 0):
                {"pose": bench.pose, "colour": bench.colour, "depth": bench.depth}[topic](stamp_ms)
        (pair,) = bench.poll()
        assert (pair.colour_stamp_ns, pair.epoch, bench.assembler.epoch) == (0, 1, 1), order


def test_images_that_jump_before_the_poses_wait_for_them():
    bench = Bench().pose(10_000).images(10_000)
    assert bench.stamps() == [10_000]
    assert bench.images(0).poll() == []
    assert bench.pose(0).stamps() == [0]
    assert bench.drops() == {}


def test_a_bag_so_short_that_only_the_poses_jump_by_a_second_goes_on():
    bench = Bench()
    for _ in range(2):
        for stamp_ms in (0, 900):
            bench.pose(stamp_ms).images(stamp_ms)
        assert bench.pose(1200).stamps() == [0, 900]
    assert bench.assembler.epoch == 1


def test_poses_of_the_old_time_line_are_not_used():
    bench = Bench().pose(10_000, x=1).pose(10_100, x=1).pose(0, x=2).pose(100, x=2)
    (pair,) = bench.images(50).poll()
    assert pair.pose.translation_m == pytest.approx((2, 0, 0))
    assert bench.assembler.stats().num_poses == 2
