"""Messages of a bag as the structures of the core; images by the decoders of the live stream."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from autoseg3d_ros.data.images import decode_image
from autoseg3d_ros.stream.colour import decode_colour
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.stream.image_buffer import image_array
from autoseg3d_ros.stream.rectification import checked_distortion
from autoseg3d_ros.structures import CameraIntrinsics, FrameError, RigidPose

IMAGE_TYPE = "sensor_msgs/msg/Image"
COMPRESSED_TYPE = "sensor_msgs/msg/CompressedImage"
CAMERA_INFO_TYPE = "sensor_msgs/msg/CameraInfo"
POSE_TYPE = "geometry_msgs/msg/PoseStamped"
ODOMETRY_TYPE = "nav_msgs/msg/Odometry"

# before the PNG of compressed_depth_image_transport: an enum and two floats that only quantised 32FC1 needs
_COMPRESSED_DEPTH_HEADER_BYTES = 12


def header_stamp_ns(message: Any) -> int:
    """Return the header stamp, nanoseconds."""
    return message.header.stamp.sec * 10**9 + message.header.stamp.nanosec


def encoding_of(message: Any) -> str:
    """Return the encoding of an Image; for a CompressedImage that of what was compressed, or its whole format."""
    return message.encoding if hasattr(message, "encoding") else message.format.split(";")[0].strip()


def camera_of_info(message: Any, where: str) -> tuple[CameraIntrinsics, tuple[float, ...]]:
    """Return intrinsics and distortion of a CameraInfo. Raises FrameError where they are absent (all 0) or unusable."""
    fx, _, cx, _, fy, cy = map(float, message.k[:6])
    if not (fx > 0 and fy > 0):
        raise FrameError(f"{where}: expected intrinsics, got fx {fx:g}, fy {fy:g}: the camera is not calibrated")
    if not message.width or not message.height:
        raise FrameError(f"{where}: expected the image size, got {message.width}x{message.height}")
    camera = CameraIntrinsics(int(message.width), int(message.height), fx, fy, cx, cy)
    return camera, checked_distortion(message.distortion_model, message.d, where)


def pose_of(message: Any) -> RigidPose:
    """Return the pose of a PoseStamped or Odometry. Raises FrameError where it is not a rigid transform."""
    pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
    position, orientation = pose.position, pose.orientation
    return RigidPose((position.x, position.y, position.z), (orientation.x, orientation.y, orientation.z, orientation.w))


def colour_image(message: Any, where: str) -> np.ndarray:
    """Return an Image or CompressedImage (JPEG, PNG) as (H, W, 3) uint8, red first. Raises FrameError."""
    if hasattr(message, "encoding"):
        return decode_colour(_pixels(message, where), message.encoding, where)
    pixels = decode_image(message.data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, where)
    return decode_colour(pixels, "bgr8", where)


def depth_image(message: Any, units_per_metre: float, where: str) -> np.ndarray:
    """Return an Image or CompressedImage (16-bit PNG) as (H, W) float32 metres, 0 = invalid. Raises FrameError.

    `units_per_metre` 0 = by the encoding.
    """
    if hasattr(message, "encoding"):
        pixels, encoding = _pixels(message, where), message.encoding
    else:
        encoding, _, transport = (part.strip() for part in message.format.partition(";"))
        if encoding == "32FC1" or "rvl" in transport.lower():
            raise FrameError(f"{where}: expected raw images or 16UC1 compressed as PNG, got {message.format!r}")
        is_depth_transport = "compressedDepth" in transport
        data = message.data[_COMPRESSED_DEPTH_HEADER_BYTES:] if is_depth_transport else message.data
        pixels, encoding = decode_image(data, cv2.IMREAD_UNCHANGED, where), "16UC1"
    return decode_depth(pixels, encoding, units_per_metre=units_per_metre, where=where)


def instance_image(message: Any, where: str) -> np.ndarray:
    """Return a label Image (32SC1, 16UC1 or mono16) as (H, W) int32 ids, 0 = none. Raises FrameError."""
    return _pixels(message, where).astype(np.int32)


def _pixels(message: Any, where: str) -> np.ndarray:
    return image_array(
        message.data,
        message.height,
        message.width,
        message.step,
        message.encoding,
        bool(message.is_bigendian),
        where,
    )
