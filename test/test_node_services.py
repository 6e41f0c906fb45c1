"""The services of the node, over real DDS; one node for all of them."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
from geometry_msgs.msg import Pose, Vector3
from node_client import MASKS_FAIL, OUT_OF_MEMORY, SLOW, SLOW_S
from std_msgs.msg import Header
from std_srvs.srv import SetBool, Trigger

from autoseg3d_ros.msg import Instance, InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.srv import GetInstances, LoadMap, SaveMap


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("node")


@pytest.fixture(scope="module")
def node(folder):
    with node_client.running(folder, is_faulty=True, **{"map.directory": str(folder), "map.path": "usual.map"}) as node:
        node.robot.connect()
        yield node


@pytest.fixture(scope="module")
def changes(node) -> list[InstanceArray]:
    return node.robot.listen("instances", InstanceArray)


def ids(message: InstanceArray) -> set[int]:
    return {one.id for one in message.instances}


def test_reset_begins_a_new_map(node, changes):
    before = node.expect_frame(changes)
    assert node.call(Trigger, "reset").success
    after = node.expect_frame(changes)
    assert bytes(after.map_id.uuid) != bytes(before.map_id.uuid)
    assert after.frame_index == 0


def test_pause(node, changes):
    node.expect_frame(changes)
    assert node.call(SetBool, "pause", data=True).message.startswith("paused")
    count = len(changes)
    node.robot.send_frame(node.next_stamp())
    node_client.settle()
    assert node.call(SetBool, "pause", data=True).message == "was paused already"
    assert len(changes) == count
    assert node.call(SetBool, "pause", data=False).success
    node.expect_frame(changes)
    assert len(changes) == count + 1, "what came during the pause is not made up for"


def test_all_instances_and_filters(node, changes):
    shown = node.expect_frame(changes)
    everything = node.call(GetInstances, "get_instances")
    assert everything.result == GetInstances.Response.SUCCESS
    assert everything.instances.is_full and ids(everything.instances) >= ids(shown)
    assert everything.instances.map_id == shown.map_id
    assert everything.clouds == [] and everything.feature_size == 0
    one = min(ids(shown))
    found = node.call(GetInstances, "get_instances", ids=[one, 999_999])
    assert ids(found.instances) == {one} and not found.instances.is_full
    assert not node.call(GetInstances, "get_instances", states=[Instance.STATE_RETIRED]).instances.instances


def test_clouds_of_instances(node, changes):
    shown = node.expect_frame(changes)
    found = node.call(GetInstances, "get_instances", include_clouds=True)
    assert len(found.clouds) == len(found.instances.instances) >= len(shown.instances)
    for one, cloud in zip(found.instances.instances, found.clouds, strict=True):
        assert cloud.header.frame_id == "map" and cloud.width == one.num_points
        assert set(conversions.cloud_points(cloud)["instance_id"]) <= {one.id}


@pytest.mark.parametrize("frame", ["", "map"])
def test_a_region(node, changes, frame):
    shown = node.expect_frame(changes)
    one = shown.instances[0]
    box = {"region_header": Header(frame_id=frame), "region_size": Vector3(x=0.05, y=0.05, z=0.05), "use_region": True}
    found = node.call(GetInstances, "get_instances", region_pose=Pose(position=one.centroid), **box)
    assert one.id in ids(found.instances) and not found.instances.is_full
    one.centroid.z += 50.0
    assert not node.call(
        GetInstances, "get_instances", region_pose=Pose(position=one.centroid), **box
    ).instances.instances


def test_a_region_in_an_unknown_frame(node):
    answer = node.call(GetInstances, "get_instances", use_region=True, region_header=Header(frame_id="arm"))
    assert answer.result == GetInstances.Response.ERROR_UNKNOWN_FRAME
    assert "'arm'" in answer.message


def test_features_without_a_network(node):
    answer = node.call(GetInstances, "get_instances", include_features=True)
    assert answer.result == GetInstances.Response.ERROR_NO_FEATURES
    assert "set model.name" in answer.message


def test_a_question_during_a_frame_is_answered_after_it(node, changes):
    node.expect_frame(changes)
    stamp_ns = node.next_stamp(SLOW)
    node.robot.send_frame(stamp_ns)
    node_client.settle()
    start_s = time.monotonic()
    answer = node.ask(GetInstances, "get_instances")
    assert node.state() == "active", "the executor is free meanwhile"
    assert node.robot.set_parameter("depth.max_m", 5.0).successful
    assert time.monotonic() - start_s < SLOW_S
    assert answer().instances.frame_index == changes[-1].frame_index
    assert conversions.stamp_ns(changes[-1].header.stamp) == stamp_ns


def test_frames_that_fail_are_dropped_and_the_node_goes_on(node, changes):
    before = node.expect_frame(changes)
    for fault, line in ((MASKS_FAIL, "RuntimeError: the masks broke"), (OUT_OF_MEMORY, "CUDA out of memory")):
        for _ in range(2):
            node.robot.send_frame(node.next_stamp(fault))
        node.process.wait_for(line)
    after = node.expect_frame(changes)
    assert after.map_id == before.map_id and after.frame_index == before.frame_index + 1
    assert ids(after) == ids(before)
    node.process.wait_for("out of memory twice in a row: features of places are forgotten")


def test_save_and_load(node, changes, folder):
    before = node.expect_frame(changes)
    saved = node.call(SaveMap, "save_map")
    assert (saved.result, saved.message) == (SaveMap.Response.SUCCESS, f"saved {saved.num_instances} instances")
    assert saved.path == str(folder / "usual.map") and saved.num_instances >= len(before.instances)

    again = node.call(SaveMap, "save_map")
    assert again.result == SaveMap.Response.ERROR_EXISTS and "exists" in again.message
    assert node.call(SaveMap, "save_map", overwrite=True).result == SaveMap.Response.SUCCESS
    outside = node.call(SaveMap, "save_map", path="../outside.map")
    assert outside.result == SaveMap.Response.ERROR_INVALID_PATH and not (folder.parent / "outside.map").exists()

    assert node.call(Trigger, "reset").success
    loaded = node.call(LoadMap, "load_map")
    assert (loaded.result, loaded.map_id) == (LoadMap.Response.SUCCESS, before.map_id)
    assert loaded.num_instances == saved.num_instances
    after = node.expect_frame(changes)
    assert after.map_id == before.map_id and after.frame_index > before.frame_index + 1, "a client sees the gap"
    assert ids(after) == ids(before), "the same objects have the same ids"


def test_two_saves_at_once_are_both_answered(node, changes, folder):
    node.expect_frame(changes)
    answers = [node.ask(SaveMap, "save_map", path=path) for path in ("one.map", "two.map")]
    assert [answer().result for answer in answers] == [SaveMap.Response.SUCCESS] * 2
    same = [node.ask(SaveMap, "save_map", path="three.map") for _ in range(2)]
    assert sorted(answer().result for answer in same) == [SaveMap.Response.SUCCESS, SaveMap.Response.ERROR_EXISTS]
    assert {one.name for one in folder.glob("*.map")} >= {"one.map", "two.map", "three.map"}


def test_a_file_that_cannot_be_used_leaves_the_map_as_it_is(node, changes, folder):
    before = node.expect_frame(changes)
    whole = node.call(SaveMap, "save_map", path="whole.map", overwrite=True)
    data = (folder / "whole.map").read_bytes()
    assert whole.result == SaveMap.Response.SUCCESS
    (folder / "truncated.map").write_bytes(data[: len(data) // 2])
    (folder / "foreign.map").write_text("model.name: none\n" * 100)
    (folder / "empty.map").touch()
    for name, result in {
        "nowhere.map": LoadMap.Response.ERROR_NOT_FOUND,
        "truncated.map": LoadMap.Response.ERROR_INVALID_FILE,
        "foreign.map": LoadMap.Response.ERROR_INVALID_FILE,
        "empty.map": LoadMap.Response.ERROR_INVALID_FILE,
    }.items():
        answer = node.call(LoadMap, "load_map", path=name)
        assert (answer.result, name in answer.message) == (result, True), answer.message
        assert answer.map_id == before.map_id and answer.num_instances == whole.num_instances
    after = node.expect_frame(changes)
    assert after.map_id == before.map_id and after.frame_index == before.frame_index + 1
