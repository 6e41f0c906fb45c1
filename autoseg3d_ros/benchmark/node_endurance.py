"""Does a frame cost the same after an hour? Memory, times and ids of a node over many frames."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from autoseg3d_ros.structures import EventType

NUM_SLICES = 10
_WAITS = ("sync_wait", "pose_wait")
_ENDINGS = (EventType.MERGED, EventType.REMOVED)


class IdAudit:
    """Reads every message of `instances` and counts what must not be: ids that come back to life, or out of nothing."""

    def __init__(self) -> None:
        self.num_created = self.num_revived = self.num_removed = self.num_merged = 0
        self.faults: list[str] = []
        self._largest = 0
        self._gone: set[int] = set()
        self._map_id = b""

    def read(self, message: Any) -> None:
        """Take in one message, of all in their order."""
        where = f"frame {message.frame_index}"
        map_id = bytes(message.map_id.uuid)
        if self._map_id and map_id != self._map_id:
            self.faults.append(f"{where}: a new map began")
        self._map_id = map_id
        for event in message.events:
            self._read_event(event, where)
        for one in message.instances:
            if one.id in self._gone or one.id > self._largest:
                self.faults.append(
                    f"{where}: id {one.id} {'is used again' if one.id in self._gone else 'was not born'}"
                )

    def _read_event(self, event: Any, where: str) -> None:
        if event.id in self._gone:
            self.faults.append(f"{where}: {EventType(event.type).name} of id {event.id}, which had ended")
        if event.type == EventType.CREATED:
            if event.id <= self._largest:
                self.faults.append(f"{where}: id {event.id} is used again")
            self._largest = max(self._largest, event.id)
        elif event.type in _ENDINGS:
            self._gone.add(event.id)
        self.num_created += event.type == EventType.CREATED
        self.num_revived += event.type == EventType.REVIVED
        self.num_removed += event.type == EventType.REMOVED
        self.num_merged += event.type == EventType.MERGED


@dataclass
class EnduranceLog:
    """Figures of every frame that was answered, and now and then of the process."""

    frame_ms: list[float] = field(default_factory=list)  # in the node, waiting left out
    answer_ms: list[float] = field(default_factory=list)  # published -> answered, as the client sees it
    rss_mib: list[tuple[int, float]] = field(default_factory=list)  # frames so far, resident memory of the node
    cpu_s: list[tuple[int, float]] = field(default_factory=list)  # frames so far, processor time of the node
    service_ms: list[tuple[int, float]] = field(default_factory=list)  # frames so far, answer of get_instances
    unanswered: list[str] = field(default_factory=list)  # frames and calls

    def add(self, stage_ms: Mapping[str, float], answer_ms: float) -> None:
        """Take in a frame."""
        self.frame_ms.append(sum(value for name, value in stage_ms.items() if name not in _WAITS))
        self.answer_ms.append(answer_ms)


@dataclass(frozen=True)
class Slice:
    """A tenth of the run."""

    last_frame: int
    rss_mib: float  # at its end
    cpu_ms: float  # a frame
    frame_ms_p50: float
    frame_ms_p95: float
    answer_ms_p50: float
    answer_ms_p95: float
    service_ms_p95: float


def slices(log: EnduranceLog) -> list[Slice]:
    """Return the tenths of what was run, none where that is less than a frame each."""
    edges = np.linspace(0, len(log.frame_ms), NUM_SLICES + 1).astype(int)
    if len(log.frame_ms) < NUM_SLICES:
        return []
    return [_slice(log, first, last) for first, last in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)]


def memory_growth(tenths: Sequence[Slice]) -> float:
    """Return the resident memory at the end over that after a tenth, when all stores are full."""
    return tenths[-1].rss_mib / tenths[0].rss_mib


def p95_growth(tenths: Sequence[Slice]) -> float:
    """Return the p95 of a frame in the last tenth over that in the second."""
    return tenths[-1].frame_ms_p95 / tenths[1].frame_ms_p95


def _slice(log: EnduranceLog, first: int, last: int) -> Slice:
    frame_p50, frame_p95 = np.percentile(log.frame_ms[first:last], (50, 95)).tolist()
    answer_p50, answer_p95 = np.percentile(log.answer_ms[first:last], (50, 95)).tolist()
    service = [value for number, value in log.service_ms if first < number <= last]
    return Slice(
        last_frame=last,
        rss_mib=_at(log.rss_mib, last),
        frame_ms_p50=frame_p50,
        frame_ms_p95=frame_p95,
        answer_ms_p50=answer_p50,
        answer_ms_p95=answer_p95,
        cpu_ms=(_at(log.cpu_s, last) - _at(log.cpu_s, first)) * 1e3 / (last - first),
        service_ms_p95=float(np.percentile(service, 95)) if service else float("nan"),
    )


def _at(samples: Sequence[tuple[int, float]], number: int) -> float:
    """Return the value at a number of frames, between the samples beside it."""
    numbers, values = zip(*samples, strict=True) if samples else ((0,), (float("nan"),))
    return float(np.interp(number, numbers, values))
