"""Images as JPEG and PNG files hold them, also inside messages: colour, and depth as its ROS transport packs it."""

from __future__ import annotations

import array

import cv2
import numpy as np

from autoseg3d_ros.stream.colour import decode_colour
from autoseg3d_ros.stream.depth import UNITS_PER_METRE, decode_depth
from autoseg3d_ros.structures import FrameError

_PNG_START, _PNG_END = b"\x89PNG", b"IEND\xaeB`\x82"
_JPEG_START, _JPEG_END = b"\xff\xd8", b"\xff\xd9"

# Before the PNG of compressed_depth_image_transport: an enum and the two floats of the quantisation.
_DEPTH_HEADER = np.dtype([("kind", "<i4"), ("a", "<f4"), ("b", "<f4")])

Buffer = bytes | bytearray | memoryview | array.array | np.ndarray


def decode_image(data: Buffer, flags: int, where: str) -> np.ndarray:
    """Return the PNG or JPEG image in `data` as OpenCV reads it with `flags`.

    Raises FrameError, naming `where`, for data that are cut short or no image.
    """
    data = bytes(data)
    # some releases of OpenCV return the rows they got of a cut file as if all was well
    if (data.startswith(_PNG_START) and _PNG_END not in data) or (
        data.startswith(_JPEG_START) and _JPEG_END not in data
    ):
        raise FrameError(f"{where}: cut short: {len(data)} bytes without the end mark of the image; copy it again")
    try:
        image = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error:  # damage that OpenCV notices only while it decodes
        image = None
    if image is None:
        raise FrameError(f"{where}: expected a PNG or JPEG image, got {len(data)} bytes that cannot be decoded")
    return image


def decode_encoded_colour(data: Buffer, format: str, where: str) -> np.ndarray:
    """Return a JPEG or PNG image as (H, W, 3) uint8, red first; grey images are spread to three channels.

    `format` is that of a `sensor_msgs/CompressedImage`. Raises FrameError for data that cannot be decoded.
    """
    pixels = decode_image(data, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION, where)
    # OpenCV compresses blue first; what was handed to it red first comes back red first
    return decode_colour(pixels, "rgb8" if "compressed rgb" in format else "bgr8", where)


def decode_encoded_depth(data: Buffer, format: str, units_per_metre: float, where: str) -> np.ndarray:
    """Return depth packed as a 16-bit PNG as (H, W) float32 metres, 0 = invalid; `units_per_metre` 0 = by encoding.

    `format` is that of a `sensor_msgs/CompressedImage`: `16UC1; compressedDepth png`, `32FC1; compressedDepth png`
    (quantised inverse depth), or of a PNG alone. Raises FrameError for JPEG, which blurs depth across edges, for RVL,
    and for anything else that cannot be decoded.
    """
    encoding, _, transport = (part.strip() for part in format.partition(";"))
    data = bytes(data)
    if "rvl" in transport.lower():
        raise FrameError(
            f"{where}: expected depth compressed as PNG, got {format!r}; set the publisher's format to png"
        )
    header, image = data[: _DEPTH_HEADER.itemsize], data[_DEPTH_HEADER.itemsize :]
    if not image.startswith(_PNG_START):  # no such header
        header, image = b"", data
    if image.startswith(_JPEG_START) or "jpeg" in transport.lower():
        raise FrameError(
            f"{where}: expected depth compressed without loss, got JPEG ({format!r}), which invents depth at every "
            "edge; use the transport compressedDepth or raw"
        )
    pixels = decode_image(image, cv2.IMREAD_UNCHANGED, where)
    if encoding == "32FC1":
        return decode_depth(_dequantised(pixels, header, where), encoding, units_per_metre=units_per_metre, where=where)
    encoding = encoding if encoding in UNITS_PER_METRE else "16UC1"
    return decode_depth(pixels, encoding, units_per_metre=units_per_metre, where=where)


def _dequantised(pixels: np.ndarray, header: bytes, where: str) -> np.ndarray:
    """Return depth in metres of quantised inverse depth q: a / (q - b), NaN where q is 0."""
    if not header or pixels.dtype != np.uint16 or pixels.ndim != 2:
        raise FrameError(
            f"{where}: expected the 12-byte header of compressedDepth and one 16-bit channel for 32FC1, got "
            f"{len(header)} bytes and {pixels.dtype.name} of shape {pixels.shape}"
        )
    quantisation = np.frombuffer(header, _DEPTH_HEADER)[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        depth_m = quantisation["a"] / (pixels.astype(np.float32) - quantisation["b"])
    depth_m[pixels == 0] = np.nan
    return depth_m
