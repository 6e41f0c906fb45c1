"""What comes into the node over real DDS, and goes wrong there: it lives, says what is wrong, and goes on.

One node for all; each test has a time line of its own, later than the one before.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import ros_harness
from node_world import SECOND, World, start_node
from ros_harness import CAMERA, CAMERA_FRAME, LEVEL_POSE, Robot, wait_until

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.structures import RigidPose

TENTH = SECOND // 10
SCENE_RGB, SCENE_DEPTH_M = ros_harness.scene()


@pytest.fixture(scope="module")
def domain():
    patch = pytest.MonkeyPatch()
    patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    with ros_harness.reserved_domain() as number:
        yield number
    patch.undo()


@pytest.fixture(scope="module")
def world(domain, tmp_path_factory):
    """One node for most tests: every frame in order, raw images, poses."""
    node, robot = start_node(domain, tmp_path_factory.mktemp("node")), Robot(domain)
    robot.connect()
    world = World(node, robot)
    world.changes = robot.listen("instances", InstanceArray)
    yield world
    robot.close()
    node.end()
    assert "Traceback" not in node.output()


def test_a_camera_that_stops_is_named_and_its_things_keep_their_ids(world):
    start_ns = world.begin()
    for index in range(1, 4):
        world.frame(start_ns + index * TENTH)
    before = world.ids()
    world.robot.send_pose(start_ns + 3 * SECOND)
    world.node.wait_for("no output for 5 s: no messages on /rgb/image_raw, /depth/image_raw")
    world.frame(start_ns + 6 * SECOND)
    assert before and world.ids() == before


def test_the_encoding_may_change_from_frame_to_frame(world):
    start_ns = world.begin()
    units = (SCENE_DEPTH_M * 1000).astype(np.uint16)
    rgba = np.dstack([SCENE_RGB, np.full((CAMERA.height, CAMERA.width), 255, np.uint8)])
    images = [
        {"rgb": SCENE_RGB[..., ::-1], "rgb_encoding": "bgr8"},
        {"depth": units, "depth_encoding": "16UC1"},
        {"rgb": rgba, "rgb_encoding": "rgba8", "depth": units, "depth_encoding": "mono16"},
        {"rgb": SCENE_RGB[..., 0], "rgb_encoding": "mono8"},
        {"rgb": SCENE_RGB[..., ::-1], "rgb_encoding": "8UC3"},
    ]
    for index, changed in enumerate(images, 1):
        world.frame(start_ns + index * TENTH, **changed)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        ({"rgb_encoding": "bayer_rggb16"}, "/rgb/image_raw: expected one of the encodings rgb8, bgr8, rgba8"),
        ({"depth": SCENE_DEPTH_M[:, ::2]}, "expected a depth image of the colour image's 160x120 pixels, got 80x120"),
        ({"depth": SCENE_DEPTH_M.astype(np.float64), "depth_encoding": "64FC1"}, ""),  # each kind is said once
    ],
)
def test_one_bad_image_costs_one_frame(world, images, words):
    start_ns = world.begin()
    world.robot.send_frame(start_ns + TENTH, **images)
    world.frame(start_ns + 2 * TENTH)
    assert start_ns + TENTH not in world.stamps()
    assert words in world.said()


def test_depth_without_a_valid_pixel_gives_no_instance(world):
    start_ns = world.begin()
    nothing_m = np.zeros_like(SCENE_DEPTH_M)
    for index, depth_m in enumerate((nothing_m, nothing_m + np.nan, nothing_m + np.inf, -SCENE_DEPTH_M), 1):
        world.frame(start_ns + index * TENTH, depth=depth_m)
    world.frame(start_ns + SECOND)
    assert world.ids()


def test_depth_of_half_the_size_is_enlarged(world):
    start_ns = world.begin()
    world.frame(start_ns + TENTH, depth=SCENE_DEPTH_M[::2, ::2])
    assert world.ids()


def test_stamps_that_repeat_go_back_a_little_or_are_zero(world):
    start_ns = world.begin()
    world.frame(start_ns + 3 * TENTH)
    for stamp_ns in (start_ns + 3 * TENTH, start_ns + 2 * TENTH, 0):
        world.robot.send_frame(stamp_ns)
    world.frame(start_ns + 4 * TENTH)
    assert world.stamps()[-3:] == [start_ns, start_ns + 3 * TENTH, start_ns + 4 * TENTH]
    world.node.wait_for("expected the time of the measurement in header.stamp, got 0")


def test_intrinsics_that_change_count_from_the_next_frame_on(world):
    start_ns = world.begin()
    small = ros_harness.CameraIntrinsics(80, 60, CAMERA.fx / 2, CAMERA.fy / 2, 39.5, 29.5)
    head = conversions.header(start_ns + TENTH, CAMERA_FRAME)
    world.robot.info.publish(conversions.camera_info_msg(head, small))
    world.robot.info.publish(conversions.camera_info_msg(head, small))
    images = {"rgb": np.ascontiguousarray(SCENE_RGB[::2, ::2]), "depth": SCENE_DEPTH_M[::2, ::2], "info": False}
    sent = itertools.count(1)

    def comes_out() -> bool:  # topics keep no order between them: the first one may meet the former camera
        world.robot.send_frame(start_ns + next(sent) * TENTH, **images)
        return wait_until(lambda: world.stamps()[-1] > start_ns, 0.5)

    assert wait_until(comes_out)
    world.robot.info.publish(conversions.camera_info_msg(head, CAMERA))
    world.begin()


def test_a_gap_in_the_poses_costs_the_frames_within(world):
    start_ns = world.begin()
    world.robot.send_frame(start_ns + 5 * TENTH, pose=False)
    world.frame(start_ns + SECOND)
    world.node.wait_for("expected poses at most pose.max_gap_s = 0.25 s apart")
    assert world.stamps()[-2:] == [start_ns, start_ns + SECOND]


def test_poses_that_stop_are_told_and_the_next_ones_are_used(world):
    start_ns = world.begin()
    world.robot.send_frame(start_ns + TENTH, pose=False)
    world.node.wait_for("expected a pose not older than its depth image within pose.timeout_s = 3 s")
    world.frame(start_ns + 20 * TENTH)


def test_a_pose_that_jumps_is_told(world):
    start_ns = world.begin()
    world.robot.send_frame(start_ns + TENTH // 2, pose=False)
    x, y, z = LEVEL_POSE.translation_m
    far = RigidPose((x + 3.0, y, z), LEVEL_POSE.quaternion_xyzw)
    world.robot.send_frame(start_ns + TENTH, pose=False)
    world.robot.send_pose(start_ns + TENTH, far)
    world.expect(start_ns, start_ns + TENTH)
    world.node.wait_for("is 3.0 m from the one before")
    world.node.wait_for("got two 3.00 m apart within 0.100 s")


def test_the_clock_goes_back_and_the_ids_stay(world):
    start_ns = world.begin()
    world.frame(start_ns + TENTH)
    before, map_id = world.ids(), bytes(world.changes[-1].map_id.uuid)
    for index in range(5):
        world.frame(start_ns - 10 * SECOND + index * TENTH)
    assert world.ids() & before and bytes(world.changes[-1].map_id.uuid) == map_id
    assert world.said().count("on_time_jump is keep") == 1
