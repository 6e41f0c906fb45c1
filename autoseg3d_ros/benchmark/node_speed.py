"""What the node adds to the segmenter: overhead, age and drops at one rate of frames, and the segmenter alone."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.synthetic.generate import room_camera, room_frames
from autoseg3d_ros.data.synthetic.room import furnished_room
from autoseg3d_ros.structures import Frame

_SEED, _FRAME_RATE_HZ = 1, 10.0
_ROUND_TRIP = 73  # frames after which the camera is back, so that they can be played over and over
_WARM_UP = 3
_WINDOW_S = 10.0  # over which the node takes its percentiles
_DROPPED = "dropped."
_NODE_STAGES = ("sync_wait", "pose_wait", "hand_over", "unpack", "publish")

Status = Sequence[tuple[float, Mapping[str, str]]]  # seconds since the lead-in, and the values of `/diagnostics`


@dataclass(frozen=True)
class Spread:
    """The middle and the slow end, milliseconds; NaN where there is nothing."""

    p50: float = math.nan
    p95: float = math.nan

    @classmethod
    def of(cls, values_ms: Sequence[float]) -> Spread:
        """Return that of any number of values."""
        return cls(*np.percentile(values_ms, (50, 95)).tolist()) if len(values_ms) else cls()


@dataclass(frozen=True)
class NodeSpeed:
    """One rate."""

    rate_hz: float
    num_sent: int
    num_processed: int
    processed_hz: float
    overhead_ms: Spread  # frame received -> worker begins, less the work on other frames, and result -> published
    parts_ms: Mapping[str, Spread]  # of the overhead: hand_over, unpack, publish
    segmenter_ms: float  # the stages of the segmenter in the node, sum of their medians
    age_ms: Mapping[str, Spread]  # by topic: stamp, which is the time of publishing -> received
    drops: Mapping[str, int]


def looping_frames(width: int, height: int) -> list[Frame]:
    """Return a round trip through a furnished room. Raises ImportError without embreex."""
    camera = room_camera(width, height)
    return list(room_frames(furnished_room(_SEED), _SEED, _ROUND_TRIP, camera, _FRAME_RATE_HZ))


def node_speed(rate_hz: float, num_sent: int, status: Status, age_ms: Mapping[str, Sequence[float]]) -> NodeSpeed:
    """Return the figures of one rate from what the node said of itself and what the client received.

    The node gives percentiles of the last 10 s: the p50 here is the median of those of all windows, the p95 that of
    the worst one. Windows that reach back before the lead-in are left out.
    """
    before, after = (status[0][1], status[-1][1]) if status else ({}, {})
    windows = [values for since_s, values in status if since_s >= _WINDOW_S]
    stages = [name.removesuffix("_ms.p50") for name in after if name.endswith("_ms.p50")]
    segmenter = [name for name in stages if name not in (*_NODE_STAGES, "age", "age_of_stamp", "overhead")]
    num_processed = _counted(after, "processed") - _counted(before, "processed")
    drops = {
        name.removeprefix(_DROPPED): _counted(after, name) - _counted(before, name)
        for name in after
        if name.startswith(_DROPPED)
    }
    return NodeSpeed(
        rate_hz,
        num_sent,
        num_processed,
        processed_hz=num_processed * rate_hz / num_sent,
        overhead_ms=_worst(windows, "overhead"),
        parts_ms={name: _worst(windows, name) for name in ("hand_over", "unpack", "publish")},
        segmenter_ms=sum(_worst(windows, name).p50 for name in segmenter),
        age_ms={topic: Spread.of(values) for topic, values in age_ms.items()},
        drops={reason: count for reason, count in drops.items() if count},
    )


def segmenter_ms(config: Config, frames: Sequence[Frame]) -> Spread:
    """Return the time of a step of the segmenter, without a node, over these frames."""
    segmenter = build_segmenter(config)
    spent_ms = []
    for frame in (*frames[:_WARM_UP], *frames):
        start_s = time.perf_counter()
        segmenter.step(frame)
        spent_ms.append((time.perf_counter() - start_s) * 1e3)
    return Spread.of(spent_ms[_WARM_UP:])


def _worst(windows: Sequence[Mapping[str, str]], name: str) -> Spread:
    p50 = [_number(values.get(f"{name}_ms.p50")) for values in windows]
    p95 = [_number(values.get(f"{name}_ms.p95")) for values in windows]
    return Spread(float(np.median(p50)), max(p95)) if windows else Spread()


def _counted(values: Mapping[str, str], name: str) -> int:
    return int(values.get(name, "0"))


def _number(text: str | None) -> float:
    return math.nan if text in (None, "unknown") else float(text or "nan")
