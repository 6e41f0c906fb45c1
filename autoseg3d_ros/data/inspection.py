"""What is in a source and what is doubtful about it: the page that `autoseg3d doctor SOURCE` prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.stream.depth import PLAUSIBLE_MEDIAN_M
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

_SHOWN_FAILURES = 5
_PERCENTILES = (1, 50, 99)
_MIN_VALID_SHARE = 0.2
_GAP_FACTOR = 3.0  # an interval this many times the usual one is a gap
_JUMP_M, _JUMP_DEG = 0.5, 45.0  # beyond, successive views hardly overlap
_MAX_OFFSET_MS = 20.0
# 1.2 % wide bins: a histogram, because a long recording's depth does not fit in memory
_DEPTH_BINS_M = np.geomspace(1e-3, 1e5, 1601)


@dataclass(frozen=True)
class DepthReport:
    """Depth over all usable frames."""

    percentiles_m: tuple[float, ...]  # 1 %, 50 %, 99 % of the valid depth, to about 1 %; empty without valid depth
    valid_share: float  # of all pixels, [0, 1]
    step_m: float  # smallest difference of two values in the first frame: the unit of the recording; 0 = unknown


@dataclass(frozen=True)
class MotionReport:
    """Camera motion from one usable frame to the next."""

    median_m: float
    max_m: float
    median_deg: float
    max_deg: float
    jumps: tuple[str, ...]  # names of the frames before which the camera jumped


@dataclass(frozen=True)
class SourceReport:
    """Everything `inspect` found out."""

    name: str
    camera: CameraIntrinsics
    num_frames: int
    num_failed: int
    first_failures: tuple[str, ...]
    num_with_truth: int
    duration_s: float
    nominal_rate_hz: float
    measured_rate_hz: float  # from the median interval; 0 = fewer than two usable frames
    gaps: tuple[tuple[str, float], ...]  # (frame name, seconds since the usable frame before it)
    depth: DepthReport
    motion: MotionReport
    sync_offset_ms: tuple[float, float]  # median and largest |colour stamp - depth stamp|

    def warnings(self) -> tuple[str, ...]:
        """Return one sentence for each thing that will spoil a run."""
        return tuple(sentence for doubtful, sentence in self._checks() if doubtful)

    def _checks(self) -> list[tuple[bool, str]]:
        low, high = PLAUSIBLE_MEDIAN_M
        median_m = self.depth.percentiles_m[1] if self.depth.percentiles_m else 1.0
        usable = self.num_frames - self.num_failed
        return [
            (usable == 0, "no frame can be used"),
            (0 < usable < self.num_frames, f"{self.num_failed} of {self.num_frames} frames are skipped"),
            (
                not low <= median_m <= high,
                f"median depth {median_m:.3g} m is not within {low:g}-{high:g} m: is the depth unit right?",
            ),
            (
                usable > 0 and self.depth.valid_share < _MIN_VALID_SHARE,
                f"only {self.depth.valid_share:.0%} of the pixels have depth",
            ),
            (bool(self.gaps), f"{len(self.gaps)} gaps in time, the first before frame {_first(self.gaps)}"),
            (
                bool(self.motion.jumps),
                f"{len(self.motion.jumps)} camera jumps of more than {_JUMP_M:g} m or {_JUMP_DEG:g} deg from frame to "
                f"frame, the first before {_first(self.motion.jumps)}",
            ),
            (
                self.sync_offset_ms[1] > _MAX_OFFSET_MS,
                f"colour and depth are up to {self.sync_offset_ms[1]:.0f} ms apart",
            ),
        ]


class _Seen(NamedTuple):
    """What is kept of a frame while the rest is read."""

    name: str
    stamp_ns: int
    depth_stamp_ns: int
    world_from_camera: np.ndarray
    has_truth: bool


def inspect(source: FrameSource) -> SourceReport:
    """Read every frame of `source` once and report; memory does not grow with the images."""
    failures: list[FrameError] = []
    seen: list[_Seen] = []
    counts = np.zeros(len(_DEPTH_BINS_M) - 1, np.int64)
    num_pixels, step_m = 0, 0.0
    for frame in source.frames():
        if isinstance(frame, FrameError):
            failures.append(frame)
            continue
        truth = frame.truth is not None
        seen.append(_Seen(frame.name, frame.stamp_ns, frame.depth_stamp_ns, frame.world_from_camera, truth))
        counts += np.histogram(frame.depth_m[frame.depth_m > 0], _DEPTH_BINS_M)[0]
        num_pixels += frame.depth_m.size
        step_m = step_m or _depth_step(frame)
    stamps_s = np.array([one.stamp_ns - seen[0].stamp_ns for one in seen]) / 1e9
    intervals_s = np.diff(stamps_s)
    usual_s = float(np.median(intervals_s)) if len(intervals_s) else 0.0
    gaps = np.flatnonzero(intervals_s > _GAP_FACTOR * usual_s)
    offsets_ms = np.array([abs(one.stamp_ns - one.depth_stamp_ns) for one in seen]) / 1e6
    return SourceReport(
        name=source.name,
        camera=source.camera,
        num_frames=len(seen) + len(failures),
        num_failed=len(failures),
        first_failures=tuple(map(str, failures[:_SHOWN_FAILURES])),
        num_with_truth=sum(one.has_truth for one in seen),
        duration_s=float(stamps_s[-1]) if seen else 0.0,
        nominal_rate_hz=source.frame_rate_hz,
        measured_rate_hz=1 / usual_s if usual_s else 0.0,
        gaps=tuple((seen[index + 1].name, float(intervals_s[index])) for index in gaps),
        depth=DepthReport(_percentiles(counts), float(counts.sum() / max(num_pixels, 1)), step_m),
        motion=_motion(seen),
        sync_offset_ms=(float(np.median(offsets_ms)), float(offsets_ms.max())) if seen else (0.0, 0.0),
    )


def format_report(report: SourceReport) -> str:
    """Return the report as lines of text for a terminal."""
    camera, depth, motion = report.camera, report.depth, report.motion
    percentiles = " / ".join(f"{value:.2f}" for value in depth.percentiles_m) or "none"
    rows = [
        ("source", report.name),
        ("frames", f"{report.num_frames - report.num_failed} usable of {report.num_frames}"),
        ("instance truth", f"{report.num_with_truth} frames"),
        ("image size", f"{camera.width}x{camera.height}"),
        ("intrinsics", f"fx {camera.fx:g} fy {camera.fy:g} cx {camera.cx:g} cy {camera.cy:g}"),
        ("duration", f"{report.duration_s:.2f} s"),
        ("frame rate", f"{report.measured_rate_hz:.2f} Hz measured, {report.nominal_rate_hz:.2f} Hz declared"),
        ("gaps in time", f"{len(report.gaps)}, longest {max((gap for _, gap in report.gaps), default=0.0):.2f} s"),
        ("depth 1/50/99 %", f"{percentiles} m, {depth.valid_share:.0%} of the pixels valid"),
        ("depth unit", f"{depth.step_m * 1000:.3g} mm" if depth.step_m else "unknown"),
        ("motion a frame", f"median {motion.median_m:.3f} m {motion.median_deg:.1f} deg, "
                           f"largest {motion.max_m:.3f} m {motion.max_deg:.1f} deg ({len(motion.jumps)} jumps)"),
        ("colour to depth", "median {:.1f} ms, largest {:.1f} ms".format(*report.sync_offset_ms)),
    ]  # fmt: skip
    lines = [f"{title:<16} {text}" for title, text in rows]
    lines += [f"skipped          {failure}" for failure in report.first_failures]
    lines += [f"warning          {warning}" for warning in report.warnings()]
    return "\n".join(lines)


def _depth_step(frame: Frame) -> float:
    values = np.unique(frame.depth_m[frame.depth_m > 0])
    return float(np.diff(values).min()) if len(values) > 1 else 0.0


def _percentiles(counts: np.ndarray) -> tuple[float, ...]:
    if not counts.any():
        return ()
    shares = np.cumsum(counts) / counts.sum()
    bins = np.searchsorted(shares, np.array(_PERCENTILES) / 100)
    return tuple(np.sqrt(_DEPTH_BINS_M[bins] * _DEPTH_BINS_M[bins + 1]).tolist())


def _motion(seen: list[_Seen]) -> MotionReport:
    if len(seen) < 2:
        return MotionReport(0.0, 0.0, 0.0, 0.0, ())
    world_from_camera = np.stack([one.world_from_camera for one in seen])  # (F, 4, 4)
    steps_m = np.linalg.norm(np.diff(world_from_camera[:, :3, 3], axis=0), axis=1)
    before, after = world_from_camera[:-1, :3, :3], world_from_camera[1:, :3, :3]
    cosines = (np.einsum("fij,fij->f", before, after) - 1) / 2
    steps_deg = np.degrees(np.arccos(cosines.clip(-1, 1)))
    jumps = tuple(seen[i + 1].name for i in np.flatnonzero((steps_m > _JUMP_M) | (steps_deg > _JUMP_DEG)))
    medians = float(np.median(steps_m)), float(np.median(steps_deg))
    return MotionReport(medians[0], float(steps_m.max()), medians[1], float(steps_deg.max()), jumps)


def _first(items: tuple) -> str:
    if not items:
        return ""
    return items[0] if isinstance(items[0], str) else items[0][0]
