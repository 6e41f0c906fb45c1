"""The one thread that owns the segmenter: takes pairs from the mailbox, makes instances, has them published."""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from autoseg3d_ros import config as settings
from autoseg3d_ros import device_memory
from autoseg3d_ros.config import Config
from autoseg3d_ros.ros.failure_log import FailureLog
from autoseg3d_ros.ros.frame_statistics import FrameStatistics, PublishedFrame
from autoseg3d_ros.ros.outputs import Outputs
from autoseg3d_ros.ros.requests import ANSWER_S, Requests
from autoseg3d_ros.ros.warm_up import warm_up
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.stream.drops import DropCounts, DropReason
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair, seconds

logger = logging.getLogger(__name__)

Answer = TypeVar("Answer")

_IDLE_S = 0.1  # how often the state is offered to the outputs while no frames come
_WITHOUT_WEIGHTS = {"model.name": "none", "model.path": "", "masks.source": "regions"}


@dataclass(frozen=True)
class Feed:
    """Where the frames come from while the node is active."""

    mailbox: Mailbox[PosedPair]
    camera_frame: Callable[[], str]  # the frame of the images
    now_ns: Callable[[], int]  # by the clock of the stamps


class Worker:
    """Runs from `start` to `stop`, and takes frames from `activate` to `deactivate`.

    A frame that fails is logged and counted, and the next one is taken. While no frames are taken, the weights are
    dropped; the state waits on the CPU, and can be read.
    """

    def __init__(
        self, config: Config, build: Callable[[Config], OnlineSegmenter], assembler: FrameAssembler, outputs: Outputs
    ) -> None:
        """Build the segmenter and let it work on a frame of its own. Raises whatever that does."""
        self.num_processed = 0
        self.num_failed = 0
        self.num_out_of_memory = 0
        self.is_paused = False
        self.last_stamp_ns = 0
        self.drops = DropCounts()
        self.statistics = FrameStatistics()
        self.between_frames: Callable[[OnlineSegmenter], None] = lambda _segmenter: None
        self._config = self._wanted = config
        self._build = build
        self.segmenter = warm_up(build(config))  # of the thread, once it has begun
        self._is_awake = True  # whether the segmenter has its weights
        self._feed: Feed | None = None
        self._assembler, self._outputs = assembler, outputs
        self._epoch = assembler.epoch
        self._not_before_s = 0.0
        self._free_ns = 0  # since when it could have taken a frame
        self._num_out_of_memory_in_a_row = 0
        self._failures = FailureLog()
        self._requests = Requests()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segmenter")

    def start(self, request_stop: Callable[[], None]) -> None:
        """Begin to answer; `request_stop` asks the program to end."""
        self._request_stop = request_stop
        self._thread.start()

    def activate(self, feed: Feed) -> None:
        """Take frames from `feed`; builds what `deactivate` has dropped. Raises whatever that does."""

        def begin(segmenter: OnlineSegmenter) -> None:
            self.wake()
            self._feed = feed

        self._requests.ask(begin, None)

    def deactivate(self) -> None:
        """Finish the frame in hand, publish the last state, and free the device."""

        def end(segmenter: OnlineSegmenter) -> None:
            self._feed = None
            self._guarded(lambda: self._outputs.publish_last_state(segmenter))
            self._sleep()

        self._requests.ask(end, None)

    def ask(self, action: Callable[[OnlineSegmenter], Answer], timeout_s: float | None = ANSWER_S) -> Answer:
        """Return what `action` makes of the segmenter between two frames, see `Requests.ask`."""
        return self._requests.ask(action, timeout_s)

    def replace_map(self, put: Callable[[OnlineSegmenter], None]) -> None:
        """Let `put` change which map the segmenter holds, by a request; what is shown of the former one is deleted."""

        def act(_segmenter: OnlineSegmenter) -> None:
            was_awake = self._is_awake
            self.wake()
            try:
                put(self.segmenter)
                self._outputs.forget()
            finally:
                if not was_awake:
                    self._sleep()

        self._requests.ask(act, ANSWER_S)

    def stop(self) -> OnlineSegmenter:
        """Finish the frame in hand, publish the last state, end the thread, and return the segmenter as it was left."""
        self._stopping.set()
        feed = self._feed
        if feed is not None:
            feed.mailbox.close()
        self._thread.join()
        return self.segmenter

    def configure(self, config: Config) -> None:
        """Use `config` from the next frame on; safe from any thread."""
        self._wanted = config

    def wake(self) -> None:
        """Build the segmenter again where it has been dropped; by a request only."""
        if not self._is_awake:
            segmenter = warm_up(self._build(self._config))
            device_memory.take_over(segmenter, self.segmenter.state)
            self.segmenter, self._is_awake = segmenter, True

    def _sleep(self) -> None:
        if self._is_awake:
            with _unsaid("autoseg3d_ros.build"):  # which masks and model stand in is nobody's business
                bare = self._build(settings.replace(self._config, _WITHOUT_WEIGHTS))
            device_memory.move_memory(self.segmenter.state, "cpu")
            bare.state = self.segmenter.state
            self.segmenter, self._is_awake = bare, False
            device_memory.release_cached_memory()

    def _run(self) -> None:
        while not self._stopping.is_set():
            pair = self._next_pair()
            self._guarded(self._take_over_settings)
            if pair is not None:
                self._meet(pair)
            if self._feed is not None:
                self._guarded(lambda: self._outputs.publish_state(self.segmenter, time.monotonic()))
            self._guarded(lambda: self.between_frames(self.segmenter))
        self._requests.close()
        if self._feed is not None:
            self._guarded(lambda: self._outputs.publish_last_state(self.segmenter))

    def _next_pair(self) -> PosedPair | None:
        """Return the next pair to work on; does what is asked while there is none."""
        rest_s = self._not_before_s - time.monotonic()
        if self._feed is None or rest_s > 0:
            self._requests.serve(lambda: self.segmenter, _IDLE_S if self._feed is None else min(rest_s, _IDLE_S))
            return None
        epoch = self._assembler.epoch  # asked first: the pairs before it are in the mailbox by now
        pair = self._feed.mailbox.get(_IDLE_S)
        if pair is None:  # poses alone may jump
            self._guarded(lambda: self._enter(epoch))
        self._requests.serve(lambda: self.segmenter, 0.0)
        return pair

    def _meet(self, pair: PosedPair) -> None:
        if self._feed is None or self.is_paused:
            self.drops.add(DropReason.PAUSED if self.is_paused else DropReason.CLOSED)
            return
        start_s = time.monotonic()
        is_done = self._guarded(partial(self._process, pair, self._feed), pair)
        if is_done:
            self._num_out_of_memory_in_a_row = 0
        if self._config.process.max_rate_hz:
            self._not_before_s = start_s + 1.0 / self._config.process.max_rate_hz
        self._free_ns = max(time.monotonic_ns(), round(self._not_before_s * 1e9))

    def _process(self, pair: PosedPair, feed: Feed) -> None:
        taken_ns = time.monotonic_ns()
        if pair.epoch < self._epoch:
            self.drops.add(DropReason.TIME_JUMP)
            return
        self._enter(pair.epoch)
        if self._stopping.is_set():
            return
        frame = self._assembler.assemble(pair)
        if frame is None:
            return
        waits_ms = {
            "sync_wait": pair.sync_wait_ns / 1e6,
            "pose_wait": pair.pose_wait_ns / 1e6,
            "hand_over": (taken_ns - max(pair.ready_ns, self._free_ns)) / 1e6,
            "unpack": (time.monotonic_ns() - taken_ns) / 1e6,
        }
        segmented = self.segmenter.step(frame)
        segmented_ns = time.monotonic_ns()
        self._outputs.publish_frame(segmented, self.segmenter.state.map_id, feed.camera_frame(), waits_ms)
        self.num_processed += 1
        self.last_stamp_ns = pair.colour_stamp_ns
        now_ns = time.monotonic_ns()
        publish_ms = (now_ns - segmented_ns) / 1e6
        self.statistics.add(
            PublishedFrame(
                published_s=now_ns / 1e9,
                age_ms=(now_ns - pair.received_ns) / 1e6,
                stamp_age_ms=(feed.now_ns() - pair.colour_stamp_ns) / 1e6,
                overhead_ms=waits_ms["hand_over"] + waits_ms["unpack"] + publish_ms,
                stage_ms={**waits_ms, **segmented.stage_ms, "publish": publish_ms},
            )
        )

    def _enter(self, epoch: int) -> None:
        """Apply `on_time_jump` where a new time line has begun."""
        if epoch <= self._epoch:
            return
        self._epoch = epoch
        reaction = self._config.on_time_jump
        logger.warning("stamps jumped back: on_time_jump is %s", reaction)
        if reaction == "reset":
            self.segmenter.reset()
            self._outputs.forget()
        elif reaction == "shutdown":
            self._stopping.set()
            self._request_stop()

    def _take_over_settings(self) -> None:
        if self._wanted == self._config:
            return
        former, self._config = self._config, self._wanted
        if self._is_awake and _shapes_segmenter(former, self._config):
            segmenter = self._build(self._config)
            segmenter.state = self.segmenter.state  # lives on: the settings that shape it are read-only
            self.segmenter = segmenter
        self._outputs.configure(self._config)

    def _guarded(self, action: Callable[[], None], pair: PosedPair | None = None) -> bool:
        """Do something that must not end the thread, whatever it raises; return whether it was done."""
        try:
            action()
            return True
        except Exception as error:
            self.num_failed += 1
            self._failures.report(f"frame {seconds(pair.colour_stamp_ns)}" if pair else "between two frames", error)
            is_out_of_memory = device_memory.is_out_of_memory(error)
        if is_out_of_memory:  # out here: the error held on to the frame's own memory
            self._meet_out_of_memory()
        return False

    def _meet_out_of_memory(self) -> None:
        """Free what can be done without: first what torch keeps for later, then what the network knows of places."""
        self.num_out_of_memory += 1
        self._num_out_of_memory_in_a_row += 1
        device_memory.release_cached_memory()
        if self._num_out_of_memory_in_a_row == 2:
            logger.warning("out of memory twice in a row: features of places are forgotten; map and ids stay")
            device_memory.forget_places(self.segmenter.state)


def _shapes_segmenter(former: Config, config: Config) -> bool:
    """Whether a change is of more than what is published, how often, and what is saved."""
    same = dataclasses.replace(
        config,
        output=former.output,
        process=former.process,
        on_time_jump=former.on_time_jump,
        map=former.map,
    )
    return same != former


@contextmanager
def _unsaid(name: str) -> Iterator[None]:
    """Let a logger tell nothing but warnings meanwhile."""
    teller = logging.getLogger(name)
    level = teller.level
    teller.setLevel(logging.WARNING)
    try:
        yield
    finally:
        teller.setLevel(level)
