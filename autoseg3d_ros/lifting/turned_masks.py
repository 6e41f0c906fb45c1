"""Masks of a camera that was held upright, so that its images lie on their side (`method.md` §9.4: 3RScan)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from autoseg3d_ros.lifting.masks import MaskSource
from autoseg3d_ros.structures import CameraIntrinsics, Frame, Masks2D, RigidPose

_CAMERA_FROM_TURNED = np.array(
    [[0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0], [0.0, 0.0, 0.0, 1.0]]
)


class TurnedMasks:
    """Shows a source the frames turned by 90 degrees clockwise, and turns its masks back."""

    def __init__(self, source: MaskSource) -> None:
        self.name = source.name
        self._source = source

    def masks(self, frame: Frame) -> Masks2D:
        """Return the masks of one frame as it lies. Raises FrameError where there can be no masks."""
        turned = self._source.masks(turned_clockwise(frame))
        return Masks2D(np.ascontiguousarray(np.rot90(turned.ids)), turned.num_masks)


def turned_clockwise(frame: Frame) -> Frame:
    """Return the frame as a camera rolled by 90 degrees about its optical axis would have taken it."""
    camera = frame.camera
    return replace(
        frame,
        rgb=_turned(frame.rgb),
        depth_m=_turned(frame.depth_m),
        truth=None if frame.truth is None else _turned(frame.truth),
        camera=CameraIntrinsics(
            width=camera.height,
            height=camera.width,
            fx=camera.fy,
            fy=camera.fx,
            cx=camera.height - 1 - camera.cy,
            cy=camera.cx,
        ),
        pose=RigidPose.from_matrix(frame.world_from_camera @ _CAMERA_FROM_TURNED),
    )


def _turned(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.rot90(image, -1))
