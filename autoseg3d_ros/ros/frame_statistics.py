"""Figures of the frames that were published, over a bounded time: rate, age, time of each stage."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

WINDOW_S = 10.0
_MAX_FRAMES = 1000  # of the window
_MAX_SAMPLES = 64  # of counts


@dataclass(frozen=True)
class PublishedFrame:
    """When a frame came and went: by a steady clock, but for `stamp_age_ms`, which is by the clock of the stamps."""

    published_s: float
    age_ms: float  # from the first of its images to its being published
    stamp_age_ms: float  # from its stamp to its being published
    stage_ms: Mapping[str, float]
    overhead_ms: float = 0.0  # what the node took beside the segmenter, while it could work on the frame


@dataclass(frozen=True)
class Percentiles:
    """The middle and the slow end; NaN where there is nothing."""

    p50: float = math.nan
    p95: float = math.nan

    @classmethod
    def of(cls, values: list[float]) -> Percentiles:
        """Return those of any number of values."""
        return cls(*np.percentile(values, (50, 95)).tolist()) if values else cls()


@dataclass(frozen=True)
class FrameSummary:
    """The frames of the last WINDOW_S seconds."""

    rate_hz: float = 0.0
    age_ms: Percentiles = Percentiles()
    stamp_age_ms: Percentiles = Percentiles()
    overhead_ms: Percentiles = Percentiles()
    stage_ms: Mapping[str, Percentiles] = field(default_factory=dict)


class FrameStatistics:
    """Collects frames from the thread that publishes them; any thread may ask for the summary."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._frames: deque[PublishedFrame] = deque(maxlen=_MAX_FRAMES)

    def add(self, frame: PublishedFrame) -> None:
        """Take a frame in."""
        with self._lock:
            self._frames.append(frame)

    def clear(self) -> None:
        """Forget all frames."""
        with self._lock:
            self._frames.clear()

    def summary(self, now_s: float) -> FrameSummary:
        """Return the figures of the frames published in the WINDOW_S seconds before `now_s`."""
        with self._lock:
            frames = [frame for frame in self._frames if frame.published_s > now_s - WINDOW_S]
        stages = {name: None for frame in frames for name in frame.stage_ms}
        return FrameSummary(
            rate_hz=_rate([frame.published_s for frame in frames], now_s),
            age_ms=Percentiles.of([frame.age_ms for frame in frames]),
            stamp_age_ms=Percentiles.of([frame.stamp_age_ms for frame in frames]),
            overhead_ms=Percentiles.of([frame.overhead_ms for frame in frames]),
            stage_ms={
                name: Percentiles.of([frame.stage_ms[name] for frame in frames if name in frame.stage_ms])
                for name in stages
            },
        )


class CountRates:
    """Rates of counters that only rise, from samples of them; one that falls has begun anew."""

    def __init__(self) -> None:
        self._samples: deque[tuple[float, dict[str, int]]] = deque(maxlen=_MAX_SAMPLES)

    def sample(self, counts: Mapping[str, int], now_s: float) -> dict[str, float]:
        """Note the counts at `now_s` and return the rate of each, Hz, over the last WINDOW_S seconds."""
        if self._samples and any(counts.get(name, 0) < count for name, count in self._samples[-1][1].items()):
            self._samples.clear()
        self._samples.append((now_s, dict(counts)))
        while len(self._samples) > 2 and self._samples[0][0] < now_s - WINDOW_S:
            self._samples.popleft()
        first_s, first = self._samples[0]
        elapsed_s = now_s - first_s
        if elapsed_s <= 0:
            return dict.fromkeys(counts, 0.0)
        return {name: (count - first.get(name, 0)) / elapsed_s for name, count in counts.items()}


def _rate(published_s: list[float], now_s: float) -> float:
    """Return the rate over the window, or since the first frame where that is shorter."""
    if len(published_s) < 2:
        return len(published_s) / WINDOW_S
    return (len(published_s) - 1) / max(now_s - published_s[0], 1e-9)
