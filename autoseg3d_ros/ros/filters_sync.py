"""The synchronizers of `message_filters` behind the methods of the built-in one."""

from __future__ import annotations

import dataclasses
import threading
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Generic

from autoseg3d_ros.config import SyncConfig
from autoseg3d_ros.ros.conversions import time_msg
from autoseg3d_ros.ros.optional_package import import_for
from autoseg3d_ros.stream.drops import DropCounts, DropReason
from autoseg3d_ros.stream.synchronizer import Colour, Depth, Pair, RgbdSynchronizer, SyncStats


@dataclass(frozen=True)
class _Stamped:
    """What message_filters looks at, and what we want back."""

    header: SimpleNamespace
    stamp_ns: int
    item: object


class FiltersSynchronizer(Generic[Colour, Depth]):
    """Pairs as `message_filters` does: TimeSynchronizer for sync.mode exact, else ApproximateTimeSynchronizer.

    An exception in their callback would keep their lock for ever: ours only appends to a list. After a jump back, their
    full queues would delete each new image: `clear` makes new ones. Pairs whose stamps do not rise are dropped.
    """

    def __init__(self, config: SyncConfig) -> None:
        """Raises ConfigError where `message_filters` is not installed."""
        (self._filters,) = import_for("sync.engine: message_filters", "message_filters")
        self._config = config
        self._lock = threading.Lock()
        self._drops = DropCounts()
        self._num_pairs = 0
        self._offsets: RgbdSynchronizer[None, None] = RgbdSynchronizer(config)  # only measures
        self._begin()

    def add_colour(self, stamp_ns: int, item: Colour) -> list[Pair[Colour, Depth]]:
        """Take in a colour image and return the pairs that are settled by it."""
        self._offsets.add_colour(stamp_ns, None)
        return self._add(self._colour, stamp_ns, item)

    def add_depth(self, stamp_ns: int, item: Depth) -> list[Pair[Colour, Depth]]:
        """Take in a depth image and return the pairs that are settled by it."""
        self._offsets.add_depth(stamp_ns, None)
        return self._add(self._depth, stamp_ns, item)

    def clear(self) -> None:
        """Drop all that waits and forget the stamps, as after a jump in time."""
        with self._lock:
            self._drops.add(DropReason.TIME_JUMP, sum(len(queue) for queue in self._synchronizer.queues))
            self._offsets.clear()
            self._begin()

    def stats(self) -> SyncStats:
        """Return counts and measured offsets."""
        return dataclasses.replace(self._offsets.stats(), num_pairs=self._num_pairs, drops=self._drops.by_reason())

    def _begin(self) -> None:
        self._found: list[tuple[_Stamped, _Stamped]] = []
        self._newest_ns = -1
        self._colour, self._depth = self._filters.SimpleFilter(), self._filters.SimpleFilter()
        topics, queue_size = [self._colour, self._depth], self._config.queue_size
        if self._config.mode == "exact":
            self._synchronizer = self._filters.TimeSynchronizer(topics, queue_size)
        else:
            self._synchronizer = self._filters.ApproximateTimeSynchronizer(topics, queue_size, self._config.slop_s)
        self._synchronizer.registerCallback(self._on_pair)

    def _on_pair(self, colour: _Stamped, depth: _Stamped) -> None:
        self._found.append((colour, depth))

    def _add(self, topic: object, stamp_ns: int, item: object) -> list[Pair[Colour, Depth]]:
        with self._lock:
            topic.signalMessage(_Stamped(SimpleNamespace(stamp=time_msg(stamp_ns)), stamp_ns, item))
            found, self._found = self._found, []
            return [pair for couple in found for pair in self._in_order(*couple)]

    def _in_order(self, colour: _Stamped, depth: _Stamped) -> list[Pair[Colour, Depth]]:
        if colour.stamp_ns <= self._newest_ns:
            self._drops.add(DropReason.OUT_OF_ORDER, 2)
            return []
        self._newest_ns = colour.stamp_ns
        self._num_pairs += 1
        return [Pair(colour.stamp_ns, colour.item, depth.stamp_ns, depth.item)]
