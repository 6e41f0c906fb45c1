"""The topics of a recording, as `autoseg3d bag` and `autoseg3d play` write them."""

from __future__ import annotations

from dataclasses import dataclass

MAP_FRAME = "map"
CAMERA_FRAME = "camera_color_optical_frame"


@dataclass(frozen=True)
class Topics:
    """One topic name for each kind of message; the defaults are those of realsense-ros, pose and truth are ours."""

    colour: str = "/camera/camera/color/image_raw"
    depth: str = "/camera/camera/aligned_depth_to_color/image_raw"
    camera_info: str = "/camera/camera/color/camera_info"
    pose: str = "/camera/pose"
    truth: str = "/instance_truth"


WRITTEN_TOPICS = Topics()
ANY_TOPICS = Topics("", "", "", "", "")  # each is found by its usual name or its type
