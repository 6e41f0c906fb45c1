"""Frames turned for a mask source: the same world, seen by a camera on its side."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.lifting.masks import TruthMasks
from autoseg3d_ros.lifting.turned_masks import TurnedMasks, turned_clockwise
from autoseg3d_ros.structures import CameraIntrinsics, Frame, RigidPose

CAMERA = CameraIntrinsics(width=6, height=4, fx=5.0, fy=7.0, cx=2.2, cy=1.7)
POSE = np.array([[0.0, 0.0, 1.0, 2.0], [-1.0, 0.0, 0.0, 3.0], [0.0, -1.0, 0.0, 1.0], [0.0, 0.0, 0.0, 1.0]])


@pytest.fixture
def frame() -> Frame:
    rng = np.random.default_rng(0)
    truth = np.arange(24, dtype=np.int32).reshape(4, 6) // 5
    return Frame(
        stamp_ns=0,
        rgb=rng.integers(0, 255, (4, 6, 3), dtype=np.uint8),
        depth_m=rng.uniform(1, 2, (4, 6)).astype(np.float32),
        camera=CAMERA,
        pose=RigidPose.from_matrix(POSE),
        truth=truth,
    )


def points_of(frame: Frame) -> np.ndarray:
    pixel = np.arange(frame.depth_m.size)
    camera_m = backproject(pixel, frame.depth_m.ravel(), frame.camera).astype(np.float64)
    return transform_points(frame.world_from_camera, camera_m)


def test_the_top_left_pixel_comes_to_the_top_right(frame: Frame) -> None:
    turned = turned_clockwise(frame)
    assert turned.rgb.shape == (6, 4, 3)
    assert (turned.rgb[0, -1] == frame.rgb[0, 0]).all()
    assert (turned.rgb[0, 0] == frame.rgb[-1, 0]).all()


def test_a_turned_frame_shows_the_same_points_of_the_world(frame: Frame) -> None:
    turned = turned_clockwise(frame)
    back = np.rot90(points_of(turned).reshape(6, 4, 3))
    np.testing.assert_allclose(back.reshape(-1, 3), points_of(frame), atol=1e-5)


def test_masks_come_back_as_the_frame_lies(frame: Frame) -> None:
    straight, turned = TruthMasks().masks(frame), TurnedMasks(TruthMasks()).masks(frame)
    assert turned.num_masks == straight.num_masks
    np.testing.assert_array_equal(turned.ids, straight.ids)
