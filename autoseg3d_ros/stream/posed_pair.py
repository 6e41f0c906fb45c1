"""All that makes a frame, before it is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.structures import Frame, FrameError, RigidPose

Decode = Callable[[], np.ndarray]


class RefusedPairError(FrameError):
    """A pair that gives no frame, and the reason it is counted under."""

    def __init__(self, reason: DropReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True)
class PosedPair:
    """A colour and a depth image with pose and camera, not decoded yet: to drop it costs nothing."""

    colour_stamp_ns: int
    depth_stamp_ns: int
    decode_colour: Decode  # -> (H, W, 3) uint8, red first
    decode_depth: Decode  # -> (H, W) float32 metres, 0 = invalid
    pose: RigidPose  # world_from_camera at the depth stamp
    rectifier: Rectifier
    epoch: int  # jumps in time before it; where it differs from the last one's, apply `on_time_jump`
    sync_wait_ns: int  # from the first of the two images to the decision that they are a pair
    pose_wait_ns: int  # from then on, until the pose was known

    def frame(self) -> Frame:
        """Decode, check and rectify.

        Raises RefusedPairError where colour, depth and camera differ in size, and FrameError where decoding does.
        """
        rgb, depth_m = self.decode_colour(), self.decode_depth()
        camera, where = self.rectifier.camera, f"frame {seconds(self.colour_stamp_ns)}"
        if depth_m.shape != rgb.shape[:2]:
            raise RefusedPairError(
                DropReason.SIZE_MISMATCH,
                f"{where}: expected a depth image of the colour image's {_size(rgb)} pixels, got {_size(depth_m)}; "
                "subscribe to the depth that is aligned (registered) to colour",
            )
        if rgb.shape[:2] != (camera.height, camera.width):
            raise RefusedPairError(
                DropReason.CAMERA_SIZE,
                f"{where}: expected images of the {camera.width}x{camera.height} pixels of camera_info, "
                f"got {_size(rgb)}; subscribe to the camera_info that belongs to this image topic",
            )
        return Frame(
            stamp_ns=self.colour_stamp_ns,
            rgb=self.rectifier.rectify_colour(rgb),
            depth_m=self.rectifier.rectify_depth(depth_m),
            camera=camera,
            pose=self.pose,
            depth_stamp_ns=self.depth_stamp_ns,
        )


def seconds(stamp_ns: int) -> str:
    """Return a stamp as people read it: seconds with nine decimals."""
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]}x{image.shape[0]}"
