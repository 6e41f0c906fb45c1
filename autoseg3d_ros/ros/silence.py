"""Why nothing comes out: one sentence from the counts of what came in."""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass

from autoseg3d_ros.stream.drops import DropReason

SILENCE_S = 5.0


@dataclass(frozen=True)
class Counts:
    """What the node has counted since it began."""

    received: Mapping[str, int]  # messages by topic, every subscribed topic named
    once_is_enough: str  # the topic of these that need not go on: camera_info
    drops: Mapping[DropReason, int]
    num_pairs: int
    num_processed: int
    num_failed: int
    needed_slop_s: float  # NaN where nothing was measured
    is_paused: bool = False


class SilenceWatch:
    """Compares the counts with those of SILENCE_S before."""

    def __init__(self, counts: Counts, now_s: float) -> None:
        self.line: str | None = None  # what is missing now, None while frames come out
        self._num_processed, self._since_s, self._told = counts.num_processed, now_s, False
        self._history = deque([(now_s, counts)])  # from SILENCE_S ago on

    def check(self, counts: Counts, now_s: float) -> str | None:
        """Return one line after SILENCE_S without an output, once until the next output; None otherwise."""
        self._history.append((now_s, counts))
        while len(self._history) > 1 and self._history[1][0] <= now_s - SILENCE_S:
            self._history.popleft()
        if counts.num_processed != self._num_processed:
            self._num_processed, self._since_s, self._told, self.line = counts.num_processed, now_s, False, None
        if now_s - self._since_s < SILENCE_S:
            return None
        self.line = f"no output for {SILENCE_S:g} s: {_cause(self._history[0][1], counts)}"
        is_new, self._told = not self._told, True
        return self.line if is_new else None


def _cause(before: Counts, now: Counts) -> str:
    if now.is_paused:
        return "paused; call ~/pause with `data: false` to go on"
    silent = [
        topic
        for topic, count in now.received.items()
        if count == (0 if topic == now.once_is_enough else before.received.get(topic, 0))
    ]
    if silent:
        return f"no messages on {', '.join(silent)}"
    drops = Counter(now.drops) - Counter(before.drops)
    counted = ", ".join(f"{count} {reason.value}" for reason, count in drops.most_common()) or "none"
    if now.num_pairs == before.num_pairs:
        needed = "" if math.isnan(now.needed_slop_s) else f"; sync.slop_s = {now.needed_slop_s:.3f} would pair them"
        return f"colour and depth images do not pair{needed} (dropped: {counted})"
    if now.num_failed > before.num_failed:
        return f"{now.num_failed - before.num_failed} frames failed, see the errors above (dropped: {counted})"
    return f"images pair, but no frame is finished (dropped: {counted})"
