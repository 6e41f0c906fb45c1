"""What a real RGB-D camera makes of an ideal view: noise, rounding and holes."""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.data.synthetic.render import View

MIN_DEPTH_M, MAX_DEPTH_M = 0.3, 6.0
DEPTH_UNITS_A_METRE = 1000.0
# Axial noise of a structured-light camera, sigma = a + b (z - 0.4 m)^2: Nguyen, Izadi and Lovell, "Modeling Kinect
# sensor noise for improved 3D reconstruction and tracking", 3DIMPVT 2012, equation 2 without the grazing-angle term.
_NOISE_FLOOR_M, _NOISE_GROWTH, _NOISE_NEAREST_M = 0.0012, 0.0019, 0.4
_LATERAL_SIGMA_PX = 0.6
_CORRELATION_PX = 0.8  # neighbours share a matching window, so their errors are alike
_EDGE_STEP = 0.04  # a depth step of this share of the depth may lose its pixels
_EDGE_LOSS = 0.6
_GRAZING_COS = 0.13  # about 82 degrees
_SPECKLE_LOSS = 0.001
_SHOT_NOISE, _READ_NOISE = 0.016, 0.006  # of full scale


def sense_depth(view: View, rng: np.random.Generator) -> np.ndarray:
    """Return measured depth (H, W) float32 in metres, rounded to millimetres, 0 = no measurement."""
    depth = _jittered(view.depth_m, rng)
    sigma = _NOISE_FLOOR_M + _NOISE_GROWTH * (depth - _NOISE_NEAREST_M) ** 2
    depth = depth + sigma * _correlated_noise(depth.shape, rng)
    chance = rng.random(depth.shape, dtype=np.float32)
    lost = (view.cos_incidence < _GRAZING_COS) | (chance < _SPECKLE_LOSS)
    lost |= _near_edge(view.depth_m) & (chance < _EDGE_LOSS)
    lost |= (depth < MIN_DEPTH_M) | (depth > MAX_DEPTH_M)
    rounded = np.rint(depth * DEPTH_UNITS_A_METRE) / DEPTH_UNITS_A_METRE
    return np.where(lost, 0, rounded).astype(np.float32)


def sense_color(view: View, rng: np.random.Generator) -> np.ndarray:
    """Return the (H, W, 3) uint8 image of a slightly soft lens and a noisy chip."""
    soft = cv2.GaussianBlur(view.rgb, (0, 0), 0.6)
    sigma = _READ_NOISE + _SHOT_NOISE * np.sqrt(soft)
    noisy = soft + sigma * rng.standard_normal(soft.shape, dtype=np.float32)
    return np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)


def _jittered(depth_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Take each pixel from a neighbour now and then, which frays the outlines."""
    column, row = np.meshgrid(
        np.arange(depth_m.shape[1], dtype=np.float32), np.arange(depth_m.shape[0], dtype=np.float32)
    )
    shift = _LATERAL_SIGMA_PX * rng.standard_normal((2, *depth_m.shape), dtype=np.float32)
    return cv2.remap(depth_m, column + shift[0], row + shift[1], cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def _correlated_noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    noise = cv2.GaussianBlur(rng.standard_normal(shape, dtype=np.float32), (0, 0), _CORRELATION_PX)
    return noise / noise.std()


def _near_edge(depth_m: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: a depth step is next to the pixel. Inverse depth is linear in the image on every plane."""
    inverse = 1 / depth_m
    bend = np.maximum(np.abs(_second_difference(inverse, 0)), np.abs(_second_difference(inverse, 1)))
    return bend > _EDGE_STEP * inverse


def _second_difference(image: np.ndarray, axis: int) -> np.ndarray:
    difference = np.zeros_like(image)
    inner = tuple(slice(1, -1) if index == axis else slice(None) for index in range(2))
    difference[inner] = np.diff(image, n=2, axis=axis)
    return difference
