"""Transforms become a stream of camera poses, in whatever order they come and whatever time does."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.tf_poses import TfPoses
from autoseg3d_ros.structures import FrameError

STAND_INS = Path(__file__).parent / "ros_stand_ins"
SECOND = 10**9
STILL = Quaternion(w=1.0)


@pytest.fixture
def poses(monkeypatch) -> TfPoses:
    monkeypatch.syspath_prepend(str(STAND_INS))
    for name in ("tf2_ros", "tf2_msgs", "tf2_msgs.msg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return TfPoses("map", buffer_s=30.0)


def message(parent: str, child: str, stamp_s: float = 0.0, x: float = 0.0, rotation: Quaternion = STILL):
    head = conversions.header(round(stamp_s * SECOND), parent)
    transform = Transform(translation=Vector3(x=x), rotation=rotation)
    return SimpleNamespace(transforms=[TransformStamped(header=head, child_frame_id=child, transform=transform)])


def newest(poses: TfPoses, **options) -> tuple[float, float] | None:
    """The stamp of the newest pose in seconds and its x, or None."""
    found = poses.new_pose("camera", **options)
    return None if found is None else (found[0] / SECOND, found[1].translation_m[0])


def test_before_anything_comes_it_says_what_is_missing(poses):
    assert newest(poses) is None
    assert "no transform from 'camera' to 'map': \"camera\" is not connected" in poses.missing


def test_a_chain_gives_a_pose_at_the_newest_time_that_all_of_it_knows(poses):
    poses.add_static(message("base", "camera", x=0.1))
    poses.add(message("odom", "base", 10.0, x=2.0))
    assert newest(poses) is None and '"odom" is not connected' in poses.missing
    poses.add(message("map", "odom", 9.5, x=30.0))
    assert newest(poses) == (9.5, pytest.approx(32.1))
    assert poses.missing == ""
    assert newest(poses) is None, "the same again is not new"
    poses.add(message("map", "odom", 11.0, x=30.0))
    assert newest(poses) == (10.0, pytest.approx(32.1))


def test_a_camera_that_nothing_moves_is_there_at_every_time(poses):
    poses.add_static(message("map", "camera", x=3.0))
    assert newest(poses) is None
    assert newest(poses, at_ns=7 * SECOND) == (7.0, 3.0)
    assert newest(poses, at_ns=6 * SECOND) == (6.0, 3.0), "time may jump back"


def test_when_time_jumps_back_the_old_transforms_are_forgotten_and_the_static_ones_stay(poses):
    poses.add_static(message("base", "camera"))
    poses.add(message("odom", "base", 100.0, x=1.0))
    poses.add(message("map", "odom", 100.0))
    assert newest(poses) == (100.0, 1.0)
    poses.add(message("odom", "base", 50.0, x=2.0))
    assert newest(poses) is None, "map to odom is of the old time line"
    poses.add(message("map", "odom", 100.1))
    assert newest(poses) is None, "and this still"
    poses.add(message("map", "odom", 50.0))
    assert newest(poses) == (50.0, 2.0)


def test_a_transform_that_is_not_rigid_is_refused(poses):
    poses.add(message("map", "camera", 1.0, rotation=Quaternion(w=0.5)))
    poses._buffer.lookup_transform = lambda *_: message("map", "camera", 1.0, rotation=Quaternion(w=0.5)).transforms[0]
    with pytest.raises(FrameError, match="unit quaternion"):
        newest(poses)


def test_without_the_package_asking_for_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_ros", None)
    with pytest.raises(ConfigError, match=r"pose\.source: tf: expected the ROS packages tf2_ros, tf2_msgs"):
        TfPoses("map", 30.0)
