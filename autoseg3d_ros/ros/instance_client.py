"""A node's subscriptions to the instances, with a table that stays right."""

from __future__ import annotations

from collections.abc import Callable

import rclpy
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from autoseg3d_ros.client.instance_table import InstanceTable, TableChange
from autoseg3d_ros.msg import InstanceArray

_QUEUE = 50  # frames that this node may be behind before the full list must help


def subscribe(node: Node, on_change: Callable[[InstanceTable, TableChange, InstanceArray], None]) -> InstanceTable:
    """Subscribe to `instances` and `instances_full`; return the table that they keep.

    `on_change` is called after each message, with the table, what it changed and the message itself.
    """
    table = InstanceTable()

    def receive(message: InstanceArray) -> None:
        on_change(table, table.update(message), message)

    reliable = QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.RELIABLE)
    latched = QoSProfile(depth=1, reliability=ReliabilityPolicy.RELIABLE, durability=DurabilityPolicy.TRANSIENT_LOCAL)
    node.create_subscription(InstanceArray, "instances", receive, reliable)
    node.create_subscription(InstanceArray, "instances_full", receive, latched)
    return table


def spin(make_node: Callable[[], Node]) -> None:
    """Run one node until SIGINT or SIGTERM."""
    rclpy.init()
    try:
        rclpy.spin(make_node())
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    finally:
        rclpy.try_shutdown()
