"""Structures for tests of `ros/`; needs no ROS but a sourced overlay."""

from __future__ import annotations

import numpy as np
from builtin_interfaces.msg import Time
from std_msgs.msg import Header

from autoseg3d_ros.structures import (
    CameraIntrinsics,
    Frame,
    Instance,
    InstanceState,
    OrientedBox,
    RigidPose,
    SegmentedFrame,
    Superpoints,
)

HEAD = Header(stamp=Time(sec=12, nanosec=34), frame_id="map")


def an_instance(instance_id: int, **changes) -> Instance:
    """Return an active instance, a box of 0.2 x 0.4 x 0.5 m about (1, 2, 1) turned by 0.3 rad."""
    values = {
        "id": instance_id,
        "state": InstanceState.ACTIVE,
        "score": 0.75,
        "match_confidence": 0.5,
        "first_seen_ns": 1_000_000_001,
        "last_seen_ns": 2_000_000_002,
        "num_observations": 4,
        "num_missed": 0,
        "centroid_m": (1.0, 2.0, 1.0),
        "box": OrientedBox((1.0, 2.0, 1.0), (0.2, 0.4, 0.5), 0.3),
        "footprint_m": np.array([[0.9, 1.8], [1.1, 1.8], [1.0, 2.2]], np.float32),
        "num_points": 99,
        "roi_px": (3, 4, 5, 6),
    }
    return Instance(**{**values, **changes})


def segmented_frame(ids: list[list[int]], scores: dict[int, float], instances=(), events=(), index=0) -> SegmentedFrame:
    """Return a segmented frame whose every labelled pixel is a point of its own."""
    label_image = np.array(ids, np.int32)
    height, width = label_image.shape
    pixel = np.flatnonzero(label_image)
    point_ids = label_image.reshape(-1)[pixel]
    frame = Frame(
        stamp_ns=5_000_000_005,
        rgb=np.zeros((height, width, 3), np.uint8),
        depth_m=np.ones((height, width), np.float32),
        camera=CameraIntrinsics(width, height, 1.0, 1.0, 0.0, 0.0),
        pose=RigidPose((1.0, 2.0, 3.0), (0.0, 0.0, 0.0, 1.0)),
        depth_stamp_ns=5_000_000_000,
    )
    points = Superpoints(
        xyz_m=np.zeros((len(pixel), 3), np.float32),
        rgb=np.zeros((len(pixel), 3), np.uint8),
        pixel=pixel,
        superpoint=np.zeros(len(pixel), np.int32),
        id_image=np.zeros((height, width), np.int32),
        num_superpoints=1,
    )
    point_scores = np.array([scores[one] for one in point_ids.tolist()], np.float32)
    return SegmentedFrame(
        frame, index, label_image, points, point_ids, point_scores, tuple(instances), tuple(events), {"masks": 1.0}
    )
