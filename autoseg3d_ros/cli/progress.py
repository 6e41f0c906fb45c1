"""How far a run is: a bar on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")
_LINE_INTERVAL_S = 5.0


def with_progress(items: Iterable[Item], total: int, unit: str = "frame") -> Iterator[Item]:
    """Yield `items` unchanged and show on stderr how many of `total` are done."""
    if sys.stderr.isatty():
        return iter(tqdm(items, total=total, unit=unit, file=sys.stderr, dynamic_ncols=True))
    return _with_lines(items, total, unit)


def _with_lines(items: Iterable[Item], total: int, unit: str) -> Iterator[Item]:
    started_s = told_s = time.monotonic()
    for done, item in enumerate(items):
        now_s = time.monotonic()
        if now_s - told_s >= _LINE_INTERVAL_S:
            told_s = now_s
            rate = done / (now_s - started_s)
            print(f"{unit} {done} of {total}, {rate:.1f} {unit}s/s", file=sys.stderr, flush=True)
        yield item
