"""Between ROS messages and the structures of the core; nothing is computed here."""

from __future__ import annotations

import array
import math
import sys
import uuid
from collections.abc import Iterable, Mapping
from typing import TypeVar

import numpy as np
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Point, Point32, Polygon, Pose, PoseStamped, Quaternion, Vector3
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField, RegionOfInterest
from std_msgs.msg import Header
from unique_identifier_msgs.msg import UUID

from autoseg3d_ros.msg import Instance as InstanceMsg
from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.msg import InstanceEvent as InstanceEventMsg
from autoseg3d_ros.structures import (
    NO_INSTANCE,
    CameraIntrinsics,
    EventType,
    Instance,
    InstanceEvent,
    InstanceState,
    OrientedBox,
    RigidPose,
    SegmentedFrame,
)

_Data = TypeVar("_Data", Image, PointCloud2)

_NS = 1_000_000_000
CLOUD_DTYPE = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("rgb", "<u4"), ("instance_id", "<u4"), ("score", "<f4")]
)
_RGB_BYTE = CLOUD_DTYPE.fields["rgb"][1]
_CLOUD_FIELDS = [  # rgb is a float by convention: its bits are 0x00RRGGBB
    PointField(
        name=name,
        offset=CLOUD_DTYPE.fields[name][1],
        datatype=PointField.UINT32 if name == "instance_id" else PointField.FLOAT32,
        count=1,
    )
    for name in CLOUD_DTYPE.names
]


def stamp_ns(stamp: Time) -> int:
    """Return a ROS time as integer nanoseconds."""
    return stamp.sec * _NS + stamp.nanosec


def time_msg(nanoseconds: int) -> Time:
    """Return integer nanoseconds as a ROS time."""
    seconds, rest = divmod(nanoseconds, _NS)
    return Time(sec=seconds, nanosec=rest)


def header(nanoseconds: int, frame_id: str) -> Header:
    """Return a header."""
    return Header(stamp=time_msg(nanoseconds), frame_id=frame_id)


def pose(msg: Pose) -> RigidPose:
    """Return a pose; raises FrameError where it is not a rigid transform."""
    position, orientation = msg.position, msg.orientation
    return RigidPose((position.x, position.y, position.z), (orientation.x, orientation.y, orientation.z, orientation.w))


def pose_msg(value: RigidPose) -> Pose:
    """Return a pose message."""
    x, y, z, w = value.quaternion_xyzw
    return Pose(position=_point(value.translation_m), orientation=Quaternion(x=x, y=y, z=z, w=w))


def image_msg(head: Header, pixels: np.ndarray, encoding: str) -> Image:
    """Return (H, W) or (H, W, C) pixels as an uncompressed image."""
    pixels = np.ascontiguousarray(pixels)
    height, width = pixels.shape[:2]
    msg = Image(
        header=head,
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=int(sys.byteorder == "big"),
        step=pixels.nbytes // height,
    )
    return _holding(msg, _bytes(pixels))


def camera_info_msg(head: Header, intrinsics: CameraIntrinsics) -> CameraInfo:
    """Return the CameraInfo of a rectified camera."""
    k = intrinsics.matrix()
    projection = np.hstack([k, np.zeros((3, 1))])
    return CameraInfo(
        header=head,
        height=intrinsics.height,
        width=intrinsics.width,
        distortion_model="plumb_bob",
        d=[0.0] * 5,
        k=k.ravel(),
        r=np.eye(3).ravel(),
        p=projection.ravel(),
    )


