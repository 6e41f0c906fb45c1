"""Rectification moves pixels where the lens model says, and invents neither depth nor labels."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg3d_ros.stream.rectification import Rectifier, checked_distortion
from autoseg3d_ros.structures import CameraIntrinsics, FrameError

CAMERA = CameraIntrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
BARREL = (-0.3, 0.05, 0.001, -0.002)
PINCUSHION = (0.4, 0.0, 0.0, 0.0, 0.0)
RATIONAL = (0.2, 0.1, 0.001, 0.0, 0.01, 0.3, 0.1, 0.02)
LENSES = [BARREL, PINCUSHION, RATIONAL]


def distorted_pixel(camera, distortion, column, row):
    """Return where the lens shows the pixel of the pinhole image, by the formula of OpenCV's manual."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*distortion, 0, 0, 0, 0)[:8]
    x, y = (column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    u = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    v = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    return u * camera.fx + camera.cx, v * camera.fy + camera.cy


@pytest.mark.parametrize("distortion", [(), (0.0,) * 4, (0.0,) * 5, (0.0,) * 8])
def test_without_distortion_the_images_are_returned_untouched(distortion):
    rectifier = Rectifier(CAMERA, distortion)
    image = np.zeros((48, 64), np.float32)
    assert rectifier.rectify_colour(image) is image
    assert rectifier.rectify_depth(image) is image
    assert rectifier.rectify_labels(image) is image
    assert rectifier.camera is CAMERA and rectifier.distortion == ()


@pytest.mark.parametrize("distortion", LENSES)
def test_labels_come_from_the_pixel_that_the_lens_formula_names(distortion):
    labels = np.arange(1, 48 * 64 + 1, dtype=np.int32).reshape(48, 64)
    rectified = Rectifier(CAMERA, distortion).rectify_labels(labels)
    rows, columns = np.mgrid[:48, :64]
    u, v = distorted_pixel(CAMERA, distortion, columns, rows)
    inside = (u > -0.49) & (u < 63.49) & (v > -0.49) & (v < 47.49)
    unclear = (np.abs(u % 1 - 0.5) < 1e-3) | (np.abs(v % 1 - 0.5) < 1e-3)  # half way between two pixels
    sure = inside & ~unclear
    expected = labels[np.rint(v[sure]).astype(int), np.rint(u[sure]).astype(int)]
    np.testing.assert_array_equal(rectified[sure], expected)
    outside = (u < -0.51) | (u > 63.51) | (v < -0.51) | (v > 47.51)
    assert not rectified[outside].any()
    assert (rectified != labels).any()


@pytest.mark.parametrize("distortion", LENSES)
@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.int32])
def test_no_depth_and_no_label_is_invented(distortion, dtype):
    image = np.random.default_rng(0).choice([0, 500, 4000], (48, 64)).astype(dtype)
    rectifier = Rectifier(CAMERA, distortion)
    for rectified in (rectifier.rectify_depth(image), rectifier.rectify_labels(image)):
        assert rectified.dtype == dtype and rectified.shape == (48, 64)
        assert set(np.unique(rectified)) <= {0, 500, 4000}


@pytest.mark.parametrize("distortion", LENSES)
def test_colour_is_bilinear(distortion):
    rows, columns = np.mgrid[:48, :64].astype(np.float64)
    rgb = np.stack([3 * columns, 4 * rows, np.full((48, 64), 100.0)], axis=2).astype(np.uint8)
    rectified = Rectifier(CAMERA, distortion).rectify_colour(rgb)
    u, v = distorted_pixel(CAMERA, distortion, columns, rows)
    inside = (u > 0) & (u < 63) & (v > 0) & (v < 47)
    expected = np.stack([3 * u, 4 * v, np.full_like(u, 100)], axis=2)
    assert rectified.dtype == np.uint8
    assert np.abs(rectified[inside] - expected[inside]).max() <= 1.0


def test_a_fisheye_bends_by_the_angle():
    """By the formula of OpenCV's manual: theta (1 + k1 theta² + k2 theta⁴ + ...)."""
    fisheye = (0.1, -0.02, 0.0, 0.0)
    labels = np.arange(1, 48 * 64 + 1, dtype=np.int32).reshape(48, 64)
    rectified = Rectifier(CAMERA, fisheye, "equidistant").rectify_labels(labels)
    x, y = (50 - CAMERA.cx) / CAMERA.fx, (10 - CAMERA.cy) / CAMERA.fy
    radius = np.hypot(x, y)
    angle = np.arctan(radius)
    bend = angle * (1 + fisheye[0] * angle**2 + fisheye[1] * angle**4) / radius
    assert rectified[10, 50] == labels[round(y * bend * CAMERA.fy + CAMERA.cy), round(x * bend * CAMERA.fx + CAMERA.cx)]
    assert (rectified != Rectifier(CAMERA, fisheye).rectify_labels(labels)).any(), "not the model of as many numbers"


@pytest.mark.parametrize(
    ("model", "coefficients", "checked"),
    [
        ("", (), ()),
        ("plumb_bob", (0.0,) * 5, ()),
        ("equidistant", (0.0,) * 4, ()),
        ("plumb_bob", [0.1, 0, 0, 0, 0], (0.1, 0.0, 0.0, 0.0, 0.0)),
        ("rational_polynomial", RATIONAL, RATIONAL),
        ("", BARREL, BARREL),
        ("equidistant", BARREL, BARREL),
    ],
)
def test_distortion_of_a_camera_info(model, coefficients, checked):
    assert checked_distortion(model, coefficients, "here") == checked


@pytest.mark.parametrize(
    ("model", "coefficients", "parts"),
    [
        ("thin_prism", BARREL, ("plumb_bob, rational_polynomial, equidistant", "'thin_prism'")),
        ("plumb_bob", RATIONAL, ("4 or 5", "got 8")),
        ("", (0.1,), ("4 or 5 or 8", "got 1")),
        ("plumb_bob", (np.nan, 0, 0, 0), ("finite", "nan")),
    ],
)
def test_a_lens_that_cannot_be_rectified_is_refused(model, coefficients, parts):
    with pytest.raises(FrameError) as error:
        checked_distortion(model, coefficients, "/camera/camera_info")
    for part in ("/camera/camera_info", *parts):
        assert part in str(error.value)
