"""Callbacks only enqueue, and whatever is in a message, they do not raise."""

from __future__ import annotations

import logging

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from ros_harness import CAMERA, CAMERA_FRAME, LEVEL_POSE, scene
from sensor_msgs.msg import CameraInfo, Image

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import QOS_NAMES, Config
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.inputs import Inputs, input_qos
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox

LOSSLESS = settings.replace(Config(), {"process.mode": "lossless", "pose.timeout_s": 60.0})
SECOND = 10**9


class Bench:
    """The inputs of a node that hears nobody: messages are given to its callbacks by hand."""

    def __init__(self, node: Node, config: Config) -> None:
        self.assembler = FrameAssembler(config)
        self.mailbox: Mailbox = Mailbox(config.process)
        self.inputs = Inputs(node, config, self.assembler, self.mailbox)
        self._callbacks = {one.topic_name: one.callback for one in node.subscriptions}
        self.topics = {one.topic_name: one.msg_type for one in node.subscriptions}

    def send(self, topic: str, message: object) -> None:
        self._callbacks[topic](message)

    def send_frame(self, stamp_ns: int) -> None:
        rgb, depth_m = scene()
        head = conversions.header(stamp_ns, CAMERA_FRAME)
        self.send("/rgb/camera_info", conversions.camera_info_msg(head, CAMERA))
        self.send_pose(stamp_ns)
        self.send("/rgb/image_raw", conversions.image_msg(head, rgb, "rgb8"))
        self.send("/depth/image_raw", conversions.image_msg(head, depth_m, "32FC1"))

    def send_pose(self, stamp_ns: int, frame_id: str = "map") -> None:
        pose = conversions.pose_msg(LEVEL_POSE)
        self.send("/pose", PoseStamped(header=conversions.header(stamp_ns, frame_id), pose=pose))

    def taken(self) -> list[int]:
        """The colour stamps of the pairs in the mailbox."""
        return [self.mailbox.get(0.0).colour_stamp_ns for _index in range(len(self.mailbox))]


@pytest.fixture
def make_bench(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "OFF")
    context = Context()
    context.init(args=[])
    nodes = []

    def make(config: Config = LOSSLESS) -> Bench:
        nodes.append(Node("under_test", context=context, start_parameter_services=False))
        return Bench(nodes[-1], config)

    yield make
    for node in nodes:
        node.destroy_node()
    context.try_shutdown()


@pytest.mark.parametrize(
    "source, pose_topic",
    [("pose", ("/pose", PoseStamped)), ("odometry", ("/odom", Odometry))],
)
def test_what_is_subscribed_to(make_bench, source, pose_topic):
    bench = make_bench(settings.replace(LOSSLESS, {"pose.source": source}))
    images = {"/rgb/image_raw": Image, "/depth/image_raw": Image, "/rgb/camera_info": CameraInfo}
    assert bench.topics == {**images, pose_topic[0]: pose_topic[1]}
    assert bench.inputs.num_received == dict.fromkeys(bench.topics, 0)


def test_a_frame_becomes_a_pair(make_bench):
    bench = make_bench()
    bench.send_frame(SECOND)
    assert set(bench.inputs.num_received.values()) == {1}
    assert bench.inputs.camera_frame == CAMERA_FRAME
    pair = bench.mailbox.get(0.0)
    frame = bench.assembler.assemble(pair)
    rgb, depth_m = scene()
    assert (frame.stamp_ns, frame.camera, frame.pose) == (SECOND, CAMERA, LEVEL_POSE)
    assert (frame.rgb == rgb).all() and (frame.depth_m == depth_m).all()


def test_an_exception_in_a_callback_does_not_stop_the_synchronizer(make_bench, monkeypatch, caplog):
    bench = make_bench()
    for broken in ("add_colour", "add_depth", "add_pose", "add_camera", "poll"):
        with monkeypatch.context() as patch, caplog.at_level(logging.WARNING):
            patch.setattr(bench.assembler, broken, _raise)
            bench.send_frame(SECOND)
    bench.mailbox.get(0.0)
    bench.send_frame(2 * SECOND)
    assert bench.taken()[-1] == 2 * SECOND
    assert "/rgb/image_raw: message not used: RuntimeError: broken" in caplog.messages
    assert len(set(caplog.messages)) == len(caplog.messages), "each is said once"


def _raise(*_arguments):
    raise RuntimeError("broken")


def test_a_bag_loop_does_not_stop_the_synchronizer(make_bench):
    bench = make_bench()
    stamps = [10 * SECOND, 11 * SECOND, 2 * SECOND, 3 * SECOND, 10 * SECOND, 2 * SECOND]
    for stamp_ns in stamps:
        bench.send_frame(stamp_ns)
    assert bench.taken() == stamps
    assert bench.assembler.epoch == 2


def test_a_full_queue_before_a_jump_back_does_not_stop_the_synchronizer(make_bench):
    """message_filters keeps the oldest stamps of a full queue, so that after a jump each new image is deleted."""
    bench = make_bench()
    rgb, _depth_m = scene()
    for stamp_ns in range(100 * SECOND, 102 * SECOND, SECOND // 30):  # colour without depth
        bench.send_pose(stamp_ns)
        bench.send("/rgb/image_raw", conversions.image_msg(conversions.header(stamp_ns, CAMERA_FRAME), rgb, "rgb8"))
    for stamp_ns in (SECOND, 2 * SECOND):
        bench.send_frame(stamp_ns)
    assert bench.taken() == [SECOND, 2 * SECOND]


def test_poses_in_another_frame_are_told_once(make_bench, caplog):
    bench = make_bench()
    with caplog.at_level(logging.WARNING):
        for stamp_ns in (1, 2, 3):
            bench.send_pose(stamp_ns, frame_id="vision")
    assert caplog.messages == [
        "/pose: expected poses in the frame 'map', got 'vision'; they are used as they are: "
        "set map_frame to 'vision' if that is what you mean"
    ]


@pytest.mark.parametrize("name", QOS_NAMES)
def test_qos_by_name(name):
    qos = input_qos(settings.replace(Config(), {"input.qos": name, "input.qos_depth": 7}))
    assert qos.depth == 7
    assert qos.durability != DurabilityPolicy.TRANSIENT_LOCAL, "a camera does not latch: nothing would connect"
    assert (qos.reliability == ReliabilityPolicy.BEST_EFFORT) == (name == "SENSOR_DATA")
