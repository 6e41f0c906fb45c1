"""A node as a process, the robot that it hears, and what it says: for tests of what comes into it."""

from __future__ import annotations

import itertools
from pathlib import Path

import ros_harness
from ros_harness import Process, Robot, wait_until

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions

SECOND = 10**9
EVERY_FRAME = {
    "process.mode": "lossless",
    "input.qos": "DEFAULT",
    "pose.timeout_s": 3.0,  # a busy machine may stand still for a second
    "model.name": "none",
    "on_time_jump": "keep",
}
_starts = itertools.count(1000, 100)  # seconds


class World:
    """A node, a robot that it hears, and what it says."""

    def __init__(self, node: Process, robot: Robot) -> None:
        self.node, self.robot = node, robot
        self.changes: list[InstanceArray] = []

    def begin(self) -> int:
        """Return the start of a new time line, after a first frame there."""
        start_ns = next(_starts) * SECOND
        self.frame(start_ns)
        return start_ns

    def frame(self, stamp_ns: int, **images) -> None:
        """Send a frame that must come out."""
        self.robot.send_frame(stamp_ns, **images)
        self.expect(stamp_ns)

    def expect(self, *stamps_ns: int) -> None:
        """Wait for the instances of these frames; they, and nothing after the first of them, must have come."""
        assert wait_until(lambda: stamps_ns[-1] in self.stamps()), f"{stamps_ns} of {self.stamps()}\n{self.said()}"
        assert tuple(self.stamps()[-len(stamps_ns) :]) == stamps_ns

    def stamps(self) -> list[int]:
        return [conversions.stamp_ns(message.header.stamp) for message in self.changes]

    def ids(self) -> set[int]:
        """The ids in the newest message."""
        return {one.id for one in self.changes[-1].instances}

    def said(self) -> str:
        return self.node.output()


def start_node(domain: int, folder: Path, **parameters: object) -> Process:
    """Start the node: every frame in order, on images and poses that DDS repeats, unless told otherwise."""
    path = ros_harness.parameters_file(folder, {**EVERY_FRAME, **parameters})
    return Process("segmenter_node", ["--ros-args", "--params-file", str(path)], domain, folder)
