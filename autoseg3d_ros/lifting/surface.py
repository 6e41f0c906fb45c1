"""The visible surface of a frame as one small plane a pixel: smooth inverse depth, normals, colours.

Everything is done in inverse depth w = 1/z, where the pinhole makes a plane of space a linear function of the pixel,
where the noise of stereo and structured-light cameras is nearly constant, and where a convex surface bulges towards
the camera from every viewpoint.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

from autoseg3d_ros.structures import CameraIntrinsics, Frame

_LARGE_WINDOW_PX = 4  # radius: averages noise away on flat parts
_SMALL_WINDOW_PX = 2  # radius: follows small objects
_COLOUR_WINDOW_PX = 1  # radius: the back of a book is a few pixels wide
_MIN_SUPPORT = 0.4  # share of a window's pixels that must have depth
_ACCEPTED_NOISE = 0.4  # a plane that leaves less than this, in standard deviations, is as good as any
_HANDICAP = 1.5  # a shifted or a small window wins only by a clearly smaller variance: fewer facets in the noise
_LATERAL_NOISE_PX = 0.4  # depth pixels jitter sideways, which matters on slanted surfaces
_SAME_SURFACE = 0.97  # ratio of inverse depths within one block of pixels
_NO_BETTER = 4.0  # a plane that leaves more than this, in standard deviations, is no better than the pixel alone
_NO_PLANE = 1e6  # variance of a window without a plane
_LAB_OF_BYTES = np.array(
    [[100 / 255, 0, 0, 16], [0, 1, 0, -128], [0, 0, 1, -128]], np.float32
)  # shading scales (L + 16, a, b)
_CORNERS = ((-1, -1), (-1, 1), (1, -1), (1, 1))  # (row, column)

_Planes = tuple[np.ndarray, np.ndarray, np.ndarray]  # value, slope along columns, slope along rows


@dataclass(frozen=True)
class Surface:
    """A surface sampled on the pixel grid of `camera`; unknown pixels are 0 in every array but `colour`."""

    camera: CameraIntrinsics  # of this grid
    factor: int  # one pixel of this grid covers factor x factor of the frame
    inverse_depth: np.ndarray  # (h, w) float32, 1/m, smoothed within surfaces, small holes filled
    gradient: np.ndarray  # (2, h, w) float32, change of inverse depth a pixel, along columns and along rows
    noise: np.ndarray  # (h, w) float32, standard deviation of a measured inverse depth, 1/m, slant included
    colour: np.ndarray  # (3, h, w) float32, CIE (L + 16, a, b), smoothed within patches; shading scales all three

    @cached_property
    def known(self) -> np.ndarray:
        """(h, w) bool."""
        return self.inverse_depth > 0

    @cached_property
    def brightness(self) -> np.ndarray:
        """(h, w) float32, the length of `colour`: what shading changes."""
        return np.sqrt(np.einsum("krc,krc->rc", self.colour, self.colour))

    @cached_property
    def precision(self) -> np.ndarray:
        """(h, w) float32, m: one over the noise."""
        return 1 / np.maximum(self.noise, np.float32(1e-9))

    @cached_property
    def normals(self) -> np.ndarray:
        """(3, h, w) float32 unit normals in the camera frame, towards the camera."""
        x, y = _rays(self.camera)
        slope_x, slope_y = self.gradient[0] * np.float32(self.camera.fx), self.gradient[1] * np.float32(self.camera.fy)
        normals = np.stack([-slope_x, -slope_y, x * slope_x + y * slope_y - self.inverse_depth])
        length = np.sqrt(np.einsum("krc,krc->rc", normals, normals))
        return normals / np.maximum(length, np.finfo(np.float32).tiny)

    @cached_property
    def points_m(self) -> np.ndarray:
        """(3, h, w) float32 points in the camera frame, metres."""
        x, y = _rays(self.camera)
        depth_m = _inverse(self.inverse_depth)
        return np.stack([depth_m * x, depth_m * y, depth_m])

    @cached_property
    def area_m2(self) -> np.ndarray:
        """(h, w) float32 surface within each pixel; a slant beyond 80 degrees counts as 80."""
        points_m = self.points_m
        distance_m = np.sqrt(np.einsum("krc,krc->rc", points_m, points_m))
        facing = -np.einsum("krc,krc->rc", points_m, self.normals) / np.maximum(distance_m, np.float32(1e-6))
        frontal_m2 = points_m[2] ** 2 / np.float32(self.camera.fx * self.camera.fy)
        return frontal_m2 / np.maximum(facing, np.float32(np.cos(np.radians(80))))


class SurfaceEstimator:
    """Estimates surfaces and remembers the last one, because mask source and fragment merging ask for the same."""

    def __init__(self, working_width_px: int, noise_scale: float = 1.0) -> None:
        """Take the width to which wider frames are about reduced, and the depth noise over `depth_noise_m`."""
        self._working_width_px = working_width_px
        self._noise_scale = noise_scale
        self._last: tuple[Frame, Surface] | None = None

    def of(self, frame: Frame) -> Surface:
        """Return the surface of `frame`."""
        if self._last is None or self._last[0] is not frame:
            factor = max(1, round(frame.camera.width / self._working_width_px))
            self._last = frame, estimate_surface(frame, factor, self._noise_scale)
        return self._last[1]


def estimate_surface(frame: Frame, factor: int = 1, noise_scale: float = 1.0) -> Surface:
    """Fit a plane to the surroundings of each pixel, on its own side of depth steps and folds.

    Of the windows that contain a pixel, the one whose plane leaves the least variance speaks for it (a Kuwahara filter
    of planes): steps and folds stay sharp, flat parts become smooth, holes narrower than a window are filled.
    """
    measured = _reduced_inverse_depth(frame.depth_m, factor)
    noise = _measured_noise(measured, noise_scale)
    inverse_depth, gradient = _kuwahara_planes(measured, noise)
    slant = np.sqrt(gradient[0] * gradient[0] + gradient[1] * gradient[1])
    return Surface(
        camera=_reduced_camera(frame.camera, factor),
        factor=factor,
        inverse_depth=inverse_depth,
        gradient=gradient,
        noise=noise + np.float32(_LATERAL_NOISE_PX) * slant,
        colour=_smooth_colour(frame.rgb, factor),
    )


def depth_noise_m(depth_m: np.ndarray) -> np.ndarray:
    """Return the axial standard deviation of Kinect-like sensors, metres (Nguyen, Izadi and Lovell 2012)."""
    return np.float32(0.0012) + np.float32(0.0019) * np.square(depth_m - np.float32(0.4))


def _inverse(values: np.ndarray) -> np.ndarray:
    return (values > 0) / np.maximum(values, np.float32(1e-9))


def _rays(camera: CameraIntrinsics) -> tuple[np.ndarray, np.ndarray]:
    x = ((np.arange(camera.width) - camera.cx) / camera.fx).astype(np.float32)  # (w,)
    y = ((np.arange(camera.height) - camera.cy) / camera.fy).astype(np.float32)  # (h,)
    return x[None, :], y[:, None]


def _reduced_camera(camera: CameraIntrinsics, factor: int) -> CameraIntrinsics:
    shift_px = (factor - 1) / 2
    return CameraIntrinsics(
        width=-(-camera.width // factor),
        height=-(-camera.height // factor),
        fx=camera.fx / factor,
        fy=camera.fy / factor,
        cx=(camera.cx - shift_px) / factor,
        cy=(camera.cy - shift_px) / factor,
    )


def _reduced_inverse_depth(depth_m: np.ndarray, factor: int) -> np.ndarray:
    """Mean over the nearest surface of each block: averaging across a step would invent a surface in between.

    Blocks cut off by the image's edge are unknown.
    """
    height, width = depth_m.shape[0] // factor, depth_m.shape[1] // factor
    inverse = _inverse(depth_m[: height * factor, : width * factor])
    parts = [inverse[row::factor, column::factor] for row in range(factor) for column in range(factor)]
    nearest = np.maximum.reduce(parts)
    least = nearest * np.float32(_SAME_SURFACE)
    total, count = np.zeros_like(nearest), np.zeros_like(nearest)
    for part in parts:
        same = (part >= least).astype(np.float32)
        total += part * same
        count += same
    return np.pad(total / count, [(0, int(size % factor > 0)) for size in depth_m.shape])


def _measured_noise(inverse_depth: np.ndarray, noise_scale: float) -> np.ndarray:
    """Standard deviation of inverse depth; holes take the mean of their surroundings."""
    known = (inverse_depth > 0).astype(np.float32)
    noise = depth_noise_m(_inverse(inverse_depth)) * np.square(inverse_depth) * np.float32(noise_scale)
    size = (2 * _LARGE_WINDOW_PX + 1,) * 2
    around = cv2.blur(noise, size) / np.maximum(cv2.blur(known, size), np.float32(1e-6))
    return noise + around * (1 - known)


def _kuwahara_planes(measured: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the value (h, w) and the gradient (2, h, w) of each pixel's best plane; 0 where it has none."""
    accepted = np.square(np.float32(_ACCEPTED_NOISE) * noise)
    is_measured = measured > 0
    half_if_measured = is_measured * np.float32(0.5)
    value, along_columns, along_rows = best = np.zeros((3, *measured.shape), np.float32)
    least = np.full(measured.shape, _NO_PLANE, np.float32)
    for radius, handicap in ((_LARGE_WINDOW_PX, 1.0), (_SMALL_WINDOW_PX, _HANDICAP)):
        planes, variances = _window_planes(measured, radius)
        for row, column in ((0, 0), *_CORNERS):
            plane, variance = _seen_from(planes, variances, radius, row * radius, column * radius)
            cost = plane[0] - measured  # how far the pixel lies off the plane
            cost *= half_if_measured
            cost *= cost
            cost += variance
            np.maximum(cost, accepted, out=cost)
            cost *= np.float32(handicap if row == 0 else handicap * _HANDICAP)
            better = (cost < least).view(np.uint8)
            for source, target in zip((*plane, cost), (*best, least), strict=True):
                cv2.copyTo(source, better, target)  # a masked assignment, ten times faster than numpy's
    height, width = measured.shape
    own_variance = variances[radius : radius + height, radius : radius + width]  # of the small windows
    found = (is_measured | (own_variance < _NO_PLANE)) & (least < _NO_PLANE) & (value > 0)
    alone = is_measured & (least > np.square(np.float32(_NO_BETTER) * noise))
    cv2.copyTo(measured, alone.view(np.uint8), value)  # no plane explains the pixel: it speaks for itself
    sloped = found & ~alone
    return value * found, np.stack([along_columns * sloped, along_rows * sloped])


