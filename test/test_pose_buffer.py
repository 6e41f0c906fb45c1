"""Poses over time: exact where known, SE(3) in between, and a reason where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autoseg3d_ros.stream.pose_buffer import PoseBuffer, PoseMiss, PoseMissReason, interpolate_pose
from autoseg3d_ros.structures import RigidPose

MS = 1_000_000
SECOND = 1000 * MS


def pose_at(x, angle=0.0, axis=(0.0, 0.0, 1.0)):
    quaternion = Rotation.from_rotvec(angle * np.asarray(axis)).as_quat()
    return RigidPose((float(x), 0.0, 0.0), tuple(quaternion.tolist()))


@pytest.mark.parametrize(
    ("step_m", "max_speed_mps", "is_jump"),
    [
        (3.0, 10.0, True),
        (1.01, 10.0, True),
        (0.99, 10.0, False),
        (0.49, 1.0, False),  # may be noise
        (0.51, 1.0, True),
        (3.0, 0.0, False),
        (3.0, 50.0, False),
    ],
)
def test_a_pose_that_jumps_is_not_interpolated(step_m, max_speed_mps, is_jump):
    poses = PoseBuffer(30.0, 0.25, max_speed_mps)
    assert poses.newest_jump_m() == 0.0
    poses.add(0, pose_at(0.0))
    assert poses.newest_jump_m() == 0.0
    poses.add(100 * MS, pose_at(step_m))
    assert poses.newest_jump_m() == (step_m if is_jump else 0.0)
    found = poses.lookup(50 * MS)
    if is_jump:
        assert found == PoseMiss(PoseMissReason.JUMP, 100 * MS, step_m)
    else:
        assert isinstance(found, RigidPose) and found.translation_m[0] == pytest.approx(step_m / 2)
    assert isinstance(poses.lookup(100 * MS), RigidPose), "a pose that is there needs no neighbour"


def buffer_of(*stamps_ms, buffer_s=30.0, max_gap_s=0.25):
    """Return a buffer with a pose at x = its own stamp in milliseconds, for each stamp."""
    poses = PoseBuffer(buffer_s, max_gap_s)
    for stamp_ms in stamps_ms:
        poses.add(stamp_ms * MS, pose_at(stamp_ms))
    return poses


@pytest.mark.parametrize(
    ("stamps_ms", "at_ms", "found"),
    [
        ([], 5, PoseMiss(PoseMissReason.EMPTY)),
        ([100], 101, PoseMiss(PoseMissReason.NOT_YET, 1 * MS)),
        ([100], 98, PoseMiss(PoseMissReason.TOO_OLD, 2 * MS)),
        ([100, 200], 201, PoseMiss(PoseMissReason.NOT_YET, 1 * MS)),
        ([0, 251], 1, PoseMiss(PoseMissReason.GAP, 251 * MS)),
        ([0, 100, 351, 400], 350, PoseMiss(PoseMissReason.GAP, 251 * MS)),
        ([100], 100, 100.0),
        ([0, 251], 251, 251.0),  # a pose that is there needs no neighbour
        ([0, 250], 50, 50.0),
        ([0, 100, 200], 175, 175.0),
        ([200, 0, 100], 175, 175.0),
    ],
)
def test_lookup(stamps_ms, at_ms, found):
    pose = buffer_of(*stamps_ms).lookup(at_ms * MS)
    if isinstance(found, PoseMiss):
        assert pose == found
    else:
        assert isinstance(pose, RigidPose) and pose.translation_m == pytest.approx((found, 0, 0))


def test_a_known_stamp_gives_the_very_object():
    poses = buffer_of(0, 200)
    pose = RigidPose((1.0, 2.0, 3.0), (0.6, 0.0, 0.0, 0.8))
    poses.add(100 * MS, pose)
    assert poses.lookup(100 * MS) is pose


def test_a_known_stamp_is_replaced():
    poses = buffer_of(0, 100)
    pose = pose_at(7)
    poses.add(100 * MS, pose)
    assert len(poses) == 2 and poses.lookup(100 * MS) is pose


def test_a_late_pose_lands_in_order_and_closes_the_gap():
    poses = buffer_of(0, 400)
    assert poses.lookup(150 * MS) == PoseMiss(PoseMissReason.GAP, 400 * MS)
    assert not poses.add(200 * MS, pose_at(1000))
    assert poses.lookup(100 * MS).translation_m == pytest.approx((500, 0, 0))
    assert poses.lookup(300 * MS).translation_m == pytest.approx((700, 0, 0))


def test_only_the_last_seconds_are_kept():
    poses = PoseBuffer(buffer_s=2.0, max_gap_s=0.25)
    for stamp_ms in range(0, 100_000, 100):
        poses.add(stamp_ms * MS, pose_at(0))
        assert len(poses) <= 21
    assert len(poses) == 21
    assert isinstance(poses.lookup(97_900 * MS), RigidPose)
    assert poses.lookup(97_899 * MS) == PoseMiss(PoseMissReason.TOO_OLD, 1 * MS)


def test_a_jump_back_forgets_and_is_told():
    poses = buffer_of(5000, 5100)
    assert not poses.add(4100 * MS, pose_at(0))
    assert poses.add(4099 * MS, pose_at(1))
    assert len(poses) == 1
    assert poses.lookup(5000 * MS) == PoseMiss(PoseMissReason.NOT_YET, 901 * MS)


def test_clear():
    poses = buffer_of(0, 100)
    poses.clear()
    assert len(poses) == 0 and poses.lookup(0) == PoseMiss(PoseMissReason.EMPTY)


numbers = st.floats(-10, 10)
unit_quaternions = (
    st.tuples(*[st.floats(-1, 1)] * 4)
    .map(np.array)
    .filter(lambda quaternion: np.linalg.norm(quaternion) > 0.1)
    .map(lambda quaternion: tuple((quaternion / np.linalg.norm(quaternion)).tolist()))
)
rigid_poses = st.builds(RigidPose, st.tuples(numbers, numbers, numbers), unit_quaternions)
fractions = st.floats(0, 1)


def rotation(pose):
    return Rotation.from_quat(pose.quaternion_xyzw)


def angle_between(a, b):
    return float((rotation(a).inv() * rotation(b)).magnitude())


@given(rigid_poses, rigid_poses, fractions)
def test_an_interpolated_pose_lies_between(start, end, fraction):
    assume(angle_between(start, end) < np.pi - 1e-3)
    pose = interpolate_pose(start, end, fraction)
    low, high = np.sort([start.translation_m, end.translation_m], axis=0)
    assert (pose.translation_m >= low - 1e-9).all() and (pose.translation_m <= high + 1e-9).all()
    whole = angle_between(start, end)
    assert angle_between(start, pose) == pytest.approx(fraction * whole, abs=1e-6)
    assert angle_between(pose, end) == pytest.approx((1 - fraction) * whole, abs=1e-6)


@settings(deadline=None)
@given(
    axis=st.tuples(numbers, numbers, numbers).map(np.array).filter(lambda axis: np.linalg.norm(axis) > 0.1),
    rate=st.floats(-3, 3),  # radians a second: less than half a turn between neighbours
    velocity=st.tuples(numbers, numbers, numbers).map(np.array),
    at_ms=st.integers(0, 1000),
)
def test_a_constant_motion_is_met_everywhere(axis, rate, velocity, at_ms):
    axis = axis / np.linalg.norm(axis)

    def truth(stamp_s):
        quaternion = Rotation.from_rotvec(rate * stamp_s * axis).as_quat()
        return RigidPose(tuple((velocity * stamp_s).tolist()), tuple(quaternion.tolist()))

    poses = PoseBuffer(buffer_s=30.0, max_gap_s=0.5)
    for index in range(6):
        poses.add(index * 200 * MS, truth(0.2 * index))
    pose = poses.lookup(at_ms * MS)
    np.testing.assert_allclose(pose.matrix, truth(at_ms / 1000).matrix, atol=1e-9)


@given(rigid_poses, rigid_poses, fractions)
def test_the_sign_of_a_quaternion_does_not_matter(start, end, fraction):
    assume(angle_between(start, end) < np.pi - 1e-3)
    flipped = RigidPose(end.translation_m, tuple(-value for value in end.quaternion_xyzw))
    np.testing.assert_allclose(
        interpolate_pose(start, flipped, fraction).matrix, interpolate_pose(start, end, fraction).matrix, atol=1e-9
    )


@given(stamps_ms=st.permutations(range(0, 1000, 100)), at_ms=st.integers(0, 900))
def test_the_order_of_arrival_does_not_matter(stamps_ms, at_ms):
    assert buffer_of(*stamps_ms).lookup(at_ms * MS).translation_m == pytest.approx((at_ms, 0, 0))
