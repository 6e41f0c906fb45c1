"""How long the stages of a step take."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class StageClock:
    """Collects milliseconds by stage name, in order."""

    def __init__(self) -> None:
        self.stage_ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the enclosed block."""
        start_ns = time.perf_counter_ns()
        yield
        self.stage_ms[name] = (time.perf_counter_ns() - start_ns) / 1e6
