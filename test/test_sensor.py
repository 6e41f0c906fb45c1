"""The sensor model: noise, rounding and holes, by their laws."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from synthetic_builders import flat_view

from autoseg3d_ros.data.synthetic.camera_path import pose_at
from autoseg3d_ros.data.synthetic.sensor import (
    MAX_DEPTH_M,
    MIN_DEPTH_M,
    SensorModel,
    image_motion_px,
    sense_color,
    sense_depth,
)
from autoseg3d_ros.structures import CameraIntrinsics


@pytest.mark.parametrize(("depth_m", "sigma_m"), [(1.0, 0.00188), (2.0, 0.00606), (4.0, 0.02582)])
def test_depth_noise_grows_with_the_square_of_the_distance(depth_m: float, sigma_m: float) -> None:
    measured = sense_depth(flat_view(depth_m), np.random.default_rng(0))
    error = measured[measured > 0] - depth_m
    assert error.std() == pytest.approx(sigma_m, rel=0.06)
    assert abs(error.mean()) < 0.2 * sigma_m


def test_depth_is_in_whole_millimetres() -> None:
    measured = sense_depth(flat_view(2.0), np.random.default_rng(0)).astype(np.float64) * 1000
    assert measured == pytest.approx(np.rint(measured), abs=1e-3)
    assert len(np.unique(measured)) > 10


@pytest.mark.parametrize(
    ("depth_m", "cos_incidence", "share_lost"),
    [(2.0, 1.0, 0.001), (2.0, 0.05, 1.0), (0.9 * MIN_DEPTH_M, 1.0, 1.0), (MAX_DEPTH_M + 1, 1.0, 1.0)],
    ids=["plain", "grazing", "too near", "too far"],
)
def test_depth_is_missing_where_the_sensor_cannot_measure(
    depth_m: float, cos_incidence: float, share_lost: float
) -> None:
    measured = sense_depth(flat_view(depth_m, cos_incidence=cos_incidence), np.random.default_rng(0))
    assert (measured == 0).mean() == pytest.approx(share_lost, abs=0.001)


def test_depth_has_holes_along_a_step_but_not_on_a_slope() -> None:
    step = np.where(np.arange(160) < 80, 1.0, 2.0)
    slope = 1 / np.linspace(1 / 0.5, 1 / 5.0, 40)  # a plane: inverse depth is linear
    holes_of_step = (sense_depth(flat_view(step), np.random.default_rng(0)) == 0).mean(axis=0)
    holes_of_slope = (sense_depth(flat_view(slope, shape=(120, 40)), np.random.default_rng(0)) == 0).mean(axis=0)
    assert holes_of_step[79:81].min() > 0.4 and holes_of_step[:75].max() < 0.05
    assert holes_of_slope.max() < 0.05


def test_colour_is_noisy_and_unbiased() -> None:
    seen = sense_color(flat_view(1.0), np.random.default_rng(0))
    assert seen.dtype == np.uint8
    assert seen.mean() == pytest.approx(127.5, abs=0.2) and 2.0 < seen.std() < 8.0


# -------------------------------------------------------------------------------------------------------- other cameras


def test_depth_comes_in_steps_that_grow_with_the_square_of_the_distance() -> None:
    camera = SensorModel(depth_noise=0.0, disparity_step_m=0.003)
    slope = np.linspace(1.0, 4.5, 4000)
    measured = camera.depth_m(flat_view(slope, shape=(8, 4000)), np.random.default_rng(0))
    levels = np.unique(measured[measured > 0])
    steps = [np.diff(levels[np.abs(levels - place) < 0.2]).mean() for place in (1.2, 2.0, 4.0)]
    assert steps == pytest.approx([0.003 * 1.2**2, 0.003 * 2.0**2, 0.003 * 4.0**2], rel=0.1)


@pytest.mark.parametrize(
    ("camera", "reflectance", "gloss", "share_lost"),
    [
        (SensorModel(dark_reflectance=0.02), 0.5, 0.0, 0.0),
        (SensorModel(dark_reflectance=0.02), 0.02, 0.0, np.exp(-1)),
        (SensorModel(dark_reflectance=0.02), 0.0, 0.0, 1.0),
        (SensorModel(dark_reflectance=0.0), 0.0, 0.0, 0.0),
        (SensorModel(gloss_loss=0.7), 0.5, 1.0, 0.7),
        (SensorModel(gloss_loss=0.7), 0.5, 0.2, 0.028),
        (SensorModel(gloss_loss=0.7), 0.5, 0.0, 0.0),
    ],
    ids=["bright", "dark", "black", "black, but a camera that sees it", "mirror", "lacquer", "matt"],
)
def test_dark_and_glossy_surfaces_lose_depth(
    camera: SensorModel, reflectance: float, gloss: float, share_lost: float
) -> None:
    view = flat_view(2.0, reflectance=reflectance, gloss=gloss, shape=(240, 320))
    measured = camera.depth_m(view, np.random.default_rng(0))
    assert (measured == 0).mean() == pytest.approx(share_lost, abs=0.04)


def test_lost_pixels_of_a_dark_surface_lie_together() -> None:
    view = flat_view(2.0, reflectance=0.02, shape=(240, 320))
    lost = SensorModel(dark_reflectance=0.02).depth_m(view, np.random.default_rng(0)) == 0
    assert (lost[:, 1:] & lost[:, :-1]).mean() > 1.6 * lost.mean() ** 2


def test_a_projector_throws_a_shadow_beside_what_is_near() -> None:
    # 0.05 m x 0.82 x 160 px x (1 / 0.8 m - 1 / 2 m) = 4.9 px, to the left of it
    depth = np.where((np.arange(160) > 60) & (np.arange(160) < 100), 0.8, 2.0)
    camera = SensorModel(projector_m=0.05, edge_loss=0.0, speckle_loss=0.0)
    lost = (camera.depth_m(flat_view(depth), np.random.default_rng(0)) == 0).mean(axis=0)
    assert lost[57:60].min() > 0.9 and lost[:53].max() == 0 and lost[66:].max() == 0


def test_exposure_and_tint_are_gains_on_light() -> None:
    rng = np.random.default_rng(0)
    still = (0.0, 0.0)
    plain, bright, warm = (
        camera.color(flat_view(1.0), still, rng).mean(axis=(0, 1)) / 255
        for camera in (SensorModel(), SensorModel(exposure=2.0), SensorModel(tint=(1.5, 1.0, 0.5)))
    )
    assert bright == pytest.approx(0.5 * 2 ** (1 / 2.2), abs=0.005)
    assert warm == pytest.approx(plain * np.power([1.5, 1.0, 0.5], 1 / 2.2), abs=0.005)


def test_automatic_exposure_takes_dark_and_bright_views_nearer_to_each_other() -> None:
    view = flat_view(1.0)
    means = {
        (automatic, share): SensorModel(automatic=automatic)
        .color(replace(view, radiance=share * view.radiance), (0.0, 0.0), np.random.default_rng(0))
        .mean()
        for automatic in (0.0, 0.6)
        for share in (0.25, 1.5)
    }
    assert 0 < means[0.6, 1.5] - means[0.6, 0.25] < 0.7 * (means[0.0, 1.5] - means[0.0, 0.25])


@pytest.mark.parametrize("motion_px", [(40.0, 0.0), (0.0, -40.0), (28.0, 28.0)])
def test_motion_smears_along_its_direction_and_keeps_the_light(motion_px: tuple[float, float]) -> None:
    view = flat_view(1.0, shape=(81, 81))
    view.radiance[:] = 0
    view.radiance[40, 40] = 20.0
    camera = SensorModel(shutter=0.25, image_noise=0.0)
    seen = camera.color(view, motion_px, np.random.default_rng(0)).astype(float).sum(axis=2)
    row, column = np.nonzero(seen > 60)
    along = (column - 40) * motion_px[0] + (row - 40) * motion_px[1]
    across = (column - 40) * motion_px[1] - (row - 40) * motion_px[0]
    length = np.hypot(*motion_px)
    assert np.ptp(along) / length == pytest.approx(10, abs=3.5) and np.ptp(across) / length < 5


def test_a_still_camera_is_not_blurred_by_motion() -> None:
    view, rng = flat_view(1.0), np.random.default_rng
    camera = SensorModel(shutter=0.5)
    assert (camera.color(view, (1.0, 0.0), rng(0)) == camera.color(view, (0.0, 0.0), rng(0))).all()


def test_motion_of_the_image_is_that_of_the_pinhole_model() -> None:
    camera = CameraIntrinsics(width=320, height=240, fx=260.0, fy=260.0, cx=159.5, cy=119.5)
    start = pose_at(np.zeros(3), np.zeros(3))
    right = pose_at(np.array([0.1, 0.0, 0.0]), np.zeros(3))
    turned = pose_at(np.zeros(3), np.array([-5.0, 0.0, 0.0]))  # to the right
    raised = pose_at(np.zeros(3), np.array([0.0, 5.0, 0.0]))
    assert image_motion_px(start, start, camera) == pytest.approx((0.0, 0.0))
    assert image_motion_px(start, right, camera) == pytest.approx((-13.0, 0.0))  # 260 px x 0.1 m / 2 m
    assert image_motion_px(start, turned, camera) == pytest.approx((-260 * np.tan(np.radians(5)), 0.0))
    assert image_motion_px(start, raised, camera) == pytest.approx((0.0, 260 * np.tan(np.radians(5))))


def test_drawn_cameras_differ_and_repeat() -> None:
    first, again, other = (SensorModel.draw(np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again and first != other
    rgb, depth_m = first.sense(flat_view(2.0), (5.0, 1.0), np.random.default_rng(0))
    same = again.sense(flat_view(2.0), (5.0, 1.0), np.random.default_rng(0))
    assert rgb.dtype == np.uint8 and depth_m.dtype == np.float32
    assert (rgb == same[0]).all() and (depth_m == same[1]).all()
