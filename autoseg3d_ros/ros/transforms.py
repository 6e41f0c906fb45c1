"""The pose of other frames in the map frame, where tf2 is installed."""

from __future__ import annotations

from typing import Any

import numpy as np
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.time import Time
from std_msgs.msg import Header

from autoseg3d_ros.structures import RigidPose

_WAIT_S = 1.0  # the listener may just have begun


class UnknownFrameError(Exception):
    """There is no transform; the message says why."""


class Transforms:
    """Looks frames up; it listens from the first question about another frame than the map on."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._buffer: Any = None

    def map_from(self, head: Header, map_frame: str) -> RigidPose:
        """Return `map_from_frame` of the frame of `head` at its stamp, the newest where that is 0.

        Waits a second, and raises UnknownFrameError where there is none by then, or no tf2.
        """
        if head.frame_id in ("", map_frame):
            return RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        try:
            from tf2_ros import Buffer, TransformException, TransformListener
        except ImportError as error:
            raise UnknownFrameError(
                f"frame {head.frame_id!r}: expected {map_frame!r}, the map frame: tf2_ros is not installed ({error})"
            ) from error
        if self._buffer is None:
            self._buffer = Buffer(node=self._node)
            self._listener = TransformListener(self._buffer, self._node)
        try:
            found = self._buffer.lookup_transform(
                map_frame, head.frame_id, Time.from_msg(head.stamp), Duration(seconds=_WAIT_S)
            ).transform
        except TransformException as error:
            raise UnknownFrameError(f"frame {head.frame_id!r}: no transform to {map_frame!r}: {error}") from error
        move, turn = found.translation, found.rotation
        return RigidPose((move.x, move.y, move.z), (turn.x, turn.y, turn.z, turn.w))


def composed(target_from_middle: RigidPose, middle_from_source: RigidPose) -> RigidPose:
    """Return `target_from_source`."""
    return RigidPose.from_matrix(np.asarray(target_from_middle.matrix @ middle_from_source.matrix))
