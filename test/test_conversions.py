"""Messages and structures: what goes out comes back, and the bytes are where the fields say."""

from __future__ import annotations

import math
import struct
import uuid

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from geometry_msgs.msg import Point, Pose, Quaternion
from rclpy.serialization import deserialize_message, serialize_message
from ros_builders import HEAD, an_instance, segmented_frame
from sensor_msgs.msg import CameraInfo, PointCloud2, PointField

from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.structures import CameraIntrinsics, EventType, FrameError, InstanceEvent, InstanceState, RigidPose


def over_the_wire(message):
    """Serialize and read back: a field that Python accepts but DDS does not fails here."""
    return deserialize_message(serialize_message(message), type(message))


@pytest.mark.parametrize(
    "nanoseconds", [0, 1, 999_999_999, 1_000_000_000, 1_305_031_102_175_304_000, 2**31 * 10**9 - 1]
)
def test_stamps_keep_every_nanosecond(nanoseconds):
    assert conversions.stamp_ns(conversions.time_msg(nanoseconds)) == nanoseconds


def test_pose_keeps_its_bits():
    value = RigidPose((0.1, -2.5, 1e-9), (0.5, -0.5, 0.5, 0.5))
    assert conversions.pose(over_the_wire(conversions.pose_msg(value))) == value


@pytest.mark.parametrize(
    "message",
    [
        Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=0.0)),
        Pose(orientation=Quaternion(x=0.0, y=0.0, z=0.0, w=1.1)),
        Pose(position=Point(x=math.nan)),
        Pose(position=Point(y=math.inf)),
    ],
    ids=["zero quaternion", "not a unit quaternion", "nan", "inf"],
)
def test_pose_that_is_no_rigid_transform_is_refused(message):
    with pytest.raises(FrameError, match="pose: expected"):
        conversions.pose(message)


@pytest.mark.parametrize("num_points", [0, 1, 1000])
def test_cloud_round_trip(num_points):
    rng = np.random.default_rng(num_points)
    xyz_m = rng.normal(size=(num_points, 3)).astype(np.float32)
    rgb = rng.integers(0, 256, (num_points, 3), dtype=np.uint8)
    ids = rng.integers(0, 70_000, num_points, dtype=np.int32)
    score = rng.random(num_points, dtype=np.float32)

    message = over_the_wire(conversions.cloud_msg(HEAD, xyz_m, rgb, ids, score))

    points = conversions.cloud_points(message)
    assert np.array_equal(np.stack([points["x"], points["y"], points["z"]], axis=1), xyz_m)
    assert np.array_equal(conversions.cloud_rgb(points), rgb)
    assert np.array_equal(points["instance_id"], ids)
    assert np.array_equal(points["score"], score)
    assert (message.width, message.height, message.row_step) == (num_points, 1, 24 * num_points)


def test_cloud_bytes_are_where_the_fields_say():
    message = conversions.cloud_msg(
        HEAD,
        np.array([[1.0, 2.0, 3.0]], np.float32),
        np.array([[10, 20, 30]], np.uint8),
        np.array([70_000], np.int32),
        np.array([0.5], np.float32),
    )
    fields = {field.name: (field.offset, field.datatype, field.count) for field in message.fields}
    real, whole = PointField.FLOAT32, PointField.UINT32
    assert fields == {
        "x": (0, real, 1),
        "y": (4, real, 1),
        "z": (8, real, 1),
        "rgb": (12, real, 1),
        "instance_id": (16, whole, 1),
        "score": (20, real, 1),
    }
    assert (message.point_step, message.is_dense, message.is_bigendian) == (24, True, False)
    packed_rgb = 10 << 16 | 20 << 8 | 30
    assert bytes(message.data) == struct.pack("<fffIIf", 1.0, 2.0, 3.0, packed_rgb, 70_000, 0.5)


@pytest.mark.parametrize(
    "pixels, encoding",
    [
        (np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3), "rgb8"),
        (np.linspace(0, 5, 6, dtype=np.float32).reshape(2, 3), "32FC1"),
        (np.array([[0, 70_000, 2**31 - 1]], np.int32), "32SC1"),
        (np.arange(24, dtype=np.uint8).reshape(2, 4, 3)[:, ::2], "rgb8"),
    ],
    ids=["colour", "depth", "labels", "not contiguous"],
)
def test_image_message_holds_the_pixels(pixels, encoding):
    message = over_the_wire(conversions.image_msg(HEAD, pixels, encoding))
    assert (message.height, message.width, message.encoding) == (*pixels.shape[:2], encoding)
    assert message.step * message.height == len(message.data)
    assert bytes(message.data) == pixels.tobytes()


