from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError, RigidPose

CAMERA = CameraIntrinsics(width=4, height=3, fx=5.0, fy=5.0, cx=1.5, cy=1.0)
IDENTITY = RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def make_frame(**changes):
    fields = {
        "stamp_ns": 5,
        "rgb": np.zeros((3, 4, 3), np.uint8),
        "depth_m": np.ones((3, 4), np.float32),
        "camera": CAMERA,
        "pose": IDENTITY,
    }
    return Frame(**{**fields, **changes})


def scaled():
    matrix = np.eye(4)
    matrix[:3, :3] *= 1.1
    return matrix


def mirrored():
    return np.diag([1.0, 1.0, -1.0, 1.0])


def projective():
    matrix = np.eye(4)
    matrix[3, 0] = 0.5
    return matrix


@pytest.mark.parametrize(
    ("matrix", "words"),
    [
        (np.eye(3), "shape"),
        (np.full((4, 4), np.nan), "finite"),
        (scaled(), "rigid"),
        (mirrored(), "determinant -1"),
        (projective(), "last row"),
    ],
)
def test_a_matrix_that_is_no_rigid_transform_is_refused(matrix, words):
    with pytest.raises(FrameError, match=words) as error:
        RigidPose.from_matrix(matrix, "pose/000003.txt")
    assert "pose/000003.txt" in str(error.value)


@pytest.mark.parametrize("quaternion", [(0, 0, 0, 0), (0, 0, 0, 2.0), (np.nan, 0, 0, 1)])
def test_a_quaternion_that_is_no_rotation_is_refused(quaternion):
    with pytest.raises(FrameError):
        RigidPose((0.0, 0.0, 0.0), quaternion)


@given(st.lists(st.floats(-3, 3), min_size=6, max_size=6))
def test_a_pose_and_its_matrix_say_the_same(numbers):
    matrix = np.eye(4)
    matrix[:3, :3] = Rotation.from_rotvec(numbers[:3]).as_matrix()
    matrix[:3, 3] = numbers[3:]
    np.testing.assert_allclose(RigidPose.from_matrix(matrix).matrix, matrix, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth_m": np.ones((6, 8), np.float32)}, ["depth image", "(3, 4)", "(6, 8)"]),
        ({"depth_m": np.ones((3, 4), np.uint16)}, ["depth image", "float32", "uint16"]),
        ({"rgb": np.zeros((3, 4), np.uint8)}, ["colour image", "(3, 4, 3)"]),
        ({"truth": np.zeros((3, 4), np.uint16)}, ["instance image", "int32"]),
    ],
)
def test_a_frame_says_what_was_expected_and_what_came(changes, words):
    with pytest.raises(FrameError) as error:
        make_frame(name="000007", **changes)
    for word in ["000007", *words]:
        assert word in str(error.value)


def test_the_depth_stamp_is_the_colour_stamp_unless_given():
    assert make_frame().depth_stamp_ns == 5
    assert make_frame(depth_stamp_ns=9).depth_stamp_ns == 9


def test_intrinsics_must_be_positive():
    with pytest.raises(FrameError, match="positive"):
        CameraIntrinsics(width=4, height=3, fx=0.0, fy=1.0, cx=0.0, cy=0.0)