def cloud_msg(
    head: Header, xyz_m: np.ndarray, rgb: np.ndarray, instance_id: np.ndarray, score: np.ndarray
) -> PointCloud2:
    """Return a labelled cloud.

    `xyz_m` (N, 3) float32, `rgb` (N, 3) uint8, `instance_id` (N,) int32, `score` (N,) float32.
    """
    num_points = len(xyz_m)
    data = array.array("B", [0]) * (num_points * CLOUD_DTYPE.itemsize)
    points = np.frombuffer(data, CLOUD_DTYPE)  # written where it is sent from
    for axis, name in enumerate("xyz"):
        points[name] = xyz_m[:, axis]
    channels = np.frombuffer(data, np.uint8).reshape(num_points, CLOUD_DTYPE.itemsize)[:, _RGB_BYTE:]
    for place, channel in enumerate((2, 1, 0)):
        channels[:, place] = rgb[:, channel]
    points["instance_id"] = instance_id
    points["score"] = score
    msg = PointCloud2(
        header=head,
        height=1,
        width=num_points,
        fields=_CLOUD_FIELDS,
        is_bigendian=False,
        point_step=CLOUD_DTYPE.itemsize,
        row_step=CLOUD_DTYPE.itemsize * num_points,
        is_dense=True,
    )
    return _holding(msg, data)


def cloud_points(msg: PointCloud2) -> np.ndarray:
    """Return the points of one of our own clouds as a structured array (N,) of CLOUD_DTYPE."""
    return np.frombuffer(msg.data, CLOUD_DTYPE)


def cloud_xyz_m(points: np.ndarray) -> np.ndarray:
    """Return the positions (N, 3) float32 of a structured array of CLOUD_DTYPE."""
    return np.stack([points[name] for name in "xyz"], axis=1)


def cloud_rgb(points: np.ndarray) -> np.ndarray:
    """Return the colours (N, 3) uint8 of a structured array of CLOUD_DTYPE."""
    packed = points["rgb"]
    return np.stack([packed >> 16 & 255, packed >> 8 & 255, packed & 255], axis=1).astype(np.uint8)


def map_id_msg(map_id: uuid.UUID) -> UUID:
    """Return a map id."""
    return UUID(uuid=np.frombuffer(map_id.bytes, np.uint8))


def map_id(msg: UUID) -> uuid.UUID:
    """Return a map id."""
    return uuid.UUID(bytes=bytes(msg.uuid))


def instance_array_msg(
    head: Header,
    the_map: uuid.UUID,
    frame_index: int,
    instances: Iterable[Instance],
    events: Iterable[InstanceEvent] = (),
    *,
    is_full: bool = False,
) -> InstanceArray:
    """Return the message of `instances` (what changed) or `instances_full` (all)."""
    return InstanceArray(
        header=head,
        map_id=map_id_msg(the_map),
        frame_index=frame_index,
        is_full=is_full,
        instances=[instance_msg(one) for one in instances],
        events=[event_msg(event) for event in events],
    )


def instance_msg(one: Instance) -> InstanceMsg:
    """Return one instance; its geometry is in the map frame."""
    z_min_m, z_max_m = one.z_range_m
    x_px, y_px, width_px, height_px = one.roi_px
    msg = InstanceMsg(
        id=one.id,
        state=int(one.state),
        score=one.score,
        match_confidence=one.match_confidence,
        first_seen=time_msg(one.first_seen_ns),
        last_seen=time_msg(one.last_seen_ns),
        num_observations=one.num_observations,
        num_missed=one.num_missed,
        centroid=_point(one.centroid_m),
        footprint=Polygon(points=[Point32(x=x, y=y) for x, y in one.footprint_m.tolist()]),
        z_min=z_min_m,
        z_max=z_max_m,
        num_points=one.num_points,
        roi=RegionOfInterest(x_offset=x_px, y_offset=y_px, width=width_px, height=height_px),
        labels=list(one.labels),
        label_scores=list(one.label_scores),
    )
    fill_box_pose(msg.bbox_pose, one.box)
    fill_vector(msg.bbox_size, one.box.size_m)
    return msg


def fill_box_pose(msg: Pose, box: OrientedBox) -> None:
    """Write the centre and the yaw of a box into a pose that has never been turned but about z."""
    fill_vector(msg.position, box.center_m)
    msg.orientation.z, msg.orientation.w = math.sin(box.yaw_rad / 2), math.cos(box.yaw_rad / 2)


