"""What running nodes say of themselves on `/diagnostics`, as text."""

from __future__ import annotations

import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.context import Context
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

_LEVELS = {0: "OK", 1: "WARN", 2: "ERROR", 3: "STALE"}


def live_report(listen_s: float) -> list[tuple[str, str, str, list[tuple[str, str]]]]:
    """Listen for `listen_s` seconds and return the last status of each part of our nodes, in the order of their names:
    (name, level, sentence, values). Empty where none was heard. ROS 2 must not have been initialised in this context.
    """
    context = Context()
    rclpy.init(args=[], context=context)
    newest: dict[tuple[str, str], DiagnosticStatus] = {}

    def take(message: DiagnosticArray) -> None:
        newest.update({(one.hardware_id, one.name): one for one in message.status if ": " in one.name})

    node = Node("autoseg3d_doctor", context=context, start_parameter_services=False, enable_rosout=False)
    node.create_subscription(DiagnosticArray, "/diagnostics", take, 10)
    executor = SingleThreadedExecutor(context=context)
    executor.add_node(node)
    deadline_s = time.monotonic() + listen_s
    while (rest_s := deadline_s - time.monotonic()) > 0:
        executor.spin_once(timeout_sec=rest_s)
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()
    return [
        (
            f"{place} {one.name.partition(': ')[2]}",
            _LEVELS.get(one.level[0], "?"),
            one.message,
            [(value.key, value.value) for value in one.values],
        )
        for (place, _name), one in newest.items()
    ]
