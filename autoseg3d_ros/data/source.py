"""What every source of frames promises, whatever it reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Protocol, TypeVar

from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

Key = TypeVar("Key")


class SourceError(ValueError):
    """A source that cannot be read at all. The message says where, what was expected, what came and how to mend it."""


class FrameSource(Protocol):
    """A finite, repeatable sequence of posed RGB-D frames in the order of their stamps."""

    name: str
    camera: CameraIntrinsics
    frame_rate_hz: float

    def __len__(self) -> int:
        """Return the number of frames, unreadable ones included."""
        ...

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames; one that cannot be used is yielded as the FrameError that says why, and the rest follow."""
        ...


def load_each(load: Callable[[Key], Frame], keys: Iterable[Key]) -> Iterator[Frame | FrameError]:
    """Yield `load(key)` of each key, or the FrameError that it raised."""
    for key in keys:
        try:
            yield load(key)
        except FrameError as error:
            yield error
