"""The visible surface of a frame as one small plane a pixel: smooth inverse depth, normals, colours.

Everything is done in inverse depth w = 1/z, where the pinhole makes a plane of space a linear function of the pixel,
where the noise of stereo and structured-light cameras is nearly constant, and where a convex surface bulges towards
the camera from every viewpoint.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property

import cv2
import numpy as np

from autoseg3d_ros.lifting.window_planes import best_planes, fit_windows
from autoseg3d_ros.structures import CameraIntrinsics, Frame

_NOISE_WINDOW_PX = 4  # radius of the surroundings from which a hole takes its noise
_COLOUR_WINDOW_PX = 2  # radius
_LATERAL_NOISE_PX = 0.4  # depth pixels jitter sideways, which matters on slanted surfaces
_SAME_SURFACE = 0.97  # ratio of inverse depths within one block of pixels
_OUTSIDE = 1e6  # colour variance of a window that reaches beyond the image
_LAB_OF_BYTES = np.array(
    [[100 / 255, 0, 0, 16], [0, 1, 0, -128], [0, 0, 1, -128]], np.float32
)  # shading scales (L + 16, a, b)


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
        return _length(self.colour)

    @cached_property
    def precision(self) -> np.ndarray:
        """(h, w) float32, m: one over the noise."""
        return 1 / np.maximum(self.noise, np.float32(1e-9))

    @cached_property
    def normals(self) -> np.ndarray:
        """(3, h, w) float32 unit normals in the camera frame, towards the camera."""
        x, y = _rays(self.camera)
        normals = np.empty((3, *self.inverse_depth.shape), np.float32)
        np.multiply(self.gradient[0], np.float32(-self.camera.fx), out=normals[0])
        np.multiply(self.gradient[1], np.float32(-self.camera.fy), out=normals[1])
        np.negative(x * normals[0] + y * normals[1] + self.inverse_depth, out=normals[2])
        normals /= np.maximum(_length(normals), np.finfo(np.float32).tiny)
        return normals

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
        distance_m = _length(points_m)
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
    colour = _second_core().submit(_smooth_colour, frame.rgb, factor)
    measured = _reduced_inverse_depth(frame.depth_m, factor)
    planes = fit_windows(measured, _second_core())
    noise = _measured_noise(measured, noise_scale)
    inverse_depth, gradient = best_planes(planes, measured, noise)
    slant = np.sqrt(gradient[0] * gradient[0] + gradient[1] * gradient[1])
    return Surface(
        camera=_reduced_camera(frame.camera, factor),
        factor=factor,
        inverse_depth=inverse_depth,
        gradient=gradient,
        noise=noise + np.float32(_LATERAL_NOISE_PX) * slant,
        colour=colour.result(),
    )


@cache
def _second_core() -> ThreadPoolExecutor:
    # One thread for good: cvtColor of OpenCV 5.0.0 never frees the 0.9 kB of each thread that has called it.
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="surface")


os.register_at_fork(after_in_child=_second_core.cache_clear)  # threads are not inherited


def depth_noise_m(depth_m: np.ndarray) -> np.ndarray:
    """Return the axial standard deviation of Kinect-like sensors, metres (Nguyen, Izadi and Lovell 2012)."""
    return np.float32(0.0012) + np.float32(0.0019) * np.square(depth_m - np.float32(0.4))


def _inverse(values: np.ndarray) -> np.ndarray:
    return (values > 0) / np.maximum(values, np.float32(1e-9))


def _length(vectors: np.ndarray) -> np.ndarray:
    """Length (h, w) of vectors (3, h, w)."""
    return np.sqrt(np.square(vectors).sum(axis=0))


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
    blocks_m = depth_m[: height * factor, : width * factor].reshape(height, factor, width, factor)
    inverse = _inverse(blocks_m.transpose(1, 3, 0, 2).reshape(factor * factor, height, width))
    same = inverse >= inverse.max(axis=0) * np.float32(_SAME_SURFACE)
    inverse *= same
    mean = inverse.sum(axis=0) / same.sum(axis=0, dtype=np.uint8)
    below, right = (int(size % factor > 0) for size in depth_m.shape)
    return cv2.copyMakeBorder(mean, 0, below, 0, right, cv2.BORDER_CONSTANT, value=0)


def _measured_noise(inverse_depth: np.ndarray, noise_scale: float) -> np.ndarray:
    """Standard deviation of inverse depth; holes take the mean of their surroundings."""
    known = (inverse_depth > 0).astype(np.float32)
    noise = depth_noise_m(_inverse(inverse_depth)) * np.square(inverse_depth) * np.float32(noise_scale)
    size = (2 * _NOISE_WINDOW_PX + 1,) * 2
    around = cv2.blur(noise, size) / np.maximum(cv2.blur(known, size), np.float32(1e-6))
    return noise + around * (1 - known)


def _smooth_colour(rgb: np.ndarray, factor: int) -> np.ndarray:
    """Kuwahara filter: of the windows that have the pixel in a corner, the most even one gives its mean."""
    height, width = rgb.shape[:2]
    padded = cv2.copyMakeBorder(rgb, 0, -height % factor, 0, -width % factor, cv2.BORDER_REPLICATE)
    reduced = cv2.resize(padded, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    lab_bytes = cv2.cvtColor(cv2.medianBlur(reduced, 3), cv2.COLOR_RGB2LAB)
    lab = cv2.transform(lab_bytes.astype(np.float32), _LAB_OF_BYTES)
    radius = _COLOUR_WINDOW_PX
    size = (2 * radius + 1,) * 2
    mean = cv2.blur(lab, size)
    variance = cv2.transform(cv2.blur(lab * lab, size) - mean * mean, np.ones((1, 3), np.float32))
    means = cv2.split(cv2.copyMakeBorder(mean, *(radius,) * 4, cv2.BORDER_REPLICATE))
    variance = cv2.copyMakeBorder(variance, *(radius,) * 4, cv2.BORDER_CONSTANT, value=_OUTSIDE)
    rows, columns = lab.shape[:2]
    first, *others = (
        np.s_[row : row + rows, column : column + columns] for row in (0, 2 * radius) for column in (0, 2 * radius)
    )
    colour, least = np.stack([mean[first] for mean in means]), variance[first].copy()
    for view in others:
        better = (variance[view] < least).view(np.uint8)
        for source, target in zip((*means, variance), (*colour, least), strict=True):
            cv2.copyTo(source[view], better, target)  # a masked assignment, ten times faster than numpy's
    return colour
