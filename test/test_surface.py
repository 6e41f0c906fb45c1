"""Planes of the visible surface: exact on planes, sharp at steps and folds, smooth in noise."""

from __future__ import annotations

import threading

import numpy as np
import pytest
from builders import depth_of_plane, frame_of_depth

from autoseg3d_ros.lifting.surface import Surface, SurfaceEstimator, depth_noise_m, estimate_surface
from autoseg3d_ros.structures import CameraIntrinsics

CAMERA = CameraIntrinsics(width=160, height=120, fx=140.0, fy=145.0, cx=79.5, cy=59.5)


def unit(*vector: float) -> tuple[float, ...]:
    return tuple((np.array(vector) / np.linalg.norm(vector)).tolist())


def with_noise(depth_m: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(0)
    return depth_m + depth_noise_m(depth_m) * random.standard_normal(depth_m.shape).astype(np.float32)


def angles_deg(surface: Surface, normal: tuple[float, ...]) -> np.ndarray:
    cosine = np.einsum("k,krc->rc", -np.array(normal), surface.normals)
    return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (9, 9)])
def test_no_depth_gives_an_unknown_surface(size: tuple[int, int]) -> None:
    camera = CameraIntrinsics(*size, fx=50.0, fy=50.0, cx=0.0, cy=0.0)
    surface = estimate_surface(frame_of_depth(camera, np.zeros((size[1], size[0]))))
    assert not surface.known.any()
    assert not surface.normals.any() and not surface.points_m.any() and not surface.area_m2.any()


def test_no_frame_begins_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV keeps memory of every thread that there ever was."""
    frame = frame_of_depth(CAMERA, np.ones((120, 160)))
    estimate_surface(frame)
    monkeypatch.setattr(threading.Thread, "start", lambda _thread: pytest.fail("a thread was begun"))
    estimate_surface(frame)


@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), unit(0.5, 0.2, 1.0), unit(-0.3, -0.9, 1.0)])
@pytest.mark.parametrize("factor", [1, 2, 3])
def test_a_plane_is_recovered_from_every_slant(normal: tuple[float, float, float], factor: int) -> None:
    surface = estimate_surface(frame_of_depth(CAMERA, depth_of_plane(CAMERA, normal, 1.5)), factor)
    shape = surface.camera.height, surface.camera.width
    assert surface.inverse_depth.shape == shape == (120 // factor, -(-160 // factor))
    assert surface.known.mean() > 0.99  # but for corners, where 3 does not divide the width
    assert angles_deg(surface, normal)[surface.known].max() < 0.5
    on_plane = np.einsum("k,krc->rc", np.array(normal), surface.points_m)
    np.testing.assert_allclose(on_plane[surface.known], 1.5, rtol=0.005)


def test_the_surface_of_a_wall_has_its_area() -> None:
    surface = estimate_surface(frame_of_depth(CAMERA, np.full((120, 160), 2.0)), factor=2)
    wall_m2 = (160 * 2.0 / 140.0) * (120 * 2.0 / 145.0)
    frontal_share = surface.area_m2.sum() / wall_m2
    assert frontal_share == pytest.approx(1.0, abs=0.15)  # pixels off the axis see the wall at a slant


def test_noise_is_averaged_away_on_flat_parts() -> None:
    normal = unit(0.2, -0.5, 1.0)
    surface = estimate_surface(frame_of_depth(CAMERA, with_noise(depth_of_plane(CAMERA, normal, 1.0))))
    measured_m = np.einsum("k,krc->rc", np.array(normal), surface.points_m)
    assert np.median(angles_deg(surface, normal)) < 2.0
    assert np.std(measured_m) < 0.5 * depth_noise_m(np.float32(1.0))


def test_a_fold_stays_sharp() -> None:
    left, right = unit(-1.0, 0.0, 1.0), unit(1.0, 0.0, 1.0)
    depth_m = np.minimum(depth_of_plane(CAMERA, left, 1.0), depth_of_plane(CAMERA, right, 1.0))
    surface = estimate_surface(frame_of_depth(CAMERA, depth_m))
    assert angles_deg(surface, left)[:, :78].max() < 3.0
    assert angles_deg(surface, right)[:, 82:].max() < 3.0


def test_nothing_is_invented_at_a_step() -> None:
    depth_m = np.full((120, 160), 2.0)
    depth_m[:, 80:] = 1.0
    surface = estimate_surface(frame_of_depth(CAMERA, depth_m), factor=2)
    assert np.abs(surface.inverse_depth[:, :40] - 0.5).max() < 1e-4
    assert np.abs(surface.inverse_depth[:, 40:] - 1.0).max() < 1e-4
    assert np.abs(surface.gradient).max() < 1e-4


def test_small_holes_are_filled_and_large_ones_are_not() -> None:
    depth_m = depth_of_plane(CAMERA, unit(0.3, 0.0, 1.0), 1.0)
    expected = 1 / depth_m
    depth_m[::3], depth_m[:, ::3] = 0, 0  # the grid that warping a depth image leaves
    depth_m[40:70, 50:90] = 0
    surface = estimate_surface(frame_of_depth(CAMERA, depth_m))
    inside = np.s_[5:35, 5:-5]
    assert surface.known[inside].all()
    np.testing.assert_allclose(surface.inverse_depth[inside], expected[inside], rtol=1e-3)
    assert not surface.known[45:65, 55:85].any()


def test_shading_scales_colours_as_a_whole() -> None:
    linear = np.array([0.5, 0.2, 0.1])
    rgb = np.zeros((120, 160, 3), np.uint8)
    rgb[:, :80], rgb[:, 80:] = (255 * linear ** (1 / 2.2)), (255 * (0.4 * linear) ** (1 / 2.2))
    colour = estimate_surface(frame_of_depth(CAMERA, np.ones((120, 160)), rgb)).colour
    bright, dark = colour[:, 60, 20], colour[:, 60, 140]
    cosine = bright @ dark / np.linalg.norm(bright) / np.linalg.norm(dark)
    assert np.linalg.norm(dark) < 0.8 * np.linalg.norm(bright)
    assert np.degrees(np.arccos(cosine)) < 3.0


def test_the_estimator_reduces_wide_frames_and_remembers_the_last() -> None:
    frame = frame_of_depth(CAMERA, np.ones((120, 160)))
    estimator = SurfaceEstimator(working_width_px=60)
    surface = estimator.of(frame)
    assert surface.factor == 3
    assert estimator.of(frame) is surface
    other = frame_of_depth(CAMERA, np.full((120, 160), 2.0))
    assert estimator.of(other).inverse_depth.max() == pytest.approx(0.5)
    assert SurfaceEstimator(working_width_px=320).of(frame).factor == 1
