"""Messages of cameras and poses as the structures of the core, whoever deserialised them: ROS, or a reader of bags."""

from __future__ import annotations

from typing import Any

import numpy as np

from autoseg3d_ros.stream.colour import decode_colour
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.stream.encoded_image import decode_encoded_colour, decode_encoded_depth
from autoseg3d_ros.stream.image_buffer import image_array
from autoseg3d_ros.stream.rectification import Calibration, checked_distortion
from autoseg3d_ros.structures import CameraIntrinsics, FrameError, RigidPose

_NS = 1_000_000_000


def header_stamp_ns(message: Any) -> int:
    """Return the header stamp, nanoseconds."""
    stamp = message.header.stamp
    return int(stamp.sec * _NS + stamp.nanosec)


def pose_of(message: Any) -> RigidPose:
    """Return the pose of a PoseStamped or Odometry. Raises FrameError where it is not a rigid transform."""
    pose = message.pose.pose if hasattr(message.pose, "pose") else message.pose
    position, orientation = pose.position, pose.orientation
    return RigidPose((position.x, position.y, position.z), (orientation.x, orientation.y, orientation.z, orientation.w))


def colour_image(message: Any, where: str) -> np.ndarray:
    """Return an Image or CompressedImage (JPEG, PNG) as (H, W, 3) uint8, red first. Raises FrameError."""
    if hasattr(message, "encoding"):
        return decode_colour(pixels(message, where), message.encoding, where)
    return decode_encoded_colour(message.data, message.format, where)


def depth_image(message: Any, units_per_metre: float, where: str) -> np.ndarray:
    """Return an Image or CompressedImage (PNG) as (H, W) float32 metres, 0 = invalid. Raises FrameError.

    `units_per_metre` 0 = by the encoding.
    """
    if hasattr(message, "encoding"):
        return decode_depth(pixels(message, where), message.encoding, units_per_metre=units_per_metre, where=where)
    return decode_encoded_depth(message.data, message.format, units_per_metre, where)


def camera_of_info(message: Any, where: str) -> Calibration:
    """Return the camera of the image that a CameraInfo comes with.

    A CameraInfo describes the full sensor; its region of interest and its binning say what of it the image shows. A
    binned pixel is centred between those that it unites, hence the halves. Raises FrameError where intrinsics or size
    are absent (all 0) or cannot be used.
    """
    k = np.array(message.k, np.float64)
    if not k.any():
        raise FrameError(f"{where}: expected intrinsics, got a CameraInfo whose K is all zeros; calibrate the camera")
    fx, _, cx, _, fy, cy = k[:6].tolist()
    if not (fx > 0 and fy > 0 and np.isfinite(k).all()):
        raise FrameError(f"{where}: expected intrinsics, got fx {fx:g}, fy {fy:g}, cx {cx:g}, cy {cy:g}")
    left, width = _seen(message, "width", "x", where)
    top, height = _seen(message, "height", "y", where)
    bin_x, bin_y = max(1, message.binning_x), max(1, message.binning_y)
    camera = CameraIntrinsics(
        width // bin_x,
        height // bin_y,
        fx=fx / bin_x,
        fy=fy / bin_y,
        cx=(cx - left + 0.5) / bin_x - 0.5,
        cy=(cy - top + 0.5) / bin_y - 0.5,
    )
    distortion = checked_distortion(message.distortion_model, message.d, where)
    return Calibration(camera, distortion, message.distortion_model if distortion else "")


def pixels(message: Any, where: str) -> np.ndarray:
    """View the pixels of an Image as (H, W) or (H, W, C). Raises FrameError where the buffer does not fit."""
    return image_array(
        message.data,
        message.height,
        message.width,
        message.step,
        message.encoding,
        bool(message.is_bigendian),
        where,
    )


def _seen(message: Any, side: str, axis: str, where: str) -> tuple[int, int]:
    """Return where the region of interest begins along one axis, and its extent there; all of it where none is set."""
    full, offset, extent = getattr(message, side), getattr(message.roi, f"{axis}_offset"), getattr(message.roi, side)
    if not full:
        raise FrameError(f"{where}: expected the image size, got {message.width}x{message.height}")
    if not extent:
        offset, extent = 0, full
    if offset + extent > full:
        raise FrameError(
            f"{where}: expected a region of interest inside the {side} of {full} pixels, got {extent} from {offset} on"
        )
    return offset, extent
