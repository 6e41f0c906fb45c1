"""The camera pose from TF: after each message, where the camera was at the newest time that all transforms know."""

from __future__ import annotations

from typing import Any

from rclpy.duration import Duration
from rclpy.qos import DurabilityPolicy, QoSProfile
from rclpy.time import Time

from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.optional_package import import_for
from autoseg3d_ros.stream.time_jump import JumpDetector, StampVerdict
from autoseg3d_ros.structures import RigidPose

TF_QOS = QoSProfile(depth=100)
STATIC_TF_QOS = QoSProfile(depth=100, durability=DurabilityPolicy.TRANSIENT_LOCAL)
_SENDER = "autoseg3d_ros"
_NEWEST = Time()


class TfPoses:
    """A `tf2_ros` buffer, filled by the callbacks of its owner and asked without ever waiting.

    The chain of frames becomes a stream of poses like that of any pose topic, so that the same rules hold for gaps and
    jumps; where it has no moving part, the pose holds at every time.
    """

    def __init__(self, map_frame: str, buffer_s: float) -> None:
        """Raises ConfigError where tf2 is not installed."""
        self._tf2, messages = import_for("pose.source: tf", "tf2_ros", "tf2_msgs.msg")
        self.message_type: type = messages.TFMessage
        self.missing = ""  # why there is no pose, in the words of tf2; empty once there is one
        self._map_frame = map_frame
        # Without a node: with one it offers a service that cannot be taken back, and clears itself by a clock.
        self._buffer = self._tf2.Buffer(cache_time=Duration(seconds=buffer_s))
        self._jumps = JumpDetector()
        self._newest_ns = 0

    def add(self, message: Any) -> None:
        """Take in a message of `/tf`. A buffer keeps its newest transforms when time jumps back: it is cleared then.

        A transform of time zero is left out: to tf2 zero means the newest time.
        """
        for transform in message.transforms:
            stamp_ns = conversions.stamp_ns(transform.header.stamp)
            if not stamp_ns:
                continue
            verdict = self._jumps.observe(transform.child_frame_id, stamp_ns)
            if verdict is StampVerdict.JUMPED:
                self._buffer.clear()
                self._newest_ns = 0
            if verdict is not StampVerdict.STALE:
                self._buffer.set_transform(transform, _SENDER)

    def add_static(self, message: Any) -> None:
        """Take in a message of `/tf_static`."""
        for transform in message.transforms:
            self._buffer.set_transform_static(transform, _SENDER)

    def new_pose(self, camera_frame: str, at_ns: int = 0) -> tuple[int, RigidPose] | None:
        """Return `map_from_camera` and its stamp where it is newer than the one before, else None.

        A camera that no moving transform carries has its pose at `at_ns`. Raises FrameError for a transform that is
        not rigid.
        """
        try:
            found = self._buffer.lookup_transform(self._map_frame, camera_frame, _NEWEST)
        except self._tf2.TransformException as error:
            self.missing = f"no transform from {camera_frame!r} to {self._map_frame!r}: {error}"
            return None
        self.missing = ""
        stamp_ns = conversions.stamp_ns(found.header.stamp)
        if stamp_ns:
            is_new, self._newest_ns = stamp_ns > self._newest_ns, max(stamp_ns, self._newest_ns)
        else:  # nothing of the chain moves
            is_new, stamp_ns = at_ns > 0, at_ns
        if not is_new:
            return None
        moved, turned = found.transform.translation, found.transform.rotation
        pose = RigidPose((moved.x, moved.y, moved.z), (turned.x, turned.y, turned.z, turned.w))
        return stamp_ns, pose
