"""For tests over real DDS: executables as processes, a domain of their own, and a stand-in for robot and client."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import yaml
from ament_index_python.packages import get_package_prefix
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.msg import SetParametersResult
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.parameter import Parameter, parameter_value_to_python
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.spinning import spin_until
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

TIMEOUT_S = float(os.environ.get("AUTOSEG3D_TEST_TIMEOUT_S", "60"))  # of what comes at once on an idle machine
RELIABLE = QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
BEST_EFFORT = QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT)
LATCHED = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
CAMERA = CameraIntrinsics(width=160, height=120, fx=140.0, fy=140.0, cx=79.5, cy=59.5)
CAMERA_FRAME = "test_camera"
LEVEL_POSE = RigidPose((0.0, 0.0, 1.0), (-0.5, 0.5, -0.5, 0.5))  # 1 m above the floor, looking along x
_SETTLE_S = 0.2  # the other side of a match learns of it a moment later
_DOMAINS = range(1, 100)
_DOMAIN_PORT = 22119  # the ports by which ament's domain_coordinator reserves domains, so that we respect each other


@contextmanager
def reserved_domain() -> Iterator[int]:
    """A ROS domain that no other test on this machine uses."""
    for domain in random.sample(_DOMAINS, len(_DOMAINS)):
        with socket.socket() as lock:
            try:
                lock.bind(("127.0.0.1", _DOMAIN_PORT + domain))
            except OSError:
                continue
            yield domain
            return
    raise RuntimeError("all ROS domains are in use")


class Process:
    """One of the package's executables, its output in a file."""

    def __init__(self, name: str, arguments: list[str], domain: int, folder: Path) -> None:
        self.log = folder / f"{name}.log"
        executable = Path(get_package_prefix("autoseg3d_ros")) / "lib" / "autoseg3d_ros" / name
        environment = {**os.environ, "ROS_DOMAIN_ID": str(domain), "PYTHONUNBUFFERED": "1", "ROS_LOG_DIR": str(folder)}
        with self.log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, str(executable), *arguments],
                stdout=output,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd=folder,
            )

    def output(self) -> str:
        """Return what it has written so far."""
        return self.log.read_text(errors="replace")

    def wait_for(self, text: str, timeout_s: float = TIMEOUT_S) -> None:
        """Wait until it has written `text`."""
        wait_until(lambda: text in self.output() or self._process.poll() is not None, timeout_s)
        assert text in self.output(), f"expected {text!r} in\n{self.output()}"

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def wait(self, timeout_s: float = TIMEOUT_S) -> int:
        """Return the exit code once it has ended."""
        return self._process.wait(timeout_s)

    def end(self) -> None:
        """Make sure that it does not outlive the test."""
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait(TIMEOUT_S)