def test_camera_info_message():
    camera = CameraIntrinsics(640, 480, 525.0, 526.0, 319.5, 239.5)
    message = over_the_wire(conversions.camera_info_msg(HEAD, camera))
    assert isinstance(message, CameraInfo)
    assert list(message.k) == [525.0, 0.0, 319.5, 0.0, 526.0, 239.5, 0.0, 0.0, 1.0]
    assert list(message.p) == [525.0, 0.0, 319.5, 0.0, 0.0, 526.0, 239.5, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert (message.width, message.height) == (640, 480)


@pytest.mark.parametrize("state", list(InstanceState))
def test_instance_round_trip(state):
    one = an_instance(7, state=state, labels=("cup", "mug"), label_scores=(0.75, 0.25))
    back = conversions.instance(over_the_wire(conversions.instance_msg(one)))
    assert (back.id, back.state, back.labels, back.label_scores) == (7, state, ("cup", "mug"), (0.75, 0.25))
    assert back.centroid_m == one.centroid_m
    assert back.box.center_m == one.box.center_m and back.box.size_m == one.box.size_m
    assert back.box.yaw_rad == pytest.approx(one.box.yaw_rad)
    assert np.array_equal(back.footprint_m, one.footprint_m)
    assert back.roi_px == one.roi_px
    assert (back.first_seen_ns, back.last_seen_ns) == (one.first_seen_ns, one.last_seen_ns)


def test_instance_message_of_a_birth():
    message = conversions.instance_msg(an_instance(1, match_confidence=math.nan))
    assert math.isnan(message.match_confidence)
    assert message.z_min == pytest.approx(0.75) and message.z_max == pytest.approx(1.25)
    assert message.footprint.points[0].z == 0.0


@pytest.mark.parametrize("kind", list(EventType))
def test_event_round_trip(kind):
    event = InstanceEvent(kind, 3, 5_000_000_001, other_id=2, reason="why")
    assert conversions.event(over_the_wire(conversions.event_msg(event))) == event


@pytest.mark.parametrize("num_instances", [0, 1, 3])
def test_instance_array(num_instances):
    map_id = uuid.uuid4()
    instances = [an_instance(i + 1) for i in range(num_instances)]
    message = over_the_wire(conversions.instance_array_msg(HEAD, map_id, 9, instances, is_full=True))
    assert isinstance(message, InstanceArray)
    assert conversions.map_id(message.map_id) == map_id
    assert [one.id for one in message.instances] == [one.id for one in instances]
    assert (message.frame_index, message.is_full, len(message.events)) == (9, True, 0)


def test_segmentation_of_a_frame():
    segmented = segmented_frame(ids=[[0, 70_000], [3, 3]], scores={70_000: 0.5, 3: 0.25})
    message = over_the_wire(
        conversions.segmentation_msg(segmented, uuid.uuid4(), "camera", "map", {"sync_wait": 1.0, "masks": 2.5})
    )
    assert isinstance(message, Segmentation)
    assert conversions.label_image(message.labels).tolist() == [[0, 70_000], [3, 3]]
    assert (list(message.ids), list(message.scores)) == ([3, 70_000], [0.25, 0.5])
    assert (list(message.stage_names), list(message.stage_ms)) == (["sync_wait", "masks"], [1.0, 2.5])
    assert (message.header.frame_id, message.camera_pose.header.frame_id) == ("camera", "map")
    assert conversions.stamp_ns(message.header.stamp) == segmented.frame.stamp_ns
    assert conversions.stamp_ns(message.camera_pose.header.stamp) == segmented.frame.depth_stamp_ns
    assert conversions.pose(message.camera_pose.pose) == segmented.frame.pose


def test_segmentation_of_a_frame_without_points():
    message = over_the_wire(
        conversions.segmentation_msg(segmented_frame(ids=[[0, 0]], scores={}), uuid.uuid4(), "camera", "map", {})
    )
    assert not message.labels.data.tobytes().strip(b"\0")
    assert (len(message.ids), len(message.scores)) == (0, 0)


def test_empty_cloud_is_a_message():
    nothing = np.empty((0, 3), np.float32)
    message = conversions.cloud_msg(
        HEAD, nothing, nothing.astype(np.uint8), np.empty(0, np.int32), np.empty(0, np.float32)
    )
    assert isinstance(over_the_wire(message), PointCloud2)
