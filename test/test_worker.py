"""The worker thread: it outlives every frame, meets jumps in time, and leaves the last state behind."""

from __future__ import annotations

import logging
import threading
import time
import types

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from ros_harness import wait_until

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.ros import worker
from autoseg3d_ros.ros.outputs import Pace
from autoseg3d_ros.ros.worker import Worker
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.structures import CameraIntrinsics, FrameError, RigidPose

EVERY_FRAME = settings.replace(Config(), {"process.mode": "lossless"})
CAMERA = CameraIntrinsics(4, 3, 4.0, 4.0, 1.5, 1.0)


def a_pair(stamp_ns: int, *, epoch: int = 0, depth_shape: tuple[int, int] = (3, 4)) -> PosedPair:
    return PosedPair(
        colour_stamp_ns=stamp_ns,
        depth_stamp_ns=stamp_ns,
        decode_colour=lambda: np.zeros((3, 4, 3), np.uint8),
        decode_depth=lambda: np.ones(depth_shape, np.float32),
        pose=RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)),
        rectifier=Rectifier(CAMERA),
        epoch=epoch,
        sync_wait_ns=2_000_000,
        pose_wait_ns=3_000_000,
    )


class Segmenter:
    """Notes the stamps; raises what it is told to."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        self.errors = errors
        self.reset()

    def reset(self) -> None:
        self.state = types.SimpleNamespace(map_id=object(), stamps=[])

    def step(self, frame):
        if frame.stamp_ns in self.errors:
            raise self.errors[frame.stamp_ns]
        self.state.stamps.append(frame.stamp_ns)
        return frame.stamp_ns


class Outputs:
    """Notes what would be published."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.waits_ms: list[dict[str, float]] = []
        self.camera_frames: list[str] = []
        self.num_states = self.num_forgotten = 0
        self.config: Config | None = None
        self.last_state: object = None

    def publish_frame(self, segmented, map_id, camera_frame, waits_ms) -> None:
        self.frames.append(segmented)
        self.camera_frames.append(camera_frame)
        self.waits_ms.append(waits_ms)

    def publish_state(self, segmenter, now_s) -> None:
        self.num_states += 1

    def publish_last_state(self, segmenter) -> None:
        self.last_state = segmenter.state

    def forget(self) -> None:
        self.num_forgotten += 1

    def configure(self, config) -> None:
        self.config = config


class Bench:
    """A worker between a real mailbox and fake ends."""

    def __init__(self, config: Config = EVERY_FRAME, errors: dict[int, Exception] | None = None) -> None:
        self.segmenters: list[Segmenter] = []
        self.errors = errors or {}
        self.outputs = Outputs()
        self.mailbox: Mailbox[PosedPair] = Mailbox(config.process)
        self.stop_requested = threading.Event()
        self.worker = Worker(config, self.build, FrameAssembler(config), self.mailbox, self.outputs)
        self.worker.start(lambda: "optical", self.stop_requested.set)

    def build(self, config: Config) -> Segmenter:
        if config.masks.fragments == 13:
            raise ConfigError("thirteen")
        self.segmenters.append(Segmenter(self.errors))
        return self.segmenters[-1]

    def work(self, *pairs: PosedPair) -> None:
        for pair in pairs:
            self.mailbox.put(pair)
        assert wait_until(lambda: not len(self.mailbox))


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
    assert bench.outputs.waits_ms[0] == {"sync_wait": 2.0, "pose_wait": 3.0}
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
    monkeypatch.setattr(worker, "_REPEAT_S", 0.5)
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
    bench.work(a_pair(1, depth_shape=(6, 8)), a_pair(2))
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
