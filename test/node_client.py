"""For tests of a running node: its services and states, and frames on which a stand-in of it fails on purpose."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import ros_harness
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from ros_harness import TIMEOUT_S, Process, Robot, wait_until

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions

SECOND = 10**9
EVERY_FRAME = {
    "model.name": "none",
    "masks.source": "regions",
    "process.mode": "lossless",
    "input.qos": "DEFAULT",
    "pose.timeout_s": 20.0,
    "on_time_jump": "keep",
}
SLOW_S = 3.0
MASKS_FAIL, OUT_OF_MEMORY, SLOW = 1, 2, 3  # frames whose stamps end with these nanoseconds meet what the names say
FAULTY_NODE = f"""
import time
from autoseg3d_ros.persistence import replacement
from autoseg3d_ros.ros import pipeline, segmenter_node

class OutOfMemoryError(RuntimeError):
    pass

class Masks:
    def __init__(self, real):
        self.real, self.name = real, real.name

    def masks(self, frame):
        fault = frame.stamp_ns % 10
        if fault == {MASKS_FAIL}:
            raise RuntimeError("the masks broke")
        if fault == {OUT_OF_MEMORY}:
            raise OutOfMemoryError("CUDA out of memory")
        if fault == {SLOW}:
            time.sleep({SLOW_S})
        return self.real.masks(frame)

def build(config):
    segmenter = build_segmenter(config)
    segmenter._mask_source = Masks(segmenter._mask_source)
    return segmenter

build_segmenter, pipeline.build_segmenter = pipeline.build_segmenter, build
raise SystemExit(segmenter_node.main())
"""
_TRANSITIONS = {
    "configure": Transition.TRANSITION_CONFIGURE,
    "activate": Transition.TRANSITION_ACTIVATE,
    "deactivate": Transition.TRANSITION_DEACTIVATE,
    "cleanup": Transition.TRANSITION_CLEANUP,
}


class NodeUnderTest:
    """A node in a process and what speaks to it."""

    def __init__(self, process: Process, robot: Robot, domain: int) -> None:
        self.process, self.robot, self.domain = process, robot, domain
        self._clients: dict[str, object] = {}
        self._seconds = itertools.count(100)

    def ask(self, kind: type, name: str, **fields) -> Callable[[], object]:
        """Call a service of the node; return what waits for the answer."""
        client = self._clients.get(name) or self.robot.node.create_client(kind, f"segmenter_node/{name}")
        self._clients[name] = client
        assert client.wait_for_service(TIMEOUT_S), name
        future = client.call_async(kind.Request(**fields))

        def answer() -> object:
            assert wait_until(future.done), f"{name}: no answer"
            return future.result()

        return answer

    def call(self, kind: type, name: str, **fields) -> object:
        """Call a service of the node and return its answer."""
        return self.ask(kind, name, **fields)()

    def go(self, transition: str) -> bool:
        """Ask for a transition; return whether it was made."""
        return self.call(ChangeState, "change_state", transition=Transition(id=_TRANSITIONS[transition])).success

    def state(self) -> str:
        """Return the state of the node."""
        return self.call(GetState, "get_state").current_state.label

    def next_stamp(self, fault: int = 0) -> int:
        """Return a stamp later than all before it, of a frame that is good or meets a fault."""
        return next(self._seconds) * SECOND + fault

    def expect_frame(self, changes: list[InstanceArray], **images) -> InstanceArray:
        """Send a good frame, see `Robot.send_frame`, and return what the node says of it."""
        stamp_ns = self.next_stamp()
        self.robot.send_frame(stamp_ns, **images)
        assert wait_until(lambda: changes and conversions.stamp_ns(changes[-1].header.stamp) == stamp_ns)
        return changes[-1]


@contextmanager
def running(folder: Path, *, is_faulty: bool = False, **parameters) -> Iterator[NodeUnderTest]:
    """A node with its own domain, and a robot; the node is faulty on the frames named above if that is wanted."""
    with pytest.MonkeyPatch.context() as patch, ros_harness.reserved_domain() as domain:
        patch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
        robot = Robot(domain)
        process = start(folder, domain, is_faulty=is_faulty, **parameters)
        try:
            yield NodeUnderTest(process, robot, domain)
        finally:
            robot.close()
            process.end()


def start(folder: Path, domain: int, *, is_faulty: bool = False, **parameters) -> Process:
    """Start a node."""
    path = ros_harness.parameters_file(folder, {**EVERY_FRAME, **parameters})
    name = "segmenter_node"
    if is_faulty:
        (folder / "faulty_node").write_text(FAULTY_NODE)
        name = str(folder / "faulty_node")
    return Process(name, ["--ros-args", "--params-file", str(path)], domain, folder)


def settle() -> None:
    """Give what must not happen the time to happen."""
    time.sleep(0.5)


def has_left(path: Path) -> bool:
    """Whether something is being written beside a file."""
    return any(name.startswith(f".{path.name}") for name in os.listdir(path.parent))