def fill_vector(msg: Point | Vector3, xyz_m: tuple[float, float, float]) -> None:
    """Write three numbers into a point or a vector."""
    msg.x, msg.y, msg.z = xyz_m


def instance(msg: InstanceMsg) -> Instance:
    """Return one instance of a message of ours."""
    orientation = msg.bbox_pose.orientation
    return Instance(
        id=msg.id,
        state=InstanceState(msg.state),
        score=msg.score,
        match_confidence=msg.match_confidence,
        first_seen_ns=stamp_ns(msg.first_seen),
        last_seen_ns=stamp_ns(msg.last_seen),
        num_observations=msg.num_observations,
        num_missed=msg.num_missed,
        centroid_m=_xyz(msg.centroid),
        box=OrientedBox(
            center_m=_xyz(msg.bbox_pose.position),
            size_m=_xyz(msg.bbox_size),
            yaw_rad=2 * math.atan2(orientation.z, orientation.w),
        ),
        footprint_m=np.array([(point.x, point.y) for point in msg.footprint.points], np.float32).reshape(-1, 2),
        num_points=msg.num_points,
        roi_px=(msg.roi.x_offset, msg.roi.y_offset, msg.roi.width, msg.roi.height),
        labels=tuple(msg.labels),
        label_scores=tuple(msg.label_scores),
    )


def event_msg(event: InstanceEvent) -> InstanceEventMsg:
    """Return one event."""
    return InstanceEventMsg(
        type=int(event.type),
        id=event.instance_id,
        other_id=event.other_id,
        stamp=time_msg(event.stamp_ns),
        reason=event.reason,
    )


def event(msg: InstanceEventMsg) -> InstanceEvent:
    """Return one event of a message of ours."""
    return InstanceEvent(EventType(msg.type), msg.id, stamp_ns(msg.stamp), msg.other_id, msg.reason)


def segmentation_msg(
    segmented: SegmentedFrame, the_map: uuid.UUID, camera_frame: str, map_frame: str, stage_ms: Mapping[str, float]
) -> Segmentation:
    """Return the labels of one frame; `stage_ms` in the order in which the stages ran."""
    head = header(segmented.frame.stamp_ns, camera_frame)
    ids, scores = _visible(segmented)
    return Segmentation(
        header=head,
        map_id=map_id_msg(the_map),
        frame_index=segmented.frame_index,
        camera_pose=PoseStamped(
            header=header(segmented.frame.depth_stamp_ns, map_frame), pose=pose_msg(segmented.frame.pose)
        ),
        labels=image_msg(head, segmented.label_image, "32SC1"),
        ids=ids.tolist(),
        scores=scores.tolist(),
        stage_names=list(stage_ms),
        stage_ms=list(stage_ms.values()),
    )


def label_image(msg: Image) -> np.ndarray:
    """Return the (H, W) int32 instance ids of a label image of ours."""
    return np.frombuffer(msg.data, np.int32).reshape(msg.height, msg.width)


def _visible(segmented: SegmentedFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the ids seen in the frame, ascending, and the score of each; (K,) and (K,)."""
    # All points of one id carry the score of that id.
    ids, first = np.unique(segmented.point_ids, return_index=True)
    visible = ids != NO_INSTANCE
    return ids[visible], segmented.point_scores[first[visible]]


def _holding(msg: _Data, data: array.array) -> _Data:
    # Beside the property: it copies, or checks every element, as the version will have it (rclpy#763).
    msg._data = data
    return msg


def _bytes(values: np.ndarray) -> array.array:
    data = array.array("B")
    data.frombytes(values.reshape(-1).view(np.uint8).data)
    return data


def _point(xyz_m: tuple[float, float, float]) -> Point:
    x, y, z = xyz_m
    return Point(x=x, y=y, z=z)


def _xyz(msg: Point | Vector3) -> tuple[float, float, float]:
    return msg.x, msg.y, msg.z
