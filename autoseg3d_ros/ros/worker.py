"""The one thread that owns the segmenter: takes pairs from the mailbox, makes instances, has them published."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial

from autoseg3d_ros.config import Config
from autoseg3d_ros.ros.outputs import Outputs
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair, seconds

logger = logging.getLogger(__name__)

_IDLE_S = 0.1  # how often the state is offered to the outputs while no frames come
_REPEAT_S = 5.0


class Worker:
    """Runs until `stop`. A frame that fails is logged and counted, and the next one is taken."""

    def __init__(
        self,
        config: Config,
        build: Callable[[Config], OnlineSegmenter],
        assembler: FrameAssembler,
        mailbox: Mailbox[PosedPair],
        outputs: Outputs,
    ) -> None:
        self.num_processed = 0
        self.num_failed = 0
        self._config = self._wanted = config
        self._build = build
        self._segmenter = build(config)
        self._assembler, self._mailbox, self._outputs = assembler, mailbox, outputs
        self._epoch = assembler.epoch
        self._failures = _FailureLog()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="segmenter")

    def start(self, camera_frame: Callable[[], str], request_stop: Callable[[], None]) -> None:
        """Begin to work; `camera_frame` names the frame of the images, `request_stop` asks the program to end."""
        self._camera_frame, self._request_stop = camera_frame, request_stop
        self._thread.start()

    def stop(self) -> None:
        """Finish the frame in hand, publish the last state, and return when the thread has ended."""
        self._stopping.set()
        self._mailbox.close()
        self._thread.join()

    def configure(self, config: Config) -> None:
        """Use `config` from the next frame on; safe from any thread."""
        self._wanted = config

    def _run(self) -> None:
        while not self._stopping.is_set():
            pair = self._mailbox.get(_IDLE_S)
            self._guarded(self._take_over_settings)
            if pair is not None:
                start_s = time.monotonic()
                self._guarded(partial(self._process, pair), pair)
                self._keep_to_max_rate(start_s)
            self._guarded(lambda: self._outputs.publish_state(self._segmenter, time.monotonic()))
        self._guarded(lambda: self._outputs.publish_last_state(self._segmenter))

    def _process(self, pair: PosedPair) -> None:
        if pair.epoch != self._epoch:
            self._epoch = pair.epoch
            self._meet_time_jump()
        if self._stopping.is_set():
            return
        frame = self._assembler.assemble(pair)
        if frame is None:
            return
        segmented = self._segmenter.step(frame)
        waits_ms = {"sync_wait": pair.sync_wait_ns / 1e6, "pose_wait": pair.pose_wait_ns / 1e6}
        self._outputs.publish_frame(segmented, self._segmenter.state.map_id, self._camera_frame(), waits_ms)
        self.num_processed += 1

    def _meet_time_jump(self) -> None:
        reaction = self._config.on_time_jump
        logger.warning("stamps jumped back: on_time_jump is %s", reaction)
        if reaction == "reset":
            self._segmenter.reset()
            self._outputs.forget()
        elif reaction == "shutdown":
            self._stopping.set()
            self._request_stop()

    def _take_over_settings(self) -> None:
        if self._wanted == self._config:
            return
        self._config = self._wanted
        segmenter = self._build(self._config)
        segmenter.state = self._segmenter.state  # lives on: the settings that shape it are read-only
        self._segmenter = segmenter
        self._outputs.configure(self._config)

    def _keep_to_max_rate(self, start_s: float) -> None:
        if self._config.process.max_rate_hz:
            self._stopping.wait(start_s + 1.0 / self._config.process.max_rate_hz - time.monotonic())

    def _guarded(self, action: Callable[[], None], pair: PosedPair | None = None) -> None:
        """Do something that must not end the thread, whatever it raises."""
        try:
            action()
        except Exception as error:
            self.num_failed += 1
            self._failures.report(f"frame {seconds(pair.colour_stamp_ns)}" if pair else "between two frames", error)


class _FailureLog:
    """Tells each kind of failure in full once, and then now and then how many more there were."""

    def __init__(self) -> None:
        self._told_s: dict[type[Exception], float] = {}
        self._num_untold: Counter[type[Exception]] = Counter()

    def report(self, where: str, error: Exception) -> None:
        kind, now_s = type(error), time.monotonic()
        is_new = kind not in self._told_s
        if not is_new and now_s - self._told_s[kind] < _REPEAT_S:
            self._num_untold[kind] += 1
            return
        self._told_s[kind] = now_s
        more = f" (and {self._num_untold.pop(kind)} more before it)" if kind in self._num_untold else ""
        logger.error("%s: %s: %s%s", where, kind.__name__, error, more, exc_info=is_new)
