"""Publishes where one instance is, says when it is lost, and goes on with its heir when it is merged into another.

python examples/follow_id.py --ros-args -p id:=7

In: `instances`, `instances_full`. Out: `followed_pose` (PoseStamped), after each frame while the instance is known.
"""

from __future__ import annotations

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node

from autoseg3d_ros.client.instance_table import InstanceTable, TableChange
from autoseg3d_ros.msg import Instance, InstanceArray
from autoseg3d_ros.ros import instance_client

STATES = {
    Instance.STATE_TENTATIVE: "not yet confirmed",
    Instance.STATE_ACTIVE: "in view",
    Instance.STATE_LOST: "lost from view",
    Instance.STATE_RETIRED: "put away",
}


def situation(table: InstanceTable, instance_id: int) -> str:
    """Say in words what is known of an id."""
    instance = table.get(instance_id)
    if instance is None:
        return "unknown" if table.is_complete else "unknown so far"
    return STATES[instance.state]


class FollowId(Node):
    """Follows one id, and its heirs."""

    def __init__(self) -> None:
        super().__init__("follow_id")
        self._id = self.declare_parameter("id", 1).value
        self._told = ""
        self._publisher = self.create_publisher(PoseStamped, "followed_pose", 10)
        instance_client.subscribe(self, self._on_change)

    def _on_change(self, table: InstanceTable, change: TableChange, message: InstanceArray) -> None:
        if change.is_new_map:
            self._say(f"a new map: {self._id} is whatever gets this number there")
        heir = table.heir(self._id)
        if heir != self._id:
            self._say(f"{self._id} is part of {heir} now")
            self._id = heir
        self._say(f"{self._id} is {situation(table, self._id)}")
        instance = table.get(self._id)
        if instance is not None:
            self._publisher.publish(PoseStamped(header=message.header, pose=instance.bbox_pose))

    def _say(self, line: str) -> None:
        if line != self._told:
            self._told = line
            self.get_logger().info(line)


if __name__ == "__main__":
    instance_client.spin(FollowId)
