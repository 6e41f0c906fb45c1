"""What comes out of a running node: the overlay, and everything else while some subscriber does not read."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
from rclpy.qos import qos_profile_sensor_data
from ros_harness import CAMERA, CAMERA_FRAME, LATCHED, RELIABLE, TIMEOUT_S, Robot, scene, wait_until
from sensor_msgs.msg import Image, PointCloud2
from visualization_msgs.msg import MarkerArray

from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.ros import conversions

EVERYTHING = {
    "instances": InstanceArray,
    "instances_full": InstanceArray,
    "segmentation": Segmentation,
    "points": PointCloud2,
    "map_points": PointCloud2,
    "markers": MarkerArray,
    "segmenter_node/overlay": Image,
}
NUM_FRAMES = 15  # more than any publisher keeps
FROZEN = """
import rclpy
from rclpy.qos import QoSProfile
from sensor_msgs.msg import PointCloud2
from visualization_msgs.msg import MarkerArray
from autoseg3d_ros.msg import InstanceArray, Segmentation
rclpy.init()
node = rclpy.create_node("frozen")
for kind, topic in ((InstanceArray, "instances"), (Segmentation, "segmentation"), (PointCloud2, "points"),
                    (MarkerArray, "markers")):
    node.create_subscription(kind, topic, print, QoSProfile(depth=10))
rclpy.spin(node)
"""


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with node_client.running(tmp_path_factory.mktemp("node")) as node:
        node.robot.connect()
        node.changes = node.robot.listen("instances", InstanceArray)
        yield node


def test_the_overlay_shows_the_instances_on_the_image(node):
    pictures = node.robot.listen("segmenter_node/overlay", Image, qos_profile_sensor_data)
    stamp_ns = node.next_stamp()

    def shown() -> bool:
        node.expect_frame(node.changes)
        return wait_until(lambda: pictures, 1.0)  # best effort: one may be lost

    assert wait_until(shown)
    picture = pictures[-1]
    assert conversions.stamp_ns(picture.header.stamp) > stamp_ns
    assert (picture.header.frame_id, picture.encoding) == (CAMERA_FRAME, "bgr8")
    assert (picture.width, picture.height, picture.step) == (CAMERA.width, CAMERA.height, 3 * CAMERA.width)
    pixels = np.frombuffer(picture.data, np.uint8).reshape(CAMERA.height, CAMERA.width, 3)
    is_changed = (pixels[..., ::-1] != scene()[0]).any(axis=-1)
    assert is_changed[40:70, 30:50].mean() > 0.9, "the red box is painted over"


@pytest.fixture
def sleeper(node):
    """A subscriber to everything whose first callback does not return."""
    robot, wake, asleep = Robot(node.domain), threading.Event(), threading.Event()

    def sleep(_message: object) -> None:
        asleep.set()
        wake.wait(TIMEOUT_S)

    for topic, kind in EVERYTHING.items():
        qos = LATCHED if topic in ("instances_full", "map_points") else RELIABLE
        qos = qos_profile_sensor_data if kind is Image else qos
        robot.node.create_subscription(kind, topic, sleep, qos)
    yield lambda: wait_until(asleep.is_set)
    wake.set()
    robot.close()


@pytest.fixture
def frozen(node, tmp_path):
    """A subscriber in a process that is stopped, so that nobody reads or acknowledges for it."""
    environment = {**os.environ, "ROS_DOMAIN_ID": str(node.domain)}
    before = node.robot.node.count_subscribers("points")
    process = subprocess.Popen([sys.executable, "-c", FROZEN], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL)
    assert wait_until(lambda: node.robot.node.count_subscribers("points") > before)
    node.expect_frame(node.changes)
    process.send_signal(signal.SIGSTOP)
    yield lambda: process.poll() is None
    process.kill()
    process.wait(TIMEOUT_S)


@pytest.mark.parametrize("subscriber", ["sleeper", "frozen"])
def test_a_subscriber_that_does_not_read_holds_nothing_up(node, request, subscriber):
    does_not_read = request.getfixturevalue(subscriber)
    node.expect_frame(node.changes)
    assert does_not_read()
    for _ in range(NUM_FRAMES):
        node.expect_frame(node.changes)
    assert does_not_read(), "all frames came out while it did not read"
    assert "Error" not in node.process.output()
