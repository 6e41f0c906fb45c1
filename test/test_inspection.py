"""The report on a source, on sources whose numbers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from builders import SMALL_CAMERA, ListSource

from autoseg3d_ros.data.inspection import format_report, inspect
from autoseg3d_ros.structures import Frame, FrameError, RigidPose


def still_frame(index: int, *, depth_m: float = 1.0, x_m: float = 0.0, turn_deg: float = 0.0) -> Frame:
    """Return a frame at 10 Hz whose lower half has no depth and whose upper half alternates between two values."""
    depth = np.zeros((24, 32), np.float32)
    depth[:12, ::2], depth[:12, 1::2] = depth_m, depth_m + np.float32(0.002)
    half = np.deg2rad(turn_deg) / 2
    return Frame(
        stamp_ns=index * 10**8,
        rgb=np.zeros((24, 32, 3), np.uint8),
        depth_m=depth,
        camera=SMALL_CAMERA,
        pose=RigidPose((x_m, 0.0, 0.0), (0.0, 0.0, float(np.sin(half)), float(np.cos(half)))),
        depth_stamp_ns=index * 10**8 + index * 10**6,
        name=f"{index:06d}",
        truth=np.zeros((24, 32), np.int32) if index == 0 else None,
    )


def test_empty_source() -> None:
    report = inspect(ListSource([]))
    assert (report.num_frames, report.num_failed, report.duration_s, report.measured_rate_hz) == (0, 0, 0.0, 0.0)
    assert report.depth.percentiles_m == ()
    assert report.warnings() == ("no frame can be used",)
    assert "0 usable of 0" in format_report(report)


def test_nothing_usable() -> None:
    report = inspect(ListSource([FrameError(f"depth/{index:06d}.png: no such file") for index in range(8)]))
    assert (report.num_frames, report.num_failed, len(report.first_failures)) == (8, 8, 5)
    assert report.warnings() == ("no frame can be used",)


def test_one_frame() -> None:
    report = inspect(ListSource([still_frame(0)]))
    assert (report.num_frames, report.num_with_truth, report.measured_rate_hz) == (1, 1, 0.0)
    assert (report.motion.max_m, report.motion.jumps, report.gaps) == (0.0, (), ())
    assert report.warnings() == ()


def test_frame_without_any_depth() -> None:
    report = inspect(ListSource([replace(still_frame(0), depth_m=np.zeros((24, 32), np.float32))]))
    assert (report.depth.percentiles_m, report.depth.valid_share, report.depth.step_m) == ((), 0.0, 0.0)
    assert report.warnings() == ("only 0% of the pixels have depth",)


def test_numbers_by_hand() -> None:
    frames: list[Frame | FrameError] = [
        still_frame(0),
        still_frame(1, x_m=0.1),
        FrameError("pose/000002.txt: expected finite numbers"),
        still_frame(3, x_m=0.2, turn_deg=10),
        still_frame(4, x_m=0.2, turn_deg=70),
        still_frame(5, x_m=1.2, turn_deg=70),
        still_frame(10, x_m=1.2, turn_deg=70),
    ]
    report = inspect(ListSource(frames))
    assert (report.num_frames, report.num_failed) == (7, 1)
    assert report.first_failures == ("pose/000002.txt: expected finite numbers",)
    assert report.duration_s == pytest.approx(1.0)
    assert report.measured_rate_hz == pytest.approx(10.0)
    assert report.gaps == (("000010", pytest.approx(0.5)),)
    assert report.depth.percentiles_m == pytest.approx((1.0, 1.0, 1.0), rel=0.015)
    assert report.depth.valid_share == pytest.approx(0.5)
    assert report.depth.step_m == pytest.approx(0.002, rel=1e-3)
    assert report.motion.max_m == pytest.approx(1.0)
    assert report.motion.median_m == pytest.approx(0.1)
    assert report.motion.max_deg == pytest.approx(60.0)
    assert report.motion.jumps == ("000004", "000005")
    assert report.sync_offset_ms == pytest.approx((3.5, 10.0))
    warnings = "\n".join(report.warnings())
    assert "1 of 7 frames are skipped" in warnings
    assert "1 gaps in time, the first before frame 000010" in warnings
    assert "2 camera jumps" in warnings and "the first before 000004" in warnings


@pytest.mark.parametrize(("depth_m", "doubtful"), [(0.01, True), (0.5, False), (1200.0, True)])
def test_depth_unit(depth_m: float, doubtful: bool) -> None:
    report = inspect(ListSource([still_frame(0, depth_m=depth_m)]))
    assert any("is the depth unit right?" in warning for warning in report.warnings()) == doubtful


def test_colour_and_depth_far_apart() -> None:
    frames: list[Frame | FrameError] = [replace(still_frame(1), depth_stamp_ns=10**8 - 33 * 10**6)]
    assert inspect(ListSource(frames)).warnings() == ("colour and depth are up to 33 ms apart",)


def test_report_shows_each_finding() -> None:
    text = format_report(inspect(ListSource([still_frame(0), FrameError("rgb/000001.png: no such file")])))
    for part in ("list", "1 usable of 2", "32x24", "fx 30 fy 31", "m, 50% of the pixels valid", "2 mm", "no such file"):
        assert part in text
    assert all(len(line) < 120 for line in text.splitlines())
