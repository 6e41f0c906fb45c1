"""Planes of inverse depth that are fitted to square windows of an image, and the best of them for each pixel."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

_LARGE_WINDOW_PX = 4  # radius: averages noise away on flat parts
_SMALL_WINDOW_PX = 2  # radius: follows small objects
_MIN_SUPPORT = 0.4  # share of a window's pixels that must have depth
_ACCEPTED_NOISE = 0.4  # a plane that leaves less than this, in standard deviations, is as good as any
_HANDICAP = 1.5  # a shifted or a small window wins only by a clearly smaller variance: fewer facets in the noise
_NO_BETTER = 4.0  # a plane that leaves more than this, in standard deviations, is no better than the pixel alone
_NO_PLANE = 1e6  # variance of a window without a plane


class _Window(NamedTuple):
    """One of the windows that contain a pixel."""

    size: int  # 0 large, 1 small
    row: int  # of its centre, below the pixel
    column: int  # likewise, right of the pixel
    handicap: float

    def seen_from_pixels(self, shape: tuple[int, ...]) -> tuple[int, slice, slice]:
        """Return where each pixel of an (h, w) image has its window in a (2, h, w) array padded by _LARGE_WINDOW_PX."""
        top, left = _LARGE_WINDOW_PX + self.row, _LARGE_WINDOW_PX + self.column
        return self.size, slice(top, top + shape[0]), slice(left, left + shape[1])


_WINDOWS = tuple(
    _Window(size, row * radius, column * radius, handicap * (_HANDICAP if row else 1))
    for size, (radius, handicap) in enumerate(((_LARGE_WINDOW_PX, 1.0), (_SMALL_WINDOW_PX, _HANDICAP)))
    for row, column in ((0, 0), (-1, -1), (-1, 1), (1, -1), (1, 1))
)
_OWN_SMALL_WINDOW = _Window(1, 0, 0, _HANDICAP)


@dataclass(frozen=True)
class WindowPlanes:
    """Least-squares planes of the large (index 0) and the small (1) window around each pixel of a padded image.

    Windows with too few known pixels, or with all of them in a line, have the variance _NO_PLANE.
    """

    planes: np.ndarray  # (3, 2, h + pad, w + pad) float32: value at the centre, slope along columns, slope along rows
    variance: np.ndarray  # (2, h + pad, w + pad) float32, of what the plane leaves


def fit_windows(measured: np.ndarray, second_core: Executor) -> WindowPlanes:
    """Fit planes to the windows of an (h, w) float32 image of inverse depth, 0 = unknown; small windows elsewhere."""
    measured = cv2.copyMakeBorder(measured, *(_LARGE_WINDOW_PX,) * 4, cv2.BORDER_CONSTANT, value=0)
    known = (measured > 0).astype(np.float32)
    windows = WindowPlanes(
        planes=np.empty((3, 2, *measured.shape), np.float32), variance=np.empty((2, *measured.shape), np.float32)
    )
    small = second_core.submit(
        _fit_planes, measured, known, _SMALL_WINDOW_PX, windows.planes[:, 1], windows.variance[1]
    )
    _fit_planes(measured, known, _LARGE_WINDOW_PX, windows.planes[:, 0], windows.variance[0])
    small.result()
    return windows


def best_planes(windows: WindowPlanes, measured: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the value (h, w) and the gradient (2, h, w) of each pixel's best plane; 0 where it has none.

    Of the windows that contain a pixel, the one whose plane leaves the least variance speaks for it (Kuwahara).
    """
    accepted = np.square(np.float32(_ACCEPTED_NOISE) * noise)
    is_measured = measured > 0
    half_if_measured = is_measured * np.float32(0.5)
    best = np.zeros(measured.shape, np.uint8)
    least = np.full(measured.shape, _NO_PLANE, np.float32)
    for number, window in enumerate(_WINDOWS):
        view = window.seen_from_pixels(measured.shape)
        cost = _value_at_pixels(windows.planes, window, measured.shape)
        cost -= measured  # how far the pixel lies off the plane
        cost *= half_if_measured
        cost *= cost
        cost += windows.variance[view]
        np.maximum(cost, accepted, out=cost)
        cost *= np.float32(window.handicap)
        better = (cost < least).view(np.uint8)
        np.maximum(best, better * np.uint8(number), out=best)  # the last that was better than all before it
        np.minimum(least, cost, out=least)
    value, gradient = _chosen_planes(windows.planes, best)
    has_own_plane = windows.variance[_OWN_SMALL_WINDOW.seen_from_pixels(measured.shape)] < _NO_PLANE
    found = (is_measured | has_own_plane) & (least < _NO_PLANE) & (value > 0)
    alone = is_measured & (least > np.square(np.float32(_NO_BETTER) * noise))
    cv2.copyTo(measured, alone.view(np.uint8), value)  # no plane explains the pixel: it speaks for itself
    value *= found
    np.multiply(gradient, found & ~alone, out=gradient)
    return value, gradient


