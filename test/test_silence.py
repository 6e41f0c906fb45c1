"""One line that says what is missing."""

from __future__ import annotations

import dataclasses
import math

import pytest

from autoseg3d_ros.ros.silence import Counts, SilenceWatch
from autoseg3d_ros.stream.drops import DropReason

TOPICS = ("/rgb", "/depth", "/info", "/pose")


def counts(received=(0, 0, 0, 0), *, pairs=0, processed=0, failed=0, slop_s=math.nan, **drops: int) -> Counts:
    return Counts(
        received=dict(zip(TOPICS, received, strict=True)),
        once_is_enough="/info",
        drops={DropReason(reason): count for reason, count in drops.items()},
        num_pairs=pairs,
        num_processed=processed,
        num_failed=failed,
        needed_slop_s=slop_s,
    )


@pytest.mark.parametrize(
    "now, cause",
    [
        (counts(), "no messages on /rgb, /depth, /info, /pose"),
        (counts((9, 9, 9, 0)), "no messages on /pose"),
        (counts((9, 9, 0, 9)), "no messages on /info"),
        (counts((9, 0, 1, 9)), "no messages on /depth"),
        (
            counts((9, 9, 1, 9), slop_s=0.0333, beyond_slop=8),
            "colour and depth images do not pair; sync.slop_s = 0.033 would pair them (dropped: 8 beyond_slop)",
        ),
        (counts((9, 9, 1, 9)), "colour and depth images do not pair (dropped: none)"),
        (
            counts((9, 9, 1, 9), pairs=9, pose_timeout=7, pose_gap=1),
            "images pair, but no frame is finished (dropped: 7 pose_timeout, 1 pose_gap)",
        ),
        (dataclasses.replace(counts(), is_paused=True), "paused; call ~/pause with `data: false` to go on"),
        (counts((9, 9, 1, 9), pairs=9, failed=9), "9 frames failed, see the errors above (dropped: none)"),
    ],
)
def test_the_cause(now, cause):
    assert SilenceWatch(counts(), now_s=0.0).check(now, now_s=5.0) == f"no output for 5 s: {cause}"


def test_what_came_before_the_last_output_does_not_count():
    watch = SilenceWatch(counts(), now_s=0.0)
    with_output = counts((50, 50, 1, 50), pairs=50, processed=50, undecodable=3)
    assert watch.check(with_output, now_s=60.0) is None
    later = counts((50, 60, 1, 60), pairs=50, processed=50, undecodable=3)
    assert watch.check(later, now_s=64.0) is None
    assert watch.check(later, now_s=65.0) == "no output for 5 s: no messages on /rgb"


def test_it_is_said_once_until_the_next_output():
    watch = SilenceWatch(counts(), now_s=0.0)
    assert watch.check(counts(), now_s=5.0)
    assert watch.check(counts(), now_s=6.0) is None
    assert watch.line and "no output for 5 s" in watch.line, "whoever asks is told as long as it lasts"
    assert watch.check(counts((1, 1, 1, 1), processed=1), now_s=7.0) is None
    assert watch.line is None
    assert watch.check(counts((1, 1, 1, 1), processed=1), now_s=12.0)
