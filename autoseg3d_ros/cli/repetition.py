"""One sequence played over and over, to see whether a long run stays as fast and as small as a short one."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import islice

from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.structures import Frame, FrameError


class Repetition:
    """The first `limit` frames of a source, `repeat` times, with stamps that rise throughout."""

    def __init__(self, source: FrameSource, repeat: int = 1, limit: int | None = None) -> None:
        self.name = source.name
        self.camera = source.camera
        self.frame_rate_hz = source.frame_rate_hz
        self._source = source
        self._repeat = repeat
        self._length = min(len(source), limit or len(source))

    def __len__(self) -> int:
        return self._length * self._repeat

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames; each round begins one frame interval after the end of the round before."""
        interval_ns = round(1e9 / self.frame_rate_hz)
        shift_ns = last_ns = 0
        for played in range(self._repeat):
            is_first = True
            for item in islice(self._source.frames(), self._length):
                if isinstance(item, Frame):
                    if is_first and played:
                        shift_ns = last_ns + interval_ns - item.stamp_ns
                    is_first = False
                    item = _shifted(item, shift_ns)
                    last_ns = item.stamp_ns
                yield item


def _shifted(frame: Frame, shift_ns: int) -> Frame:
    if not shift_ns:
        return frame
    return dataclasses.replace(
        frame, stamp_ns=frame.stamp_ns + shift_ns, depth_stamp_ns=frame.depth_stamp_ns + shift_ns
    )
