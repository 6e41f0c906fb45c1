"""The node with a network, as a process of its own."""

from __future__ import annotations

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")
pytest.importorskip("torch", reason="torch is not installed")

import test_node
from test_node import EVERY_FRAME, STAMPS, expect

from autoseg3d_ros.msg import Segmentation

domain, start_node, robot = test_node.domain, test_node.start_node, test_node.robot


def test_the_node_runs_a_network(start_node, robot):
    node = start_node(**EVERY_FRAME, **{"model.name": "tiny"})
    node.wait_for("waiting for /rgb")
    robot.connect()
    labels = robot.listen("segmentation", Segmentation)
    for stamp_ns in STAMPS[:2]:
        robot.send_frame(stamp_ns)
    expect(labels, 2, "segmentation")
    assert {"encode", "merge", "refresh", "decode", "track"} <= set(labels[-1].stage_names)


def test_a_network_that_is_not_there_ends_the_node_with_a_reason(start_node):
    node = start_node(**{"model.name": "huge"})
    assert node.wait() == 1
    assert "model.name: expected auto, none" in node.output()
