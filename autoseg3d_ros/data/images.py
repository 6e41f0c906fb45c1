"""Image files of recorded frames, read with errors that name the file, and written without loss."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from autoseg3d_ros.stream.encoded_image import decode_image
from autoseg3d_ros.structures import CameraIntrinsics, FrameError


def read_colour(path: Path, camera: CameraIntrinsics) -> np.ndarray:
    """Return a colour image as (H, W, 3) uint8, red first; grey images are spread to three channels.

    Raises FrameError for a missing, unreadable or cut file and for another size than the camera's.
    """
    image = _read_image(path, cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    _check_size(path, "colour image", image, camera)
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)


def read_depth_units(path: Path, camera: CameraIntrinsics) -> np.ndarray:
    """Return a depth image as (H, W) uint16 in the units of the file, 0 = no measurement.

    Raises FrameError as `read_colour` does, and for anything but one 16-bit channel.
    """
    image = _read_image(path, cv2.IMREAD_UNCHANGED)
    if image.dtype != np.uint16 or image.ndim != 2:
        raise FrameError(
            f"{path}: depth image: expected one 16-bit channel, got {_layout(image)}; an 8-bit image is a "
            "preview without scale: export the 16-bit one"
        )
    _check_size(path, "depth image", image, camera)
    return image


def read_instance_ids(path: Path, camera: CameraIntrinsics) -> np.ndarray:
    """Return an instance image as (H, W) int32 ids, 0 = none.

    Raises FrameError as `read_colour` does, and for anything but one 8- or 16-bit channel.
    """
    image = _read_image(path, cv2.IMREAD_UNCHANGED)
    if image.dtype not in (np.uint8, np.uint16) or image.ndim != 2:
        raise FrameError(f"{path}: instance image: expected one 8- or 16-bit channel of ids, got {_layout(image)}")
    _check_size(path, "instance image", image, camera)
    return image.astype(np.int32)


def write_png(path: Path, image: np.ndarray) -> None:
    """Write (H, W) uint8 or uint16, or (H, W, 3) uint8 with red first, without loss."""
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    # level 1: a third of the time of the default for files a few per cent larger
    _, data = cv2.imencode(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    path.write_bytes(data.tobytes())


def _read_image(path: Path, flags: int) -> np.ndarray:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise FrameError(f"{path}: no such file") from None
    except OSError as error:
        raise FrameError(f"{path}: cannot be read: {error.strerror}") from error
    return decode_image(data, flags, str(path))


def _check_size(path: Path, what: str, image: np.ndarray, camera: CameraIntrinsics) -> None:
    height, width = image.shape[:2]
    if (width, height) != (camera.width, camera.height):
        raise FrameError(
            f"{path}: {what}: expected {camera.width}x{camera.height} as the camera says, got {width}x{height}; "
            "colour and depth must be registered and of one size"
        )


def _layout(image: np.ndarray) -> str:
    channels = 1 if image.ndim == 2 else image.shape[2]
    return f"{channels} channel{'s' * (channels > 1)} of {8 * image.dtype.itemsize} bit"
