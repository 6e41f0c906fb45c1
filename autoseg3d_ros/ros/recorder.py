"""Writes what the node publishes as a run folder, the same that `autoseg3d run` leaves behind."""

from __future__ import annotations

import argparse
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import PointCloud2

from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.reporting.run_folder import RunFolderError, RunWriter
from autoseg3d_ros.reporting.timing import RunTiming
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.stop_signals import StopSignals

_QUEUE = 100  # frames the disk may be behind
_LAST_STATE_S = 5.0  # the whole list and map follow their frame at a low rate
_WAITING_STAGES = ("sync_wait", "pose_wait", "hand_over")


class Recorder(Node):
    """Joins the label image of each frame with its events, and keeps the latest list of instances and map."""

    def __init__(self, writer: RunWriter) -> None:
        super().__init__("recorder", start_parameter_services=False)
        self.num_frames = 0
        self.num_missed = 0
        self.last_frame_s = 0.0
        self._writer = writer
        self._timing = RunTiming()
        self._labels: deque[Segmentation] = deque()  # whose events have not come yet
        self._changes: deque[InstanceArray] = deque()  # whose label image has not come yet
        self._last: Segmentation | None = None
        self._first_frame_s = 0.0
        self._full: InstanceArray | None = None
        self._map: PointCloud2 | None = None
        queued = QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.RELIABLE)
        latched = QoSProfile(
            depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL
        )
        self.create_subscription(Segmentation, "segmentation", self._on_segmentation, queued)
        self.create_subscription(InstanceArray, "instances", self._on_instances, queued)
        self.create_subscription(InstanceArray, "instances_full", self._on_instances_full, latched)
        self.create_subscription(PointCloud2, "map_points", self._on_map_points, latched)

    def is_connected(self) -> bool:
        """Return whether all topics have a publisher."""
        return all(self.count_publishers(subscription.topic_name) for subscription in self.subscriptions)

    def has_last_state(self) -> bool:
        """Return whether list and map are those of the last frame."""
        stamps = [msg.header.stamp for msg in (self._last, self._full, self._map) if msg is not None]
        return len(stamps) == 3 and stamps[0] == stamps[1] == stamps[2]

    def finish(self) -> None:
        """Write all that waits and the summaries of what came."""
        while self._labels:
            self._write(self._labels.popleft(), None)
        if self._full is not None:
            self._writer.write_instances(conversions.instance(one) for one in self._full.instances)
        if self._map is not None:
            points = conversions.cloud_points(self._map)
            xyz_m = conversions.cloud_xyz_m(points)
            self._writer.write_map(xyz_m, conversions.cloud_rgb(points), points["instance_id"])
        self._writer.write_timing(self._timing.report(self.last_frame_s - self._first_frame_s))
        self._say_what_is_missing()

    def _on_segmentation(self, msg: Segmentation) -> None:
        self._labels.append(msg)
        self._write_complete()

    def _on_instances(self, msg: InstanceArray) -> None:
        self._changes.append(msg)
        self._write_complete()

    def _on_instances_full(self, msg: InstanceArray) -> None:
        self._full = msg

    def _on_map_points(self, msg: PointCloud2) -> None:
        self._map = msg

    def _write_complete(self) -> None:
        """Write the frames of which both messages are there. Topics are in order: what is passed over is lost."""
        while self._labels and self._changes:
            labels, changes = self._labels[0], self._changes[0]
            if _frame_of(labels) == _frame_of(changes):
                self._write(self._labels.popleft(), self._changes.popleft())
            elif conversions.stamp_ns(changes.header.stamp) < conversions.stamp_ns(labels.header.stamp):
                self._changes.popleft()
            else:
                self._write(self._labels.popleft(), None)

    def _write(self, labels: Segmentation, changes: InstanceArray | None) -> None:
        events = [] if changes is None else [conversions.event(one) for one in changes.events]
        stamp_ns = conversions.stamp_ns(labels.header.stamp)
        self._writer.add_frame(self.num_frames, stamp_ns, conversions.label_image(labels.labels), events)
        stage_ms = dict(zip(labels.stage_names, labels.stage_ms, strict=True))
        frame_ms = sum(value for name, value in stage_ms.items() if name not in _WAITING_STAGES)
        self._timing.add_frame(stage_ms, frame_ms, map_points=0 if self._map is None else self._map.width)
        if self._last is not None and self._last.map_id == labels.map_id:
            self.num_missed += labels.frame_index - self._last.frame_index - 1
        self.last_frame_s = time.monotonic()
        self._first_frame_s = self._first_frame_s or self.last_frame_s
        self._last = labels
        self.num_frames += 1

    def _say_what_is_missing(self) -> None:
        if self.num_missed:
            self.get_logger().warning(f"{self.num_missed} frames were processed by the node but did not arrive here")
        if not self.num_frames:
            self.get_logger().error("no frame came: does the node run, and does it get images?")
        elif not self.has_last_state():
            self.get_logger().warning("the list of instances or the map is older than the last frame, or never came")


def _frame_of(msg: Segmentation | InstanceArray) -> tuple[bytes, int]:
    return bytes(msg.map_id.uuid), msg.frame_index


def record(out: Path, num_frames: int, idle_s: float) -> int:
    """Record until `num_frames` frames came, none came for `idle_s` after the first, or SIGINT or SIGTERM.

    0 stands for no such limit. Returns the number of frames. Raises RunFolderError where `out` cannot be written.
    """
    stop = threading.Event()
    with StopSignals(stop), RunWriter(out) as writer:
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        recorder = Recorder(writer)
        executor = SingleThreadedExecutor()
        executor.add_node(recorder)
        try:
            _spin(executor, recorder, num_frames, idle_s, stop)
        finally:
            recorder.finish()
            recorder.get_logger().info(f"{recorder.num_frames} frames in {out}")
            executor.shutdown()
            recorder.destroy_node()
            rclpy.shutdown()
    return recorder.num_frames


def _say_when_connected(recorder: Recorder) -> bool:
    """Return whether the node's publishers are all there, and say so: what comes before that is not recorded."""
    if not recorder.is_connected():
        return False
    recorder.get_logger().info("connected")
    return True


def _spin(
    executor: SingleThreadedExecutor, recorder: Recorder, num_frames: int, idle_s: float, stop: threading.Event
) -> None:
    is_connected = False
    while not stop.is_set():
        executor.spin_once(timeout_sec=0.1)
        is_connected = is_connected or _say_when_connected(recorder)
        quiet_s = time.monotonic() - recorder.last_frame_s
        has_all = num_frames and recorder.num_frames >= num_frames
        is_idle = idle_s and recorder.num_frames and quiet_s > idle_s
        if (has_all and (recorder.has_last_state() or quiet_s > _LAST_STATE_S)) or is_idle:
            return


def main(argv: Sequence[str] | None = None) -> int:
    """Run the executable `recorder`; return the exit code, 1 if no frame came."""
    parser = argparse.ArgumentParser(prog="recorder", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="run folder to write")
    parser.add_argument("--frames", type=int, default=0, help="end after so many frames; 0 = no limit")
    parser.add_argument("--idle-s", type=float, default=0.0, help="end so long after the last frame; 0 = no limit")
    args = parser.parse_args(remove_ros_args(sys.argv if argv is None else argv)[1:])
    try:
        return 0 if record(args.out, args.frames, args.idle_s) else 1
    except RunFolderError as error:
        parser.error(str(error))
