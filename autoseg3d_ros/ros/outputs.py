"""What the node publishes, and when. All of it is called by the worker thread, which owns the segmenter."""

from __future__ import annotations

import math
import time
import uuid
from collections.abc import Mapping, Sequence

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2
from std_msgs.msg import Header
from visualization_msgs.msg import MarkerArray

from autoseg3d_ros.config import Config, OutputConfig
from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.detections_3d import detections_msg, vision_messages
from autoseg3d_ros.ros.markers import InstanceMarkers
from autoseg3d_ros.ros.overlay import OverlayPainter, View
from autoseg3d_ros.ros.serialized_instances import serialized_instances
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import Instance, InstanceState, SegmentedFrame

_LEAST_STATE = {"tentative": InstanceState.TENTATIVE, "active": InstanceState.ACTIVE}
_LAST_STATE_S = 1.0  # long enough for whoever listens on this machine
_MARKERS_S = 1.0  # from one full set of markers to the next


class Outputs:
    """The publishers of the node.

    `publish_frame` sends what belongs to one frame, to topics that somebody listens to. `publish_state` sends the whole
    state at a bounded rate; it is also called while no frames come, so the last state always gets out:
    `instances_full` whether or not somebody listens, for those who come later, and `map_points` and the full set of
    markers, which are dear, as soon as somebody does.
    """

    def __init__(self, node: Node, config: Config) -> None:
        self._node, self._map_frame = node, config.map_frame
        self._publishers: list[Publisher] = []
        self._instances = self._advertise(InstanceArray, "instances", _reliable(10))
        self._instances_full = self._advertise(InstanceArray, "instances_full", _latched())
        self._segmentation = self._advertise(Segmentation, "segmentation", _reliable(5))
        self._points = self._advertise(PointCloud2, "points", _reliable(5))
        self._map_points = self._advertise(PointCloud2, "map_points", _latched())
        self._markers = self._advertise(MarkerArray, "markers", _reliable(10))
        self._overlay = self._advertise(Image, "~/overlay", qos_profile_sensor_data)
        self._vision_messages = messages = vision_messages()
        self._detections: Publisher | None = None
        if messages is not None:
            self._detections = self._advertise(messages.Detection3DArray, "detections_3d", _reliable(10))
        self._pace_of_full, self._pace_of_map, self._pace_of_markers = Pace(), Pace(), Pace()
        self._pace_of_markers.touch()
        self._last_stamp_ns = 0
        self._least_state = _LEAST_STATE[config.output.min_state]
        self._board = InstanceMarkers(config.map_frame, config.output.marker_lifetime_s)
        self._painter = OverlayPainter(self._overlay)
        self.configure(config)

    def configure(self, config: Config) -> None:
        """Take over changed settings."""
        least_state = _LEAST_STATE[config.output.min_state]
        if least_state is not self._least_state:
            self._pace_of_full.touch()
        self._least_state = least_state
        self._period_s = 1.0 / config.output.map_rate_hz
        self._marker_period_s = _marker_period_s(config.output)
        self._board.set_lifetime(config.output.marker_lifetime_s)

    def close(self) -> None:
        """Destroy the publishers; nothing can be published after."""
        self._painter.close()
        for publisher in self._publishers:
            self._node.destroy_publisher(publisher)

    def publish_frame(
        self, segmented: SegmentedFrame, map_id: uuid.UUID, camera_frame: str, waits_ms: Mapping[str, float]
    ) -> None:
        """Publish one frame; `waits_ms` are the stages before the segmenter, in order."""
        start_s = time.perf_counter()
        self._last_stamp_ns = segmented.frame.stamp_ns
        head = conversions.header(self._last_stamp_ns, self._map_frame)
        shown = self._of_interest(segmented.instances)
        if _is_heard(self._instances):
            self._instances.publish(
                serialized_instances(
                    self._last_stamp_ns, self._map_frame, map_id, segmented.frame_index, shown, segmented.events
                )
            )
        if _is_heard(self._points):
            self._points.publish(_frame_cloud(head, segmented))
        if _is_heard(self._markers):
            self._markers.publish(self._board.changes(shown, segmented.events))
        if self._detections is not None and _is_heard(self._detections):
            seen = [one for one in shown if one.last_seen_ns == self._last_stamp_ns]
            self._detections.publish(detections_msg(self._vision_messages, head, seen))
        if _is_heard(self._segmentation):
            stage_ms = {**waits_ms, **segmented.stage_ms, "publish": (time.perf_counter() - start_s) * 1e3}
            self._segmentation.publish(
                conversions.segmentation_msg(segmented, map_id, camera_frame, self._map_frame, stage_ms)
            )
        if _is_heard(self._overlay):
            camera_head = conversions.header(self._last_stamp_ns, camera_frame)
            self._painter.show(View(camera_head, segmented.frame.rgb, segmented.label_image))
        self._pace_of_full.touch()
        self._pace_of_map.touch()

    def publish_state(self, segmenter: OnlineSegmenter, now_s: float) -> None:
        """Publish what is due of the whole state at `now_s`, a steady clock in seconds."""
        full_is_due = self._pace_of_full.is_due(now_s)
        markers_are_heard = _is_heard(self._markers)
        markers_are_due = markers_are_heard and self._pace_of_markers.is_due(now_s)
        instances = segmenter.instances() if full_is_due or markers_are_due else ()
        if full_is_due:
            self._pace_of_full.done(now_s, self._period_s)
            self._instances_full.publish(self._full_list(segmenter, instances))
        if markers_are_due:
            self._pace_of_markers.done(now_s, self._marker_period_s)
            self._pace_of_markers.touch()  # repeated while nothing changes: markers die of their lifetime
            self._board.begin_full_set(self._of_interest(instances))
        if markers_are_heard:
            part = self._board.next_part()
            if part.markers:
                self._markers.publish(part)
        if self._pace_of_map.is_due(now_s) and _is_heard(self._map_points):
            self._pace_of_map.done(now_s, self._period_s)
            cloud = segmenter.map_points()
            head = conversions.header(self._last_stamp_ns, self._map_frame)
            self._map_points.publish(
                conversions.cloud_msg(head, cloud.xyz_m, cloud.rgb, cloud.instance_id, cloud.score)
            )

    def publish_last_state(self, segmenter: OnlineSegmenter) -> None:
        """Publish what has changed since, however shortly ago, and wait a moment until it has arrived."""
        for pace in (self._pace_of_full, self._pace_of_map):
            pace.hurry()
        self.publish_state(segmenter, time.monotonic())
        for publisher in (self._instances_full, self._map_points):
            publisher.wait_for_all_acked(Duration(seconds=_LAST_STATE_S))

    def forget(self) -> None:
        """Delete all markers and let the next `publish_state` be immediate: a new map has begun."""
        self._markers.publish(self._board.clear())
        for pace in (self._pace_of_full, self._pace_of_map, self._pace_of_markers):
            pace.touch()
            pace.hurry()

    def _advertise(self, kind: type, topic: str, qos: QoSProfile) -> Publisher:
        publisher = self._node.create_publisher(kind, topic, qos)
        self._publishers.append(publisher)
        return publisher

    def _full_list(self, segmenter: OnlineSegmenter, instances: Sequence[Instance]) -> bytes:
        state, shown = segmenter.state, self._of_interest(instances)
        index = max(state.frame_index - 1, 0)
        return serialized_instances(self._last_stamp_ns, self._map_frame, state.map_id, index, shown, is_full=True)

    def _of_interest(self, instances: Sequence[Instance]) -> list[Instance]:
        return [one for one in instances if one.state >= self._least_state]


