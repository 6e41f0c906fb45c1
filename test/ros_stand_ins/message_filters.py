"""Stands in for message_filters in tests, with the two habits of the real one that can stop a node for ever."""

from __future__ import annotations

import threading

from rclpy.time import Time


class SimpleFilter:
    def __init__(self):
        self.callbacks = []

    def registerCallback(self, callback, *arguments):  # noqa: N802
        self.callbacks.append((callback, arguments))

    def signalMessage(self, *messages):  # noqa: N802
        for callback, arguments in self.callbacks:
            callback(*messages, *arguments)


class TimeSynchronizer(SimpleFilter):
    slop_ns = 0

    def __init__(self, filters, queue_size):
        super().__init__()
        self.queue_size, self.lock = queue_size, threading.Lock()
        self.queues = [{} for _ in filters]
        for index, one in enumerate(filters):
            one.registerCallback(self.add, index)

    def add(self, message, index):
        assert self.lock.acquire(timeout=1), "an exception in the callback kept the lock"
        queue, others = self.queues[index], self.queues[1 - index]
        stamp_ns = Time.from_msg(message.header.stamp).nanoseconds
        queue[stamp_ns] = message
        while len(queue) > self.queue_size:
            del queue[min(queue)]  # after a jump back that is the new one
        partner_ns = min(others, key=lambda one: abs(one - stamp_ns), default=None)
        if stamp_ns in queue and partner_ns is not None and abs(partner_ns - stamp_ns) <= self.slop_ns:
            couple = [queue.pop(stamp_ns), others.pop(partner_ns)]
            self.signalMessage(*(couple if index == 0 else couple[::-1]))
        self.lock.release()


class ApproximateTimeSynchronizer(TimeSynchronizer):
    def __init__(self, filters, queue_size, slop):
        super().__init__(filters, queue_size)
        self.slop_ns = round(slop * 1e9)
