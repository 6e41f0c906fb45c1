"""What the node says of itself on /diagnostics, over real DDS, and `autoseg3d doctor --live`.

The tests follow one node through its life: each begins where the one before it ended.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
import ros_harness
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_client import MASKS_FAIL, OUT_OF_MEMORY
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from ros_harness import TIMEOUT_S, wait_until
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool

from autoseg3d_ros.msg import InstanceArray

OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with node_client.running(tmp_path_factory.mktemp("node"), is_faulty=True, autostart=False) as node:
        yield node


@pytest.fixture(scope="module")
def heard(node) -> list[DiagnosticArray]:
    return node.robot.listen("/diagnostics", DiagnosticArray)


def part(message: DiagnosticArray, name: str) -> DiagnosticStatus:
    return next(
        (one for one in message.status if one.name == f"segmenter_node: {name}"), DiagnosticStatus(level=b"\x03")
    )


def values(status: DiagnosticStatus) -> dict[str, str]:
    return {one.key: one.value for one in status.values}


def expect(heard: list[DiagnosticArray], name: str, level: bytes, text: str) -> DiagnosticStatus:
    def is_said() -> bool:
        status = part(heard[-1], name) if heard else DiagnosticStatus(level=b"\x03")
        return status.level == level and text in status.message

    assert wait_until(is_said), f"expected {text!r}, got {part(heard[-1], name) if heard else None}"
    return part(heard[-1], name)


def test_each_state_is_told(node, heard):
    expect(heard, "frames", WARN, "unconfigured")
    assert node.go("configure")
    expect(heard, "frames", WARN, "inactive")
    assert node.go("activate")
    expect(heard, "topics", WARN, "no messages yet on /rgb/image_raw, /depth/image_raw, /rgb/camera_info, /pose")


def test_silence_is_an_error_as_long_as_it_lasts(node, heard):
    expect(heard, "frames", ERROR, "no output for 5 s: no messages on /rgb/image_raw")


def test_figures_of_frames(node, heard):
    node.robot.connect()
    changes = node.robot.listen("instances", InstanceArray)
    for _ in range(3):
        node.expect_frame(changes)
    assert wait_until(lambda: values(part(heard[-1], "frames")).get("processed") == "3")
    frames = values(expect(heard, "frames", OK, "Hz out, age"))
    assert frames["failed"] == "0"
    assert float(frames["age_ms.p50"]) <= float(frames["age_ms.p95"])
    topics = values(expect(heard, "topics", OK, "messages on all topics"))
    assert int(topics["received./rgb/image_raw"]) >= 3 and float(topics["in_hz./rgb/image_raw"]) >= 0
    assert {"masks_ms.p50", "lift_ms.p95", "sync_wait_ms.p50"} <= values(expect(heard, "stages", OK, "slowest")).keys()
    assert values(expect(heard, "synchronisation", OK, "pairs"))["median_offset_s"] == "0"
    fills = values(expect(heard, "map", OK, "voxels"))
    assert fills["instances"].endswith("of 500") and not fills["voxels"].startswith("0 ")
    assert heard[-1].status[0].hardware_id == "/segmenter_node"


def test_failures_are_told(node, heard):
    node.robot.send_frame(node.next_stamp(MASKS_FAIL))
    expect(heard, "frames", WARN, "frames fail, see the log")
    node.robot.send_frame(node.next_stamp(OUT_OF_MEMORY))
    assert values(expect(heard, "device", ERROR, "out of memory"))["out_of_memory"] == "1"


def test_the_slop_that_would_work_is_told(node, heard):
    colour_ns = node.next_stamp()
    for offset_ns in (0, 100_000_000):
        node.robot.rgb.publish(image(colour_ns + offset_ns * 10, "rgb8"))
        node.robot.depth.publish(image(colour_ns + offset_ns * 10 + 50_000_000, "32FC1"))
    node.robot.rgb.publish(image(colour_ns + 2_000_000_000, "rgb8"))
    assert values(expect(heard, "synchronisation", WARN, "sync.slop_s = 0.0"))["needed_slop_s"] != "0"


def image(stamp_ns: int, encoding: str) -> Image:
    from autoseg3d_ros.ros import conversions

    rgb, depth_m = ros_harness.scene()
    head = conversions.header(stamp_ns, ros_harness.CAMERA_FRAME)
    return conversions.image_msg(head, rgb if encoding == "rgb8" else depth_m, encoding)


def test_a_qos_that_does_not_fit_is_told_by_topic(node, heard):
    qos = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
    publisher = node.robot.node.create_publisher(Image, "rgb/image_raw", qos)
    expect(heard, "topics", ERROR, "a publisher's QoS does not fit: /rgb/image_raw")
    node.robot.node.destroy_publisher(publisher)


def test_a_pause_is_told(node, heard):
    assert node.call(SetBool, "pause", data=True).success
    expect(heard, "frames", WARN, "paused")
    assert node.call(SetBool, "pause", data=False).success


def test_doctor_prints_the_same(node, heard):
    expect(heard, "map", OK, "voxels")
    command = [sys.executable, str(Path(sys.executable).parent / "autoseg3d"), "doctor", "--live", "4"]
    environment = {**os.environ, "ROS_DOMAIN_ID": str(node.domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert "/segmenter_node map" in done.stdout, done.stdout + done.stderr
    assert "instances" in done.stdout and "of 500" in done.stdout
    assert ("ERROR" in done.stdout) == (done.returncode == 1)


def test_doctor_where_there_is_no_node():
    with ros_harness.reserved_domain() as domain:
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
        command = [sys.executable, str(Path(sys.executable).parent / "autoseg3d"), "doctor", "--live", "1"]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "nothing on /diagnostics within 1 s" in done.stdout
