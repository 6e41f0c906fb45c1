"""Image buffers as ROS messages carry them, seen as arrays without a copy."""

from __future__ import annotations

import array
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.structures import FrameError


@dataclass(frozen=True)
class PixelLayout:
    """How one pixel of an encoding is stored."""

    dtype: str  # native NumPy name
    channels: int

    def shape(self, height: int, width: int) -> tuple[int, ...]:
        """Return the array shape of an image: (H, W), or (H, W, C) for more than one channel."""
        return (height, width) if self.channels == 1 else (height, width, self.channels)


PIXEL_LAYOUTS = {
    "rgb8": PixelLayout("uint8", 3),
    "bgr8": PixelLayout("uint8", 3),
    "rgba8": PixelLayout("uint8", 4),
    "bgra8": PixelLayout("uint8", 4),
    "mono8": PixelLayout("uint8", 1),
    "mono16": PixelLayout("uint16", 1),
    "yuv422": PixelLayout("uint8", 2),
    "uyvy": PixelLayout("uint8", 2),
    "yuv422_yuy2": PixelLayout("uint8", 2),
    "yuyv": PixelLayout("uint8", 2),
    "8UC1": PixelLayout("uint8", 1),
    "8UC3": PixelLayout("uint8", 3),
    "16UC1": PixelLayout("uint16", 1),
    "32FC1": PixelLayout("float32", 1),
    "32SC1": PixelLayout("int32", 1),
}


def image_array(
    data: bytes | bytearray | memoryview | array.array | np.ndarray,
    height: int,
    width: int,
    step: int,
    encoding: str,
    is_bigendian: bool,
    where: str,
) -> np.ndarray:
    """View the buffer of a `sensor_msgs/Image` as (H, W) or (H, W, C) in native byte order.

    `data` holds bytes (uint8) and `step` is the length of a row in them, padding included. Nothing is copied unless
    bytes have to be swapped.
    Raises FrameError for an unknown encoding, an empty image, too short rows or a buffer of another length.
    """
    layout = layout_of(encoding, PIXEL_LAYOUTS, where)
    dtype = np.dtype(layout.dtype).newbyteorder(">" if is_bigendian else "<")
    pixel_bytes = dtype.itemsize * layout.channels
    if height <= 0 or width <= 0:
        raise FrameError(f"{where}: expected an image of at least 1x1 pixels, got {width}x{height}")
    if step < width * pixel_bytes:
        raise FrameError(
            f"{where}: expected rows of at least {width * pixel_bytes} bytes for {width} pixels of {encoding}, "
            f"got step {step}; the publisher must set `step`"
        )
    num_bytes = len(data)
    if num_bytes != step * height:
        raise FrameError(
            f"{where}: expected {step * height} bytes for {height} rows of {step} bytes, got {num_bytes}; "
            "the message was cut off or its size fields are wrong"
        )
    strides = (step, pixel_bytes) if layout.channels == 1 else (step, pixel_bytes, dtype.itemsize)
    view: np.ndarray = np.ndarray(layout.shape(height, width), dtype, buffer=data, strides=strides)
    return view.astype(layout.dtype, copy=False)


def layout_of(encoding: str, accepted: Collection[str], where: str) -> PixelLayout:
    """Return the layout of `encoding`; raise FrameError unless it is one of `accepted`."""
    if encoding not in accepted:
        raise FrameError(f"{where}: expected one of the encodings {', '.join(accepted)}, got {encoding!r}")
    return PIXEL_LAYOUTS[encoding]


def expect_layout(image: np.ndarray, encoding: str, accepted: Collection[str], where: str) -> None:
    """Raise FrameError unless `encoding` is one of `accepted` and `image` has its data type and channels."""
    layout = layout_of(encoding, accepted, where)
    if image.dtype.name != layout.dtype or image.shape != layout.shape(*image.shape[:2]):
        channels = f", {layout.channels}" if layout.channels > 1 else ""
        raise FrameError(
            f"{where}: expected {layout.dtype} of shape (H, W{channels}) for {encoding}, "
            f"got {image.dtype.name} of shape {image.shape}"
        )
