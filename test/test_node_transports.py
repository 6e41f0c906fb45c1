"""The node over real DDS with other settings of its inputs: compressed images, TF, time jumps, QoS."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import ros_harness
from geometry_msgs.msg import PoseStamped
from node_world import SECOND, World, start_node
from ros_harness import BEST_EFFORT, CAMERA, CAMERA_FRAME, LEVEL_POSE, RELIABLE, Robot, wait_until
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions

TENTH = SECOND // 10
STAND_INS = Path(__file__).parent / "ros_stand_ins"
SCENE_RGB, SCENE_DEPTH_M = ros_harness.scene()


@pytest.fixture(autouse=True)
def _only_this_machine(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")


@pytest.fixture
def start_world(tmp_path):
    """Start a node with other settings, in a domain of its own."""
    ends: list[Callable[[], object]] = []

    def make(connect: Callable[[Robot], object], **parameters: object) -> World:
        reserved = ros_harness.reserved_domain()
        domain = reserved.__enter__()
        node, robot = start_node(domain, tmp_path, **parameters), Robot(domain)
        ends.extend([robot.close, node.end, lambda: reserved.__exit__(None, None, None)])
        connect(robot)
        world = World(node, robot)
        world.changes = robot.listen("instances", InstanceArray)
        return world

    yield make
    for end in ends:
        end()


def compressed_camera(robot: Robot) -> None:
    """Connect raw depth and poses, but publish colour and depth compressed only."""
    robot.rgb = robot.node.create_publisher(CompressedImage, "rgb/image_raw/compressed", RELIABLE)
    robot.depth = robot.node.create_publisher(CompressedImage, "depth/image_raw/compressedDepth", RELIABLE)
    robot.info = robot.node.create_publisher(CameraInfo, "rgb/camera_info", RELIABLE)
    robot.pose = robot.node.create_publisher(PoseStamped, "pose", RELIABLE)
    publishers = (robot.rgb, robot.depth, robot.info, robot.pose)
    assert wait_until(lambda: all(one.get_subscription_count() for one in publishers))


def test_compressed_images_and_damaged_ones(start_world):
    """`auto` finds the compressed topics; a JPEG or PNG that is cut or no image costs one frame."""
    world = start_world(compressed_camera)
    jpeg = cv2.imencode(".jpg", SCENE_RGB[..., ::-1])[1].tobytes()
    units = (SCENE_DEPTH_M * 1000).astype(np.uint16)
    png = bytes(12) + cv2.imencode(".png", units)[1].tobytes()
    good = ("rgb8; jpeg compressed bgr8", jpeg), ("16UC1; compressedDepth png", png)
    cut_jpeg, cut_png = (good[0][0], jpeg[: len(jpeg) // 2]), (good[1][0], png[:-20])
    depth_as_jpeg = ("16UC1; jpeg compressed ", jpeg)
    frames = [good, (cut_jpeg, good[1]), (good[0], cut_png), (good[0], depth_as_jpeg), good]
    stamps = [(1000 + index) * SECOND for index in range(len(frames))]
    for stamp_ns, ((rgb_format, rgb), (depth_format, depth)) in zip(stamps, frames, strict=True):
        head = conversions.header(stamp_ns, CAMERA_FRAME)
        world.robot.info.publish(conversions.camera_info_msg(head, CAMERA))
        world.robot.send_pose(stamp_ns)
        world.robot.rgb.publish(CompressedImage(header=head, format=rgb_format, data=rgb))
        world.robot.depth.publish(CompressedImage(header=head, format=depth_format, data=depth))
    world.expect(stamps[0], stamps[-1])
    assert world.ids()
    world.node.wait_for("/rgb/image_raw/compressed: cut short")
    world.node.send(signal.SIGTERM)
    assert world.node.wait() == 0
    assert "dropped 3 undecodable" in world.said()


def test_publishers_twice_as_fast_as_the_node(start_world):
    world = start_world(Robot.connect, **{"process.mode": "latest", "process.max_rate_hz": 10.0})
    stamps = [1000 * SECOND + index * SECOND // 20 for index in range(30)]
    for stamp_ns in stamps:
        world.robot.send_frame(stamp_ns)
        time.sleep(0.05)
    assert wait_until(lambda: world.stamps() and world.stamps()[-1] == stamps[-1]), "the newest is always taken"
    assert world.stamps() == sorted(world.stamps()) and len(world.stamps()) < len(stamps)
    world.node.send(signal.SIGTERM)
    assert world.node.wait() == 0
    assert "superseded" in world.said() and "failed 0" in world.said()


def test_the_frames_before_and_after_a_bag_loop_may_come_mixed(start_world):
    """The first frame and the one after the jump at once: topics keep no order between them."""
    world = start_world(Robot.connect, on_time_jump="shutdown")
    for stamp_ns in (1000 * SECOND, 950 * SECOND):
        world.robot.send_pose(stamp_ns)
        world.robot.info.publish(conversions.camera_info_msg(conversions.header(stamp_ns, CAMERA_FRAME), CAMERA))
    for publisher, pixels, encoding in (
        (world.robot.rgb, SCENE_RGB, "rgb8"),
        (world.robot.depth, SCENE_DEPTH_M, "32FC1"),
    ):
        for stamp_ns in (1000 * SECOND, 950 * SECOND):
            publisher.publish(conversions.image_msg(conversions.header(stamp_ns, CAMERA_FRAME), pixels, encoding))
    assert world.node.wait() == 0
    assert "on_time_jump is shutdown" in world.said()


def best_effort_camera(robot: Robot) -> None:
    robot.rgb = robot.node.create_publisher(Image, "rgb/image_raw", BEST_EFFORT)


def test_a_publisher_that_cannot_be_heard_is_named(start_world):
    world = start_world(best_effort_camera)
    world.node.wait_for("/rgb/image_raw: a publisher offers another RELIABILITY than is asked for")


def test_poses_of_tf(start_world, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(STAND_INS), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.syspath_prepend(str(STAND_INS))
    for name in ("tf2_msgs", "tf2_msgs.msg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    from tf2_msgs.msg import TFMessage

    def connect(robot: Robot) -> None:
        robot.rgb, robot.depth = (
            robot.node.create_publisher(Image, f"{one}/image_raw", RELIABLE) for one in ("rgb", "depth")
        )
        robot.info = robot.node.create_publisher(CameraInfo, "rgb/camera_info", RELIABLE)
        robot.tf = robot.node.create_publisher(TFMessage, "/tf", RELIABLE)
        assert wait_until(lambda: all(one.get_subscription_count() for one in (robot.rgb, robot.depth, robot.tf)))

    world = start_world(connect, **{"pose.source": "tf"})

    def send_transforms(stamp_ns: int) -> None:
        tf = TFMessage()
        for names, pose in (
            ("map base", conversions.Pose()),
            (f"base {CAMERA_FRAME}", conversions.pose_msg(LEVEL_POSE)),
        ):
            tf.poses.append(PoseStamped(header=conversions.header(stamp_ns, names), pose=pose))
        world.robot.tf.publish(tf)

    stamps = [1000 * SECOND + index * TENTH for index in range(4)]
    for stamp_ns in stamps:
        world.robot.send_frame(stamp_ns, pose=False)
        send_transforms(stamp_ns)
    world.expect(*stamps)
    assert world.ids()


@pytest.mark.parametrize(
    ("name", "value", "package"),
    [("pose.source", "tf", "tf2_ros"), ("sync.engine", "message_filters", "message_filters")],
)
def test_a_package_that_is_not_installed_is_one_sentence(tmp_path, name, value, package):
    if importlib.util.find_spec(package):
        pytest.skip(f"{package} is installed")
    with ros_harness.reserved_domain() as domain:
        node = start_node(domain, tmp_path, **{name: value})
        try:
            node.wait_for(f"{name}: {value}: expected the ROS packages {package}")
        finally:
            node.end()
