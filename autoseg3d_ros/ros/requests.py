"""What other threads ask of the worker, done between two frames."""

from __future__ import annotations

import queue
from collections.abc import Callable
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass
from typing import Any, TypeVar

from autoseg3d_ros.segmenter import OnlineSegmenter

Answer = TypeVar("Answer")

ANSWER_S = 10.0  # a frame may be in hand: of a large network on a CPU, seconds


class NoAnswerError(Exception):
    """The worker did not do what was asked, and will not; the message says why."""


@dataclass(frozen=True)
class _Request:
    action: Callable[[OnlineSegmenter], Any]
    answer: Future[Any]


class Requests:
    """A queue of actions, each with its answer."""

    def __init__(self) -> None:
        self._queue: queue.Queue[_Request] = queue.Queue()
        self._closed = False

    def ask(self, action: Callable[[OnlineSegmenter], Answer], timeout_s: float | None) -> Answer:
        """Return what `action` returns, or raise what it raises; from any thread but the worker's.

        Raises NoAnswerError where the worker did not come to it within `timeout_s` (None = wait for it), or has ended:
        then it is not done later either.
        """
        request = _Request(action, Future())
        self._queue.put(request)
        if self._closed:
            self.close()
        try:
            return request.answer.result(timeout_s)
        except TimeoutError as error:
            if request.answer.cancel():
                raise NoAnswerError(
                    f"the frame in hand took longer than {timeout_s:g} s; nothing was changed, try again"
                ) from error
            return request.answer.result()  # it has begun in this very moment
        except CancelledError as error:
            raise NoAnswerError("the node is being cleaned up or shut down; nothing was changed") from error

    def serve(self, segmenter: Callable[[], OnlineSegmenter], timeout_s: float) -> None:
        """Do all that was asked, on the worker's thread; wait `timeout_s` for the first."""
        try:
            request = self._queue.get(timeout=timeout_s) if timeout_s > 0 else self._queue.get_nowait()
            while True:
                self._do(request, segmenter)
                request = self._queue.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """Refuse what has not been done, and all that is still asked."""
        self._closed = True
        while True:
            try:
                self._queue.get_nowait().answer.cancel()
            except queue.Empty:
                return

    def _do(self, request: _Request, segmenter: Callable[[], OnlineSegmenter]) -> None:
        if not request.answer.set_running_or_notify_cancel():
            return
        try:
            request.answer.set_result(request.action(segmenter()))
        except Exception as error:  # belongs to whoever asked
            request.answer.set_exception(error)
