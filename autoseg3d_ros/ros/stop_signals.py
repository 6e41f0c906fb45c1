"""SIGINT and SIGTERM end a program between two messages, while publishing still works."""

from __future__ import annotations

import signal
import threading
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """A context in which SIGINT and SIGTERM set an event, however often they come: of a Ctrl-C, `ros2 launch` and its
    terminal each send one.

    rclpy's own handlers close all publishers at once, so what was computed last could not be sent: use it with
    `rclpy.init(signal_handler_options=SignalHandlerOptions.NO)`.
    """

    def __init__(self, stop: threading.Event) -> None:
        self._stop = stop

    def __enter__(self) -> StopSignals:
        self._former = {number: signal.signal(number, self._on_signal) for number in _SIGNALS}
        return self

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop.set()

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)
