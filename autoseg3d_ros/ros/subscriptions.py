"""The subscriptions of the inputs: counted, never raising, their QoS mismatches told, raw or compressed by choice."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, qos_policy_name_from_kind
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image

logger = logging.getLogger(__name__)

Handler = Callable[[Any, str], None]  # of a message and the name of its topic

_MAX_LAG_NS = 5 * 10**9  # of a message; more is a clock that was set meanwhile
_SETTLE_S = 1.0  # a raw publisher may be discovered this much later than the compressed one


@dataclass
class _Undecided:
    """An image topic that nobody has published raw so far."""

    raw: Subscription
    transport: str
    handle: Handler
    since_s: float | None = None  # when only the compressed one was published


class Subscriptions:
    """Messages go to handlers, one at a time; whatever these raise is logged once, so that nothing ends the node."""

    def __init__(self, node: Node, qos: QoSProfile, after_each: Callable[[], None]) -> None:
        self.num_received: Counter[str] = Counter()  # by resolved topic, those without which nothing goes
        self.qos_mismatches: dict[str, str] = {}  # policy, by resolved topic, of publishers that cannot be heard
        self.received_ns = 0  # when the newest message came to this machine's middleware, by the steady clock
        self._node, self._qos, self._after_each = node, qos, after_each
        self._subscriptions: list[Subscription] = []
        self._undecided: list[_Undecided] = []
        self._told: set[str] = set()

    def add(
        self, name: str, kind: type, handle: Handler, *, qos: QoSProfile | None = None, is_optional: bool = False
    ) -> Subscription:
        """Subscribe to a topic; the silence of an optional one means nothing, so it is not counted."""
        topic = self._node.resolve_topic_name(name)
        if not is_optional:
            self.num_received[topic] = 0

        def receive(message: Any, info: Mapping[str, Any]) -> None:
            self.received_ns = max(self.received_ns, time.monotonic_ns() - _lag_ns(info))
            if not is_optional:
                self.num_received[topic] += 1
            self.qos_mismatches.pop(topic, None)
            try:
                handle(message, topic)
                self._after_each()
            except Exception as error:  # whatever is in a message, it must not end the node
                self.warn_once(f"{topic}: message not used: {type(error).__name__}: {error}")

        events = SubscriptionEventCallbacks(incompatible_qos=lambda event: self._on_mismatch(topic, event))
        subscription = self._node.create_subscription(kind, name, receive, qos or self._qos, event_callbacks=events)
        self._subscriptions.append(subscription)
        return subscription

    def add_image(self, name: str, transport: str, compressed: str, handle: Handler) -> None:
        """Subscribe to an image as `transport` says: raw, `compressed`, or auto; `settle` decides the last."""
        if transport == compressed:
            self._add_compressed(self._node.resolve_topic_name(name), compressed, handle)
            return
        raw = self.add(name, Image, handle)
        if transport == "auto":
            self._undecided.append(_Undecided(raw, compressed, handle))

    def settle(self) -> None:
        """Change to the compressed topic where for a second only that has been published; to be called now and then."""
        now_s = time.monotonic()
        for one in tuple(self._undecided):
            topic = one.raw.topic_name
            if self._node.count_publishers(topic):
                self._undecided.remove(one)
            elif not self._node.count_publishers(f"{topic}/{one.transport}"):
                one.since_s = None
            elif one.since_s is None:
                one.since_s = now_s
            elif now_s - one.since_s >= _SETTLE_S:
                self._undecided.remove(one)
                self._change_to_compressed(one)

    def close(self) -> None:
        """Hear nothing any more."""
        self._undecided.clear()
        while self._subscriptions:
            self._node.destroy_subscription(self._subscriptions.pop())

    def warn_once(self, line: str) -> None:
        """Log a warning that has not been logged before."""
        if line not in self._told:
            self._told.add(line)
            logger.warning(line)

    def _change_to_compressed(self, one: _Undecided) -> None:
        topic = one.raw.topic_name
        logger.info("nobody publishes %s: using %s/%s", topic, topic, one.transport)
        self._subscriptions.remove(one.raw)
        self._node.destroy_subscription(one.raw)
        del self.num_received[topic]
        self._add_compressed(topic, one.transport, one.handle)

    def _add_compressed(self, topic: str, transport: str, handle: Handler) -> None:
        self.add(f"{topic}/{transport}", CompressedImage, handle)

    def _on_mismatch(self, topic: str, event: Any) -> None:
        policy = qos_policy_name_from_kind(event.last_policy_kind)
        self.qos_mismatches[topic] = policy
        self.warn_once(
            f"{topic}: a publisher offers another {policy} than is asked for, nothing of it is received; "
            "set input.qos to what it offers (SENSOR_DATA takes all that cameras do)"
        )


def _lag_ns(info: Mapping[str, Any]) -> int:
    """Return how long ago the middleware received a message; 0 where it does not say."""
    lag_ns = time.time_ns() - int(info["received_timestamp"])
    return lag_ns if 0 <= lag_ns <= _MAX_LAG_NS else 0
