"""Pairs of colour and depth images by stamp.

The rule. Put the images of both topics in one line by stamp. Only neighbours can pair, colour with depth; the two that
are closest pair first, then the closest of what is left, and so on (of two equal offsets that of a colour image before
its depth image wins). A pair farther apart than the slop is refused. So no image is used twice, pairs never cross, and
the outcome depends on the stamps alone, not on the order in which the two topics arrive.

When a pair goes out. As soon as no image still to come could be closer to either of the two. Stamps of a topic rise,
so two images of one stamp pair at once. Otherwise the earlier of the two might still be followed by one of its own
topic that is closer to the later one. The next image of that topic settles it; so, earlier, does the rate: once ten
intervals of a topic are known, its next image is taken to be at least half the shortest of them away. Where a stream
breaks that, a pair within the slop goes out that is not the closest.
"""

from __future__ import annotations

import bisect
import math
import threading
from collections import deque
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from autoseg3d_ros.config import SyncConfig
from autoseg3d_ros.stream.drops import DropCounts, DropReason
from autoseg3d_ros.stream.time_jump import JumpDetector, StampVerdict

Colour = TypeVar("Colour")
Depth = TypeVar("Depth")

_NUM_INTERVALS = 10
_NUM_OFFSETS = 200


@dataclass(frozen=True)
class Pair(Generic[Colour, Depth]):
    """A colour and a depth image that belong together."""

    colour_stamp_ns: int
    colour: Colour
    depth_stamp_ns: int
    depth: Depth


@dataclass(frozen=True)
class SyncStats:
    """What the synchronizer has seen. Offsets are of the last 200 that paired or were refused for the slop."""

    num_colour: int
    num_depth: int
    num_pairs: int
    num_time_jumps: int
    drops: dict[DropReason, int]  # images, not pairs
    median_offset_s: float  # depth minus colour; NaN where nothing was measured
    needed_slop_s: float  # with this slop 95 % of the neighbours would pair; NaN likewise
    clock_offset_s: float  # newest depth stamp minus newest colour stamp; NaN until both came


class Synchronizer(Protocol[Colour, Depth]):
    """What pairs the images of two topics: the one of this module, or another engine."""

    def add_colour(self, stamp_ns: int, item: Colour) -> list[Pair[Colour, Depth]]:
        """Take in a colour image and return the pairs that are settled by it."""

    def add_depth(self, stamp_ns: int, item: Depth) -> list[Pair[Colour, Depth]]:
        """Take in a depth image and return the pairs that are settled by it."""

    def clear(self) -> None:
        """Drop all that waits and forget the stamps, as after a jump in time."""

    def stats(self) -> SyncStats:
        """Return counts and measured offsets."""


@dataclass(frozen=True, eq=False)
class _Image:
    stamp_ns: int
    is_depth: bool
    item: Any


