"""The node: declares parameters, connects inputs, worker and outputs, and says what has become of the frames."""

from __future__ import annotations

import sys
import threading
import time
from collections import Counter
from collections.abc import Callable

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.ros import parameters
from autoseg3d_ros.ros.inputs import Inputs
from autoseg3d_ros.ros.log_forwarding import RosLogHandler
from autoseg3d_ros.ros.outputs import Outputs
from autoseg3d_ros.ros.silence import Counts, SilenceWatch
from autoseg3d_ros.ros.stop_signals import StopSignals
from autoseg3d_ros.ros.worker import Worker
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair

_POLL_S = 0.1  # how often the time-outs of pairs are looked at, and whether the program is to end
_WATCH_S = 1.0


class SegmenterNode(Node):
    """Posed RGB-D images in, persistent instances out."""

    def __init__(self, request_stop: Callable[[], None]) -> None:
        """Subscribe and begin to work. Raises ConfigError for a parameter that cannot be used."""
        super().__init__("segmenter_node", automatically_declare_parameters_from_overrides=True)
        self._log_handler = RosLogHandler(self.get_logger())
        self._log_handler.attach()
        config = parameters.declare(self)
        self._assembler = FrameAssembler(config)
        self._mailbox: Mailbox[PosedPair] = Mailbox(config.process)
        self._inputs = Inputs(self, config, self._assembler, self._mailbox)
        self._worker = Worker(config, build_segmenter, self._assembler, self._mailbox, Outputs(self, config))
        self._worker.start(lambda: self._inputs.camera_frame, request_stop)
        parameters.watch(self, config, self._configure)
        self._watch = SilenceWatch(self._counts(), time.monotonic())
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # with simulated time these go on
        self.create_timer(_POLL_S, self._inputs.hand_over, clock=steady)
        self.create_timer(_WATCH_S, self._report_silence, clock=steady)
        self.get_logger().info(f"waiting for {', '.join(self._inputs.num_received)}")

    def close(self) -> None:
        """Finish the frame in hand, publish the last state, and leave ROS."""
        self._worker.stop()
        self._report_totals()
        self._log_handler.detach()
        self.destroy_node()

    def _configure(self, config: Config) -> None:
        self._inputs.configure(config)
        self._worker.configure(config)

    def _report_silence(self) -> None:
        line = self._watch.check(self._counts(), time.monotonic())
        if line:
            self.get_logger().warning(line)

    def _report_totals(self) -> None:
        counts = self._counts()
        drops = ", ".join(f"{count} {reason.value}" for reason, count in counts.drops.items()) or "none"
        self.get_logger().info(f"processed {counts.num_processed} frames, failed {counts.num_failed}, dropped {drops}")

    def _counts(self) -> Counts:
        stats = self._assembler.stats()
        return Counts(
            received=dict(self._inputs.num_received),
            once_is_enough=self._inputs.camera_info_topic,
            drops=Counter(stats.drops) + Counter(stats.sync.drops) + Counter(self._mailbox.drops),
            num_pairs=stats.sync.num_pairs,
            num_processed=self._worker.num_processed,
            num_failed=self._worker.num_failed,
            needed_slop_s=stats.sync.needed_slop_s,
        )


def main() -> int:
    """Run the node until SIGINT or SIGTERM; return the exit code."""
    stop = threading.Event()
    with StopSignals(stop):
        try:
            rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
            node = SegmenterNode(stop.set)
        except (ConfigError, RuntimeError) as error:  # RuntimeError: what rcl finds wrong with arguments and files
            print(f"segmenter_node: {error}", file=sys.stderr)
            return 1
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        try:
            while not stop.is_set():
                executor.spin_once()
        finally:
            node.close()
            executor.shutdown()
            rclpy.shutdown()
    return 0
