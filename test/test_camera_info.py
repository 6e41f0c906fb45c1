"""What a CameraInfo says of the image that it comes with: size, region of interest, binning, lens."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from autoseg3d_ros.stream.messages import camera_of_info
from autoseg3d_ros.structures import FrameError

BARREL = (-0.3, 0.05, 0.001, -0.002, 0.0)


def info(*, roi=(0, 0, 0, 0), binning=(0, 0), model="plumb_bob", d=(), **changes):
    x, y, width, height = roi
    k = [600.0, 0.0, 319.5, 0.0, 610.0, 239.5, 0.0, 0.0, 1.0]
    message = SimpleNamespace(
        width=640,
        height=480,
        k=k,
        d=d,
        distortion_model=model,
        binning_x=binning[0],
        binning_y=binning[1],
        roi=SimpleNamespace(x_offset=x, y_offset=y, width=width, height=height),
    )
    vars(message).update(changes)
    return message


@pytest.mark.parametrize(
    ("roi", "binning", "expected"),
    [
        ((0, 0, 0, 0), (0, 0), (640, 480, 600.0, 610.0, 319.5, 239.5)),
        ((0, 0, 640, 480), (1, 1), (640, 480, 600.0, 610.0, 319.5, 239.5)),
        ((100, 40, 320, 240), (0, 0), (320, 240, 600.0, 610.0, 219.5, 199.5)),
        ((0, 0, 0, 0), (2, 2), (320, 240, 300.0, 305.0, 159.5, 119.5)),  # the centre stays the centre
        ((0, 0, 0, 0), (4, 2), (160, 240, 150.0, 305.0, 79.5, 119.5)),
        ((160, 120, 320, 240), (2, 2), (160, 120, 300.0, 305.0, 79.5, 59.5)),
    ],
)
def test_region_of_interest_and_binning(roi, binning, expected):
    camera, distortion, model = camera_of_info(info(roi=roi, binning=binning), "here")
    assert (camera.width, camera.height, camera.fx, camera.fy, camera.cx, camera.cy) == expected
    assert (distortion, model) == ((), "")


def test_a_cropped_and_binned_pixel_sees_along_the_same_ray():
    full, _, _ = camera_of_info(info(), "here")
    part, _, _ = camera_of_info(info(roi=(101, 41, 320, 240), binning=(2, 2)), "here")
    column = 7  # unites columns 14 and 15 of the region
    of_full = (101 + 14.5 - full.cx) / full.fx
    assert (column - part.cx) / part.fx == pytest.approx(of_full)


@pytest.mark.parametrize(
    ("model", "d"),
    [("plumb_bob", BARREL), ("rational_polynomial", (*BARREL, 0.1, 0.1, 0.1)), ("equidistant", BARREL[:4])],
)
def test_the_lens_keeps_its_model(model, d):
    assert camera_of_info(info(model=model, d=d), "here")[1:] == (d, model)


@pytest.mark.parametrize(
    ("message", "parts"),
    [
        (info(k=np.zeros(9)), ("K is all zeros", "calibrate")),
        (info(k=[0.0, 0.0, 319.5, 0.0, 610.0, 239.5, 0.0, 0.0, 1.0]), ("got fx 0, fy 610",)),
        (info(k=[600.0, 0.0, np.nan, 0.0, 610.0, 239.5, 0.0, 0.0, 1.0]), ("cx nan",)),
        (info(width=0), ("image size", "0x480")),
        (info(roi=(400, 0, 320, 240)), ("inside the width of 640 pixels", "got 320 from 400")),
        (info(model="thin_prism", d=BARREL), ("plumb_bob, rational_polynomial, equidistant", "'thin_prism'")),
        (info(model="equidistant", d=BARREL), ("4 coefficients", "got 5")),
    ],
)
def test_a_camera_that_cannot_be_used_is_refused(message, parts):
    with pytest.raises(FrameError) as error:
        camera_of_info(message, "/camera_info")
    for part in ("/camera_info", *parts):
        assert part in str(error.value)
