"""The first frame is the slow one: libraries load, kernels are chosen, memory is taken. So it is not a real one."""

from __future__ import annotations

import contextlib

import numpy as np

from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError, RigidPose

_CAMERA = CameraIntrinsics(width=320, height=240, fx=280.0, fy=280.0, cx=159.5, cy=119.5)
_FACING_THE_WALL = RigidPose((0.0, 0.0, 1.0), (-0.5, 0.5, -0.5, 0.5))


def warm_up(segmenter: OnlineSegmenter) -> OnlineSegmenter:
    """Let the segmenter work on two boxes before a wall, forget them, and return it.

    Raises whatever a real frame of this kind would meet: a device without memory, weights that do not fit.
    """
    with contextlib.suppress(FrameError):  # a source of masks that knows only certain frames
        segmenter.step(_frame())
    segmenter.reset()
    return segmenter


def _frame() -> Frame:
    rgb = np.full((_CAMERA.height, _CAMERA.width, 3), 120, np.uint8)
    depth_m = np.full((_CAMERA.height, _CAMERA.width), 2.0, np.float32)
    rgb[60:160, 40:120], depth_m[60:160, 40:120] = (220, 30, 30), 1.2
    rgb[80:180, 190:280], depth_m[80:180, 190:280] = (30, 60, 220), 1.4
    return Frame(0, rgb, depth_m, _CAMERA, _FACING_THE_WALL)
