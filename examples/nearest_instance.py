"""Publishes the instance nearest to a pose, whenever a pose comes.

python examples/nearest_instance.py --ros-args -r pose:=/robot/pose

In: `pose` (PoseStamped, map frame), `instances`, `instances_full`. Out: `nearest_instance` (Instance).
"""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node

from autoseg3d_ros.client.nearest import nearest
from autoseg3d_ros.msg import Instance, InstanceArray
from autoseg3d_ros.ros import instance_client


class NearestInstance(Node):
    """Answers each pose from the table of instances."""

    def __init__(self) -> None:
        super().__init__("nearest_instance")
        self._map_frame = ""
        self._table = instance_client.subscribe(self, self._on_change)
        self._publisher = self.create_publisher(Instance, "nearest_instance", 10)
        self.create_subscription(PoseStamped, "pose", self._on_pose, 10)

    def _on_change(self, _table: object, _change: object, message: InstanceArray) -> None:
        self._map_frame = message.header.frame_id

    def _on_pose(self, pose: PoseStamped) -> None:
        if pose.header.frame_id != self._map_frame:
            expected = self._map_frame or "a map frame, but no instances have come"
            self.get_logger().warning(f"pose: expected one in {expected}, got {pose.header.frame_id!r}")
            return
        place = pose.pose.position
        found = nearest(self._table.instances(), (place.x, place.y, place.z))
        if found is None:
            self.get_logger().info("no confirmed instance so far")
            return
        instance, distance_m = found
        self.get_logger().info(f"{instance.id} is {distance_m:.2f} m away")
        self._publisher.publish(instance)


if __name__ == "__main__":
    instance_client.spin(NearestInstance)
