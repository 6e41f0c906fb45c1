"""The node as a process of its own, over real DDS."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import ros_harness
from nav_msgs.msg import Odometry
from ros_harness import BEST_EFFORT, CAMERA, CAMERA_FRAME, LATCHED, LEVEL_POSE, RELIABLE, Process, Robot, wait_until
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import Marker, MarkerArray

from autoseg3d_ros.msg import Instance, InstanceArray, InstanceEvent, Segmentation
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.structures import RigidPose

SECOND = 10**9
STAMPS = [100 * SECOND + index * SECOND // 10 for index in range(5)]
EVERY_FRAME = {"process.mode": "lossless", "input.qos": "DEFAULT", "pose.timeout_s": 20.0}


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with ros_harness.reserved_domain() as number:
        yield number


@pytest.fixture
def start_node(domain, tmp_path):
    nodes = []

    def start(**parameters) -> Process:
        path = ros_harness.parameters_file(tmp_path, {"model.name": "none", **parameters})
        nodes.append(Process("segmenter_node", ["--ros-args", "--params-file", str(path)], domain, tmp_path))
        return nodes[-1]

    yield start
    for node in nodes:
        node.end()


@pytest.fixture
def robot(domain):
    robot = Robot(domain)
    yield robot
    robot.close()


def stamp_of(message) -> int:
    return conversions.stamp_ns(message.header.stamp)


def expect(received: list, count: int, what: str) -> list:
    assert wait_until(lambda: len(received) >= count), f"expected {count} {what}, got {len(received)}"
    return received


def test_frames_in_instances_out(start_node, robot):
    node = start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    full = robot.listen("instances_full", InstanceArray, LATCHED)
    labels = robot.listen("segmentation", Segmentation)
    points = robot.listen("points", PointCloud2)
    the_map = robot.listen("map_points", PointCloud2, LATCHED)
    markers = robot.listen("markers", MarkerArray)

    for stamp_ns in STAMPS:
        robot.send_frame(stamp_ns)
    for received, what in ((changes, "instances"), (labels, "segmentation"), (points, "points")):
        expect(received, len(STAMPS), what)
        assert [stamp_of(message) for message in received] == STAMPS, what

    assert {message.header.frame_id for message in (*changes, *full, *points, *the_map)} == {"map"}
    assert [message.frame_index for message in changes] == [0, 1, 2, 3, 4]
    assert len({bytes(message.map_id.uuid) for message in (*changes, *labels)}) == 1
    assert not any(message.is_full for message in changes)

    created = {event.id for message in changes for event in message.events if event.type == InstanceEvent.CREATED}
    assert len(created) >= 2 and 0 not in created
    assert {one.id for one in changes[0].instances} <= created
    assert any(one.state == Instance.STATE_ACTIVE for one in changes[-1].instances)

    last = labels[-1]
    image = conversions.label_image(last.labels)
    assert image.shape == (CAMERA.height, CAMERA.width)
    assert last.header.frame_id == CAMERA_FRAME
    assert conversions.pose(last.camera_pose.pose) == LEVEL_POSE
    assert set(last.ids) == set(np.unique(image)) - {0}
    assert list(last.stage_names)[:2] == ["sync_wait", "pose_wait"] and last.stage_names[-1] == "publish"
    red_box, blue_box = image[55, 40], image[65, 118]
    assert red_box and blue_box and red_box != blue_box

    cloud = conversions.cloud_points(points[-1])
    assert points[-1].point_step == 24
    of_red_box = cloud[cloud["instance_id"] == red_box]
    assert np.abs(of_red_box["x"] - 1.2).max() < 0.05, "the red box is 1.2 m ahead, along x of the map"

    assert wait_until(lambda: full and full[-1].frame_index == 4), "the last state was swallowed"
    assert full[-1].is_full and stamp_of(full[-1]) == STAMPS[-1]
    assert {one.id for one in full[-1].instances} >= {red_box, blue_box}
    assert wait_until(lambda: the_map and stamp_of(the_map[-1]) == STAMPS[-1])
    assert red_box in conversions.cloud_points(the_map[-1])["instance_id"]
    shown = {(marker.ns, marker.id) for message in markers for marker in message.markers if marker.action == Marker.ADD}
    assert {("boxes", red_box), ("ids", blue_box)} <= shown

    node.send(signal.SIGTERM)
    assert node.wait() == 0
    assert "processed 5 frames, failed 0, dropped none" in node.output()


def test_a_late_subscriber_gets_the_last_list_and_the_last_map(start_node, robot):
    start_node(**EVERY_FRAME, **{"output.map_rate_hz": 0.5})
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    for stamp_ns in STAMPS:
        robot.send_frame(stamp_ns)
    expect(changes, len(STAMPS), "instances")
    time.sleep(3.0)  # longer than the period of `instances_full`: what comes now was published before

    full = robot.listen("instances_full", InstanceArray, LATCHED)
    the_map = robot.listen("map_points", PointCloud2, LATCHED)
    assert [message.frame_index for message in expect(full, 1, "instances_full")] == [4]
    assert {one.id for one in full[0].instances} >= {one.id for one in changes[-1].instances}
    assert [stamp_of(message) for message in expect(the_map, 1, "map_points")] == [STAMPS[-1]]


def test_a_late_pose_is_waited_for(start_node, robot):
    start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    labels = robot.listen("segmentation", Segmentation)
    robot.send_pose(STAMPS[0] - SECOND // 20, RigidPose((0.0, 0.0, 1.0), LEVEL_POSE.quaternion_xyzw))
    robot.send_frame(STAMPS[0], pose=False)
    time.sleep(0.5)
    assert changes == []

    robot.send_pose(STAMPS[0] + SECOND // 20, RigidPose((0.2, 0.0, 1.0), LEVEL_POSE.quaternion_xyzw))
    expect(changes, 1, "instances")
    assert stamp_of(changes[0]) == STAMPS[0]
    assert conversions.pose(expect(labels, 1, "segmentation")[0].camera_pose.pose).translation_m == pytest.approx(
        (0.1, 0.0, 1.0)
    ), "half way between the two poses"


def test_the_camera_info_may_come_last(start_node, robot):
    start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    robot.send_frame(STAMPS[0], info=False)
    time.sleep(0.2)
    robot.info.publish(conversions.camera_info_msg(conversions.header(STAMPS[0], CAMERA_FRAME), CAMERA))
    assert stamp_of(expect(changes, 1, "instances")[0]) == STAMPS[0]


@pytest.mark.parametrize("qos", [BEST_EFFORT, RELIABLE], ids=["best effort", "reliable"])
def test_every_publisher_connects(start_node, robot, qos):
    start_node()
    robot.connect(qos)
    changes = robot.listen("instances", InstanceArray)
    for stamp_ns in STAMPS:
        robot.send_frame(stamp_ns)
        time.sleep(0.1)
    assert set(map(stamp_of, expect(changes, 1, "instances"))) <= set(STAMPS)


def test_poses_of_odometry(start_node, robot):
    node = start_node(**EVERY_FRAME, **{"pose.source": "odometry", "map_frame": "odom"})
    robot.connect(pose_type=Odometry)
    changes = robot.listen("instances", InstanceArray)
    odometry = Odometry(header=conversions.header(STAMPS[0], "odom"), child_frame_id="base_link")
    odometry.pose.pose = conversions.pose_msg(LEVEL_POSE)
    robot.send_frame(STAMPS[0], pose=False)
    robot.pose.publish(odometry)
    assert expect(changes, 1, "instances")[0].header.frame_id == "odom"
    node.wait_for("expected the pose of the camera frame 'test_camera', got that of 'base_link'")


@pytest.mark.parametrize(
    "number, is_busy",
    [(signal.SIGTERM, False), (signal.SIGINT, False), (signal.SIGTERM, True)],
    ids=["SIGTERM", "SIGINT", "in the middle of a frame"],
)
def test_a_signal_ends_it_cleanly(start_node, robot, number, is_busy):
    node = start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    full = robot.listen("instances_full", InstanceArray, LATCHED)
    for index in range(40 if is_busy else 1):
        robot.send_frame(STAMPS[0] + index * SECOND // 10)
    expect(changes, 1, "instances")

    node.send(number)
    node.send(number)  # `ros2 launch` and the terminal send one each
    assert node.wait() == 0
    assert "Traceback" not in node.output()
    assert wait_until(lambda: full[-1].frame_index == changes[-1].frame_index), "the last state was not published"


def loop_a_bag(robot: Robot, changes: list) -> list[InstanceArray]:
    for start_ns in (STAMPS[0], STAMPS[0] - 50 * SECOND):
        before = len(changes)
        for index in range(3):
            robot.send_frame(start_ns + index * SECOND // 10)
        expect(changes, before + 3, "instances")
    return changes


@pytest.mark.parametrize("reaction", ["reset", "keep"])
def test_a_bag_that_loops(start_node, robot, reaction):
    node = start_node(**EVERY_FRAME, on_time_jump=reaction)
    robot.connect()
    markers = robot.listen("markers", MarkerArray)
    first, *_others, last = loop_a_bag(robot, robot.listen("instances", InstanceArray))
    is_new = bytes(first.map_id.uuid) != bytes(last.map_id.uuid)
    assert (is_new, last.frame_index) == ((True, 2) if reaction == "reset" else (False, 5))
    node.wait_for(f"on_time_jump is {reaction}")
    all_deleted = [marker for message in markers for marker in message.markers if marker.action == Marker.DELETEALL]
    assert len(all_deleted) == (1 if reaction == "reset" else 0)


def test_a_bag_that_loops_can_end_the_node(start_node, robot):
    node = start_node(**EVERY_FRAME, on_time_jump="shutdown")
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    robot.send_frame(STAMPS[0])
    expect(changes, 1, "instances")  # topics keep no order between them: one of this frame may not come after the jump
    robot.send_frame(STAMPS[0] - 50 * SECOND)
    assert node.wait() == 0
    assert "on_time_jump is shutdown" in node.output()


SCENE_RGB, SCENE_DEPTH_M = ros_harness.scene()
NOTHING_M = np.zeros_like(SCENE_DEPTH_M)
UNKNOWN_COLOUR = (
    {"rgb_encoding": "bayer_rggb16"},
    "/rgb/image_raw: expected one of the encodings rgb8, bgr8, rgba8",
)
UNKNOWN_DEPTH = ({"depth_encoding": "64FC1"}, "/depth/image_raw: expected one of the encodings")
OTHER_DEPTH_SIZE = (
    {"depth": SCENE_DEPTH_M[:, ::2]},
    "expected a depth image of the colour image's 160x120 pixels, got 80x120",
)
OTHER_CAMERA_SIZE = (
    {"rgb": SCENE_RGB[::2, ::2], "depth": SCENE_DEPTH_M[::2, ::2]},
    "expected images of the 160x120 pixels of camera_info, got 80x60",
)


@pytest.mark.parametrize(
    "bad_frames",
    [(UNKNOWN_COLOUR, OTHER_DEPTH_SIZE, OTHER_CAMERA_SIZE), (UNKNOWN_DEPTH,)],
    ids=["colour encoding and sizes", "depth encoding"],
)
def test_a_bad_frame_is_named_and_the_next_one_works(start_node, robot, bad_frames):
    node = start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    good_stamps = [STAMPS[0] + index * SECOND for index in range(1, len(bad_frames) + 1)]
    for (images, message), stamp_ns in zip(bad_frames, good_stamps, strict=True):
        robot.send_frame(stamp_ns - SECOND // 2, **images)
        robot.send_frame(stamp_ns)
        node.wait_for(message)
    assert [stamp_of(message) for message in expect(changes, len(good_stamps), "instances")] == good_stamps


def test_depth_without_a_valid_pixel(start_node, robot):
    node = start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    without_depth = (NOTHING_M, NOTHING_M + np.nan, NOTHING_M + np.inf)
    for depth_m, stamp_ns in zip(without_depth, STAMPS, strict=False):
        robot.send_frame(stamp_ns, depth=depth_m)
    robot.send_frame(STAMPS[-1])
    assert wait_until(lambda: changes and changes[-1].instances), "the good frame gives instances"
    assert stamp_of(changes[-1]) == STAMPS[-1]
    assert not any(message.instances for message in changes[:-1])
    assert "Traceback" not in node.output()


def test_bad_poses_and_intrinsics_are_named(start_node, robot):
    node = start_node(**EVERY_FRAME)
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    head = conversions.header(STAMPS[0], "vision")
    info = conversions.camera_info_msg(head, CAMERA)
    info.k = np.zeros(9)
    robot.info.publish(info)
    node.wait_for("/rgb/camera_info: expected intrinsics, got a CameraInfo whose K is all zeros")
    pose = ros_harness.PoseStamped(header=head)
    pose.pose.orientation.w = 0.0
    robot.pose.publish(pose)
    node.wait_for("expected poses in the frame 'map', got 'vision'")
    node.wait_for("/pose: pose: expected a unit quaternion")
    robot.send_frame(STAMPS[1])
    expect(changes, 1, "instances")


def test_parameters_while_it_runs(start_node, robot):
    start_node(**EVERY_FRAME, **{"tracking.min_observations": 3})
    robot.connect()
    changes = robot.listen("instances", InstanceArray)
    refused = robot.set_parameter("on_time_jump", "panic")
    assert (refused.successful, refused.reason) == (
        False,
        "on_time_jump: expected one of reset, keep, shutdown, got 'panic'",
    )
    assert "read-only" in robot.set_parameter("map_frame", "odom").reason

    robot.send_frame(STAMPS[0])
    assert expect(changes, 1, "instances")[0].instances, "tentative ones are published"
    assert robot.set_parameter("output.min_state", "active").successful
    robot.send_frame(STAMPS[1])
    assert expect(changes, 2, "instances")[1].instances == [], "tentative ones are not"
    assert bytes(changes[0].map_id.uuid) == bytes(changes[1].map_id.uuid), "a setting must not cost the memory"
    assert changes[1].frame_index == 1


def test_a_wrong_parameter_at_the_start_is_one_sentence(start_node):
    node = start_node(**{"depth.max": 3.0})
    assert node.wait() == 1
    assert node.output() == "segmenter_node: parameter unknown key 'depth.max'; did you mean 'depth.max_m'?\n"


def test_a_missing_parameter_file_is_one_sentence(domain, tmp_path):
    node = Process("segmenter_node", ["--ros-args", "--params-file", "nowhere.yaml"], domain, tmp_path)
    assert node.wait() == 1
    assert "segmenter_node: " in node.output() and "nowhere.yaml" in node.output()
    assert "Traceback" not in node.output()


def test_silence_is_explained(start_node, robot):
    node = start_node(**EVERY_FRAME)
    robot.connect()
    robot.info.publish(conversions.camera_info_msg(conversions.header(0, CAMERA_FRAME), CAMERA))
    node.wait_for("no output for 5 s: no messages on /rgb/image_raw, /depth/image_raw, /pose\n")
