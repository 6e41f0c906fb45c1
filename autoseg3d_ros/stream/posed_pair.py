"""All that makes a frame, before it is decoded."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.stream.drops import DropReason, RefusedPairError
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.stream.registration import Registration, size_of
from autoseg3d_ros.structures import Frame, RigidPose

Decode = Callable[[], np.ndarray]


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
    registration: Registration | None = None  # None: depth without a camera of its own
    colour_frame: str = ""  # of the headers, empty where unknown
    depth_frame: str = ""
    received_ns: int = 0  # when the first of the two images came, by the clock that the assembler is given

    @property
    def ready_ns(self) -> int:
        """When the last of what it is made of came, by the same clock."""
        return self.received_ns + self.sync_wait_ns + self.pose_wait_ns

    def frame(self) -> Frame:
        """Decode, check, rectify and register.

        Raises RefusedPairError where colour, depth and camera do not fit, and FrameError where decoding does.
        """
        rgb, depth_m = self.decode_colour(), self.decode_depth()
        camera, where = self.rectifier.camera, f"frame {seconds(self.colour_stamp_ns)}"
        if rgb.shape[:2] != (camera.height, camera.width):
            raise RefusedPairError(
                DropReason.CAMERA_SIZE,
                f"{where}: expected images of the {camera.width}x{camera.height} pixels of camera_info, "
                f"got {size_of(rgb)}; subscribe to the camera_info that belongs to this image topic (its region of "
                "interest and its binning are counted in)",
            )
        registration = self.registration or Registration(self.rectifier)
        return Frame(
            stamp_ns=self.colour_stamp_ns,
            rgb=self.rectifier.rectify_colour(rgb),
            depth_m=registration.register(depth_m, self.depth_frame, self.colour_frame, where),
            camera=camera,
            pose=self.pose,
            depth_stamp_ns=self.depth_stamp_ns,
        )


def seconds(stamp_ns: int) -> str:
    """Return a stamp as people read it: seconds with nine decimals."""
    return f"{stamp_ns // 10**9}.{stamp_ns % 10**9:09d}"
