"""What `/diagnostics` says: from the figures of the node to a level, a sentence and values for each of its sides."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum

from autoseg3d_ros.device_memory import DeviceMemory
from autoseg3d_ros.ros.frame_statistics import FrameSummary, Percentiles
from autoseg3d_ros.ros.silence import Counts
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.synchronizer import SyncStats

_NEARLY_FULL = 0.95
_POSE_DROPS = (DropReason.POSE_TIMEOUT, DropReason.POSE_GAP, DropReason.POSE_TOO_OLD)


class Level(IntEnum):
    """As in `diagnostic_msgs/DiagnosticStatus`."""

    OK = 0
    WARN = 1
    ERROR = 2


@dataclass(frozen=True)
class Check:
    """One side of the node: how it is, in a line, and its figures."""

    name: str
    level: Level
    summary: str
    values: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Fill:
    """How much of a bounded store is used."""

    used: int
    capacity: int

    @property
    def share(self) -> float:
        """In [0, 1]; of nothing, nothing is used."""
        return self.used / self.capacity if self.capacity else 0.0


@dataclass(frozen=True)
class Saves:
    """Map files since configure."""

    num_saved: int = 0
    num_failed: int = 0


@dataclass(frozen=True)
class Vitals:
    """The figures of a node that is configured."""

    is_active: bool
    counts: Counts
    received_hz: Mapping[str, float]  # by topic
    recent_hz: Mapping[str, float]  # of what should not happen: "failed", and each reason of a drop
    frames: FrameSummary
    sync: SyncStats
    slop_s: float
    num_poses: int
    num_time_jumps: int  # back
    fills: Mapping[str, Fill]
    device: DeviceMemory | None = None
    num_out_of_memory: int = 0
    saves: Saves = Saves()
    qos_mismatches: Mapping[str, str] = field(default_factory=dict)  # policy by topic
    silence: str | None = None


def unconfigured() -> list[Check]:
    """Return what is said before configure and after cleanup."""
    return [Check("frames", Level.WARN, "unconfigured: configure and activate the node")]


def checks(vitals: Vitals) -> list[Check]:
    """Return all sides of the node, in the order in which one looks at them."""
    return [
        _frames(vitals),
        _topics(vitals),
        _synchronisation(vitals),
        _poses(vitals),
        _stages(vitals),
        _map(vitals),
        _device(vitals),
    ]


def _frames(vitals: Vitals) -> Check:
    counts, frames = vitals.counts, vitals.frames
    values = {
        "out_hz": _number(frames.rate_hz),
        "processed": str(counts.num_processed),
        "failed": str(counts.num_failed),
        **_percentiles("age_ms", frames.age_ms),
        **_percentiles("age_of_stamp_ms", frames.stamp_age_ms),
        **_percentiles("overhead_ms", frames.overhead_ms),
        **{f"dropped.{reason.value}": str(count) for reason, count in counts.drops.items()},
    }
    rate = f"{frames.rate_hz:.1f} Hz out, age {_number(frames.age_ms.p95)} ms (p95)"
    if not vitals.is_active:
        return Check("frames", Level.WARN, "inactive: activate the node", values)
    if counts.is_paused:
        return Check("frames", Level.WARN, "paused: call ~/pause with `data: false` to go on", values)
    if vitals.silence:
        return Check("frames", Level.ERROR, vitals.silence, values)
    if vitals.recent_hz.get("failed", 0.0) > 0:
        return Check("frames", Level.WARN, f"{rate}; frames fail, see the log", values)
    return Check("frames", Level.OK, rate, values)


def _topics(vitals: Vitals) -> Check:
    values = {f"in_hz.{topic}": _number(rate) for topic, rate in vitals.received_hz.items()}
    values |= {f"received.{topic}": str(count) for topic, count in vitals.counts.received.items()}
    values |= {f"qos_mismatch.{topic}": policy for topic, policy in vitals.qos_mismatches.items()}
    if vitals.qos_mismatches:
        mismatches = ", ".join(f"{topic} ({policy})" for topic, policy in vitals.qos_mismatches.items())
        return Check("topics", Level.ERROR, f"a publisher's QoS does not fit: {mismatches}; set input.qos", values)
    silent = [topic for topic, count in vitals.counts.received.items() if not count]
    if silent:
        return Check("topics", Level.WARN, f"no messages yet on {', '.join(silent)}", values)
    ended = [topic for topic, rate in vitals.received_hz.items() if rate == 0 and topic != vitals.counts.once_is_enough]
    if ended:
        return Check("topics", Level.WARN, f"no messages any more on {', '.join(ended)}", values)
    return Check("topics", Level.OK, "messages on all topics" if values else "not subscribed", values)


def _synchronisation(vitals: Vitals) -> Check:
    sync = vitals.sync
    values = {
        "pairs": str(sync.num_pairs),
        "slop_s": _number(vitals.slop_s),
        "needed_slop_s": _number(sync.needed_slop_s),
        "median_offset_s": _number(sync.median_offset_s),
        "clock_offset_s": _number(sync.clock_offset_s),
        "time_jumps": str(vitals.num_time_jumps),
    }
    if sync.needed_slop_s > vitals.slop_s:
        line = (
            f"colour and depth are {sync.needed_slop_s:.3f} s apart; sync.slop_s = {sync.needed_slop_s:.3f} pairs them"
        )
        return Check("synchronisation", Level.WARN, line, values)
    offset = "" if math.isnan(sync.median_offset_s) else f", offset {sync.median_offset_s * 1e3:.1f} ms"
    return Check("synchronisation", Level.OK, f"{sync.num_pairs} pairs{offset}", values)


def _poses(vitals: Vitals) -> Check:
    lost = {reason: vitals.counts.drops.get(reason, 0) for reason in _POSE_DROPS}
    values = {"poses": str(vitals.num_poses), **{reason.value: str(count) for reason, count in lost.items()}}
    now_lost = [reason.value for reason in _POSE_DROPS if vitals.recent_hz.get(reason.value, 0.0) > 0]
    if now_lost:
        return Check("poses", Level.WARN, f"frames are lost for want of a pose: {', '.join(now_lost)}", values)
    return Check("poses", Level.OK, f"{vitals.num_poses} poses kept", values)


def _stages(vitals: Vitals) -> Check:
    stages = vitals.frames.stage_ms
    values: dict[str, str] = {}
    for name, spent_ms in stages.items():
        values |= _percentiles(f"{name}_ms", spent_ms)
    slowest = max(stages, key=lambda name: stages[name].p50, default="")
    summary = f"the slowest is {slowest}, {_number(stages[slowest].p50)} ms" if slowest else "no frames lately"
    return Check("stages", Level.OK, summary, values)


def _map(vitals: Vitals) -> Check:
    values = {name: f"{fill.used} of {fill.capacity}" for name, fill in vitals.fills.items()}
    values |= {"saved": str(vitals.saves.num_saved), "not_saved": str(vitals.saves.num_failed)}
    if vitals.saves.num_failed:
        return Check(
            "map", Level.WARN, f"the map could not be saved {vitals.saves.num_failed} times, see the log", values
        )
    full = [name for name, fill in vitals.fills.items() if fill.share >= _NEARLY_FULL]
    if full:
        return Check("map", Level.WARN, f"nearly full: {', '.join(full)}; what is least useful goes", values)
    return Check("map", Level.OK, ", ".join(f"{fill.used} {name}" for name, fill in vitals.fills.items()), values)


def _device(vitals: Vitals) -> Check:
    values = {"out_of_memory": str(vitals.num_out_of_memory)}
    device = vitals.device
    line = "no CUDA memory in use"
    if device is not None:
        share = Fill(device.used_bytes, device.total_bytes)
        values |= {"used_mib": str(share.used >> 20), "total_mib": str(share.capacity >> 20)}
        line = f"{device.name}: {share.used >> 20} of {share.capacity >> 20} MiB"
    if vitals.recent_hz.get("out_of_memory", 0.0) > 0:
        return Check("device", Level.ERROR, f"out of memory: frames are dropped; {line}", values)
    return Check("device", Level.OK, line, values)


def _percentiles(name: str, values: Percentiles) -> dict[str, str]:
    return {f"{name}.p50": _number(values.p50), f"{name}.p95": _number(values.p95)}


def _number(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:.4g}"