class RgbdSynchronizer(Generic[Colour, Depth]):
    """Collects the images of two topics and returns them in pairs, in the order of their stamps.

    Safe to use from several threads. It calls nobody: whatever a consumer does with a pair, and be it to raise,
    happens outside its lock. At most `sync.queue_size` images of a topic wait.
    """

    def __init__(self, config: SyncConfig) -> None:
        self._slop_ns = 0 if config.mode == "exact" else round(config.slop_s * 1e9)
        self._queue_size = config.queue_size
        self._lock = threading.Lock()
        self._jumps = JumpDetector()
        self._drops = DropCounts()
        self._num_received = {False: 0, True: 0}  # by is_depth
        self._num_pairs = 0
        self._num_time_jumps = 0
        self._offsets_ns: deque[int] = deque(maxlen=_NUM_OFFSETS)  # depth minus colour
        self._forget()

    def add_colour(self, stamp_ns: int, item: Colour) -> list[Pair[Colour, Depth]]:
        """Take in a colour image and return the pairs that are settled by it: mostly none or one."""
        return self._add(_Image(stamp_ns, False, item))

    def add_depth(self, stamp_ns: int, item: Depth) -> list[Pair[Colour, Depth]]:
        """Take in a depth image and return the pairs that are settled by it: mostly none or one."""
        return self._add(_Image(stamp_ns, True, item))

    def flush(self) -> list[Pair[Colour, Depth]]:
        """Return the pairs that are left when nothing more will come, and start afresh."""
        with self._lock:
            for topic in self._topics.values():
                topic.ended = True
            pairs = self._settle()
            self._forget()
            return pairs

    def clear(self) -> None:
        """Drop all that waits and forget the stamps, as after a jump in time."""
        with self._lock:
            self._drops.add(DropReason.TIME_JUMP, len(self._pending))
            self._forget()

    def stats(self) -> SyncStats:
        """Return counts and measured offsets."""
        with self._lock:
            offsets_s = np.array(self._offsets_ns) / 1e9
            colour_ns, depth_ns = self._topics[False].newest_ns, self._topics[True].newest_ns
            return SyncStats(
                num_colour=self._num_received[False],
                num_depth=self._num_received[True],
                num_pairs=self._num_pairs,
                num_time_jumps=self._num_time_jumps,
                drops=self._drops.by_reason(),
                median_offset_s=float(np.median(offsets_s)) if offsets_s.size else math.nan,
                needed_slop_s=float(np.quantile(np.abs(offsets_s), 0.95)) if offsets_s.size else math.nan,
                clock_offset_s=math.nan if colour_ns is None or depth_ns is None else (depth_ns - colour_ns) / 1e9,
            )

    def _add(self, image: _Image) -> list[Pair[Colour, Depth]]:
        with self._lock:
            self._num_received[image.is_depth] += 1
            verdict = self._jumps.observe(image.is_depth, image.stamp_ns)
            if verdict is StampVerdict.JUMPED:
                self._num_time_jumps += 1
                self._drops.add(DropReason.TIME_JUMP, len(self._pending))
                self._forget_images()
            refusal = (
                DropReason.TIME_JUMP if verdict is StampVerdict.STALE else self._topics[image.is_depth].take(image)
            )
            if refusal:
                self._drops.add(refusal)
                return []
            bisect.insort(self._pending, image, key=_place)
            pairs = self._settle()
            self._make_room(image.is_depth)
            return pairs

    def _settle(self) -> list[Pair[Colour, Depth]]:
        """Decide all that can be decided, from the oldest image on."""
        pairs: list[Pair[Colour, Depth]] = []
        while self._pending:
            first = _descent_end(self._pending)
            if first is None:
                if self._partner_may_come():
                    break
                self._pending.pop(0)
                self._drops.add(DropReason.NO_PARTNER)
            elif self._closer_may_come(first):
                break
            else:
                pairs += self._pair_up(first + 2)
        return pairs

    def _partner_may_come(self) -> bool:
        """Whether an image could still come between the oldest and the next, both of one topic."""
        oldest, *others = self._pending
        earliest_ns = self._topics[not oldest.is_depth].earliest_ns
        return earliest_ns < (others[0].stamp_ns if others else math.inf)

    def _closer_may_come(self, first: int) -> bool:
        """Whether the image at `first + 1` could still get a neighbour closer than the one at `first`."""
        earlier, later, *others = self._pending[first : first + 3]
        expected_ns = self._topics[earlier.is_depth].expected_ns
        if others and expected_ns >= others[0].stamp_ns:
            return False
        return (expected_ns - later.stamp_ns, later.is_depth) < _rank(earlier, later)

    def _pair_up(self, count: int) -> list[Pair[Colour, Depth]]:
        """Take the `count` oldest, each offset smaller than the one before it: they pair from the end."""
        images = self._pending[:count]
        del self._pending[:count]
        if count % 2:
            images.pop(0)
            self._drops.add(DropReason.NO_PARTNER)
        pairs = []
        for couple in zip(images[::2], images[1::2], strict=True):
            colour, depth = sorted(couple, key=lambda image: image.is_depth)
            offset_ns = depth.stamp_ns - colour.stamp_ns
            self._offsets_ns.append(offset_ns)
            if abs(offset_ns) <= self._slop_ns:
                pairs.append(Pair(colour.stamp_ns, colour.item, depth.stamp_ns, depth.item))
            else:
                self._drops.add(DropReason.BEYOND_SLOP, 2)
        self._num_pairs += len(pairs)
        return pairs

    def _make_room(self, is_depth: bool) -> None:
        waiting = [index for index, image in enumerate(self._pending) if image.is_depth == is_depth]
        if len(waiting) > self._queue_size:
            del self._pending[waiting[0]]
            self._drops.add(DropReason.QUEUE_FULL)

    def _forget(self) -> None:
        self._jumps.clear()
        self._forget_images()

    def _forget_images(self) -> None:
        self._pending: list[_Image] = []  # undecided, by stamp, colour first
        self._topics = {False: _Topic(), True: _Topic()}  # by is_depth


class _Topic:
    """The stamps of one topic: they rise."""

    def __init__(self) -> None:
        self.newest_ns: int | None = None
        self.ended = False
        self._intervals_ns: deque[int] = deque(maxlen=_NUM_INTERVALS)

    def take(self, image: _Image) -> DropReason | None:
        """Note the stamp, or return why the image cannot be used."""
        if self.newest_ns is not None:
            if image.stamp_ns <= self.newest_ns:
                return DropReason.DUPLICATE if image.stamp_ns == self.newest_ns else DropReason.OUT_OF_ORDER
            self._intervals_ns.append(image.stamp_ns - self.newest_ns)
        self.newest_ns = image.stamp_ns
        return None

    @property
    def earliest_ns(self) -> float:
        """No later image can have a smaller stamp than this."""
        return self._newest_plus(1)

    @property
    def expected_ns(self) -> float:
        """No later image is expected to have a smaller stamp than this."""
        rate_is_known = len(self._intervals_ns) == _NUM_INTERVALS
        return self._newest_plus(max(1, min(self._intervals_ns) // 2) if rate_is_known else 1)

    def _newest_plus(self, interval_ns: int) -> float:
        if self.ended:
            return math.inf
        return -math.inf if self.newest_ns is None else self.newest_ns + interval_ns


def _place(image: _Image) -> tuple[int, bool]:
    return image.stamp_ns, image.is_depth


def _rank(earlier: _Image, later: _Image) -> tuple[float, bool]:
    """Return what orders the neighbours: the smallest pairs first, infinity never."""
    if earlier.is_depth == later.is_depth:
        return math.inf, False
    return later.stamp_ns - earlier.stamp_ns, earlier.is_depth


def _descent_end(images: list[_Image]) -> int | None:
    """Return the first of the two images at which the offsets of neighbours, from the oldest on, stop to fall.

    None where the oldest has no neighbour of the other topic.
    """
    ranks = [_rank(earlier, later) for earlier, later in pairwise(images)]
    if not ranks or math.isinf(ranks[0][0]):
        return None
    rises = (index for index, (here, after) in enumerate(pairwise(ranks)) if after > here)
    return next(rises, len(ranks) - 1)
