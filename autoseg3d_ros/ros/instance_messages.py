"""Instance messages that are used again: to make one takes several times as long as to fill it."""

from __future__ import annotations

from collections.abc import Sequence

from autoseg3d_ros.msg import Instance as InstanceMsg
from autoseg3d_ros.ros.conversions import fill_instance
from autoseg3d_ros.structures import Instance


class InstanceMessages:
    """As many messages as were ever needed at once; for one thread."""

    def __init__(self) -> None:
        self._messages: list[InstanceMsg] = []

    def filled(self, instances: Sequence[Instance]) -> list[InstanceMsg]:
        """Return the messages of `instances`, which hold until the next call: to be published at once."""
        self._messages.extend(InstanceMsg() for _ in range(len(instances) - len(self._messages)))
        messages = self._messages[: len(instances)]
        for message, one in zip(messages, instances, strict=True):
            fill_instance(message, one)
        return messages
