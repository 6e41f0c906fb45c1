"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_LINE_INTERVAL_S = 5.0


class Progress:
    """Shows on stderr how many of `total` units are done. Use it as a context manager."""

    def __init__(self, total: int, unit: str = "frame") -> None:
        self._total, self._unit = total, unit
        self._bar = None
        if sys.stderr.isatty():
            self._bar = tqdm(total=total, unit=unit, file=sys.stderr, dynamic_ncols=True)
        self.num_done = 0
        self._started_s = self._told_s = time.monotonic()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    @property
    def rate_hz(self) -> float:
        """Units a second so far."""
        return self.num_done / max(time.monotonic() - self._started_s, 1e-9)

    def advance(self, count: int) -> None:
        """Count units as done."""
        self.num_done += count
        if self._bar is not None:
            self._bar.update(count)
        elif self.num_done and time.monotonic() - self._told_s >= _LINE_INTERVAL_S:
            self._told_s = time.monotonic()
            left_s = (self._total - self.num_done) / self.rate_hz
            speed = f"{self.rate_hz:.1f} {self._unit}s/s, {left_s:.0f} s left"
            print(f"{self._unit} {self.num_done} of {self._total}, {speed}", file=sys.stderr, flush=True)


def with_progress(items: Iterable[Item], total: int, unit: str = "frame") -> Iterator[Item]:
    """Yield `items` unchanged and show on stderr how many of `total` are done."""
    with Progress(total, unit) as progress:
        for item in items:
            yield item
            progress.advance(1)
