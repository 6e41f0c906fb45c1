"""How long the stages of a run took, what was skipped, and whether time and memory stay flat over a long run."""

from __future__ import annotations

import os
import re
from array import array
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

WINDOW_FRAMES = 100
_STATM = Path("/proc/self/statm")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass
class Skipped:
    """Frames left out for one reason."""

    count: int
    first_message: str


class RunTiming:
    """Collects the times of a run frame by frame; what it holds grows by a few bytes a frame."""

    def __init__(self) -> None:
        self.skipped: dict[str, Skipped] = {}
        self.makeshift_masks: Counter[str] = Counter()  # frames by why their masks are not those of the chosen source
        self._stages: dict[str, array[float]] = {}
        self._frame_ms: array[float] = array("d")
        self._windows: list[dict[str, Any]] = []

    @property
    def num_frames(self) -> int:
        return len(self._frame_ms)

    @property
    def num_skipped(self) -> int:
        return sum(skipped.count for skipped in self.skipped.values())

    def add_frame(self, stage_ms: Mapping[str, float], frame_ms: float, map_points: int) -> None:
        """Count one processed frame: milliseconds of each stage and of the whole, and the size of the map after it."""
        for stage, milliseconds in stage_ms.items():
            self._stages.setdefault(stage, array("d")).append(milliseconds)
        self._frame_ms.append(frame_ms)
        if self.num_frames % WINDOW_FRAMES == 0:
            self._close_window(map_points)

    def skip(self, message: str) -> None:
        """Count one frame that could not be used; messages that differ in place and numbers alone are one reason."""
        self.skipped.setdefault(_reason(message), Skipped(0, message)).count += 1

    def add_makeshift(self, reason: str) -> None:
        """Count one frame whose masks are not those of the chosen source at its full size."""
        self.makeshift_masks[reason] += 1

    def report(self, seconds: float) -> dict[str, Any]:
        """Return what `timing.json` holds; `seconds` is the duration of the loop, reading and writing included."""
        return {
            "frames": self.num_frames,
            "frames_per_second": round(self.num_frames / seconds, 3) if seconds > 0 else 0.0,
            "makeshift_masks": dict(self.makeshift_masks),
            "seconds": round(seconds, 3),
            "skipped": {reason: skipped.count for reason, skipped in sorted(self.skipped.items())},
            "stages_ms": {
                stage: _spread(values) for stage, values in [*self._stages.items(), ("frame", self._frame_ms)]
            },
            "windows": self._windows,
        }

    def _close_window(self, map_points: int) -> None:
        recent = np.array(self._frame_ms[-WINDOW_FRAMES:])
        self._windows.append(
            {
                "first_frame": self.num_frames - WINDOW_FRAMES,
                "frame_ms": _spread(recent),
                "map_points": map_points,
                "resident_mib": resident_mib(),
            }
        )


def resident_mib() -> float:
    """Return the memory this process holds now, MiB; 0 where the system does not tell (only Linux does)."""
    return round(int(_STATM.read_text().split()[1]) * _PAGE_MIB, 1) if _STATM.exists() else 0.0


def _spread(milliseconds: array[float] | np.ndarray) -> dict[str, float]:
    if not len(milliseconds):
        return {"p50": 0.0, "p95": 0.0, "max": 0.0}
    values = np.asarray(milliseconds)
    return {
        "p50": round(float(np.percentile(values, 50)), 3),
        "p95": round(float(np.percentile(values, 95)), 3),
        "max": round(float(values.max()), 3),
    }


def _reason(message: str) -> str:
    """A FrameError says `where: what`; the reason is the what, without its numbers."""
    _where, separator, what = message.partition(": ")
    return re.sub(r"\d+(\.\d+)?", "#", what if separator else message)
