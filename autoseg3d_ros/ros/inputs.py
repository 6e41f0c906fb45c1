"""What the node subscribes to: messages become calls of the assembler, and complete pairs go into the mailbox."""

from __future__ import annotations

import time
from collections import Counter
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.node import Node
from rclpy.qos import QoSPresetProfiles, QoSProfile
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Header

from autoseg3d_ros.config import Config
from autoseg3d_ros.ros.decoding import colour_image
from autoseg3d_ros.ros.filters_sync import FiltersSynchronizer
from autoseg3d_ros.ros.subscriptions import Subscriptions
from autoseg3d_ros.ros.tf_poses import STATIC_TF_QOS, TF_QOS, TfPoses
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.messages import camera_of_info, depth_image, header_stamp_ns, pose_of
from autoseg3d_ros.stream.posed_pair import PosedPair
from autoseg3d_ros.structures import FrameError, RigidPose

_MIN_POSES = 100  # queued, as for /tf
_TF_PATIENCE_S = 2.0  # transforms come one by one when a robot starts


class Inputs:
    """The subscriptions. Callbacks only enqueue: images are decoded by the worker. None of them raises."""

    def __init__(self, node: Node, config: Config, assembler: FrameAssembler, mailbox: Mailbox[PosedPair]) -> None:
        """Subscribe. Raises ConfigError where a setting asks for a ROS package that is not installed."""
        self.camera_frame = config.camera_frame
        self.camera_info_topic = node.resolve_topic_name("rgb/camera_info")
        self._config = config
        self._assembler, self._mailbox = assembler, mailbox
        self._tf, synchronizer = _optional_engines(config)
        self._tf_asked_s: float | None = None  # since when there has been no transform
        self._heard: set[str] = set()  # topics
        if synchronizer:
            assembler.use_synchronizer(synchronizer)
        self._subscriptions = Subscriptions(node, input_qos(config), self._hand_over_what_came)
        self._subscribe(node)

    @property
    def num_received(self) -> Counter[str]:
        """Messages by resolved topic, of all topics without which nothing comes out."""
        return self._subscriptions.num_received

    @property
    def qos_mismatches(self) -> dict[str, str]:
        """The policy in which a publisher of a topic differs so that nothing of it is received."""
        return self._subscriptions.qos_mismatches

    def configure(self, config: Config) -> None:
        """Take over changed settings."""
        self._config = config

    def hand_over(self) -> None:
        """Put the pairs that are complete into the mailbox; also to be called now and then, for the time-outs."""
        self._subscriptions.settle()
        self._hand_over_at(time.monotonic_ns())

    def close(self) -> None:
        """Hear nothing any more."""
        self._subscriptions.close()

    def _hand_over_what_came(self) -> None:
        # By the time at which a message came, not at which it is looked at: what a frame waits for is data.
        self._hand_over_at(self._subscriptions.received_ns)

    def _hand_over_at(self, now_ns: int) -> None:
        for pair in self._assembler.poll(now_ns):
            self._mailbox.put(pair)

    def _subscribe(self, node: Node) -> None:
        add, transports = self._subscriptions.add, self._config.input
        self._subscriptions.add_image("rgb/image_raw", transports.rgb_transport, "compressed", self._on_colour)
        self._subscriptions.add_image("depth/image_raw", transports.depth_transport, "compressedDepth", self._on_depth)
        add("rgb/camera_info", CameraInfo, self._on_camera_info)
        depth_info_topic = _sibling(node.resolve_topic_name("depth/image_raw"), "camera_info")
        if self._config.depth.register == "auto" and depth_info_topic != self.camera_info_topic:
            add(depth_info_topic, CameraInfo, self._on_depth_camera_info, is_optional=True)
        if self._tf:
            add("/tf", self._tf.message_type, self._on_tf, qos=TF_QOS)
            add("/tf_static", self._tf.message_type, self._on_static_tf, qos=STATIC_TF_QOS, is_optional=True)
        elif self._config.pose.source == "odometry":
            add("odom", Odometry, self._on_odometry, qos=_pose_qos(self._config))
        else:
            add("pose", PoseStamped, self._on_pose, qos=_pose_qos(self._config))

    def _on_colour(self, msg: Image | CompressedImage, topic: str) -> None:
        self.camera_frame = self._config.camera_frame or msg.header.frame_id
        if self._has_stamp(msg.header, topic):
            decode = partial(colour_image, msg, topic)
            self._assembler.add_colour(
                header_stamp_ns(msg), decode, self._subscriptions.received_ns, msg.header.frame_id
            )

    def _on_depth(self, msg: Image | CompressedImage, topic: str) -> None:
        if not self._has_stamp(msg.header, topic):
            return
        stamp_ns = header_stamp_ns(msg)
        if self._tf:
            self._ask_tf(at_ns=stamp_ns)
        decode = partial(depth_image, msg, self._config.depth.scale, topic)
        self._assembler.add_depth(stamp_ns, decode, self._subscriptions.received_ns, msg.header.frame_id)

    def _on_camera_info(self, msg: CameraInfo, topic: str) -> None:
        try:
            self._assembler.add_camera(*camera_of_info(msg, topic))
        except FrameError as error:
            self._assembler.report(DropReason.BAD_CAMERA_INFO, str(error))

    def _on_depth_camera_info(self, msg: CameraInfo, topic: str) -> None:
        try:
            self._assembler.add_depth_camera(*camera_of_info(msg, topic))
        except FrameError as error:
            self._assembler.report(DropReason.BAD_CAMERA_INFO, str(error))

    def _on_pose(self, msg: PoseStamped, topic: str) -> None:
        self._add_pose(msg, topic)

    def _on_odometry(self, msg: Odometry, topic: str) -> None:
        if self.camera_frame and msg.child_frame_id not in ("", self.camera_frame):
            self._subscriptions.warn_once(
                f"{topic}: expected the pose of the camera frame {self.camera_frame!r}, got that of "
                f"{msg.child_frame_id!r}; it is used as it is: the map is wrong unless the two frames coincide"
            )
        self._add_pose(msg, topic)

    def _on_tf(self, msg: Any, topic: str) -> None:
        self._tf.add(msg)
        self._ask_tf()

    def _on_static_tf(self, msg: Any, topic: str) -> None:
        self._tf.add_static(msg)

    def _ask_tf(self, at_ns: int = 0) -> None:
        if not self.camera_frame:
            return
        try:
            found = self._tf.new_pose(self.camera_frame, at_ns)
        except FrameError as error:
            self._assembler.report(DropReason.BAD_POSE, f"/tf: {error}")
            return
        if found:
            self._assembler.add_pose(*found)
        self._tell_of_missing_transform()

    def _tell_of_missing_transform(self) -> None:
        if not self._tf.missing:
            self._tf_asked_s = None
            return
        self._tf_asked_s = self._tf_asked_s or time.monotonic()
        if time.monotonic() - self._tf_asked_s >= _TF_PATIENCE_S:
            self._subscriptions.warn_once(f"/tf: {self._tf.missing}")

    def _add_pose(self, msg: PoseStamped | Odometry, topic: str) -> None:
        if msg.header.frame_id not in ("", self._config.map_frame):
            self._subscriptions.warn_once(
                f"{topic}: expected poses in the frame {self._config.map_frame!r}, got {msg.header.frame_id!r}; "
                f"they are used as they are: set map_frame to {msg.header.frame_id!r} if that is what you mean"
            )
        try:
            pose: RigidPose = pose_of(msg)
        except FrameError as error:
            self._assembler.report(DropReason.BAD_POSE, f"{topic}: {error}")
            return
        if self._has_stamp(msg.header, topic):
            self._assembler.add_pose(header_stamp_ns(msg), pose)

    def _has_stamp(self, head: Header, topic: str) -> bool:
        """Whether a message is of some time; one of time zero would pass for a jump back, and cost the map.

        A recording may begin at zero: the first message of a topic is taken as it is.
        """
        is_first = topic not in self._heard
        self._heard.add(topic)
        if is_first or head.stamp.sec or head.stamp.nanosec:
            return True
        self._assembler.report(
            DropReason.NO_STAMP, f"{topic}: expected the time of the measurement in header.stamp, got 0"
        )
        return False


def require_packages(config: Config) -> None:
    """Raise ConfigError where a setting of the inputs asks for a ROS package that is not installed."""
    _optional_engines(config)


def input_qos(config: Config) -> QoSProfile:
    """Return the QoS of the subscriptions: the named profile with `input.qos_depth` messages."""
    profile: QoSProfile = QoSPresetProfiles.get_from_short_key(config.input.qos)
    return QoSProfile(depth=config.input.qos_depth, reliability=profile.reliability, durability=profile.durability)


def _pose_qos(config: Config) -> QoSProfile:
    """Return that of images, with room for the many poses that come while one of these is received."""
    qos = input_qos(config)
    qos.depth = max(qos.depth, _MIN_POSES)
    return qos


def _optional_engines(config: Config) -> tuple[TfPoses | None, FiltersSynchronizer | None]:
    tf = TfPoses(config.map_frame, config.pose.buffer_s) if config.pose.source == "tf" else None
    synchronizer = FiltersSynchronizer(config.sync) if config.sync.engine == "message_filters" else None
    return tf, synchronizer


def _sibling(topic: str, name: str) -> str:
    """Return the topic `name` beside `topic`, where a camera driver publishes what belongs to an image."""
    return f"{topic.rpartition('/')[0]}/{name}"
