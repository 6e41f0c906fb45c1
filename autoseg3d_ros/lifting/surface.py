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
    is_measured = (measured > 0).astype(np.float32)
    best_plane = np.zeros((*measured.shape, 3), np.float32)
    least = np.full(measured.shape, _NO_PLANE, np.float32)
    for radius, handicap in ((_LARGE_WINDOW_PX, 1.0), (_SMALL_WINDOW_PX, _HANDICAP)):
        planes, variances = _window_planes(measured, radius)
        for row, column in ((0, 0), *_CORNERS):
            plane, variance = _seen_from(planes, variances, radius, row * radius, column * radius)
            off_plane = (plane[..., 0] - measured) * is_measured
            cost = np.maximum(variance + off_plane * off_plane * np.float32(0.25), accepted)
            cost *= np.float32(handicap if row == 0 else handicap * _HANDICAP)
            better = (cost < least).view(np.uint8)
            cv2.copyTo(plane, better, best_plane)  # a masked assignment, thirty times faster than numpy's
            cv2.copyTo(cost, better, least)
    height, width = measured.shape
    own_variance = variances[radius : radius + height, radius : radius + width]  # of the small windows
    found = ((measured > 0) | (own_variance < _NO_PLANE)) & (least < _NO_PLANE) & (best_plane[..., 0] > 0)
    value, along_columns, along_rows = cv2.split(best_plane)
    alone = (measured > 0) & (least > np.square(np.float32(_NO_BETTER) * noise))
    cv2.copyTo(measured, alone.view(np.uint8), value)  # no plane explains the pixel: it speaks for itself
    sloped = found & ~alone
    return value * found, np.stack([along_columns * sloped, along_rows * sloped])


def _seen_from(
    planes: np.ndarray, variances: np.ndarray, pad: int, row: int, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each pixel inside the padding the plane, as seen at the pixel, of the window (row, column) away."""
    height, width = variances.shape
    view = np.s_[pad + row : height - pad + row, pad + column : width - pad + column]
    to_pixel = np.array([[1, -column, -row], [0, 1, 0], [0, 0, 1]], np.float32)
    return cv2.transform(planes[view], to_pixel), variances[view]


def _window_planes(measured: np.ndarray, radius: int) -> tuple[np.ndarray, np.ndarray]:
    """Least-squares planes of all windows, also of those centred up to `radius` outside the image.

    Returns (h + 2 radius, w + 2 radius, 3) value at the centre, slope along columns, slope along rows; and variance.
    Windows with too few known pixels, or with all of them in a line, have the variance _NO_PLANE.
    """
    measured = _pad(measured, radius, 0)
    known = (measured > 0).astype(np.float32)
    ramp = np.arange(-radius, radius + 1, dtype=np.float32)
    one = np.ones_like(ramp)

    def window_sum(image: np.ndarray, along_columns: np.ndarray, along_rows: np.ndarray) -> np.ndarray:
        return cv2.sepFilter2D(image, -1, along_columns, along_rows, borderType=cv2.BORDER_CONSTANT)

    count = window_sum(known, one, one)
    per_pixel = 1 / np.maximum(count, 1)
    mean_u, mean_v = window_sum(known, ramp, one) * per_pixel, window_sum(known, one, ramp) * per_pixel
    uu = window_sum(known, ramp * ramp, one) * per_pixel - mean_u * mean_u
    vv = window_sum(known, one, ramp * ramp) * per_pixel - mean_v * mean_v
    uv = window_sum(known, ramp, ramp) * per_pixel - mean_u * mean_v
    precise = measured.astype(np.float64)  # the noise is a small difference of large sums
    precise_mean = window_sum(precise, one, one) * per_pixel
    ww = (window_sum(precise * precise, one, one) * per_pixel - precise_mean * precise_mean).astype(np.float32)
    mean_w = precise_mean.astype(np.float32)
    uw = window_sum(measured, ramp, one) * per_pixel - mean_u * mean_w
    vw = window_sum(measured, one, ramp) * per_pixel - mean_v * mean_w

    determinant = uu * vv - uv * uv
    least_determinant = np.float32(0.1 * (radius * (radius + 1) / 3) ** 2)  # of that of a full window
    usable = (count >= _MIN_SUPPORT * len(ramp) ** 2) & (determinant > least_determinant)
    scale = usable / np.maximum(determinant, least_determinant)
    along_columns, along_rows = (vv * uw - uv * vw) * scale, (uu * vw - uv * uw) * scale
    centre = mean_w - along_columns * mean_u - along_rows * mean_v
    variance = np.maximum(ww - along_columns * uw - along_rows * vw, 0) + np.float32(_NO_PLANE) * ~usable
    return cv2.merge([centre, along_columns, along_rows]), variance


def _smooth_colour(rgb: np.ndarray, factor: int) -> np.ndarray:
    """Kuwahara filter: of the windows that have the pixel in a corner, the most even one gives its mean."""
    height, width = rgb.shape[:2]
    padded = cv2.copyMakeBorder(rgb, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    reduced = cv2.resize(padded, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    lab_bytes = cv2.cvtColor(cv2.medianBlur(reduced, 3), cv2.COLOR_RGB2LAB)
    lab = cv2.transform(lab_bytes.astype(np.float32), _LAB_OF_BYTES)
    radius = _SMALL_WINDOW_PX
    size = (2 * radius + 1,) * 2
    mean = cv2.blur(lab, size)
    variance = cv2.transform(cv2.blur(lab * lab, size) - mean * mean, np.ones((1, 3), np.float32))
    mean, variance = cv2.copyMakeBorder(mean, *(radius,) * 4, cv2.BORDER_REPLICATE), _pad(variance, radius, _NO_PLANE)
    rows, columns = lab.shape[:2]
    colour, least = np.zeros_like(lab), np.full((rows, columns), _NO_PLANE, np.float32)
    for row, column in ((0, 0), (0, 2 * radius), (2 * radius, 0), (2 * radius, 2 * radius)):
        view = np.s_[row : row + rows, column : column + columns]
        better = (variance[view] < least).view(np.uint8)
        cv2.copyTo(mean[view], better, colour)
        cv2.copyTo(variance[view], better, least)
    return np.stack(cv2.split(colour))


def _pad(image: np.ndarray, size: int, value: float) -> np.ndarray:
    return cv2.copyMakeBorder(image, size, size, size, size, cv2.BORDER_CONSTANT, value=value)
