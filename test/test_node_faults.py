"""Faults of a running node that no other file has: poses that never come, and a map file of another version."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
from map_builders import forge
from ros_harness import wait_until

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.persistence.map_file import VERSION
from autoseg3d_ros.srv import LoadMap, SaveMap


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("faults")


@pytest.fixture(scope="module")
def node(folder):
    parameters = {"map.directory": str(folder), "pose.timeout_s": 0.5}
    with node_client.running(folder, **parameters) as node:
        node.robot.connect()
        yield node


@pytest.fixture(scope="module")
def changes(node):
    return node.robot.listen("instances", InstanceArray)


def test_poses_that_never_come_are_named_and_the_first_one_is_used(node, changes):
    def is_named() -> bool:
        node.robot.send_frame(node.next_stamp(), pose=False)  # images go on, or they would be missing, too
        time.sleep(0.1)
        return "no output for 5 s" in node.process.output()

    assert wait_until(is_named)
    assert "within pose.timeout_s = 0.5 s, got no pose at all" in node.process.output()
    assert "no output for 5 s: no messages on /pose" in node.process.output()
    assert changes == []
    assert node.expect_frame(changes).instances


def test_a_map_file_of_another_version_leaves_the_map_as_it_is(node, changes, folder):
    before = node.expect_frame(changes)
    assert node.call(SaveMap, "save_map", path="now.map").result == SaveMap.Response.SUCCESS
    forge(folder / "now.map", {}, version=VERSION + 1)
    answer = node.call(LoadMap, "load_map", path="now.map")
    assert answer.result == LoadMap.Response.ERROR_INCOMPATIBLE, answer.message
    assert f"got version {VERSION + 1}" in answer.message
    after = node.expect_frame(changes)
    assert (after.map_id, after.frame_index) == (before.map_id, before.frame_index + 1)
    assert {one.id for one in after.instances} == {one.id for one in before.instances}
