"""The live node gives what the offline run gives on the same bag, and a client's own table is what the node says."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
import ros_harness
from bag_builders import COLOUR, DEPTH, INFO, POSE, camera_info, image, pose_stamped, rosbag2, write_messages
from node_client import NodeUnderTest
from ros_harness import CAMERA, LATCHED, LEVEL_POSE, RELIABLE, wait_until

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.client.instance_table import InstanceTable
from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.reporting.run_folder import RunFolder, read_run
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.srv import GetInstances
from autoseg3d_ros.structures import EventType

SETTINGS = {
    "model.name": "none",
    "masks.source": "regions",
    "tracking.min_observations": 2,
    "tracking.lost_after": 3,
    "lifting.num_points": 4000,  # fewer than pixels: which ones is up to the seed
    "limits.max_points": 6000,  # the map forgets what is out of view
}
NUM_FRAMES, LATE, AHEAD = 16, 5, 4
MS = 10**6


def recorded(path: Path) -> Path:
    """Write a bag whose topics agree in nothing: depth later than colour, poses in between, a lens that distorts."""
    rgb, depth_m = ros_harness.scene()
    messages = []
    for index in range(NUM_FRAMES):
        stamp_ns = (1000 + 100 * index) * MS
        colour, units = rgb.copy(), (depth_m * 1000).astype(np.uint16)
        if 5 <= index < 11:  # the red box is away, longer than it takes to retire it
            colour[30:80, 20:60], units[30:80, 20:60] = 120, 2000
        if index >= 8:  # a green one comes
            colour[85:115, 60:90], units[85:115, 60:90] = (30, 200, 40), 1600
        units[::7, index::11] = 0
        messages += [
            (INFO, stamp_ns, calibration(stamp_ns)),
            (COLOUR, stamp_ns, image(stamp_ns, "rgb8", colour)),
            (DEPTH, stamp_ns + 7 * MS, image(stamp_ns + 7 * MS, "16UC1", units)),
        ]
    for index in range(5 * NUM_FRAMES + 2):
        stamp_ns = (995 + 20 * index) * MS
        messages.append((POSE, stamp_ns, pose_stamped(stamp_ns, 0.003 * index, LEVEL_POSE.quaternion_xyzw)))
    return write_messages(path, sorted(messages, key=lambda message: message[1]))


def calibration(stamp_ns: int):
    info = camera_info(stamp_ns, d=(0.05, -0.02, 0.001, 0.0, 0.0))
    return dataclasses.replace(info, width=CAMERA.width, height=CAMERA.height, k=CAMERA.matrix().ravel())


@pytest.fixture(scope="module")
def bag(tmp_path_factory) -> Path:
    return recorded(tmp_path_factory.mktemp("bag") / "bag")


@pytest.fixture(scope="module")
def offline(bag) -> RunFolder:
    changes = [part for key, value in SETTINGS.items() for part in ("--set", f"{key}={value}")]
    assert main(["run", str(bag), "--out", str(bag.parent / "run"), *changes]) == 0
    return read_run(bag.parent / "run")


@dataclasses.dataclass
class Heard:
    """What is published, and tables of clients that hear it all, only from some frame on, or every other change."""

    changes: list[InstanceArray]
    labels: list[Segmentation]
    all_of_it: InstanceTable
    late: InstanceTable
    half_deaf: InstanceTable


@pytest.fixture(scope="module")
def node(tmp_path_factory) -> Iterator[NodeUnderTest]:
    settings = {**SETTINGS, "input.qos_depth": 100}  # poses come five times as often as images
    with node_client.running(tmp_path_factory.mktemp("node"), **settings) as node:
        node.robot.connect()
        yield node


@pytest.fixture(scope="module")
def live(bag, node) -> Heard:
    """Play the bag, message by message as it was recorded, and return what was heard."""
    robot = node.robot
    changes = robot.listen("instances", InstanceArray)
    labels = robot.listen("segmentation", Segmentation)
    heard = Heard(changes, labels, InstanceTable(), InstanceTable(), InstanceTable())

    def feed(table: InstanceTable, is_lost=lambda _message: False) -> None:
        def receive(message: InstanceArray) -> None:
            if not is_lost(message):
                table.update(message)

        robot.node.create_subscription(InstanceArray, "instances", receive, RELIABLE)
        robot.node.create_subscription(InstanceArray, "instances_full", receive, LATCHED)

    feed(heard.all_of_it)
    feed(heard.half_deaf, is_lost=lambda message: not message.is_full and message.frame_index % 2)
    publishers = {COLOUR: robot.rgb, DEPTH: robot.depth, INFO: robot.info, POSE: robot.pose}
    num_sent = 0
    with rosbag2.Reader(bag) as reader:
        for connection, _stamp_ns, data in reader.messages():
            publishers[connection.topic].publish(bytes(data))
            if connection.topic == COLOUR:
                num_sent += 1
                assert wait_until(lambda least=num_sent - AHEAD: len(labels) >= least), "the node does not keep up"
                if num_sent == LATE:
                    feed(heard.late)
    for received in (heard.changes, heard.labels):
        assert wait_until(lambda received=received: len(received) == NUM_FRAMES), node.process.output()
    return heard


def test_the_run_has_something_to_tell(offline):
    """The test below says nothing of what does not happen."""
    told = {event["type"] for event in offline.events()}
    assert {"created", "confirmed", "lost", "retired"} <= told
    assert len(offline.processed()) == NUM_FRAMES


def test_the_same_label_images(offline, live):
    assert [conversions.stamp_ns(one.header.stamp) for one in live.labels] == [
        frame.stamp_ns for frame in offline.processed()
    ]
    for message, frame in zip(live.labels, offline.processed(), strict=True):
        np.testing.assert_array_equal(conversions.label_image(message.labels), offline.label_image(frame))


def test_the_same_events(offline, live):
    assert [
        (message.frame_index, event.id, event.other_id, EventType(event.type).name.lower(), event.reason)
        for message in live.changes
        for event in message.events
    ] == [
        (event["frame"], event["id"], event["other_id"], event["type"], event["reason"]) for event in offline.events()
    ]


def test_the_same_instances(offline, live, node):
    found = node.call(GetInstances, "get_instances").instances.instances
    assert [(one.id, one.num_observations, one.num_points) for one in found] == [
        (row["id"], row["num_observations"], row["num_points"]) for row in offline.instances()
    ]
    np.testing.assert_allclose(
        [[one.centroid.x, one.centroid.y, one.centroid.z] for one in found],
        [row["centroid"] for row in offline.instances()],
        atol=1e-5,
    )


@pytest.mark.parametrize("name", ["all_of_it", "late", "half_deaf"])
def test_the_table_of_a_client_is_what_the_node_says(live, node, name):
    table = getattr(live, name)
    assert wait_until(lambda: table.is_complete and table.frame_index == NUM_FRAMES - 1)
    said = node.call(GetInstances, "get_instances").instances
    assert (table.map_id, table.frame_index) == (bytes(said.map_id.uuid), said.frame_index)
    assert [str(one) for one in table.instances()] == [str(one) for one in said.instances]
