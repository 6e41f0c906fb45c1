"""Images of ROS messages; what NumPy and OpenCV do not decode goes through cv_bridge where that is installed."""

from __future__ import annotations

import numpy as np
from sensor_msgs.msg import CompressedImage, Image

from autoseg3d_ros.stream import messages
from autoseg3d_ros.stream.image_buffer import PIXEL_LAYOUTS
from autoseg3d_ros.structures import FrameError


def colour_image(msg: Image | CompressedImage, where: str) -> np.ndarray:
    """Return (H, W, 3) uint8, red first; raises FrameError where the message cannot be decoded."""
    if isinstance(msg, Image) and msg.encoding not in PIXEL_LAYOUTS:
        return _through_cv_bridge(msg, where)
    return messages.colour_image(msg, where)


def _through_cv_bridge(msg: Image, where: str) -> np.ndarray:
    try:
        from cv_bridge import CvBridge
    except ImportError:
        return messages.colour_image(msg, where)  # raises, and names the encodings
    try:
        return CvBridge().imgmsg_to_cv2(msg, "rgb8")
    except Exception as error:  # CvBridgeError, and what the C++ below it throws
        raise FrameError(f"{where}: cv_bridge cannot make rgb8 of {msg.encoding!r}: {error}") from error
