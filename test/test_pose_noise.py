"""Poses as a robot has them: how far off, how smooth, and where they jump."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from autoseg3d_ros.data.synthetic.camera_path import pose_at
from autoseg3d_ros.data.synthetic.pose_noise import PoseNoise, disturbed, drift, loop_closures
from autoseg3d_ros.structures import RigidPose

EXACT = PoseNoise(jitter_m=0, jitter_deg=0, drift_m=0, drift_deg=0)
ONLY_DRIFT = PoseNoise(jitter_m=0, jitter_deg=0)
ONLY_JITTER = PoseNoise(drift_m=0, drift_deg=0)


def round_trip(num_frames: int = 200, *, loops: float = 1.25) -> list[RigidPose]:
    """Return poses on a circle of 1.5 m, looking outwards; they are back where they began after a loop."""
    angle = np.linspace(0, 2 * np.pi * loops, num_frames)
    return [
        pose_at(np.array([1.5 * np.cos(a), 1.5 * np.sin(a), 1.4]), np.array([np.degrees(a), -15, 0])) for a in angle
    ]


def errors(believed: list[RigidPose], true: list[RigidPose]) -> tuple[np.ndarray, np.ndarray]:
    """Return the shifts (N, 3) in metres and the rotation vectors (N, 3) in degrees, both in the world."""
    first, second = (np.array([pose.matrix for pose in poses]) for poses in (believed, true))
    turn = Rotation.from_matrix(first[:, :3, :3]) * Rotation.from_matrix(second[:, :3, :3]).inv()
    return first[:, :3, 3] - second[:, :3, 3], turn.as_rotvec(degrees=True)


def test_no_poses_and_no_noise() -> None:
    assert disturbed([], PoseNoise(), np.random.default_rng(0)) == []
    shift_m, turn_deg = errors(disturbed(round_trip(5), EXACT, np.random.default_rng(0)), round_trip(5))
    assert np.abs(shift_m).max() < 1e-12 and np.abs(turn_deg).max() < 1e-6


@pytest.mark.parametrize("num_frames", [1, 2, 3])
def test_few_poses(num_frames: int) -> None:
    assert len(disturbed(round_trip(num_frames), PoseNoise(), np.random.default_rng(0))) == num_frames


def test_a_camera_that_stands_still_does_not_drift() -> None:
    still = [pose_at(np.zeros(3), np.zeros(3))] * 20
    shift_m, turn_deg = errors(disturbed(still, ONLY_DRIFT, np.random.default_rng(0)), still)
    assert np.abs(shift_m).max() < 1e-12 and np.abs(turn_deg).max() < 1e-6


def test_equal_generators_give_equal_poses() -> None:
    first, again, other = (disturbed(round_trip(), PoseNoise(), np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first == again and first != other


def test_jitter_has_its_root_mean_square_and_no_memory() -> None:
    true = round_trip(2000)
    shift_m, turn_deg = errors(disturbed(true, ONLY_JITTER, np.random.default_rng(0)), true)
    assert np.sqrt((shift_m**2).sum(axis=1).mean()) == pytest.approx(0.01, rel=0.05)
    assert np.sqrt((turn_deg**2).sum(axis=1).mean()) == pytest.approx(0.5, rel=0.05)
    assert abs(np.corrcoef(shift_m[1:, 0], shift_m[:-1, 0])[0, 1]) < 0.1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), loops=st.floats(0.1, 3.0), closing=st.booleans())
def test_drift_starts_at_nothing_stays_within_its_bounds_and_is_mostly_yaw(
    seed: int, loops: float, closing: bool
) -> None:
    true = round_trip(60, loops=loops)
    noise = PoseNoise(jitter_m=0, jitter_deg=0, loop_closure=closing)
    shift_m, turn_deg = errors(disturbed(true, noise, np.random.default_rng(seed)), true)
    size_m, size_deg = np.linalg.norm(shift_m, axis=1), np.linalg.norm(turn_deg, axis=1)
    assert size_m[0] < 1e-9 and size_deg[0] < 1e-6
    assert 0.05 - 1e-9 < size_m.max() < 0.1 + 1e-9 and 0.97 < size_deg.max() < 2 + 1e-6
    assert np.linalg.norm(turn_deg[:, :2], axis=1).max() < 0.25 * np.abs(turn_deg[:, 2]).max()


@pytest.mark.parametrize("seed", range(8))
def test_drift_is_slow_but_for_one_jump_that_takes_most_of_it(seed: int) -> None:
    true = round_trip()
    (closing,) = loop_closures(np.array([pose.matrix for pose in true]))
    assert 140 < closing < 161  # a whole loop is 160 frames; the place is recognised a little before
    shift_m, turn_rad = drift(np.array([pose.matrix for pose in true]), ONLY_DRIFT, np.random.default_rng(seed))
    for values in (shift_m, turn_rad):
        steps = np.linalg.norm(np.diff(values, axis=0), axis=1)
        before, after = np.linalg.norm(values[[closing - 1, closing]], axis=1)
        assert after < 0.35 * before and after > 0
        assert np.delete(steps, closing - 1).max() < 0.06 * np.linalg.norm(values, axis=1).max()


def test_without_loop_closure_nothing_jumps() -> None:
    true = np.array([pose.matrix for pose in round_trip()])
    noise = PoseNoise(jitter_m=0, jitter_deg=0, loop_closure=False)
    shift_m, _ = drift(true, noise, np.random.default_rng(0))
    assert np.linalg.norm(np.diff(shift_m, axis=0), axis=1).max() < 0.006


@pytest.mark.parametrize(
    ("loops", "closings"), [(0.5, 0), (0.8, 0), (1.2, 1), (2.2, 2)], ids=["half", "not yet", "once", "twice"]
)
def test_a_loop_closes_each_time_the_camera_is_back(loops: float, closings: int) -> None:
    assert len(loop_closures(np.array([pose.matrix for pose in round_trip(loops=loops)]))) == closings


def test_the_start_seen_from_behind_closes_no_loop() -> None:
    there = [pose_at(np.array([0.1 * step, 0, 1.4]), np.array([-90, 0, 0])) for step in range(30)]
    back = [pose_at(np.array([3 - 0.1 * step, 0, 1.4]), np.array([90, 0, 0])) for step in range(30)]
    assert loop_closures(np.array([pose.matrix for pose in there + back])) == []


def test_negative_noise_is_refused() -> None:
    with pytest.raises(ValueError, match="expected numbers from 0"):
        PoseNoise(drift_m=-0.1)
