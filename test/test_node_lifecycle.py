"""The states of the node: each transition, what fails in one, and what lasts through them."""

from __future__ import annotations

import signal

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from ros_harness import wait_until

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.srv import GetInstances, LoadMap, SaveMap

TOPIC = "/rgb/image_raw"


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    with node_client.running(tmp_path_factory.mktemp("node"), autostart=False) as node:
        yield node


@pytest.fixture(autouse=True)
def unconfigured(node):
    yield
    while node.state() != "unconfigured" and node.state() != "finalized":
        node.go("deactivate" if node.state() == "active" else "cleanup")


def activated(node) -> list[InstanceArray]:
    assert node.go("configure") and node.go("activate")
    node.robot.connect()
    return node.robot.listen("instances", InstanceArray)


def test_it_waits_for_its_manager(node):
    assert node.state() == "unconfigured"
    assert node.robot.node.count_subscribers(TOPIC) == 0


@pytest.mark.parametrize("transition", ["activate", "deactivate", "cleanup"])
def test_a_transition_that_the_state_does_not_have_is_refused(node, transition):
    assert not node.go(transition)
    assert node.state() == "unconfigured"


def test_configure_fails_with_a_reason_and_can_be_tried_again(node):
    assert node.robot.set_parameter("model.name", "huge").successful, "while unconfigured every setting may be set"
    assert not node.go("configure")
    node.process.wait_for("configure failed: model.name: expected")
    assert node.state() == "unconfigured"
    assert node.robot.set_parameter("model.name", "none").successful
    assert node.go("configure")
    assert node.state() == "inactive"
    refused = node.robot.set_parameter("model.name", "huge")
    assert not refused.successful and "read-only" in refused.reason


def test_inactive_keeps_the_map_and_takes_no_frames(node):
    changes = activated(node)
    before = node.expect_frame(changes)
    assert node.go("deactivate")
    assert node.state() == "inactive"
    assert wait_until(lambda: node.robot.node.count_subscribers(TOPIC) == 0)
    node.robot.send_frame(node.next_stamp())
    answer = node.call(GetInstances, "get_instances")
    assert {one.id for one in answer.instances.instances} >= {one.id for one in before.instances}

    assert node.go("activate")
    node.robot.connect()
    after = node.expect_frame(changes)
    assert len(changes) == 2, "a frame was taken while inactive"
    assert bytes(after.map_id.uuid) == bytes(before.map_id.uuid)
    assert after.frame_index == before.frame_index + 1
    assert {one.id for one in after.instances} == {one.id for one in before.instances}


def test_cleanup_drops_the_map(node):
    before = node.expect_frame(activated(node))
    assert node.go("deactivate") and node.go("cleanup")
    assert node.state() == "unconfigured"
    for kind, name in ((GetInstances, "get_instances"), (SaveMap, "save_map"), (LoadMap, "load_map")):
        answer = node.call(kind, name)
        assert answer.result == kind.Response.ERROR_NOT_READY and "unconfigured" in answer.message, name
    after = node.expect_frame(activated(node))
    assert bytes(after.map_id.uuid) != bytes(before.map_id.uuid)
    assert after.frame_index == 0


@pytest.mark.parametrize("path", [("configure", "activate"), ("configure",), ()], ids=["active", "inactive", "new"])
def test_shutdown_from_every_state(tmp_path, path):
    shutdown = {0: 5, 1: 6, 2: 7}[len(path)]  # Transition.TRANSITION_*_SHUTDOWN
    with node_client.running(tmp_path, autostart=False) as node:
        assert all(node.go(transition) for transition in path)
        assert node.call(ChangeState, "change_state", transition=Transition(id=shutdown)).success
        assert node.state() == "finalized"
        node.process.send(signal.SIGTERM)
        assert node.process.wait() == 0
        assert "Traceback" not in node.process.output()


def test_it_starts_by_itself_or_ends_with_a_reason(tmp_path):
    with node_client.running(tmp_path, **{"map.autoload": True}) as node:
        assert node.process.wait() == 1
        assert "configure failed: map.autoload: expected a file in map.path, got none" in node.process.output()
