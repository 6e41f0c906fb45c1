"""The player: a recording on ROS topics, whole and at its own pace."""

from __future__ import annotations

import signal
import time

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import ros_harness
from builders import SMALL_CAMERA, recorded_folder
from geometry_msgs.msg import PoseStamped
from ros_harness import BEST_EFFORT, RELIABLE, Process, Robot, wait_until
from sensor_msgs.msg import CameraInfo, Image

from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.topics import CAMERA_FRAME, WRITTEN_TOPICS
from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.player import Pace
from autoseg3d_ros.stream.messages import camera_of_info, colour_image, depth_image

NUM_FRAMES = 5


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with ros_harness.reserved_domain() as number:
        yield number


@pytest.fixture
def robot(domain):
    robot = Robot(domain)
    yield robot
    robot.close()


@pytest.fixture
def start_player(domain, tmp_path):
    players = []

    def start(*arguments: str) -> Process:
        players.append(Process("player", list(arguments), domain, tmp_path))
        return players[-1]

    yield start
    for player in players:
        player.end()


@pytest.fixture
def listener(robot):
    """Received messages by topic; colour twice, by a best-effort and by a reliable subscriber."""

    class Listener:
        def __init__(self) -> None:
            self.colour, self.colour_best_effort, self.depth, self.info, self.pose = [], [], [], [], []
            for topic, kind, qos, received in (
                (WRITTEN_TOPICS.colour, Image, RELIABLE, self.colour),
                (WRITTEN_TOPICS.colour, Image, BEST_EFFORT, self.colour_best_effort),
                (WRITTEN_TOPICS.depth, Image, RELIABLE, self.depth),
                (WRITTEN_TOPICS.camera_info, CameraInfo, RELIABLE, self.info),
                (WRITTEN_TOPICS.pose, PoseStamped, RELIABLE, self.pose),
            ):
                robot.node.create_subscription(kind, topic, received.append, qos)

    return Listener()


def stamps(messages: list) -> list[int]:
    return [conversions.stamp_ns(message.header.stamp) for message in messages]


def test_every_bit_of_every_frame_arrives(start_player, listener, tmp_path):
    recorded_folder(tmp_path / "sequence", NUM_FRAMES)
    frames = list(open_source(tmp_path / "sequence").frames())
    player = start_player(str(tmp_path / "sequence"), "--rate", "5")
    assert player.wait() == 0
    assert "sent 5 frames" in player.output()
    for messages in (listener.colour, listener.colour_best_effort, listener.depth, listener.info, listener.pose):
        assert wait_until(lambda messages=messages: len(messages) >= NUM_FRAMES)
        assert stamps(messages) == [frame.stamp_ns for frame in frames]
    for index, frame in enumerate(frames):
        assert np.array_equal(colour_image(listener.colour[index], "colour"), frame.rgb)
        assert np.array_equal(depth_image(listener.depth[index], 0.0, "depth"), frame.depth_m)
        assert camera_of_info(listener.info[index], "info") == (SMALL_CAMERA, (), "")
        assert conversions.pose(listener.pose[index].pose) == frame.pose
    assert {message.header.frame_id for message in (*listener.colour, *listener.depth)} == {CAMERA_FRAME}
    assert {message.header.frame_id for message in listener.pose} == {"map"}


def test_without_subscribers_it_waits_for_a_while(start_player, tmp_path):
    recorded_folder(tmp_path / "sequence", 1)
    player = start_player(str(tmp_path / "sequence"), "--wait-s", "0.1")
    assert player.wait() == 0
    assert f"nobody subscribed to {WRITTEN_TOPICS.colour}" in player.output()
    assert "sent 1 frames" in player.output()


def test_a_loop_falls_back_in_time_and_ends_on_a_signal(start_player, listener, tmp_path):
    frames = recorded_folder(tmp_path / "sequence", 2)
    player = start_player(str(tmp_path / "sequence"), "--rate", "10", "--loop")
    assert wait_until(lambda: len(listener.colour) >= 5)
    assert stamps(listener.colour)[:5] == [frames[index % 2].stamp_ns for index in range(5)]
    player.send(signal.SIGTERM)
    assert player.wait() == 0
    assert "Traceback" not in player.output()


def test_it_does_not_run_ahead_of_a_slow_node(start_player, listener, robot, tmp_path):
    frames = recorded_folder(tmp_path / "sequence", 8)
    answers = robot.node.create_publisher(InstanceArray, "instances", RELIABLE)
    player = start_player(str(tmp_path / "sequence"), "--rate", "10", "--ahead", "3")
    for num_expected, answered in ((3, 0), (4, 3), (7, 6), (8, 7)):
        assert wait_until(lambda expected=num_expected: len(listener.colour) >= expected)
        time.sleep(0.3)
        assert len(listener.colour) == num_expected
        answers.publish(InstanceArray(header=conversions.header(frames[answered].stamp_ns, "map")))
    assert player.wait() == 0


def test_an_unreadable_frame_is_told_and_passed_over(start_player, listener, tmp_path):
    frames = recorded_folder(tmp_path / "sequence", 3)
    (tmp_path / "sequence" / "depth" / "000001.png").write_bytes(b"no image")
    player = start_player(str(tmp_path / "sequence"), "--rate", "10")
    assert player.wait() == 0
    assert wait_until(lambda: len(listener.colour) >= 2)
    assert stamps(listener.colour) == [frames[0].stamp_ns, frames[2].stamp_ns]
    assert "000001.png" in player.output() and "skipped 1" in player.output()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["nowhere"], "player: error: nowhere: no such file or folder"),
        (["nowhere", "--rate", "0"], "player: error: --rate: expected a number above 0, got 0"),
    ],
)
def test_wrong_arguments(start_player, arguments, message):
    player = start_player(*arguments)
    assert player.wait() == 2
    assert message in player.output()


@pytest.mark.parametrize(
    "rate, stamps_s, due_s",
    [
        (1.0, [5.0, 5.1, 5.5], [100.0, 100.1, 100.5]),
        (2.0, [5.0, 5.1, 5.5], [100.0, 100.05, 100.25]),
        (1.0, [5.0, 6.0, 5.0, 5.5], [100.0, 101.0, 100.2, 100.7]),
        (2.0, [5.0, 5.0], [100.0, 100.0]),
    ],
    ids=["as recorded", "twice as fast", "a loop begins anew after one interval", "equal stamps"],
)
def test_pace(rate, stamps_s, due_s):
    pace = Pace(rate, frame_interval_s=0.2)
    assert [pace.due_s(round(stamp_s * 1e9), now_s=100.0) for stamp_s in stamps_s] == pytest.approx(due_s)
