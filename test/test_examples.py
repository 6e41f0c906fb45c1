"""The examples as programs of their own, over real DDS: messages in, what a planner wants out."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import ros_harness
from geometry_msgs.msg import PolygonStamped, PoseStamped
from nav_msgs.msg import OccupancyGrid
from ros_builders import an_instance
from ros_harness import LATCHED, RELIABLE, Robot, wait_until

from autoseg3d_ros.msg import Instance, InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.structures import EventType, InstanceEvent, InstanceState, OrientedBox

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
ARGUMENTS = {
    "instance_listener": [],
    "nearest_instance": [],
    "follow_id": ["-p", "id:=2"],
    "costmap_footprints": ["-p", "size_m:=8.0", "-p", "margin_m:=0.2", "-p", "period_s:=0.2"],
}
MAX_LINES = 80


class Planner(Robot):
    """Plays the segmenter, and watches what the examples make of it."""

    def __init__(self, domain: int, folder: Path) -> None:
        super().__init__(domain)
        self._logs = {name: folder / f"{name}.log" for name in ARGUMENTS}
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONUNBUFFERED": "1", "ROS_LOG_DIR": str(folder)}
        self.processes = {}
        for name, arguments in ARGUMENTS.items():
            command = [sys.executable, str(EXAMPLES / f"{name}.py"), "--ros-args", *arguments]
            with self._logs[name].open("wb") as log:
                self.processes[name] = subprocess.Popen(
                    command, stdout=log, stderr=subprocess.STDOUT, env=environment, cwd=folder
                )
        self._changes = self.node.create_publisher(InstanceArray, "instances", RELIABLE)
        self._full = self.node.create_publisher(InstanceArray, "instances_full", LATCHED)
        self._poses = self.node.create_publisher(PoseStamped, "pose", RELIABLE)
        publishers = ((self._changes, 4), (self._full, 4), (self._poses, 1))
        assert wait_until(lambda: all(one.get_subscription_count() == count for one, count in publishers)), self.logs()

    def send(self, map_id, index, *instances, events=(), is_full=False):
        message = conversions.instance_array_msg(
            conversions.header(index, "map"), map_id, index, instances, events, is_full=is_full
        )
        (self._full if is_full else self._changes).publish(message)

    def ask(self, x: float, y: float, frame: str = "map") -> None:
        pose = PoseStamped(header=conversions.header(0, frame))
        pose.pose.position.x, pose.pose.position.y = x, y
        self._poses.publish(pose)

    def expect_line(self, name: str, text: str) -> None:
        assert wait_until(lambda: text in self._logs[name].read_text()), f"expected {text!r} in\n{self.logs()}"

    def logs(self) -> str:
        return "\n".join(log.read_text() for log in self._logs.values())


@pytest.fixture(scope="module")
def planner(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, ros_harness.reserved_domain() as domain:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        planner = Planner(domain, tmp_path_factory.mktemp("examples"))
        yield planner
        planner.close()
        for process in planner.processes.values():
            process.kill()
            process.wait()


def box_at(instance_id: int, x: float, y: float, **changes):
    corners = np.array([[x - 0.5, y - 0.5], [x + 0.5, y - 0.5], [x + 0.5, y + 0.5], [x - 0.5, y + 0.5]], np.float32)
    box = OrientedBox((x, y, 0.0), (1.0, 1.0, 1.0), 0.0)
    return an_instance(instance_id, centroid_m=(x, y, 0.0), box=box, footprint_m=corners, **changes)


def happened(kind: EventType, instance_id: int, other_id: int = 0) -> InstanceEvent:
    return InstanceEvent(kind, instance_id, 1, other_id)


@pytest.fixture(scope="module")
def story(planner):
    """Two boxes and a tentative one; then the second is lost, a frame is lost, the full list comes, and it is merged.

    Returns what the examples published.
    """
    received = {
        "nearest": planner.listen("nearest_instance", Instance),
        "followed": planner.listen("followed_pose", PoseStamped),
        "grids": planner.listen("instance_grid", OccupancyGrid, LATCHED),
        "polygons": planner.listen("instance_polygons", PolygonStamped),
    }
    map_id = uuid.UUID(int=1)
    planner.ask(2.0, 0.0)
    planner.expect_line("nearest_instance", "but no instances have come")
    births = [happened(EventType.CREATED, 1), happened(EventType.CREATED, 2)]
    tentative = box_at(3, 0.0, 0.0, state=InstanceState.TENTATIVE)
    planner.send(map_id, 0, box_at(1, -2.0, 0.0), box_at(2, 2.0, 1.0), tentative, events=births)
    planner.expect_line("follow_id", "2 is in view")
    lost = box_at(2, 2.0, 1.0, state=InstanceState.LOST)
    planner.send(map_id, 1, lost, events=[happened(EventType.LOST, 2)])
    planner.expect_line("follow_id", "2 is lost from view")
    planner.send(map_id, 3)
    planner.expect_line("instance_listener", "messages before frame 3 were lost: waiting for the full list")
    planner.send(map_id, 3, box_at(1, -2.0, 0.0), lost, is_full=True)
    planner.expect_line("instance_listener", "read the full list: 2 instances after frame 3")
    planner.send(map_id, 4)
    planner.ask(1.0, 1.0, frame="elsewhere")
    planner.expect_line("nearest_instance", "pose: expected one in map, got 'elsewhere'")
    planner.ask(1.0, 1.0)
    planner.expect_line("nearest_instance", "2 is 0.50 m away")
    received["polygons"].clear()
    assert wait_until(lambda: len(received["polygons"]) >= 2 and received["grids"])
    planner.send(map_id, 5, box_at(1, -1.0, 0.0), events=[happened(EventType.MERGED, 2, 1)])
    planner.expect_line("follow_id", "1 is in view")
    return received


def test_the_listener_tells_what_happens(planner, story):
    for line in ("a new map", "1 is new", "2 is new", "2 is out of sight", "2 turned out to be 1"):
        planner.expect_line("instance_listener", line)


def test_the_nearest_is_published(story):
    assert wait_until(lambda: story["nearest"])
    assert [one.id for one in story["nearest"]] == [2]
    assert story["nearest"][0].num_missed == 1, "as of the last frame, not of the frame that told of it"


def test_an_id_is_followed_and_then_its_heir(planner, story):
    planner.expect_line("follow_id", "2 is part of 1 now")
    assert wait_until(lambda: story["followed"][-1].pose.position.x == -1.0)
    places = [(pose.header.frame_id, pose.pose.position.x, pose.pose.position.y) for pose in story["followed"]]
    assert places[0] == ("map", 2.0, 1.0)
    assert places[-1] == ("map", -1.0, 0.0)


def test_footprints_are_polygons_and_cells(story):
    by_side = {message.polygon.points[0].x > 0: message for message in story["polygons"][:2]}
    assert set(by_side) == {True, False}, "one polygon an instance, none for the tentative one"
    xs = [point.x for point in by_side[True].polygon.points]
    assert (min(xs), max(xs)) == (pytest.approx(1.3, abs=0.01), pytest.approx(2.7, abs=0.01)), "a margin of 0.2 m"

    grid = story["grids"][-1]
    cells = np.array(grid.data, np.int8).reshape(grid.info.height, grid.info.width)

    def cell_at(x, y):
        column = int((x - grid.info.origin.position.x) / grid.info.resolution)
        return int(cells[int((y - grid.info.origin.position.y) / grid.info.resolution), column])

    assert (grid.header.frame_id, cells.shape) == ("map", (160, 160))
    assert [cell_at(*place) for place in ((2.0, 1.6), (2.0, 1.0), (2.0, 1.9), (0.0, 0.0), (3.9, 3.9))] == [
        100,
        100,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("name", ARGUMENTS)
def test_an_example_is_short_and_ends_cleanly(planner, story, name):
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) <= MAX_LINES
    planner.processes[name].send_signal(signal.SIGTERM)
    assert planner.processes[name].wait(ros_harness.TIMEOUT_S) == 0
    assert "Traceback" not in planner.logs()


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == set(ARGUMENTS)
