"""Keeps a table of all instances and says what happens to them.

python examples/instance_listener.py --ros-args -r instances:=/robot/instances -r instances_full:=/robot/instances_full
"""

from __future__ import annotations

from collections.abc import Iterator

from rclpy.node import Node

from autoseg3d_ros.client.instance_table import InstanceTable, TableChange
from autoseg3d_ros.msg import InstanceArray, InstanceEvent
from autoseg3d_ros.ros import instance_client

WORDS = {
    InstanceEvent.CREATED: "is new",
    InstanceEvent.CONFIRMED: "is confirmed",
    InstanceEvent.LOST: "is out of sight",
    InstanceEvent.RETIRED: "is put away",
    InstanceEvent.REVIVED: "is back",
    InstanceEvent.REMOVED: "is forgotten",
}


def lines(table: InstanceTable, change: TableChange) -> Iterator[str]:
    """Yield what a message tells, one sentence for each event."""
    if change.is_new_map:
        yield "a new map: ids mean other objects now"
    for event in change.events:
        if event.type == InstanceEvent.MERGED:
            yield f"{event.id} turned out to be {event.other_id}"
        else:
            yield f"{event.id} {WORDS[event.type]}" + (f": {event.reason}" if event.reason else "")
    if change.is_reread:
        yield f"read the full list: {len(table)} instances after frame {table.frame_index}"
    elif not table.is_complete:
        yield f"messages before frame {table.frame_index} were lost: waiting for the full list"


class InstanceListener(Node):
    """Logs each line."""

    def __init__(self) -> None:
        super().__init__("instance_listener")
        instance_client.subscribe(self, self._on_change)

    def _on_change(self, table: InstanceTable, change: TableChange, _message: InstanceArray) -> None:
        for line in lines(table, change):
            self.get_logger().info(line)


if __name__ == "__main__":
    instance_client.spin(InstanceListener)
