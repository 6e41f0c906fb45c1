"""Messages and bags of other recorders, built by hand."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import SMALL_CAMERA, recorded_frame

from autoseg3d_ros.data.topics import WRITTEN_TOPICS, Topics
from autoseg3d_ros.structures import Frame, FrameError

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")

TYPESTORE = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
TYPES = TYPESTORE.types
COLOUR, DEPTH, INFO, POSE, TRUTH = (getattr(WRITTEN_TOPICS, field.name) for field in fields(Topics))
Message = tuple[str, int, Any]  # topic, log time, message


def assert_same_frame(one: Frame | FrameError, other: Frame | FrameError) -> None:
    """Every field is equal, floats to the last bit."""
    assert isinstance(one, Frame) and isinstance(other, Frame)
    for field in fields(Frame):
        expected, got = getattr(one, field.name), getattr(other, field.name)
        if isinstance(expected, np.ndarray):
            assert (expected.dtype, expected.shape) == (got.dtype, got.shape), field.name
            assert np.ascontiguousarray(expected).tobytes() == np.ascontiguousarray(got).tobytes(), field.name
        else:
            assert expected == got, field.name


def header(stamp_ns: int, frame_id: str = "camera") -> Any:
    return TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9)), frame_id)


def image(stamp_ns: int, encoding: str, pixels: np.ndarray) -> Any:
    pixels = np.ascontiguousarray(pixels)
    data = pixels.view(np.uint8).reshape(-1)
    return TYPES["sensor_msgs/msg/Image"](
        header(stamp_ns), pixels.shape[0], pixels.shape[1], encoding, 0, pixels.strides[0], data
    )


def compressed(stamp_ns: int, format: str, pixels: np.ndarray, suffix: str, head: bytes = b"") -> Any:
    data = np.frombuffer(head + cv2.imencode(suffix, pixels)[1].tobytes(), np.uint8)
    return TYPES["sensor_msgs/msg/CompressedImage"](header(stamp_ns), format, data)


def camera_info(stamp_ns: int, *, model: str = "plumb_bob", d: tuple[float, ...] = (), scale: float = 1.0) -> Any:
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header=header(stamp_ns),
        height=SMALL_CAMERA.height,
        width=SMALL_CAMERA.width,
        distortion_model=model,
        d=np.array(d, np.float64),
        k=SMALL_CAMERA.matrix().ravel() * scale,
        r=np.eye(3).ravel(),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )


def pose(x: float = 0.0, quaternion: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> Any:
    return TYPES["geometry_msgs/msg/Pose"](
        TYPES["geometry_msgs/msg/Point"](x, 0.0, 0.0), TYPES["geometry_msgs/msg/Quaternion"](*quaternion)
    )


def pose_stamped(stamp_ns: int, x: float = 0.0, quaternion: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> Any:
    return TYPES["geometry_msgs/msg/PoseStamped"](header(stamp_ns, "map"), pose(x, quaternion))


def odometry(stamp_ns: int, x: float) -> Any:
    zero = TYPES["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    twist = TYPES["geometry_msgs/msg/TwistWithCovariance"](TYPES["geometry_msgs/msg/Twist"](zero, zero), np.zeros(36))
    with_covariance = TYPES["geometry_msgs/msg/PoseWithCovariance"](pose(x), np.zeros(36))
    return TYPES["nav_msgs/msg/Odometry"](header(stamp_ns, "odom"), "camera", with_covariance, twist)


def write_messages(path: Path, messages: list[Message]) -> Path:
    """Write a rosbag2 folder of `messages`."""
    with rosbag2.Writer(path, version=8) as writer:
        connections: dict[str, Any] = {}
        for topic, stamp_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPESTORE)
            data = TYPESTORE.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], stamp_ns, data)
    return path


def good_messages(num_frames: int = 3) -> list[Message]:
    """Return a plain recording at 10 Hz: colour, depth, CameraInfo and pose of one stamp; x is the frame's number."""
    messages: list[Message] = []
    for index in range(num_frames):
        frame, stamp_ns = recorded_frame(index), index * 10**8
        messages += [
            (COLOUR, stamp_ns, image(stamp_ns, "rgb8", frame.rgb)),
            (DEPTH, stamp_ns, image(stamp_ns, "32FC1", frame.depth_m)),
            (INFO, stamp_ns, camera_info(stamp_ns)),
            (POSE, stamp_ns, pose_stamped(stamp_ns, float(index))),
        ]
    return messages


def without(messages: list[Message], topic: str, index: int | None = None) -> list[Message]:
    """Leave out a topic, or its message number `index`."""
    of_topic = [message for message in messages if message[0] == topic]
    dropped = of_topic if index is None else [of_topic[index]]
    return [message for message in messages if not any(message is other for other in dropped)]