def _seen_from(planes: _Planes, variances: np.ndarray, pad: int, row: int, column: int) -> tuple[_Planes, np.ndarray]:
    """Return for each pixel inside the padding the plane, as seen at the pixel, of the window (row, column) away."""
    height, width = variances.shape
    view = np.s_[pad + row : height - pad + row, pad + column : width - pad + column]
    centre, along_columns, along_rows = (values[view] for values in planes)
    if not (row or column):
        return (centre, along_columns, along_rows), variances[view]
    value = centre - along_columns * np.float32(column)
    value -= along_rows * np.float32(row)
    return (value, along_columns, along_rows), variances[view]


def _window_planes(measured: np.ndarray, radius: int) -> tuple[_Planes, np.ndarray]:
    """Least-squares planes of all windows, also of those centred up to `radius` outside the image.

    Returns value at the centre, slope along columns, slope along rows; and variance, (h + 2 radius, w + 2 radius) each.
    Windows with too few known pixels, or with all of them in a line, have the variance _NO_PLANE.
    """
    measured = _pad(measured, radius, 0)
    known = (measured > 0).astype(np.float32)
    ramp = np.arange(-radius, radius + 1, dtype=np.float32)
    one = np.ones_like(ramp)
    count = cv2.sepFilter2D(known, cv2.CV_32F, one, one, borderType=cv2.BORDER_CONSTANT)
    per_pixel = 1 / np.maximum(count, 1)

    def mean(image: np.ndarray, along_columns: np.ndarray, along_rows: np.ndarray) -> np.ndarray:
        total = cv2.sepFilter2D(image, cv2.CV_32F, along_columns, along_rows, borderType=cv2.BORDER_CONSTANT)
        return np.multiply(total, per_pixel, out=total)

    mean_u, mean_v, mean_w = mean(known, ramp, one), mean(known, one, ramp), mean(measured, one, one)
    uu, vv = mean(known, ramp * ramp, one), mean(known, one, ramp * ramp)
    uv, uw, vw = mean(known, ramp, ramp), mean(measured, ramp, one), mean(measured, one, ramp)
    uu -= mean_u * mean_u
    vv -= mean_v * mean_v
    uv -= mean_u * mean_v
    uw -= mean_u * mean_w
    vw -= mean_v * mean_w
    determinant = uu * vv
    determinant -= uv * uv
    least_determinant = np.float32(0.1 * (radius * (radius + 1) / 3) ** 2)  # of that of a full window
    usable = (count >= _MIN_SUPPORT * len(ramp) ** 2) & (determinant > least_determinant)
    scale = usable / np.maximum(determinant, least_determinant)
    along_columns, along_rows = vv * uw, uu * vw
    along_columns -= uv * vw
    along_columns *= scale
    along_rows -= uv * uw
    along_rows *= scale
    variance = _window_variance(measured, per_pixel, radius)
    variance -= along_columns * uw
    variance -= along_rows * vw
    np.maximum(variance, 0, out=variance)
    variance += np.float32(_NO_PLANE) * ~usable
    mean_w -= along_columns * mean_u
    mean_w -= along_rows * mean_v
    return (mean_w, along_columns, along_rows), variance


