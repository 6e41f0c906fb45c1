"""What works between configure and cleanup: assembler, worker and outputs; and, while active, the inputs."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable

from rclpy.node import Node

from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.ros.inputs import Inputs, require_packages
from autoseg3d_ros.ros.map_keeper import MapKeeper
from autoseg3d_ros.ros.outputs import Outputs
from autoseg3d_ros.ros.silence import Counts, SilenceWatch
from autoseg3d_ros.ros.worker import Feed, Worker
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.frame_assembler import AssemblerStats, FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair

POLL_S = 0.1  # how often the time-outs of pairs are looked at


class Pipeline:
    """Made by configure, closed by cleanup. Only the executor's transitions call it; other threads read."""

    def __init__(self, node: Node, config: Config, request_stop: Callable[[], None]) -> None:
        """Build everything but the inputs. Raises ConfigError, MapFileError or whatever a model raises."""
        self.config = config
        self.inputs: Inputs | None = None
        self._node = node
        self._mailbox: Mailbox[PosedPair] | None = None
        self._drops_of_closed: Counter[DropReason] = Counter()  # of the mailboxes before this one
        self._assembler = FrameAssembler(config)
        require_packages(config)
        self._outputs = Outputs(node, config)
        try:
            self.worker = Worker(config, build_segmenter, self._assembler, self._outputs)
            self.maps = MapKeeper(self.worker.segmenter, config)
        except Exception:
            self._outputs.close()
            raise
        self.worker.between_frames = self.maps.autosave
        self.worker.start(request_stop)

    def activate(self) -> None:
        """Subscribe and take frames. Raises whatever building what was dropped raises; then nothing has changed."""
        mailbox: Mailbox[PosedPair] = Mailbox(self.config.process)
        inputs = Inputs(self._node, self.config, self._assembler, mailbox)
        clock = self._node.get_clock()
        try:
            self.worker.activate(Feed(mailbox, lambda: inputs.camera_frame, lambda: clock.now().nanoseconds))
        except Exception:
            inputs.close()
            raise
        self.inputs, self._mailbox = inputs, mailbox
        self._watch = SilenceWatch(self.counts(), time.monotonic())

    def deactivate(self) -> None:
        """Finish the frame in hand and free the device; map and ids stay."""
        self._close_inputs()
        self.worker.deactivate()

    def close(self) -> None:
        """Finish the frame in hand, publish the last state, save the map where that is wanted, and end all of it."""
        self._close_inputs()
        segmenter = self.worker.stop()
        self.maps.close(segmenter)
        self._outputs.close()

    def configure(self, config: Config) -> None:
        """Take over changed settings."""
        self.config = config
        inputs = self.inputs
        if inputs is not None:
            inputs.configure(config)
        self.maps.configure(config)
        self.worker.configure(config)

    def hand_over(self) -> None:
        """Look at the time-outs of pairs; to be called now and then."""
        inputs = self.inputs
        if inputs is not None:
            inputs.hand_over()

    def counts(self) -> Counts:
        """Return what has been counted since configure."""
        stats, inputs = self.assembler_stats(), self.inputs
        return Counts(
            received={} if inputs is None else dict(inputs.num_received),
            once_is_enough="" if inputs is None else inputs.camera_info_topic,
            drops=self._drops(stats),
            num_pairs=stats.sync.num_pairs,
            num_processed=self.worker.num_processed,
            num_failed=self.worker.num_failed,
            needed_slop_s=stats.sync.needed_slop_s,
            is_paused=self.worker.is_paused,
        )

    def topics(self) -> list[str]:
        """Return the names of what is subscribed to."""
        return [] if self.inputs is None else list(self.inputs.num_received)

    def check_silence(self, now_s: float) -> str | None:
        """Return one line where nothing has come out for too long while active, once."""
        return None if self.inputs is None else self._watch.check(self.counts(), now_s)

    @property
    def silence(self) -> str | None:
        """What is missing where nothing has come out for too long while active."""
        return None if self.inputs is None else self._watch.line

    def totals(self) -> str:
        """Return in one line what has become of all frames."""
        counts = self.counts()
        drops = ", ".join(f"{count} {reason.value}" for reason, count in counts.drops.items()) or "none"
        return f"processed {counts.num_processed} frames, failed {counts.num_failed}, dropped {drops}"

    def assembler_stats(self) -> AssemblerStats:
        """Return what is known of pairs and poses."""
        return self._assembler.stats()

    def _drops(self, stats: AssemblerStats) -> Counter[DropReason]:
        mailbox = self._mailbox
        drops = Counter(stats.drops) + Counter(stats.sync.drops) + Counter(self.worker.drops.by_reason())
        return drops + self._drops_of_closed + (Counter() if mailbox is None else Counter(mailbox.drops))

    def _close_inputs(self) -> None:
        """Unsubscribe; what waits in the mailbox is dropped. The counts of the mailbox are kept."""
        inputs, mailbox = self.inputs, self._mailbox
        if inputs is None or mailbox is None:
            return
        inputs.close()
        mailbox.close()
        self._drops_of_closed += Counter(mailbox.drops)
        self.inputs = self._mailbox = None
