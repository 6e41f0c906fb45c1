"""The worker thread: it outlives every frame, meets jumps in time, and leaves the last state behind."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from ros_harness import wait_until
from worker_bench import EVERY_FRAME, Bench, a_pair

from autoseg3d_ros import config as settings
from autoseg3d_ros import device_memory
from autoseg3d_ros.ros import failure_log
from autoseg3d_ros.ros.outputs import Pace
from autoseg3d_ros.ros.requests import NoAnswerError
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.structures import FrameError


@pytest.fixture
def make_bench():
    benches = []

    def make(*args, **kwargs) -> Bench:
        benches.append(Bench(*args, **kwargs))
        return benches[-1]

    yield make
    for bench in benches:
        bench.worker.stop()


def test_no_frames(make_bench):
    bench = make_bench()
    assert wait_until(lambda: bench.outputs.num_states > 1), "the state is offered while nothing comes"
    bench.worker.stop()
    assert bench.outputs.frames == []
    assert bench.outputs.last_state is bench.segmenters[0].state


def test_frames_in_order(make_bench):
    bench = make_bench()
    bench.work(*(a_pair(stamp) for stamp in (1, 2, 3)))
    bench.worker.stop()
    assert bench.outputs.frames == [1, 2, 3]
    assert bench.outputs.camera_frames == ["optical"] * 3
    waits_ms = bench.outputs.waits_ms[0]
    assert (waits_ms["sync_wait"], waits_ms["pose_wait"]) == (2.0, 3.0)
    assert (bench.worker.num_processed, bench.worker.num_failed) == (3, 0)


def test_an_error_in_a_frame_is_logged_with_it_and_the_next_one_is_taken(make_bench, caplog):
    bench = make_bench(
        errors={1_500_000_000: RuntimeError("out of memory"), 2: FrameError("no use"), 3: RuntimeError("x")}
    )
    with caplog.at_level(logging.ERROR):
        bench.work(*(a_pair(stamp) for stamp in (1, 1_500_000_000, 2, 3, 4)))
        bench.worker.stop()
    assert bench.outputs.frames == [1, 4]
    assert (bench.worker.num_processed, bench.worker.num_failed) == (2, 3)
    assert [record.getMessage() for record in caplog.records] == [
        "frame 1.500000000: RuntimeError: out of memory",
        "frame 0.000000002: FrameError: no use",
    ], "one of each kind, at first"
    assert all(record.exc_info for record in caplog.records)


def test_failures_without_end_are_told_now_and_then(make_bench, caplog, monkeypatch):
    monkeypatch.setattr(failure_log, "_REPEAT_S", 0.5)
    bench = make_bench(errors={stamp: RuntimeError("broken") for stamp in range(1, 10)})
    with caplog.at_level(logging.ERROR):
        bench.work(a_pair(1), a_pair(2), a_pair(3))
        time.sleep(0.6)
        bench.work(a_pair(4))
        bench.worker.stop()
    assert bench.worker.num_failed == 4
    first, second = caplog.records
    assert second.getMessage() == "frame 0.000000004: RuntimeError: broken (and 2 more before it)"
    assert first.exc_info and not second.exc_info, "the traceback is told once"


def test_a_pair_that_gives_no_frame_is_passed_over(make_bench):
    bench = make_bench()
    bench.work(a_pair(1, depth_shape=(5, 4)), a_pair(2))
    bench.worker.stop()
    assert bench.outputs.frames == [2]


@pytest.mark.parametrize("reaction, num_forgotten, kept", [("reset", 1, [10]), ("keep", 0, [100, 10])])
def test_a_jump_in_time(make_bench, reaction, num_forgotten, kept):
    bench = make_bench(settings.replace(EVERY_FRAME, {"on_time_jump": reaction}))
    map_id = bench.segmenters[0].state.map_id
    bench.work(a_pair(100), a_pair(10, epoch=1))
    bench.worker.stop()
    assert bench.outputs.frames == [100, 10]
    assert bench.outputs.num_forgotten == num_forgotten
    assert bench.segmenters[0].state.stamps == kept
    assert (bench.segmenters[0].state.map_id is map_id) == (reaction == "keep")


def test_a_jump_in_time_can_end_the_program(make_bench):
    bench = make_bench(settings.replace(EVERY_FRAME, {"on_time_jump": "shutdown"}))
    for pair in (a_pair(100), a_pair(10, epoch=1), a_pair(20, epoch=1)):
        bench.mailbox.put(pair)
    assert bench.stop_requested.wait(10)
    bench.worker.stop()
    assert bench.outputs.frames == [100]


def test_a_jump_of_poses_alone_is_met_while_no_frames_come(make_bench):
    bench = make_bench()
    bench.work(a_pair(100))
    bench.jump_back()
    assert wait_until(lambda: bench.outputs.num_forgotten == 1)
    assert bench.worker.ask(lambda segmenter: segmenter.state.stamps) == []
    bench.work(a_pair(10, epoch=1))
    assert bench.worker.ask(lambda segmenter: segmenter.state.stamps) == [10]
    assert bench.outputs.num_forgotten == 1, "the same jump counts once"


def test_a_jump_of_poses_alone_can_end_the_program(make_bench):
    bench = make_bench(settings.replace(EVERY_FRAME, {"on_time_jump": "shutdown"}))
    bench.jump_back()
    assert bench.stop_requested.wait(10)


def test_a_frame_of_the_time_before_a_jump_does_not_come_into_the_new_map(make_bench):
    bench = make_bench()
    bench.jump_back()
    assert wait_until(lambda: bench.outputs.num_forgotten == 1)
    bench.work(a_pair(100, epoch=0), a_pair(10, epoch=1))
    bench.worker.stop()
    assert bench.outputs.frames == [10]
    assert bench.worker.drops.by_reason() == {DropReason.TIME_JUMP: 1}


def test_new_settings_keep_the_state(make_bench):
    bench = make_bench()
    bench.work(a_pair(1))
    bench.worker.configure(settings.replace(EVERY_FRAME, {"tracking.min_observations": 9}))
    assert wait_until(lambda: bench.outputs.config is not None)
    bench.work(a_pair(2))
    bench.worker.stop()
    first, second = bench.segmenters
    assert second.state is first.state
    assert second.state.stamps == [1, 2]
    assert bench.outputs.config.tracking.min_observations == 9


def test_settings_that_do_not_fit_leave_everything_as_it_was(make_bench, caplog):
    bench = make_bench()
    with caplog.at_level(logging.ERROR):
        bench.worker.configure(settings.replace(EVERY_FRAME, {"masks.fragments": 13}))
        assert wait_until(lambda: caplog.records)
        bench.work(a_pair(1))
        bench.worker.stop()
    assert bench.outputs.frames == [1]
    assert [record.getMessage() for record in caplog.records] == ["between two frames: ConfigError: thirteen"]


def test_what_is_asked_is_done_between_two_frames(make_bench):
    bench = make_bench()
    bench.work(a_pair(1))
    assert wait_until(lambda: bench.worker.num_processed == 1)
    assert bench.worker.ask(lambda segmenter: list(segmenter.state.stamps)) == [1]
    with pytest.raises(ZeroDivisionError):
        bench.worker.ask(lambda segmenter: 1 / 0)
    bench.work(a_pair(2))
    bench.worker.stop()
    assert bench.outputs.frames == [1, 2]
    assert bench.worker.num_failed == 0, "the failure is that of whoever asked"


def test_what_is_asked_too_late_is_not_done_at_all(make_bench):
    bench = make_bench()
    release = threading.Event()
    hold = threading.Thread(target=lambda: bench.worker.ask(lambda segmenter: release.wait(10)))
    hold.start()
    assert wait_until(lambda: not bench.worker._requests._queue.qsize())
    done: list[int] = []
    with pytest.raises(NoAnswerError, match=r"took longer than 0\.2 s; nothing was changed"):
        bench.worker.ask(lambda segmenter: done.append(1), timeout_s=0.2)
    release.set()
    hold.join()
    bench.worker.ask(lambda segmenter: None)
    bench.worker.stop()
    assert done == []
    with pytest.raises(NoAnswerError, match="shut down"):
        bench.worker.ask(lambda segmenter: done.append(2))


def test_inactive_drops_the_weights_and_keeps_the_state(make_bench):
    bench = make_bench(settings.replace(EVERY_FRAME, {"model.name": "tiny"}))
    bench.work(a_pair(1))
    bench.worker.deactivate()
    assert bench.outputs.last_state.stamps == [1]
    assert bench.configs[-1].model.name == "none", "what is left has no network"
    bench.mailbox.put(a_pair(2))
    assert bench.worker.ask(lambda segmenter: list(segmenter.state.stamps)) == [1]
    assert len(bench.mailbox) == 1, "a frame was taken while inactive"

    bench.worker.activate(bench.feed())
    bench.work(a_pair(3))
    bench.worker.stop()
    assert bench.configs[-1].model.name == "tiny"
    assert bench.segmenters[-1].state.stamps == [1, 2, 3]
    assert bench.segmenters[-1].state is bench.segmenters[0].state


def test_nobody_is_told_what_stands_in_for_the_network(make_bench, caplog):
    caplog.set_level(logging.INFO, "autoseg3d_ros")
    bench = make_bench(settings.replace(EVERY_FRAME, {"model.name": "tiny"}))
    bench.worker.deactivate()
    bench.worker.activate(bench.feed())
    bench.worker.stop()
    told = [record.getMessage() for record in caplog.records if record.name == "autoseg3d_ros.build"]
    assert told == ["model: tiny", "model: tiny"]


def test_an_activation_that_fails_can_be_tried_again(make_bench):
    bench = make_bench()
    bench.worker.deactivate()
    bench.errors[0] = RuntimeError("no memory on the device")  # stamp 0 is that of the frame it warms up with
    with pytest.raises(RuntimeError, match="no memory"):
        bench.worker.activate(bench.feed())
    del bench.errors[0]
    bench.worker.activate(bench.feed())
    bench.work(a_pair(1))
    bench.worker.stop()
    assert bench.outputs.frames == [1]


def test_another_map_while_inactive_is_put_into_a_whole_segmenter(make_bench):
    bench = make_bench(settings.replace(EVERY_FRAME, {"model.name": "tiny"}))
    bench.worker.deactivate()
    bench.worker.replace_map(lambda segmenter: segmenter.state.stamps.append(99))
    assert [config.model.name for config in bench.configs] == ["tiny", "none", "tiny", "none"]
    assert bench.outputs.num_forgotten == 1
    assert bench.worker.ask(lambda segmenter: segmenter.state.stamps) == [99]


def test_paused_frames_are_dropped_and_counted(make_bench):
    bench = make_bench()
    bench.worker.is_paused = True
    bench.work(a_pair(1), a_pair(2))
    assert wait_until(lambda: bench.worker.drops.by_reason() == {DropReason.PAUSED: 2})
    bench.worker.is_paused = False
    bench.work(a_pair(3))
    bench.worker.stop()
    assert bench.outputs.frames == [3]


def test_out_of_memory_costs_the_frame_and_the_second_time_what_is_dear(make_bench, monkeypatch):
    freed: list[str] = []
    monkeypatch.setattr(device_memory, "release_cached_memory", lambda: freed.append("cache"))
    monkeypatch.setattr(device_memory, "forget_places", lambda state: freed.append("places"))
    full = MemoryError("full")
    bench = make_bench(errors={1: full, 3: full, 4: full, 6: RuntimeError("something else")})
    bench.work(*(a_pair(stamp) for stamp in range(1, 8)))
    bench.worker.stop()
    assert freed == ["cache", "cache", "cache", "places"]
    assert bench.outputs.frames == [2, 5, 7]
    assert (bench.worker.num_out_of_memory, bench.worker.num_failed) == (3, 4)


def test_the_age_of_a_frame(make_bench):
    bench = make_bench()
    received_ns = time.monotonic_ns() - 40_000_000
    bench.work(dataclasses.replace(a_pair(4_000_000_000), received_ns=received_ns))
    assert wait_until(lambda: bench.worker.num_processed == 1)
    bench.worker.stop()
    frames = bench.worker.statistics.summary(time.monotonic())
    assert frames.age_ms.p50 >= 40.0
    assert frames.stamp_age_ms.p50 == 1000.0
    assert {"sync_wait", "pose_wait", "masks"} <= set(frames.stage_ms)


@pytest.mark.parametrize(
    "steps, sent_at",
    [
        ([], []),
        ([(0.0, False)], []),
        ([(0.0, True), (0.1, False), (0.2, True), (0.5, False), (1.0, False), (3.0, False)], [0.0, 1.0]),
        ([(0.0, True), (5.0, True), (5.1, True), (5.9, True), (6.0, True)], [0.0, 5.0, 6.0]),
    ],
    ids=["nothing", "no change", "the last change is not swallowed", "changes all the time"],
)
def test_pace(steps, sent_at):
    pace, sent = Pace(), []
    for now_s, is_changed in steps:
        if is_changed:
            pace.touch()
        if pace.is_due(now_s):
            pace.done(now_s, period_s=1.0)
            sent.append(now_s)
    assert sent == sent_at


def test_pace_in_a_hurry():
    pace = Pace()
    pace.touch()
    pace.done(0.0, period_s=10.0)
    pace.hurry()
    assert not pace.is_due(0.1), "nothing changed"
    pace.touch()
    assert pace.is_due(0.1)
