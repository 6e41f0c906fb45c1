"""A node's subscriptions to the instances, with a table that stays right."""

from __future__ import annotations

import threading
from collections.abc import Callable

import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions

from autoseg3d_ros.client.instance_table import InstanceTable, TableChange
from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros.spinning import spin_until
from autoseg3d_ros.ros.stop_signals import StopSignals

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
    stop = threading.Event()
    with StopSignals(stop):
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        try:
            executor = SingleThreadedExecutor()
            executor.add_node(make_node())
            spin_until(stop, executor)
        finally:
            rclpy.try_shutdown()