def _value_at_pixels(planes: np.ndarray, window: _Window, shape: tuple[int, ...]) -> np.ndarray:
    """Return what the plane of each pixel's `window` is at the pixel, (h, w)."""
    size, rows, columns = window.seen_from_pixels(shape)
    centre, along_columns, along_rows = planes[:, size, rows, columns]
    value = cv2.scaleAdd(along_columns, -window.column, centre)
    return cv2.scaleAdd(along_rows, -window.row, value, dst=value)


def _chosen_planes(planes: np.ndarray, choice: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the value (h, w) and the gradient (2, h, w) of each pixel's choice, a number in _WINDOWS."""
    height, width = choice.shape

    def chosen(values: list[int], dtype: type) -> np.ndarray:
        return cv2.LUT(choice, np.resize(np.array(values, dtype), 256))

    views = [window.seen_from_pixels(choice.shape) for window in _WINDOWS]
    first = [np.ravel_multi_index((size, rows.start, columns.start), planes.shape[1:]) for size, rows, columns in views]
    from_first = np.arange(height)[:, None] * planes.shape[-1] + np.arange(width)
    index = from_first + chosen(first, np.int32)
    value, *gradient = (of_windows.take(index, mode="clip") for of_windows in planes)  # in range; not checked again
    value -= gradient[0] * chosen([window.column for window in _WINDOWS], np.float32)
    value -= gradient[1] * chosen([window.row for window in _WINDOWS], np.float32)
    return value, np.stack(gradient)


def _fit_planes(measured: np.ndarray, known: np.ndarray, radius: int, planes: np.ndarray, variance: np.ndarray) -> None:
    """Write the planes (3, h, w) and the variances (h, w) of the windows of one radius."""
    ramp = np.arange(-radius, radius + 1, dtype=np.float32)
    one = np.ones_like(ramp)
    count = cv2.sepFilter2D(known, cv2.CV_32F, one, one, borderType=cv2.BORDER_CONSTANT)
    per_pixel = 1 / np.maximum(count, 1)
    scratch = np.empty_like(count)  # fresh memory costs more than the arithmetic

    def mean(image: np.ndarray, along_columns: np.ndarray, along_rows: np.ndarray) -> np.ndarray:
        total = cv2.sepFilter2D(image, cv2.CV_32F, along_columns, along_rows, borderType=cv2.BORDER_CONSTANT)
        return np.multiply(total, per_pixel, out=total)

    def subtract_product(target: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        np.subtract(target, np.multiply(a, b, out=scratch), out=target)

    value, along_columns, along_rows = planes
    mean_u, mean_v = mean(known, ramp, one), mean(known, one, ramp)
    uu, vv, uv = mean(known, ramp * ramp, one), mean(known, one, ramp * ramp), mean(known, ramp, ramp)
    uw, vw = mean(measured, ramp, one), mean(measured, one, ramp)
    _write_mean_and_variance(measured, per_pixel, radius, value, variance)
    for moment, a, b in ((uu, mean_u, mean_u), (vv, mean_v, mean_v), (uv, mean_u, mean_v)):
        subtract_product(moment, a, b)
    subtract_product(uw, mean_u, value)
    subtract_product(vw, mean_v, value)
    determinant = uu * vv
    subtract_product(determinant, uv, uv)
    least_determinant = np.float32(0.1 * (radius * (radius + 1) / 3) ** 2)  # of that of a full window
    usable = (count >= _MIN_SUPPORT * len(ramp) ** 2) & (determinant > least_determinant)
    scale = np.divide(usable, np.maximum(determinant, least_determinant, out=determinant), out=determinant)
    for slope, own, own_w, other_w in ((along_columns, vv, uw, vw), (along_rows, uu, vw, uw)):
        np.multiply(own, own_w, out=slope)
        subtract_product(slope, uv, other_w)
        slope *= scale
    for slope, moment, centre in ((along_columns, uw, mean_u), (along_rows, vw, mean_v)):
        subtract_product(variance, slope, moment)
        subtract_product(value, slope, centre)
    np.maximum(variance, 0, out=variance)
    variance[~usable] = _NO_PLANE


def _write_mean_and_variance(
    measured: np.ndarray, per_pixel: np.ndarray, radius: int, mean: np.ndarray, variance: np.ndarray
) -> None:
    """Write those of the known pixels of each window. In double precision: a small difference of large sums."""
    size = (2 * radius + 1,) * 2
    precise = cv2.boxFilter(measured, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    square = cv2.sqrBoxFilter(measured, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    precise *= per_pixel
    square *= per_pixel
    np.copyto(mean, precise, casting="same_kind")
    np.square(precise, out=precise)
    np.subtract(square, precise, out=variance, casting="same_kind")
