"""From messages to frames: the right pose, in order, nothing decoded in vain, every loss counted."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from stream_builders import CAMERA, CONFIG, MS, Bench, depth_image, never, pose_at, rgb_image

from autoseg3d_ros.config import ProcessConfig
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.structures import Frame, FrameError


def refused():
    raise FrameError("/camera/color: expected one of the encodings rgb8, got 'bayer'")


def test_nothing_gives_nothing():
    bench = Bench(camera=False)
    assert bench.poll() == []
    stats = bench.assembler.stats()
    assert (stats.drops, stats.num_held, stats.num_poses, stats.epoch) == ({}, 0, 0, 0)


def test_a_frame_has_the_colour_stamp_and_the_pose_at_the_depth_stamp():
    bench = Bench().pose(0).pose(100).colour(40).depth(50).colour(70)
    frame = bench.frame()
    assert isinstance(frame, Frame)
    assert (frame.stamp_ns, frame.depth_stamp_ns) == (40 * MS, 50 * MS)
    assert frame.pose.translation_m == pytest.approx((50, 0, 0))
    assert frame.camera == CAMERA
    np.testing.assert_array_equal(frame.rgb, rgb_image())
    np.testing.assert_array_equal(frame.depth_m, depth_image())


@pytest.mark.parametrize("order", list(itertools.permutations(["camera", "pose", "colour", "depth"])))
def test_the_order_of_arrival_does_not_matter(order):
    bench = Bench(camera=False)
    pose = pose_at(7)
    add = {
        "camera": lambda: bench.assembler.add_camera(CAMERA),
        "pose": lambda: bench.assembler.add_pose(100 * MS, pose),
        "colour": lambda: bench.colour(100),
        "depth": lambda: bench.depth(100),
    }
    for kind in order[:-1]:
        add[kind]()
        assert bench.poll() == []
    add[order[-1]]()
    assert bench.frame().pose is pose
    assert bench.poll() == [] and bench.drops() == {}


# --- waiting for the pose --------------------------------------------------------------------------------------------


def test_a_late_pose_is_waited_for():
    bench = Bench().pose(0).images(50)
    assert bench.after(199).stamps() == []
    assert bench.pose(100).stamps() == [50]
    assert bench.drops() == {}


def test_a_pose_that_comes_at_the_last_moment_still_counts():
    bench = Bench().images(50).after(500).pose(50)
    assert bench.stamps() == [50]


@pytest.mark.parametrize(
    ("poses", "wait_ms", "reason", "words"),
    [
        ([], 200, DropReason.POSE_TIMEOUT, "no pose at all"),
        ([40], 200, DropReason.POSE_TIMEOUT, "the newest is 0.010 s older"),
        ([0, 300], 0, DropReason.POSE_GAP, "got 0.300 s"),
        ([60, 70], 0, DropReason.POSE_TOO_OLD, "0.010 s newer"),
    ],
)
def test_a_frame_without_a_pose_is_dropped_undecoded_counted_and_explained_once(poses, wait_ms, reason, words, caplog):
    bench = Bench()
    for stamp_ms in poses:
        bench.pose(stamp_ms)
    bench.images(50, never, never)
    if wait_ms:
        assert bench.after(wait_ms - 1).poll() == [] and bench.drops() == {}
        bench.after(1)
    assert bench.poll() == []
    assert bench.drops() == {reason: 1} and bench.assembler.stats().num_held == 0
    assert words in caplog.text and "frame 0.050000000" in caplog.text

    bench.images(51, never, never).after(wait_ms).poll()
    assert bench.drops() == {reason: 2}
    assert len(caplog.records) == 1


def test_the_time_a_pair_waited_is_told():
    bench = Bench().colour(50).after(7).depth(50).after(30).pose(50)
    (pair,) = bench.poll()
    assert (pair.sync_wait_ns, pair.pose_wait_ns) == (7 * MS, 30 * MS)


def test_frames_do_not_overtake_one_that_waits():
    bench = Bench().images(100).after(50).images(50 + 100).images(200)
    bench.pose(120)  # only 100 lies before a pose, but nothing before it: too old
    assert bench.stamps() == []
    bench.pose(160)
    assert bench.stamps() == [150]
    bench.pose(240)
    assert bench.stamps() == [200]
    assert bench.drops() == {DropReason.POSE_TOO_OLD: 1}


def test_not_more_pairs_wait_than_the_queue_holds():
    bench = Bench()
    for index in range(8):
        bench.images(10 * index, never if index < 3 else rgb_image)
        assert bench.assembler.stats().num_held <= 5
    assert bench.drops() == {DropReason.QUEUE_FULL: 3}
    assert bench.pose(30).pose(100).stamps() == [30, 40, 50, 60, 70]


def test_a_pose_that_jumps_costs_one_frame_and_is_told_once(caplog):
    bench = Bench(replace(CONFIG, pose=replace(CONFIG.pose, max_speed_mps=10.0)))
    for loop in range(2):
        start_ms = 1000 * loop
        bench.pose(start_ms, x=0).images(start_ms + 50, never, never).pose(start_ms + 100, x=3)
        assert bench.stamps() == []
        assert bench.images(start_ms + 150).pose(start_ms + 200, x=3.1).stamps() == [start_ms + 150]
    assert bench.drops() == {DropReason.POSE_JUMP: 2}
    assert "is 3.0 m from the one before" in caplog.text and "got two 3.00 m apart within 0.100 s" in caplog.text
    assert len(caplog.records) == 2


# --- the camera ------------------------------------------------------------------------------------------------------


def test_without_intrinsics_frames_wait_and_then_are_dropped_undecoded(caplog):
    bench = Bench(camera=False).pose(50).images(50, never, never)
    assert bench.after(199).poll() == [] and bench.drops() == {}
    assert bench.after(1).poll() == []
    assert bench.drops() == {DropReason.NO_CAMERA_INFO: 1}
    assert "camera_info" in caplog.text
    bench.assembler.add_camera(CAMERA)
    assert bench.pose(60).images(60).stamps() == [60]


def test_a_lens_that_cannot_be_rectified_is_no_camera(caplog):
    bench = Bench(camera=False)
    for _ in range(3):
        bench.assembler.add_camera(CAMERA, (0.1, 0.2))
    assert bench.drops() == {DropReason.BAD_CAMERA_INFO: 1}
    assert "got 2" in caplog.text
    bench.pose(50).images(50, never, never).after(200).poll()
    assert bench.drops()[DropReason.NO_CAMERA_INFO] == 1


def test_the_same_camera_again_costs_nothing_and_another_counts_from_then_on():
    bench = Bench(camera=False).pose(0).pose(100)
    bench.assembler.add_camera(CAMERA, (0.1, 0.0, 0.0, 0.0))
    (first,) = bench.images(10).poll()
    bench.assembler.add_camera(CAMERA, (0.1, 0.0, 0.0, 0.0))
    (second,) = bench.images(20).poll()
    bench.assembler.add_camera(CAMERA)
    (third,) = bench.images(30).poll()
    assert first.rectifier is second.rectifier
    assert third.rectifier is not second.rectifier


def test_images_are_rectified():
    labels = np.arange(12, dtype=np.float32).reshape(3, 4) + 1
    bench = Bench(camera=False).pose(10)
    bench.assembler.add_camera(CAMERA, (2.0, 0.0, 0.0, 0.0))
    frame = bench.images(10, depth=lambda: labels).frame()
    assert frame.depth_m[1, 1] == labels[1, 1] and (frame.depth_m != labels).any()
    assert frame.camera == CAMERA


# --- images that give no frame ---------------------------------------------------------------------------------------


def small_depth():
    return np.ones((2, 2), np.float32)


def large_rgb():
    return np.zeros((6, 8, 3), np.uint8)


def large_depth():
    return np.ones((6, 8), np.float32)


def double_depth():
    return np.ones((3, 4))


@pytest.mark.parametrize(
    ("colour", "depth", "reason", "words"),
    [
        (rgb_image, small_depth, DropReason.SIZE_MISMATCH, ("4x3", "got 2x2", "aligned")),
        (large_rgb, large_depth, DropReason.CAMERA_SIZE, ("4x3", "got 8x6", "camera_info")),
        (refused, depth_image, DropReason.UNDECODABLE, ("'bayer'",)),
        (rgb_image, double_depth, DropReason.UNDECODABLE, ("float32", "float64")),
    ],
)
def test_images_that_do_not_fit_are_counted_said_once_and_the_next_frame_comes(colour, depth, reason, words, caplog):
    bench = Bench().pose(0).pose(100)
    for stamp_ms in (10, 20):
        assert bench.images(stamp_ms, colour, depth).frame() is None
    assert bench.drops() == {reason: 2}
    assert len(caplog.records) == 1 and reason.value in caplog.text
    for word in words:
        assert word in caplog.text
    assert bench.images(30).frame() is not None


def test_each_kind_of_trouble_is_said_once(caplog):
    bench = Bench().pose(0).pose(100)
    for stamp_ms, depth in ((10, small_depth), (20, double_depth), (30, small_depth), (40, double_depth)):
        bench.images(stamp_ms, depth=depth).frame()
    assert len(caplog.records) == 2


def test_the_node_may_report_what_it_cannot_convert(caplog):
    bench = Bench()
    bench.assembler.report(DropReason.BAD_POSE, "/pose: expected a unit quaternion, got norm 0")
    assert bench.drops() == {DropReason.BAD_POSE: 1} and "norm 0" in caplog.text


def test_an_exception_in_the_worker_does_not_stop_the_callbacks():
    def broken():
        raise RuntimeError("a bug")

    bench = Bench().pose(0).pose(100)
    (pair,) = bench.images(10, broken).poll()
    with pytest.raises(RuntimeError):
        bench.assembler.assemble(pair)
    assert bench.images(20).frame() is not None


def test_a_busy_worker_gets_the_newest_frame_and_the_others_were_never_decoded():
    bench = Bench().pose(0).pose(200)
    mailbox = Mailbox(ProcessConfig(mode="latest"))
    for stamp_ms in (10, 20, 30, 40):
        bench.images(stamp_ms, *((rgb_image, depth_image) if stamp_ms == 40 else (never, never)))
        for pair in bench.poll():
            mailbox.put(pair)
    frame = bench.assembler.assemble(mailbox.get(0.0))
    assert frame.stamp_ns == 40 * MS
    assert mailbox.drops == {DropReason.SUPERSEDED: 3}


# --- properties ------------------------------------------------------------------------------------------------------


@settings(max_examples=150, deadline=None)
@given(
    arrivals=st.lists(
        st.tuples(st.sampled_from(["pose", "colour", "depth"]), st.integers(0, 4000), st.integers(0, 120)), max_size=60
    ),
    timeout_s=st.sampled_from([0.0, 0.2]),
)
def test_whatever_arrives_frames_keep_their_order_and_every_pair_is_accounted_for(arrivals, timeout_s):
    bench = Bench(replace(CONFIG, pose=replace(CONFIG.pose, timeout_s=timeout_s)))
    released = []
    for topic, stamp_ms, pause_ms in arrivals:
        {"pose": bench.pose, "colour": bench.colour, "depth": bench.depth}[topic](stamp_ms)
        released += bench.after(pause_ms).poll()
    for before, after in itertools.pairwise(released):
        assert before.epoch <= after.epoch
        if before.epoch == after.epoch:
            assert before.colour_stamp_ns < after.colour_stamp_ns
            assert before.depth_stamp_ns < after.depth_stamp_ns
    for pair in released:  # poses stand at x = their stamp in milliseconds
        assert pair.pose.translation_m[0] == pytest.approx(pair.depth_stamp_ns / MS)
        assert pair.pose_wait_ns >= 0
    released += bench.after(1000).poll()
    stats = bench.assembler.stats()
    assert stats.num_held == 0
    received = sum(topic != "pose" for topic, _, _ in arrivals)
    stale = received - stats.sync.num_colour - stats.sync.num_depth
    lost_pairs = sum(stats.drops.values()) - stale
    assert stats.sync.num_pairs == len(released) + lost_pairs
