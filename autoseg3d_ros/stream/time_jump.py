"""Stamps that jump back: a bag that loops, a simulation that restarts."""

from __future__ import annotations

from collections.abc import Hashable
from enum import Enum, auto

TIME_JUMP_NS = 1_000_000_000


class StampVerdict(Enum):
    """What a stamp says about the time line."""

    CURRENT = auto()
    JUMPED = auto()  # the first stamp of a new time line
    STALE = auto()  # still of the time line before the jump


class JumpDetector:
    """Notices that a topic went back by more than a second, once for all topics of a jump.

    Topics do not jump at the same moment: after the first has, what the others still bring of the old time line (up to
    a second beyond its end) is stale, also where it is the first message of a topic. Smaller steps back are left to the
    caller.
    """

    def __init__(self) -> None:
        self._newest_ns: dict[Hashable, int] = {}
        self._lagging: set[Hashable] = set()
        self._end_ns: int | None = None  # of the time line before the last jump

    def observe(self, topic: Hashable, stamp_ns: int) -> StampVerdict:
        """Take note of the stamp of a message on `topic` and judge it."""
        newest_ns = self._newest_ns.get(topic)
        if newest_ns is None or topic in self._lagging:
            if self._is_stale(stamp_ns, self._end_ns if newest_ns is None else newest_ns):
                return StampVerdict.STALE
            self._lagging.discard(topic)
            newest_ns = stamp_ns
        if stamp_ns < newest_ns - TIME_JUMP_NS:
            self._end_ns = max(self._newest_ns.values())
            self._lagging = set(self._newest_ns) - {topic}
            self._newest_ns[topic] = stamp_ns
            return StampVerdict.JUMPED
        self._newest_ns[topic] = max(newest_ns, stamp_ns)
        return StampVerdict.CURRENT

    def clear(self) -> None:
        """Forget every topic."""
        self._newest_ns.clear()
        self._lagging.clear()
        self._end_ns = None

    def _is_stale(self, stamp_ns: int, end_ns: int | None) -> bool:
        """Whether a topic that has not followed the last jump still brings the time line that ended at `end_ns`."""
        if end_ns is None or abs(stamp_ns - end_ns) > TIME_JUMP_NS:
            return False
        now_ns = max(newest_ns for topic, newest_ns in self._newest_ns.items() if topic not in self._lagging)
        return abs(stamp_ns - end_ns) < abs(stamp_ns - now_ns)