def _window_variance(measured: np.ndarray, per_pixel: np.ndarray, radius: int) -> np.ndarray:
    """Variance of the known pixels of each window, in double precision: a small difference of large sums."""
    size, share = (2 * radius + 1,) * 2, per_pixel.astype(np.float64)
    mean = cv2.boxFilter(measured, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    square = cv2.sqrBoxFilter(measured, cv2.CV_64F, size, normalize=False, borderType=cv2.BORDER_CONSTANT)
    np.multiply(mean, share, out=mean)  # in place: fresh memory costs as much as the arithmetic
    np.multiply(square, share, out=square)
    np.subtract(square, np.multiply(mean, mean, out=mean), out=square)
    return square.astype(np.float32)


def _smooth_colour(rgb: np.ndarray, factor: int) -> np.ndarray:
    """Kuwahara filter: of the windows that have the pixel in a corner, the most even one gives its mean."""
    height, width = rgb.shape[:2]
    padded = cv2.copyMakeBorder(rgb, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    reduced = cv2.resize(padded, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    lab = cv2.transform(cv2.cvtColor(reduced, cv2.COLOR_RGB2LAB).astype(np.float32), _LAB_OF_BYTES)
    radius = _COLOUR_WINDOW_PX
    size = (2 * radius + 1,) * 2
    mean = cv2.blur(lab, size)
    variance = cv2.transform(cv2.blur(lab * lab, size) - mean * mean, np.ones((1, 3), np.float32))
    means = cv2.split(cv2.copyMakeBorder(mean, *(radius,) * 4, cv2.BORDER_REPLICATE))
    variance = _pad(variance, radius, _NO_PLANE)
    rows, columns = lab.shape[:2]
    colour, least = np.zeros((3, rows, columns), np.float32), np.full((rows, columns), _NO_PLANE, np.float32)
    for row, column in ((0, 0), (0, 2 * radius), (2 * radius, 0), (2 * radius, 2 * radius)):
        view = np.s_[row : row + rows, column : column + columns]
        better = (variance[view] < least).view(np.uint8)
        for source, target in zip((*means, variance), (*colour, least), strict=True):
            cv2.copyTo(source[view], better, target)
    return colour


def _pad(image: np.ndarray, size: int, value: float) -> np.ndarray:
    return cv2.copyMakeBorder(image, size, size, size, size, cv2.BORDER_CONSTANT, value=value)
