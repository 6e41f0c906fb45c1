"""The outputs of the node between a stand-in node and a stand-in segmenter, for tests of what is published when."""

from __future__ import annotations

import copy
import uuid
from types import SimpleNamespace

import numpy as np
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from ros_builders import an_instance, segmented_frame

from autoseg3d_ros.config import Config
from autoseg3d_ros.ros.outputs import Outputs
from autoseg3d_ros.structures import InstanceEvent

MAP_ID = uuid.UUID(int=7)
CAMERA_FRAME = "optical"
FOR_WHOEVER_COMES_LATER = {"instances_full"}


class Publisher:
    """Keeps what is published as it was then: markers are used again. Bytes are read as a subscriber reads them."""

    def __init__(self, kind: type, qos: QoSProfile) -> None:
        self.kind, self.qos = kind, qos
        self.num_subscriptions = 0
        self.messages: list = []

    def get_subscription_count(self) -> int:
        return self.num_subscriptions

    def publish(self, message) -> None:
        if isinstance(message, bytes):
            message = deserialize_message(message, self.kind)
        assert isinstance(message, self.kind)
        self.messages.append(copy.deepcopy(message))

    def wait_for_all_acked(self, timeout) -> bool:
        return True


class Node:
    """Hands out publishers by topic."""

    def __init__(self) -> None:
        self.publishers: dict[str, Publisher] = {}
        self.destroyed: list[Publisher] = []

    def create_publisher(self, kind: type, topic: str, qos: QoSProfile) -> Publisher:
        self.publishers[topic] = Publisher(kind, qos)
        return self.publishers[topic]

    def destroy_publisher(self, publisher: Publisher) -> bool:
        self.destroyed.append(publisher)
        return True


class Segmenter:
    """Has the instances it is given, and counts how often it is asked."""

    def __init__(self, num_instances: int = 3) -> None:
        self.state = SimpleNamespace(map_id=MAP_ID, frame_index=1)
        self.all_instances = tuple(an_instance(i + 1) for i in range(num_instances))
        self.num_maps = 0

    def instances(self):
        return self.all_instances

    def map_points(self):
        self.num_maps += 1
        points = np.zeros((4, 3))
        return SimpleNamespace(
            xyz_m=points.astype(np.float32),
            rgb=points.astype(np.uint8),
            instance_id=np.ones(4, np.int32),
            score=np.ones(4, np.float32),
        )


class Bench:
    """Outputs on a stand-in node."""

    def __init__(self, config: Config | None = None) -> None:
        self.node = Node()
        self.outputs = Outputs(self.node, config or Config())
        self.segmenter = Segmenter()

    def listen(self, *topics: str) -> None:
        for topic in topics:
            self.node.publishers[topic].num_subscriptions = 1

    def on(self, topic: str) -> list:
        """What was published on a topic."""
        return self.node.publishers[topic].messages

    def frame(self, instances=None, events: tuple[InstanceEvent, ...] = ()):
        """Publish a frame of 2 x 2 pixels with instance 3 in the lower row."""
        instances = [an_instance(3)] if instances is None else instances
        segmented = segmented_frame([[0, 0], [3, 3]], {3: 0.5}, instances, events)
        self.outputs.publish_frame(segmented, MAP_ID, CAMERA_FRAME, {"sync_wait": 1.0})
        return segmented

    def state(self, now_s: float) -> None:
        self.outputs.publish_state(self.segmenter, now_s)
