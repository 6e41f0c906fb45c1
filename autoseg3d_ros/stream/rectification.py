"""Undistortion of colour, depth and label images onto the pinhole camera of the same intrinsics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np

from autoseg3d_ros.structures import CameraIntrinsics, FrameError

_FISHEYE = "equidistant"
_NUM_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8,), _FISHEYE: (4,)}


class Calibration(NamedTuple):
    """A camera and its lens: `distortion` of `model`, the names and orders of a `sensor_msgs/CameraInfo`.

    Empty distortion is a pinhole; an empty model with distortion means the OpenCV one of as many coefficients.
    """

    camera: CameraIntrinsics
    distortion: tuple[float, ...] = ()
    model: str = ""


class Rectifier:
    """Makes images of a lens with distortion those of `camera`; without distortion it returns them untouched.

    `distortion` is OpenCV's (k1, k2, p1, p2[, k3[, k4, k5, k6]]), or (k1, k2, k3, k4) of the `equidistant` model. The
    lookup tables are made once.
    """

    def __init__(self, camera: CameraIntrinsics, distortion: tuple[float, ...] = (), model: str = "") -> None:
        """Raises FrameError unless `distortion` is empty or has as many finite numbers as `model` needs."""
        self.camera = camera
        self.distortion = checked_distortion(model, distortion, "camera distortion")
        self._source_px: tuple[np.ndarray, np.ndarray] | None = None
        if self.distortion:
            lens = Calibration(camera, self.distortion, model)
            self._source_px = _source_pixels(lens, camera)
            self._nearest = NearestPixels(lens, camera)

    def rectify_colour(self, rgb: np.ndarray) -> np.ndarray:
        """Return (H, W, 3) uint8, bilinear; black where the lens saw nothing."""
        if self._source_px is None:
            return rgb
        return cv2.remap(rgb, *self._source_px, cv2.INTER_LINEAR)

    def rectify_depth(self, depth_m: np.ndarray) -> np.ndarray:
        """Return (H, W) of the given type, nearest so that no depth is invented; 0 where the lens saw nothing."""
        return self.rectify_labels(depth_m)

    def rectify_labels(self, labels: np.ndarray) -> np.ndarray:
        """Return (H, W) of the given type, nearest; 0 where the lens saw nothing."""
        return labels if self._source_px is None else self._nearest.of(labels)


class NearestPixels:
    """For each pixel of the pinhole camera `target` the nearest one of the image of a lens at the same place."""

    def __init__(self, lens: Calibration, target: CameraIntrinsics) -> None:
        columns, rows = _source_pixels(lens, target)
        width, height = lens.camera.width, lens.camera.height
        column, row = np.rint(columns).astype(np.int64), np.rint(rows).astype(np.int64)
        self._inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
        self._index = np.where(self._inside, row * width + column, 0)

    def of(self, image: np.ndarray) -> np.ndarray:
        """Return the image of the target camera, of the type of `image`; 0 where the lens saw nothing."""
        return np.where(self._inside, image.reshape(-1)[self._index], image.dtype.type(0))


def checked_distortion(model: str, coefficients: Sequence[float], where: str) -> tuple[float, ...]:
    """Return the coefficients of a `sensor_msgs/CameraInfo`, or () where they are all zero.

    `model` is its `distortion_model`; empty means any that OpenCV tells apart by the number of coefficients. Raises
    FrameError for another model, a wrong number of coefficients, NaN or Inf.
    """
    distortion = tuple(float(value) for value in coefficients)
    if not any(distortion):
        return ()
    if model and model not in _NUM_COEFFICIENTS:
        raise FrameError(
            f"{where}: expected the distortion model {', '.join(_NUM_COEFFICIENTS)}, got {model!r}; "
            "rectify the images before they come here"
        )
    counts = _NUM_COEFFICIENTS[model] if model else (4, 5, 8)
    if len(distortion) not in counts:
        raise FrameError(f"{where}: expected {' or '.join(map(str, counts))} coefficients, got {len(distortion)}")
    if not np.isfinite(distortion).all():
        raise FrameError(f"{where}: expected finite coefficients, got {list(distortion)}")
    return distortion


def _source_pixels(lens: Calibration, target: CameraIntrinsics) -> tuple[np.ndarray, np.ndarray]:
    """Return the column and row in the image of `lens` of every pixel of `target`, two (H, W) float32."""
    make_map = cv2.fisheye.initUndistortRectifyMap if lens.model == _FISHEYE else cv2.initUndistortRectifyMap
    matrix, size = lens.camera.matrix(), (target.width, target.height)
    distortion = np.array(lens.distortion or (0.0,) * 4)
    columns, rows = make_map(matrix, distortion, np.eye(3), target.matrix(), size, cv2.CV_32FC1)
    return columns, rows
