"""What a run says at its end."""

from __future__ import annotations

from collections import Counter
from typing import Any

from autoseg3d_ros.cli.tables import table
from autoseg3d_ros.reporting.run_folder import EVENTS, INSTANCES, LABELS, MAP, OVERLAY, TIMING, TOPDOWN, RunFolder
from autoseg3d_ros.reporting.timing import RunTiming
from autoseg3d_ros.structures import InstanceState

_TENTATIVE = InstanceState.TENTATIVE.name.lower()
_FILES = (LABELS, INSTANCES, EVENTS, MAP, TIMING, OVERLAY, TOPDOWN)


def run_summary(run: RunFolder, source_name: str, model: str, timing: RunTiming, seconds: float) -> str:
    """Return the counts, the times of the stages and the names of the files of a run that took `seconds`."""
    report = timing.report(seconds)
    counts = [
        ("source", source_name),
        ("model", model),
        ("frames", f"{timing.num_frames} processed, {timing.num_skipped} skipped"),
        *[("skipped", f"{skipped.count} as in: {skipped.first_message}") for skipped in timing.skipped.values()],
        *[("masks", f"{count} of the frames: {reason}") for reason, count in timing.makeshift_masks.items()],
        ("instances", _instances(run.instances())),
        ("speed", f"{report['frames_per_second']:.1f} frames/s end to end ({report['seconds']:.1f} s)"),
        *_long_run(report["windows"]),
    ]
    stages = [(stage, times["p50"], times["p95"], times["max"]) for stage, times in report["stages_ms"].items()]
    return "\n".join(
        [
            *[f"{name:10} {value}" for name, value in counts],
            "",
            table(("stage", "p50 ms", "p95 ms", "max ms"), stages),
            "",
            f"written to {run.path}: " + ", ".join(name for name in _FILES if (run.path / name).exists()),
        ]
    )


def instance_table(run: RunFolder) -> str:
    """Return one line an instance: id, state, observations, size and centroid; tentative ones are only counted."""
    instances = run.instances()
    shown = [row for row in instances if row["state"] != _TENTATIVE]
    rows = [
        (
            row["id"],
            row["state"],
            row["num_observations"],
            " x ".join(f"{edge:.2f}" for edge in row["bbox"]["size"]),
            " ".join(f"{value:6.2f}" for value in row["centroid"]),
        )
        for row in shown
    ]
    lines = table(("id", "state", "observations", "size m", "centroid m"), rows)
    return f"{lines}\nand {len(instances) - len(shown)} tentative"


def _instances(rows: list[dict[str, Any]]) -> str:
    states = Counter(row["state"] for row in rows)
    return f"{len(rows)}" + (f" ({', '.join(f'{count} {state}' for state, count in states.items())})" if rows else "")


def _long_run(windows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Compare the first and the last window of frames, where there are two."""
    if len(windows) < 2:
        return []
    first, last = windows[0], windows[-1]
    names = [f"frames {window['first_frame']}+" for window in (first, last)]
    told = [
        f"{name}: {window['frame_ms']['p50']:.1f} ms a frame (p50), "
        f"{window['map_points']} map points, {window['resident_mib']:.0f} MiB"
        for name, window in zip(names, (first, last), strict=True)
    ]
    return [("first", told[0]), ("last", told[1])]
