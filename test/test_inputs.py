"""Callbacks only enqueue, and whatever is in a message, they do not raise."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Odometry
from rclpy.context import Context
from rclpy.event_handler import QoSSubscriptionEventType
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSPolicyKind, ReliabilityPolicy
from ros_harness import CAMERA, CAMERA_FRAME, LEVEL_POSE, scene
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import QOS_NAMES, Config, ConfigError
from autoseg3d_ros.ros import conversions, subscriptions
from autoseg3d_ros.ros.decoding import colour_image
from autoseg3d_ros.ros.inputs import Inputs, input_qos, require_packages
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.structures import FrameError

LOSSLESS = settings.replace(Config(), {"process.mode": "lossless", "pose.timeout_s": 60.0})
SECOND = 10**9


class Bench:
    """The inputs of a node that hears nobody: messages are given to its callbacks by hand."""

    def __init__(self, node: Node, config: Config) -> None:
        self.assembler = FrameAssembler(config)
        self.mailbox: Mailbox = Mailbox(config.process)
        self.inputs = Inputs(node, config, self.assembler, self.mailbox)
        self.node = node

    @property
    def topics(self) -> dict[str, type]:
        return {one.topic_name: one.msg_type for one in self.node.subscriptions}

    def send(self, topic: str, message: object) -> None:
        (subscription,) = (one for one in self.node.subscriptions if one.topic_name == topic)
        subscription.callback(message, {"received_timestamp": 0})  # 0: too long ago to be meant

    def mismatch(self, topic: str, event: object) -> None:
        """Tell of a publisher with another quality of service, as the middleware does."""
        (subscription,) = (one for one in self.node.subscriptions if one.topic_name == topic)
        kind = QoSSubscriptionEventType.RCL_SUBSCRIPTION_REQUESTED_INCOMPATIBLE_QOS
        (handler,) = (one for one in subscription.event_handlers if one.event_type == kind)
        handler.callback(event)

    def send_camera(self, stamp_ns: int) -> None:
        head = conversions.header(stamp_ns, CAMERA_FRAME)
        self.send("/rgb/camera_info", conversions.camera_info_msg(head, CAMERA))
        self.send_pose(stamp_ns)

    def send_frame(self, stamp_ns: int) -> None:
        rgb, depth_m = scene()
        head = conversions.header(stamp_ns, CAMERA_FRAME)
        self.send_camera(stamp_ns)
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
    optional = {"/depth/camera_info": CameraInfo}
    assert bench.topics == {**images, **optional, pose_topic[0]: pose_topic[1]}
    assert bench.inputs.num_received == dict.fromkeys(bench.topics.keys() - optional, 0)


def test_what_is_subscribed_to_where_depth_is_never_registered(make_bench):
    assert "/depth/camera_info" not in make_bench(settings.replace(LOSSLESS, {"depth.register": "never"})).topics


def test_compressed_images_by_name(make_bench):
    names = {"input.rgb_transport": "compressed", "input.depth_transport": "compressedDepth"}
    bench = make_bench(settings.replace(LOSSLESS, names))
    assert bench.topics["/rgb/image_raw/compressed"] is bench.topics["/depth/image_raw/compressedDepth"]
    assert "/rgb/image_raw" not in bench.topics
    rgb, depth_m = scene()
    head = conversions.header(SECOND, CAMERA_FRAME)
    units = (depth_m * 1000).astype(np.uint16)
    bench.send_camera(SECOND)
    colour = cv2.imencode(".png", rgb[..., ::-1])[1].tobytes()
    bench.send(
        "/rgb/image_raw/compressed", CompressedImage(header=head, format="rgb8; png compressed bgr8", data=colour)
    )
    packed = bytes(12) + cv2.imencode(".png", units)[1].tobytes()
    name = "/depth/image_raw/compressedDepth"
    bench.send(name, CompressedImage(header=head, format="16UC1; compressedDepth png", data=packed))
    frame = bench.assembler.assemble(bench.mailbox.get(0.0))
    np.testing.assert_array_equal(frame.rgb, rgb)
    np.testing.assert_allclose(frame.depth_m, depth_m, atol=1e-3)
    assert bench.inputs.num_received[name] == 1


@pytest.mark.parametrize(
    ("published", "expected"),
    [
        ((), "/rgb/image_raw"),
        (("/rgb/image_raw",), "/rgb/image_raw"),
        (("/rgb/image_raw", "/rgb/image_raw/compressed"), "/rgb/image_raw"),
        (("/rgb/image_raw/compressed",), "/rgb/image_raw/compressed"),
    ],
)
def test_auto_takes_the_compressed_images_only_where_nobody_publishes_raw_ones(
    make_bench, monkeypatch, published, expected
):
    bench = make_bench()
    now_s = [100.0]
    monkeypatch.setattr(subscriptions.time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(bench.node, "count_publishers", lambda topic: int(topic in published))
    for elapsed_s in (0.0, 0.9, 1.1):  # for a second the raw publisher may only not have been discovered yet
        now_s[0] = 100.0 + elapsed_s
        bench.inputs.hand_over()
        assert "/rgb/image_raw" in bench.topics or elapsed_s > 1
    assert {topic for topic in bench.topics if topic.startswith("/rgb/image")} == {expected}
    assert expected in bench.inputs.num_received
    assert len(bench.inputs.num_received) == 4


def test_messages_of_time_zero_are_counted_and_do_not_cost_the_map(make_bench):
    bench = make_bench()
    bench.send_frame(100 * SECOND)
    bench.send_frame(0)
    bench.send_frame(101 * SECOND)
    assert bench.taken() == [100 * SECOND, 101 * SECOND]
    assert bench.assembler.epoch == 0
    assert bench.assembler.stats().drops == {DropReason.NO_STAMP: 3}


def test_a_recording_may_begin_at_zero_but_a_clock_that_stands_there_is_told(make_bench):
    bench = make_bench()
    bench.send_frame(0)
    bench.send_frame(0)
    assert bench.taken() == [0]
    assert bench.assembler.stats().drops == {DropReason.NO_STAMP: 3}


def test_depth_of_another_frame_is_refused_by_name(make_bench, caplog):
    bench = make_bench()
    rgb, depth_m = scene()
    bench.send_camera(SECOND)
    bench.send("/rgb/image_raw", conversions.image_msg(conversions.header(SECOND, "rgb"), rgb, "rgb8"))
    bench.send("/depth/image_raw", conversions.image_msg(conversions.header(SECOND, "ir"), depth_m, "32FC1"))
    assert bench.assembler.assemble(bench.mailbox.get(0.0)) is None
    assert "expected depth in the frame of the colour image, 'rgb', got 'ir'" in caplog.text
    assert bench.assembler.stats().drops == {DropReason.UNREGISTERED: 1}


def test_depth_with_a_camera_of_its_own_is_registered(make_bench):
    bench = make_bench()
    bench.send_frame(SECOND)
    bench.mailbox.get(0.0)
    half = replace(CAMERA, fx=CAMERA.fx / 2, fy=CAMERA.fy / 2)  # sees twice as much: the frame shows its middle
    head = conversions.header(2 * SECOND, CAMERA_FRAME)
    bench.send("/depth/camera_info", conversions.camera_info_msg(head, half))
    bench.send_frame(2 * SECOND)
    frame = bench.assembler.assemble(bench.mailbox.get(0.0))
    _rgb, depth_m = scene()
    assert frame.depth_m[0, 0] == depth_m[30, 40] and frame.depth_m[119, 159] == depth_m[89, 119]


def test_other_encodings_go_through_cv_bridge_where_it_is_installed(make_bench, monkeypatch, caplog):
    rgb, _depth_m = scene()
    message = conversions.image_msg(conversions.header(SECOND, CAMERA_FRAME), rgb[..., 0], "bayer_rggb8")
    monkeypatch.setitem(sys.modules, "cv_bridge", None)
    with pytest.raises(FrameError, match=r"here: expected one of the encodings rgb8, .* got 'bayer_rggb8'"):
        colour_image(message, "here")

    class CvBridge:
        def imgmsg_to_cv2(self, message, encoding):
            assert (message.encoding, encoding) == ("bayer_rggb8", "rgb8")
            return rgb

    monkeypatch.setitem(sys.modules, "cv_bridge", SimpleNamespace(CvBridge=CvBridge))
    assert colour_image(message, "here") is rgb
    monkeypatch.setattr(CvBridge, "imgmsg_to_cv2", _raise)
    with pytest.raises(FrameError, match="here: cv_bridge cannot make rgb8 of 'bayer_rggb8': broken"):
        colour_image(message, "here")


def test_what_is_not_installed_is_refused_at_configure(make_bench, monkeypatch):
    for name, module in (("pose.source", "tf2_ros"), ("sync.engine", "message_filters")):
        monkeypatch.setitem(sys.modules, module, None)
        value = "tf" if name == "pose.source" else module
        config = settings.replace(LOSSLESS, {name: value})
        with pytest.raises(ConfigError, match=f"{name}: {value}: expected the ROS packages"):
            require_packages(config)
        with pytest.raises(ConfigError):
            make_bench(config)


def test_close_unsubscribes_from_everything(make_bench):
    bench = make_bench()
    bench.inputs.close()
    assert bench.topics == {}
    bench.inputs.close()


def test_a_publisher_that_cannot_be_heard_is_named(make_bench, caplog):
    """Best-effort images for a reliable subscription: DDS connects nothing, and says so."""
    bench = make_bench(settings.replace(LOSSLESS, {"input.qos": "DEFAULT"}))
    assert bench.inputs.qos_mismatches == {}
    event = SimpleNamespace(last_policy_kind=QoSPolicyKind.RELIABILITY)
    for _ in range(2):
        bench.mismatch("/depth/image_raw", event)
    assert bench.inputs.qos_mismatches == {"/depth/image_raw": "RELIABILITY"}
    assert len(caplog.messages) == 1 and "/depth/image_raw: a publisher offers another RELIABILITY" in caplog.text
    bench.send_frame(SECOND)
    assert bench.inputs.qos_mismatches == {}, "messages come: another publisher is there"


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