class Pace:
    """At most one message a period, and the last change is never swallowed: due until done."""

    def __init__(self) -> None:
        self._is_changed = False
        self._not_before_s = -math.inf

    def touch(self) -> None:
        """Note a change."""
        self._is_changed = True

    def hurry(self) -> None:
        """Let the next change go out at once."""
        self._not_before_s = -math.inf

    def is_due(self, now_s: float) -> bool:
        """Return whether there is a change and its time has come."""
        return self._is_changed and now_s >= self._not_before_s

    def done(self, now_s: float, period_s: float) -> None:
        """Note that the change is out; the next may follow after `period_s`."""
        self._is_changed, self._not_before_s = False, now_s + period_s


def _marker_period_s(config: OutputConfig) -> float:
    """Return the time between two full sets: a second, or so short that no marker dies while its instance lives."""
    return min(_MARKERS_S, config.marker_lifetime_s / 2) if config.marker_lifetime_s else _MARKERS_S


def _frame_cloud(head: Header, segmented: SegmentedFrame) -> PointCloud2:
    points = segmented.superpoints
    return conversions.cloud_msg(head, points.xyz_m, points.rgb, segmented.point_ids, segmented.point_scores)


def _is_heard(publisher: Publisher) -> bool:
    return publisher.get_subscription_count() > 0


def _reliable(depth: int) -> QoSProfile:
    return QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)


def _latched() -> QoSProfile:
    return QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
