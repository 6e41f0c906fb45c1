"""Hands items from the threads that receive to the one thread that works."""

from __future__ import annotations

import threading
from collections import deque
from typing import Generic, TypeVar

from autoseg3d_ros.config import ProcessConfig
from autoseg3d_ros.stream.drops import DropCounts, DropReason

Item = TypeVar("Item")


class Mailbox(Generic[Item]):
    """A queue whose writers never wait.

    `latest` holds one item, and a newer one replaces it. `lossless` holds `process.queue_size` in order; when it is
    full the newest is turned away, because the reader is better served by an unbroken run and then one gap than by a
    gap every other frame.
    """

    def __init__(self, config: ProcessConfig) -> None:
        self._keeps_latest = config.mode == "latest"
        self._capacity = 1 if self._keeps_latest else config.queue_size
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._drops = DropCounts()

    def put(self, item: Item) -> None:
        """Leave an item for the reader; drop one, counted, where there is no room."""
        with self._changed:
            if self._closed:
                self._drops.add(DropReason.CLOSED)
                return
            if len(self._items) < self._capacity:
                self._items.append(item)
            elif self._keeps_latest:
                self._items[0] = item
                self._drops.add(DropReason.SUPERSEDED)
            else:
                self._drops.add(DropReason.QUEUE_FULL)
            self._changed.notify()

    def get(self, timeout_s: float) -> Item | None:
        """Return the oldest item, waiting `timeout_s` for one; None if none came or the mailbox is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._closed, timeout_s)
            return self._items.popleft() if self._items else None

    def close(self) -> None:
        """Wake the reader for good; what it has not read is dropped, and whatever is still put."""
        with self._changed:
            self._closed = True
            self._drops.add(DropReason.CLOSED, len(self._items))
            self._items.clear()
            self._changed.notify_all()

    def __len__(self) -> int:
        """Return the number of items that wait."""
        with self._changed:
            return len(self._items)

    @property
    def drops(self) -> dict[DropReason, int]:
        """How many items were dropped, by reason."""
        return self._drops.by_reason()
