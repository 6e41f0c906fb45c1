"""An endless corridor of boxes in small images, made without rendering: for runs of a node over many hours' frames."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.structures import CameraIntrinsics, Frame, RigidPose

CAMERA = CameraIntrinsics(width=80, height=60, fx=70.0, fy=70.0, cx=39.5, cy=29.5)
FRAME_RATE_HZ = 10.0
_FACING_X = (-0.5, 0.5, -0.5, 0.5)  # the optical axis along x, y to the left
_CAMERA_Z_M, _WALL_M = 1.0, 2.0
_SPACING_M, _REACH_M = 0.6, 1.5  # between boxes; how far a box can be and still be in the image
_STEP_M, _TURN_FRAMES, _DRIFT_M = 0.02, 300, 0.005  # a frame; there and back after twice as many; what is left of it
_STAY_FRAMES, _PRESENT = 240, 0.7  # so long a box is there or not; the share of those that are
_START_NS = 10**12


def corridor_frame(number: int) -> Frame:
    """Return frame `number`: a camera walks along a wall, back and forth and slowly on, past boxes that come and go.

    What was seen comes into view again under way back, boxes vanish and return to their places, and there are ever new
    ones. Equal numbers give equal frames.
    """
    y_m = _camera_y_m(number)
    rgb = np.full((CAMERA.height, CAMERA.width, 3), 120, np.uint8)
    depth_m = np.full((CAMERA.height, CAMERA.width), _WALL_M, np.float32)
    first = int(np.floor((y_m - _REACH_M) / _SPACING_M))
    for place in range(first, first + int(2 * _REACH_M / _SPACING_M) + 2):
        if is_present(place, number):
            _paint(rgb, depth_m, place, y_m)
    stamp_ns = _START_NS + round(number * 1e9 / FRAME_RATE_HZ)
    return Frame(
        stamp_ns=stamp_ns,
        rgb=rgb,
        depth_m=depth_m,
        camera=CAMERA,
        pose=RigidPose((0.0, y_m, _CAMERA_Z_M), _FACING_X),
        depth_stamp_ns=stamp_ns,
    )


def is_present(place: int, number: int) -> bool:
    """Return whether the box of a place along the corridor is there in frame `number`."""
    draw = np.random.default_rng([place % 2**32, 0])
    phase = int(draw.integers(_STAY_FRAMES))
    return bool(np.random.default_rng([place % 2**32, 1, (number + phase) // _STAY_FRAMES]).random() < _PRESENT)


def _camera_y_m(number: int) -> float:
    there_and_back = abs((number + _TURN_FRAMES) % (2 * _TURN_FRAMES) - _TURN_FRAMES)
    return there_and_back * _STEP_M + number * _DRIFT_M


def _paint(rgb: np.ndarray, depth_m: np.ndarray, place: int, y_m: float) -> None:
    """Paint the face of a box, which is always the same one at a place."""
    draw = np.random.default_rng([place % 2**32, 2])
    distance_m, width_m, height_m = draw.uniform(1.1, 1.5), draw.uniform(0.2, 0.35), draw.uniform(0.3, 0.6)
    centre_z_m, colour = draw.uniform(0.8, 1.2), draw.integers(0, 256, 3)
    u_px = CAMERA.cx + CAMERA.fx * (y_m - place * _SPACING_M) / distance_m
    v_px = CAMERA.cy + CAMERA.fy * (_CAMERA_Z_M - centre_z_m) / distance_m
    columns = _pixels(u_px, CAMERA.fx * width_m / distance_m, CAMERA.width)
    rows = _pixels(v_px, CAMERA.fy * height_m / distance_m, CAMERA.height)
    rgb[rows, columns], depth_m[rows, columns] = colour, distance_m


def _pixels(centre_px: float, extent_px: float, size_px: int) -> slice:
    first, last = np.clip(np.rint((centre_px - extent_px / 2, centre_px + extent_px / 2)), 0, size_px)
    return slice(int(first), int(last))
