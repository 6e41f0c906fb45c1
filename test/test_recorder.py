"""The recorder: what the node publishes becomes a run folder, in any case."""

from __future__ import annotations

import signal
import time
import uuid

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import ros_harness
from ros_builders import an_instance
from ros_harness import LATCHED, RELIABLE, Process, Robot, wait_until
from sensor_msgs.msg import PointCloud2

from autoseg3d_ros.msg import InstanceArray, Segmentation
from autoseg3d_ros.reporting.run_folder import RunFolder, read_run
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.structures import EventType, InstanceEvent

SECOND = 10**9


class Node:
    """Publishes as the segmenter does."""

    def __init__(self, robot: Robot) -> None:
        self._map_id = uuid.uuid4()
        create = robot.node.create_publisher
        self.instances = create(InstanceArray, "instances", RELIABLE)
        self.full = create(InstanceArray, "instances_full", LATCHED)
        self.segmentation = create(Segmentation, "segmentation", RELIABLE)
        self.the_map = create(PointCloud2, "map_points", LATCHED)

    def wait_for_recorder(self) -> None:
        publishers = (self.instances, self.full, self.segmentation, self.the_map)
        assert wait_until(lambda: all(one.get_subscription_count() for one in publishers))

    def send_instances(self, index: int) -> None:
        event = InstanceEvent(EventType.CREATED, index + 1, self.stamp_ns(index))
        self.instances.publish(
            conversions.instance_array_msg(self.head(index), self._map_id, index, [an_instance(index + 1)], [event])
        )

    def send_labels(self, index: int) -> None:
        labels = np.array([[0, index + 1]], np.int32)
        self.segmentation.publish(
            Segmentation(
                header=self.head(index),
                map_id=conversions.map_id_msg(self._map_id),
                frame_index=index,
                labels=conversions.image_msg(self.head(index), labels, "32SC1"),
                stage_names=["sync_wait", "masks", "publish"],
                stage_ms=[100.0, 2.0, 1.0],
            )
        )

    def send_state(self, index: int) -> None:
        instances = [an_instance(one + 1) for one in range(index + 1)]
        self.full.publish(
            conversions.instance_array_msg(self.head(index), self._map_id, index, instances, is_full=True)
        )
        points, rgb = np.array([[1, 2, 3]], np.float32), np.array([[9, 8, 7]], np.uint8)
        ids, score = np.array([index + 1], np.int32), np.ones(1, np.float32)
        self.the_map.publish(conversions.cloud_msg(self.head(index), points, rgb, ids, score))

    def head(self, index: int):
        return conversions.header(self.stamp_ns(index), "map")

    def stamp_ns(self, index: int) -> int:
        return 7 * SECOND + index


@pytest.fixture
def domain(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with ros_harness.reserved_domain() as number:
        yield number


@pytest.fixture
def node(domain):
    robot = Robot(domain)
    yield Node(robot)
    robot.close()


@pytest.fixture
def start_recorder(domain, tmp_path, node):
    recorders = []

    def start(*arguments: str) -> Process:
        recorders.append(Process("recorder", ["--out", str(tmp_path / "run"), *arguments], domain, tmp_path))
        recorders[-1].wait_for("connected")
        node.wait_for_recorder()
        return recorders[-1]

    yield start
    for recorder in recorders:
        recorder.end()


def num_written(folder) -> int:
    return len(list((folder / "run" / "labels").glob("0*.png")))


def events_by_frame(run: RunFolder) -> list[tuple[int, int]]:
    return [(event["frame"], event["id"]) for event in run.events()]


def test_it_ends_after_so_many_frames_with_their_last_state(start_recorder, node, tmp_path):
    recorder = start_recorder("--frames", "3")
    for index in range(3):
        node.send_instances(index)
        node.send_labels(index)
    assert wait_until(lambda: num_written(tmp_path) == 3)
    node.send_state(2)
    assert recorder.wait() == 0

    run = read_run(tmp_path / "run")
    assert [(frame.number, frame.stamp_ns) for frame in run.processed()] == [
        (index, node.stamp_ns(index)) for index in range(3)
    ]
    assert run.label_image(run.processed()[2]).tolist() == [[0, 3]]
    assert events_by_frame(run) == [(0, 1), (1, 2), (2, 3)]
    assert [row["id"] for row in run.instances()] == [1, 2, 3]
    (point,) = run.map_points()
    assert tuple(point) == (1.0, 2.0, 3.0, 9, 8, 7, 3)
    assert run.timing()["frames"] == 3
    assert run.timing()["stages_ms"]["masks"]["max"] == 2.0
    assert run.timing()["stages_ms"]["frame"]["max"] == 3.0, "waiting for the sensors is not the node's time"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_signal_costs_nothing_of_what_came(start_recorder, node, tmp_path, number):
    recorder = start_recorder()
    node.send_instances(0)
    node.send_labels(0)
    node.send_state(0)
    node.send_labels(1)  # its events do not come
    assert wait_until(lambda: num_written(tmp_path) == 1)
    time.sleep(0.3)
    recorder.send(number)
    assert recorder.wait() == 0
    assert "Traceback" not in recorder.output()
    run = read_run(tmp_path / "run")
    assert [frame.stamp_ns for frame in run.processed()] == [node.stamp_ns(0), node.stamp_ns(1)]
    assert [row["id"] for row in run.instances()] == [1]
    assert "older than the last frame" in recorder.output()


def test_messages_that_are_lost(start_recorder, node, tmp_path):
    recorder = start_recorder("--idle-s", "1")
    node.send_instances(0)  # whose labels are lost
    node.send_labels(1)  # whose events are lost
    for index in (2, 5):
        node.send_labels(index)
        node.send_instances(index)
    assert recorder.wait() == 0
    run = read_run(tmp_path / "run")
    assert [frame.stamp_ns for frame in run.processed()] == [node.stamp_ns(index) for index in (1, 2, 5)]
    assert events_by_frame(run) == [(1, 3), (2, 6)]
    assert "2 frames were processed by the node but did not arrive here" in recorder.output()


def test_no_frame_at_all(start_recorder):
    recorder = start_recorder()
    recorder.send(signal.SIGTERM)
    assert recorder.wait() == 1
    assert "no frame came" in recorder.output()


def test_a_folder_that_is_no_run_is_left_alone(domain, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "thesis.tex").write_text("years of work")
    recorder = Process("recorder", ["--out", str(tmp_path / "run")], domain, tmp_path)
    assert recorder.wait() == 2
    assert "thesis.tex" in recorder.output() and "Traceback" not in recorder.output()
    recorder.end()
