"""What `autoseg3d bench node` is to the node: a camera with poses, a planner that listens, and a stop-watch."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import PointCloud2

from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.fastdds import allow_large_messages
from autoseg3d_ros.ros.player import Player
from autoseg3d_ros.ros.spinning import spin_until
from autoseg3d_ros.srv import GetInstances
from autoseg3d_ros.structures import Frame

_QUEUE = 50
_POLL_S = 0.002
_SETTLE_S = 0.5  # both sides of a match know of it
_NEW_STATUS_S = 1.5  # `/diagnostics` comes once a second


@dataclass
class Played:
    """What came of frames played at one rate; those of the lead-in are in none of the figures."""

    num_sent: int = 0
    age_ms: dict[str, list[float]] = field(default_factory=lambda: {"instances": [], "points": []})  # by topic
    status: list[tuple[float, dict[str, str]]] = field(default_factory=list)  # seconds since the lead-in, all values


@dataclass(frozen=True)
class Answer:
    """What the node said of one frame."""

    message: Any  # InstanceArray
    answer_ms: float  # from before it was published until all of its answers were here
    stage_ms: dict[str, float]


class BenchClient:
    """Publishes from the calling thread and listens in another; one of them a process, as it initialises ROS."""

    def __init__(self, domain: int, *, listens_to_points: bool) -> None:
        allow_large_messages()
        rclpy.init(args=[], domain_id=domain)
        self._player = Player()
        self._planner = Node("planner", start_parameter_services=False)
        self._changed = threading.Condition()
        self._instances: InstanceArray | None = None
        self._segmentation: Segmentation | None = None
        self._values: dict[str, str] = {}
        self._played, self._first_ns = Played(), 0
        self._service = self._planner.create_client(GetInstances, "segmenter_node/get_instances")
        self._listen(listens_to_points)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self._planner)
        self._leaves = threading.Event()
        self._thread = threading.Thread(
            target=spin_until, args=(self._leaves, self._executor), name="planner", daemon=True
        )
        self._thread.start()

    def is_connected(self) -> bool:
        """Return whether the node hears the camera and the planner hears the node."""
        topics = [one.topic_name for one in self._planner.subscriptions]
        if self._player.unheard() or not all(self._planner.count_publishers(topic) for topic in topics):
            return False
        time.sleep(_SETTLE_S)
        return True

    def play(self, frames: Sequence[Frame], rate_hz: float, seconds: float, lead_in_s: float) -> Played:
        """Publish the frames over and over at `rate_hz`, each with the time of now, and return what came."""
        num_frames, num_lead_in = round((lead_in_s + seconds) * rate_hz), round(lead_in_s * rate_hz)
        start_s = time.monotonic()
        self._first_ns = time.time_ns() + round(lead_in_s * 1e9)
        played = self._played = Played()
        for number in range(num_frames):
            time.sleep(max(start_s + number / rate_hz - time.monotonic(), 0.0))
            if number == num_lead_in:
                played.status.append((0.0, dict(self._values)))
            now_ns = time.time_ns()
            self._player.publish(
                dataclasses.replace(frames[number % len(frames)], stamp_ns=now_ns, depth_stamp_ns=now_ns)
            )
        played.num_sent = num_frames - num_lead_in
        time.sleep(_NEW_STATUS_S)
        return played

    def ask(self, frame: Frame, timeout_s: float) -> Answer | None:
        """Publish one frame and wait for what the node says of it; None where nothing comes."""
        start_s = time.perf_counter()
        self._player.publish(frame)
        with self._changed:
            if not self._changed.wait_for(lambda: self._is_answered(frame.stamp_ns), timeout_s):
                return None
            labels = self._segmentation
            assert labels is not None, "waited for"
            stage_ms = dict(zip(labels.stage_names, labels.stage_ms, strict=True))
            return Answer(self._instances, (time.perf_counter() - start_s) * 1e3, stage_ms)

    def call_get_instances(self, timeout_s: float) -> float | None:
        """Ask for all instances; return the milliseconds until they are here, None where they do not come."""
        start_s = time.perf_counter()
        future = self._service.call_async(GetInstances.Request())
        done = threading.Event()
        future.add_done_callback(lambda _future: done.set())
        return (time.perf_counter() - start_s) * 1e3 if done.wait(timeout_s) else None

    def status(self) -> dict[str, str]:
        """Return the newest values of `/diagnostics`."""
        return dict(self._values)

    def close(self) -> None:
        """Leave the network."""
        self._leaves.set()
        self._thread.join()
        self._executor.shutdown()
        self._planner.destroy_node()
        self._player.destroy_node()
        rclpy.shutdown()

    def _listen(self, listens_to_points: bool) -> None:
        qos = QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.RELIABLE)
        add: Callable[..., Any] = self._planner.create_subscription
        add(InstanceArray, "instances", self._on_instances, qos)
        add(DiagnosticArray, "/diagnostics", self._on_status, qos)
        if listens_to_points:
            add(PointCloud2, "points", self._on_points, qos)
        else:
            add(Segmentation, "segmentation", self._on_segmentation, qos)

    def _is_answered(self, stamp_ns: int) -> bool:
        return all(
            one is not None and conversions.stamp_ns(one.header.stamp) == stamp_ns
            for one in (self._instances, self._segmentation)
        )

    def _on_instances(self, message: InstanceArray) -> None:
        self._note_age("instances", message)
        with self._changed:
            self._instances = message
            self._changed.notify_all()

    def _on_segmentation(self, message: Segmentation) -> None:
        with self._changed:
            self._segmentation = message
            self._changed.notify_all()

    def _on_points(self, message: PointCloud2) -> None:
        self._note_age("points", message)

    def _note_age(self, topic: str, message: InstanceArray | PointCloud2) -> None:
        stamp_ns = conversions.stamp_ns(message.header.stamp)
        if stamp_ns >= self._first_ns:
            self._played.age_ms[topic].append((time.time_ns() - stamp_ns) / 1e6)

    def _on_status(self, message: DiagnosticArray) -> None:
        self._values = {value.key: value.value for one in message.status for value in one.values}
        since_s = (time.time_ns() - self._first_ns) / 1e9
        if since_s > 0:
            self._played.status.append((since_s, dict(self._values)))
