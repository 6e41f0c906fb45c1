"""What the messages of a bag are, beside what `stream.messages` makes of them."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoseg3d_ros.stream.messages import pixels

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
POSE_TYPE = "geometry_msgs/msg/PoseStamped"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"


def encoding_of(message: Any) -> str:
    """Return the encoding of an Image; for a CompressedImage that of what was compressed, or its whole format."""
    return message.encoding if hasattr(message, "encoding") else message.format.split(";")[0].strip()


def instance_image(message: Any, where: str) -> np.ndarray:
    """Return a label Image (32SC1, 16UC1 or mono16) as (H, W) int32 ids, 0 = none. Raises FrameError."""
    return pixels(message, where).astype(np.int32)
