"""Undistortion of colour, depth and label images onto the pinhole camera of the same intrinsics."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from autoseg3d_ros.structures import CameraIntrinsics, FrameError

_NUM_COEFFICIENTS = {"plumb_bob": (4, 5), "rational_polynomial": (8,)}


class Rectifier:
    """Makes images of a lens with distortion those of `camera`; without distortion it returns them untouched.

    `distortion` is OpenCV's (k1, k2, p1, p2[, k3[, k4, k5, k6]]). The lookup tables are made once.
    """

    def __init__(self, camera: CameraIntrinsics, distortion: tuple[float, ...] = ()) -> None:
        """Raises FrameError unless `distortion` is empty or has 4, 5 or 8 finite numbers."""
        self.camera = camera
        self.distortion = checked_distortion("", distortion, "camera distortion")
        self._source_px: tuple[np.ndarray, np.ndarray] | None = None
        if self.distortion:
            self._source_px = _source_pixels(camera, self.distortion)
            self._nearest, self._inside = _nearest_pixels(*self._source_px)

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
        if self._source_px is None:
            return labels
        return np.where(self._inside, labels.reshape(-1)[self._nearest], labels.dtype.type(0))


def checked_distortion(model: str, coefficients: Sequence[float], where: str) -> tuple[float, ...]:
    """Return the coefficients of a `sensor_msgs/CameraInfo`, or () where they are all zero.

    `model` is its `distortion_model`; empty means any that OpenCV tells apart by the number of coefficients. Raises
    FrameError for another model (`equidistant` also has four coefficients), a wrong number of them, NaN or Inf.
    """
    distortion = tuple(float(value) for value in coefficients)
    if not any(distortion):
        return ()
    if model and model not in _NUM_COEFFICIENTS:
        raise FrameError(
            f"{where}: expected the distortion model {' or '.join(_NUM_COEFFICIENTS)}, got {model!r}; "
            "rectify the images before they come here"
        )
    counts = _NUM_COEFFICIENTS[model] if model else (4, 5, 8)
    if len(distortion) not in counts:
        raise FrameError(f"{where}: expected {' or '.join(map(str, counts))} coefficients, got {len(distortion)}")
    if not np.isfinite(distortion).all():
        raise FrameError(f"{where}: expected finite coefficients, got {list(distortion)}")
    return distortion


def _source_pixels(camera: CameraIntrinsics, distortion: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return the distorted column and row of every rectified pixel, two (H, W) float32."""
    matrix, size = camera.matrix(), (camera.width, camera.height)
    columns, rows = cv2.initUndistortRectifyMap(matrix, np.array(distortion), np.eye(3), matrix, size, cv2.CV_32FC1)
    return columns, rows


def _nearest_pixels(columns: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the flat index of the nearest source pixel, (H, W) int64, and whether there is one, (H, W) bool."""
    height, width = columns.shape
    column, row = np.rint(columns).astype(np.int64), np.rint(rows).astype(np.int64)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    return np.where(inside, row * width + column, 0), inside
