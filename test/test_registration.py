"""Depth on the pixels of colour: looked up, never mixed; and what differs where that cannot be."""

from __future__ import annotations

import numpy as np
import pytest

from autoseg3d_ros.stream.drops import DropReason, RefusedPairError
from autoseg3d_ros.stream.rectification import Calibration, Rectifier
from autoseg3d_ros.stream.registration import Registration
from autoseg3d_ros.structures import CameraIntrinsics

COLOUR = CameraIntrinsics(width=64, height=48, fx=60.0, fy=60.0, cx=31.5, cy=23.5)
WIDE = CameraIntrinsics(width=40, height=30, fx=30.0, fy=31.0, cx=19.0, cy=15.0)
BARREL = (-0.2, 0.05, 0.0, 0.0, 0.0)


def register(depth_m, depth=None, *, frames=("camera", "camera"), lens=(), register=True):
    registration = Registration(Rectifier(COLOUR, lens), depth, register=register)
    return registration.register(depth_m, *frames, "frame 1")


def numbered(width, height):
    return np.arange(1, width * height + 1, dtype=np.float32).reshape(height, width)


@pytest.mark.parametrize("depth", [None, Calibration(COLOUR), Calibration(COLOUR, (), "plumb_bob")])
def test_depth_of_the_colour_camera_is_untouched(depth):
    depth_m = numbered(64, 48)
    assert register(depth_m, depth) is depth_m


def test_smaller_depth_is_enlarged_about_its_pixel_centres():
    depth_m = numbered(32, 24)
    registered = register(depth_m)
    assert registered.shape == (48, 64)
    np.testing.assert_array_equal(registered[10:12, 20:22], depth_m[5, 10])


def test_larger_depth_is_thinned():
    depth_m = numbered(192, 144)
    np.testing.assert_array_equal(register(depth_m), depth_m[1::3, 1::3])


@pytest.mark.parametrize("distortion", [(), BARREL])
def test_another_camera_is_looked_up_along_the_ray(distortion):
    depth_m = numbered(40, 30)
    registered = register(depth_m, Calibration(WIDE, distortion, "plumb_bob"))
    row, column = 30, 50
    x, y = (column - COLOUR.cx) / COLOUR.fx, (row - COLOUR.cy) / COLOUR.fy
    r2 = x * x + y * y
    bend = 1 + distortion[0] * r2 + distortion[1] * r2**2 if distortion else 1.0
    u, v = WIDE.fx * x * bend + WIDE.cx, WIDE.fy * y * bend + WIDE.cy
    assert registered.shape == (48, 64)
    assert registered[row, column] == depth_m[round(v), round(u)]
    assert set(np.unique(registered)) <= {0.0, *np.unique(depth_m).tolist()}


def test_what_the_depth_camera_does_not_see_has_no_depth():
    narrow = CameraIntrinsics(width=40, height=30, fx=120.0, fy=120.0, cx=19.5, cy=14.5)
    registered = register(np.ones((30, 40), np.float32), Calibration(narrow))
    assert registered[24, 32] == 1 and not registered[0].any() and not registered[:, 0].any()


@pytest.mark.parametrize("frames", [("", "camera"), ("camera", ""), ("/camera", "camera")])
def test_frames_that_do_not_contradict(frames):
    assert register(np.ones((48, 64), np.float32), frames=frames).all()


@pytest.mark.parametrize(
    ("depth_m", "options", "reason", "parts"),
    [
        (numbered(64, 48), {"frames": ("ir", "rgb")}, DropReason.UNREGISTERED, ("'rgb', got 'ir'", "depth.register")),
        (numbered(40, 30), {}, DropReason.SIZE_MISMATCH, ("64x48", "got 40x30", "aligned", "depth/camera_info")),
        (numbered(32, 48), {}, DropReason.SIZE_MISMATCH, ("got 32x48",)),
        (numbered(32, 24), {"register": False}, DropReason.SIZE_MISMATCH, ("64x48", "got 32x24")),
        (numbered(64, 48), {"depth": Calibration(WIDE)}, DropReason.CAMERA_SIZE, ("40x30", "got 64x48")),
    ],
)
def test_what_cannot_be_registered_is_refused_with_what_differs(depth_m, options, reason, parts):
    with pytest.raises(RefusedPairError) as refusal:
        register(depth_m, **options)
    assert refusal.value.reason is reason
    for part in ("frame 1", *parts):
        assert part in str(refusal.value)


def test_never_takes_depth_as_it_is():
    depth_m = numbered(64, 48)
    assert register(depth_m, Calibration(WIDE), frames=("ir", "rgb"), register=False) is depth_m


def test_registered_depth_is_rectified_like_colour():
    depth_m = numbered(32, 24)
    expected = Rectifier(COLOUR, BARREL).rectify_depth(depth_m.repeat(2, axis=0).repeat(2, axis=1))
    np.testing.assert_array_equal(register(depth_m, lens=BARREL), expected)