class Robot:
    """Publishes what a robot would and collects what the node says, in the process of the test."""

    def __init__(self, domain: int) -> None:
        self._context = Context()
        self._context.init(args=[], domain_id=domain)
        self.node = Node("robot", context=self._context, start_parameter_services=False)
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._leaves = threading.Event()
        self._thread = threading.Thread(target=spin_until, args=(self._leaves, self._executor), daemon=True)
        self._thread.start()

    def connect(self, qos: QoSProfile = RELIABLE, pose_type: type = PoseStamped) -> None:
        """Become a camera with poses, and wait until the node subscribes to all of it."""
        self.rgb = self.node.create_publisher(Image, "rgb/image_raw", qos)
        self.depth = self.node.create_publisher(Image, "depth/image_raw", qos)
        self.info = self.node.create_publisher(CameraInfo, "rgb/camera_info", qos)
        self.pose = self.node.create_publisher(pose_type, "pose" if pose_type is PoseStamped else "odom", qos)
        publishers = (self.rgb, self.depth, self.info, self.pose)
        assert wait_until(lambda: all(one.get_subscription_count() for one in publishers)), (
            "the node does not subscribe"
        )
        time.sleep(_SETTLE_S)

    def listen(self, topic: str, kind: type, qos: QoSProfile = RELIABLE) -> list:
        """Subscribe, wait for the publisher, and return the list that fills with messages."""
        received: list = []
        self.node.create_subscription(kind, topic, received.append, qos)
        assert wait_until(lambda: self.node.count_publishers(topic)), f"nobody publishes {topic}"
        time.sleep(_SETTLE_S)
        return received

    def send_frame(
        self,
        stamp_ns: int,
        *,
        pose: bool = True,
        info: bool = True,
        rgb: np.ndarray | None = None,
        depth: np.ndarray | None = None,
        rgb_encoding: str = "rgb8",
        depth_encoding: str = "32FC1",
    ) -> None:
        """Publish one frame of the test scene, or of other images."""
        scene_rgb, scene_depth_m = scene()
        head = conversions.header(stamp_ns, CAMERA_FRAME)
        if info:
            self.info.publish(conversions.camera_info_msg(head, CAMERA))
        if pose:
            self.send_pose(stamp_ns)
        self.rgb.publish(conversions.image_msg(head, scene_rgb if rgb is None else rgb, rgb_encoding))
        self.depth.publish(conversions.image_msg(head, scene_depth_m if depth is None else depth, depth_encoding))

    def send_pose(self, stamp_ns: int, pose: RigidPose | None = None) -> None:
        """Publish the camera pose, LEVEL_POSE unless told otherwise."""
        message = conversions.pose_msg(pose or LEVEL_POSE)
        self.pose.publish(PoseStamped(header=conversions.header(stamp_ns, "map"), pose=message))

    def set_parameter(self, name: str, value: object) -> SetParametersResult:
        """Set a parameter of the node, as `ros2 param set` does."""
        client = self.node.create_client(SetParameters, "segmenter_node/set_parameters")
        assert client.wait_for_service(TIMEOUT_S)
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        answer = client.call_async(request)
        assert wait_until(answer.done)
        return answer.result().results[0]

    def get_parameter(self, node: str, name: str) -> object:
        """Return a parameter of a node, as `ros2 param get` does."""
        client = self.node.create_client(GetParameters, f"{node}/get_parameters")
        assert client.wait_for_service(TIMEOUT_S)
        answer = client.call_async(GetParameters.Request(names=[name]))
        assert wait_until(answer.done)
        return parameter_value_to_python(answer.result().values[0])

    def close(self) -> None:
        """Leave the network."""
        self._leaves.set()
        self._thread.join(TIMEOUT_S)
        self._executor.shutdown()
        self.node.destroy_node()
        self._context.try_shutdown()


def scene() -> tuple[np.ndarray, np.ndarray]:
    """A wall at 2 m with two boxes before it: (120, 160, 3) uint8 and (120, 160) float32 metres."""
    rgb = np.full((CAMERA.height, CAMERA.width, 3), 120, np.uint8)
    depth_m = np.full((CAMERA.height, CAMERA.width), 2.0, np.float32)
    rgb[30:80, 20:60], depth_m[30:80, 20:60] = (220, 30, 30), 1.2
    rgb[40:90, 95:140], depth_m[40:90, 95:140] = (30, 60, 220), 1.4
    return rgb, depth_m


def wait_until(is_true: Callable[[], object], timeout_s: float = TIMEOUT_S) -> bool:
    """Return whether `is_true` became true within a bounded time."""
    deadline_s = time.monotonic() + timeout_s
    while not is_true():
        if time.monotonic() > deadline_s:
            return False
        time.sleep(0.01)
    return True


def parameters_file(folder: Path, values: dict[str, object]) -> Path:
    """Write a ROS parameter file."""
    path = folder / "parameters.yaml"
    path.write_text(yaml.safe_dump({"/**": {"ros__parameters": values}}))
    return path
