"""What the node subscribes to: messages become calls of the assembler, and complete pairs go into the mailbox."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from geometry_msgs.msg import Pose, PoseStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSPresetProfiles, QoSProfile
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from autoseg3d_ros.config import Config
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair
from autoseg3d_ros.structures import FrameError

logger = logging.getLogger(__name__)

Handler = Callable[[Any, str], None]  # of a message and the name of its topic


class Inputs:
    """The subscriptions. Callbacks only enqueue: images are decoded by the worker. None of them raises."""

    def __init__(self, node: Node, config: Config, assembler: FrameAssembler, mailbox: Mailbox[PosedPair]) -> None:
        self.camera_frame = config.camera_frame
        self.num_received: Counter[str] = Counter()  # by resolved topic
        self.camera_info_topic = node.resolve_topic_name("rgb/camera_info")
        self._config = config
        self._assembler, self._mailbox = assembler, mailbox
        self._told: set[str] = set()
        qos = input_qos(config)
        for name, kind, handle in self._topics():
            topic = node.resolve_topic_name(name)
            self.num_received[topic] = 0
            node.create_subscription(kind, name, self._receiver(topic, handle), qos)

    def configure(self, config: Config) -> None:
        """Take over changed settings."""
        self._config = config

    def hand_over(self) -> None:
        """Put the pairs that are complete into the mailbox; also to be called now and then, for the time-outs."""
        for pair in self._assembler.poll(time.monotonic_ns()):
            self._mailbox.put(pair)

    def _topics(self) -> list[tuple[str, type, Handler]]:
        return [
            ("rgb/image_raw", Image, self._on_colour),
            ("depth/image_raw", Image, self._on_depth),
            ("rgb/camera_info", CameraInfo, self._on_camera_info),
            ("odom", Odometry, self._on_odometry)
            if self._config.pose.source == "odometry"
            else ("pose", PoseStamped, self._on_pose),
        ]

    def _receiver(self, topic: str, handle: Handler) -> Callable[[Any], None]:
        def receive(msg: Any) -> None:
            self.num_received[topic] += 1
            try:
                handle(msg, topic)
                self.hand_over()
            except Exception as error:  # whatever is in a message, it must not end the node
                self._warn_once(f"{topic}: message not used: {type(error).__name__}: {error}")

        return receive

    def _on_colour(self, msg: Image, topic: str) -> None:
        self.camera_frame = self._config.camera_frame or msg.header.frame_id
        self._assembler.add_colour(
            conversions.stamp_ns(msg.header.stamp), lambda: conversions.colour(msg, topic), time.monotonic_ns()
        )

    def _on_depth(self, msg: Image, topic: str) -> None:
        units = self._config.depth.scale
        self._assembler.add_depth(
            conversions.stamp_ns(msg.header.stamp), lambda: conversions.depth_m(msg, units, topic), time.monotonic_ns()
        )

    def _on_camera_info(self, msg: CameraInfo, topic: str) -> None:
        try:
            self._assembler.add_camera(*conversions.camera(msg, topic))
        except FrameError as error:
            self._assembler.report(DropReason.BAD_CAMERA_INFO, str(error))

    def _on_pose(self, msg: PoseStamped, topic: str) -> None:
        self._add_pose(msg.header, msg.pose, topic)

    def _on_odometry(self, msg: Odometry, topic: str) -> None:
        if self.camera_frame and msg.child_frame_id not in ("", self.camera_frame):
            self._warn_once(
                f"{topic}: expected the pose of the camera frame {self.camera_frame!r}, got that of "
                f"{msg.child_frame_id!r}; it is used as it is: the map is wrong unless the two frames coincide"
            )
        self._add_pose(msg.header, msg.pose.pose, topic)

    def _add_pose(self, head: Header, pose: Pose, topic: str) -> None:
        if head.frame_id not in ("", self._config.map_frame):
            self._warn_once(
                f"{topic}: expected poses in the frame {self._config.map_frame!r}, got {head.frame_id!r}; "
                f"they are used as they are: set map_frame to {head.frame_id!r} if that is what you mean"
            )
        try:
            self._assembler.add_pose(conversions.stamp_ns(head.stamp), conversions.pose(pose))
        except FrameError as error:
            self._assembler.report(DropReason.BAD_POSE, f"{topic}: {error}")

    def _warn_once(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            logger.warning(line)


def input_qos(config: Config) -> QoSProfile:
    """Return the QoS of the subscriptions: the named profile with `input.qos_depth` messages."""
    profile: QoSProfile = QoSPresetProfiles.get_from_short_key(config.input.qos)
    return QoSProfile(depth=config.input.qos_depth, reliability=profile.reliability, durability=profile.durability)
