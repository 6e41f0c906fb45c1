"""Camera poses over time: SE(3) interpolation between neighbours, and a reason where there is none."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from autoseg3d_ros.stream.time_jump import TIME_JUMP_NS
from autoseg3d_ros.structures import RigidPose

_MIN_JUMP_M = 0.5  # smaller steps may be the noise of poses that come close together


class PoseMissReason(Enum):
    """Why there is no pose at a stamp."""

    EMPTY = auto()  # no pose came yet
    NOT_YET = auto()  # newer than the newest pose: wait for a later one
    TOO_OLD = auto()  # older than the oldest pose kept
    GAP = auto()  # the neighbouring poses are too far apart in time to interpolate
    JUMP = auto()  # nothing moves that fast between the neighbouring poses


@dataclass(frozen=True)
class PoseMiss:
    """No pose at a stamp."""

    reason: PoseMissReason
    gap_ns: int = 0  # GAP and JUMP: between the neighbours; NOT_YET and TOO_OLD: to the nearest pose
    step_m: float = 0.0  # JUMP: between the neighbours


class PoseBuffer:
    """The poses of the last `buffer_s` seconds, in the order of their stamps.

    Not thread-safe; `FrameAssembler` locks.
    """

    def __init__(self, buffer_s: float, max_gap_s: float, max_speed_mps: float = 0.0) -> None:
        """With `max_speed_mps` > 0, a larger step than half a metre at more than that speed is a jump."""
        self._buffer_ns = round(buffer_s * 1e9)
        self._max_gap_ns = round(max_gap_s * 1e9)
        self._max_speed_mps = max_speed_mps or math.inf
        self._stamps_ns: list[int] = []
        self._poses: list[RigidPose] = []

    def __len__(self) -> int:
        """Return the number of poses kept."""
        return len(self._stamps_ns)

    def add(self, stamp_ns: int, pose: RigidPose) -> bool:
        """Keep a pose: late ones land in order, one with a known stamp replaces the former.

        Return True if the stamp lies more than a second before the newest: time jumped back, and the poses kept until
        then are forgotten.
        """
        jumped = bool(self._stamps_ns) and stamp_ns < self._stamps_ns[-1] - TIME_JUMP_NS
        if jumped:
            self.clear()
        index = bisect.bisect_left(self._stamps_ns, stamp_ns)
        if self._stamps_ns[index : index + 1] == [stamp_ns]:
            self._poses[index] = pose
        else:
            self._stamps_ns.insert(index, stamp_ns)
            self._poses.insert(index, pose)
        self._forget_before(self._stamps_ns[-1] - self._buffer_ns)
        return jumped

    def lookup(self, stamp_ns: int) -> RigidPose | PoseMiss:
        """Return the pose at `stamp_ns`: the very object added with this stamp, or one interpolated between the two
        neighbours, or the reason why there is none. Never extrapolates. O(log n).
        """
        stamps = self._stamps_ns
        if not stamps:
            return PoseMiss(PoseMissReason.EMPTY)
        after = bisect.bisect_left(stamps, stamp_ns)
        if after == len(stamps):
            return PoseMiss(PoseMissReason.NOT_YET, stamp_ns - stamps[-1])
        if stamps[after] == stamp_ns:
            return self._poses[after]
        if after == 0:
            return PoseMiss(PoseMissReason.TOO_OLD, stamps[0] - stamp_ns)
        gap_ns = stamps[after] - stamps[after - 1]
        if gap_ns > self._max_gap_ns:
            return PoseMiss(PoseMissReason.GAP, gap_ns)
        if step_m := self._jump_m(after):
            return PoseMiss(PoseMissReason.JUMP, gap_ns, step_m)
        fraction = (stamp_ns - stamps[after - 1]) / gap_ns
        return interpolate_pose(self._poses[after - 1], self._poses[after], fraction)

    def newest_jump_m(self) -> float:
        """Return the distance between the two newest poses if that is a jump, else 0."""
        return self._jump_m(len(self._poses) - 1) if len(self._poses) > 1 else 0.0

    def clear(self) -> None:
        """Forget all poses."""
        self._stamps_ns.clear()
        self._poses.clear()

    def _jump_m(self, index: int) -> float:
        """Return the distance from the pose before `index` to that at `index` if it is a jump, else 0."""
        step_m = math.dist(self._poses[index - 1].translation_m, self._poses[index].translation_m)
        gap_s = (self._stamps_ns[index] - self._stamps_ns[index - 1]) / 1e9
        return step_m if step_m > max(_MIN_JUMP_M, self._max_speed_mps * gap_s) else 0.0

    def _forget_before(self, stamp_ns: int) -> None:
        num_old = bisect.bisect_left(self._stamps_ns, stamp_ns)
        del self._stamps_ns[:num_old]
        del self._poses[:num_old]


def interpolate_pose(start: RigidPose, end: RigidPose, fraction: float) -> RigidPose:
    """Return the pose `fraction` in [0, 1] of the way: translation on a straight line, rotation on the short arc."""
    translations_m = np.array([start.translation_m, end.translation_m])
    translation_m = translations_m[0] + fraction * (translations_m[1] - translations_m[0])
    arc = Slerp([0.0, 1.0], Rotation.from_quat([start.quaternion_xyzw, end.quaternion_xyzw]))
    return RigidPose(tuple(translation_m.tolist()), tuple(arc(fraction).as_quat().tolist()))
