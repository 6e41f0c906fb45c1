"""Colour images of any encoding as 8-bit RGB."""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.stream.image_buffer import expect_layout
from autoseg3d_ros.structures import FrameError

_AS_IT_IS = -1
_CONVERSIONS = {
    "rgb8": _AS_IT_IS,
    "bgr8": cv2.COLOR_BGR2RGB,
    "rgba8": cv2.COLOR_RGBA2RGB,
    "bgra8": cv2.COLOR_BGRA2RGB,
    "mono8": cv2.COLOR_GRAY2RGB,
    "mono16": cv2.COLOR_GRAY2RGB,
    "8UC1": cv2.COLOR_GRAY2RGB,
    "8UC3": cv2.COLOR_BGR2RGB,  # says nothing of its order: OpenCV's
    "yuv422": cv2.COLOR_YUV2RGB_UYVY,
    "uyvy": cv2.COLOR_YUV2RGB_UYVY,
    "yuv422_yuy2": cv2.COLOR_YUV2RGB_YUY2,
    "yuyv": cv2.COLOR_YUV2RGB_YUY2,
}


def decode_colour(data: np.ndarray, encoding: str, where: str) -> np.ndarray:
    """Return (H, W, 3) uint8, red first; for `rgb8` it may share memory with `data`.

    `data` is (H, W) or (H, W, C) in the data type of `encoding` (`image_buffer.PIXEL_LAYOUTS`); of `mono16` the upper
    eight bits are kept. Raises FrameError for another encoding, data type, number of channels, or YUV of odd width.
    """
    expect_layout(data, encoding, _CONVERSIONS, where)
    if data.ndim == 3 and data.shape[2] == 2 and data.shape[1] % 2:
        raise FrameError(f"{where}: expected an even width for {encoding}, got {data.shape[1]} pixels")
    if data.dtype == np.uint16:
        data = (data >> 8).astype(np.uint8)
    conversion = _CONVERSIONS[encoding]
    return np.ascontiguousarray(data) if conversion == _AS_IT_IS else cv2.cvtColor(data, conversion)
