"""The report on mask sources: empties first, then figures computed by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scenes import frame_of

from autoseg3d_ros.evaluation.under_segmentation import num_leaked_px
from autoseg3d_ros.lifting.masks import TruthMasks, compact_masks
from autoseg3d_ros.reporting.mask_report import MaskMeter, report_lines
from autoseg3d_ros.structures import NO_MASK, Frame, Masks2D

LABELS = arrays(np.int32, (4, 6), elements=st.integers(0, 3))


def masks_of(*rows: list[int]) -> Masks2D:
    return compact_masks(np.array(rows, np.int32))


def two_blocks() -> tuple[Frame, Masks2D]:
    """Return a frame of two blocks of 10 x 20 pixels, and masks: half of the first, and all of both but one row."""
    frame = frame_of((0, 0, 10, 20, 1.0), (10, 0, 10, 20, 1.0))
    ids = np.full(frame.depth_m.shape, NO_MASK, np.int32)
    ids[:10, :10], ids[:19, 10:20] = 0, 1
    ids[15:19, :5] = 1  # 20 pixels of the first block in the mask of the second
    return frame, Masks2D(ids, 2)


# --- pixels that masks take from the wrong object ---


@pytest.mark.parametrize(
    ("truth", "masks", "expected"),
    [
        ([[]], [[]], 0),
        ([[1, 2]], [[NO_MASK, NO_MASK]], 0),
        ([[1, 1, 2]], [[0, 0, 1]], 0),
        ([[1, 1, 2]], [[0, 0, 0]], 1),
        ([[1, 1, 0]], [[0, 0, 0]], 1),  # the background is a label as any
        ([[1, 2, 3, 3]], [[0, 0, 1, 1]], 1),
        ([[1, 2, 1, 2]], [[0, 0, 1, 1]], 2),
    ],
)
def test_leaked_pixels(truth: list[list[int]], masks: list[list[int]], expected: int) -> None:
    assert num_leaked_px(np.array(truth, np.int32).reshape(1, -1), masks_of(*masks)) == expected


def test_pixels_that_are_not_valid_do_not_leak() -> None:
    truth, masks = np.array([[1, 1, 2]], np.int32), masks_of([0, 0, 0])
    assert num_leaked_px(truth, masks, np.array([[True, True, False]])) == 0


@given(LABELS)
def test_the_truth_itself_leaks_nothing_and_one_mask_leaks_all_but_the_most_frequent(truth: np.ndarray) -> None:
    assert num_leaked_px(truth, compact_masks(truth)) == 0
    assert num_leaked_px(truth, compact_masks(np.zeros_like(truth))) == truth.size - np.bincount(truth.ravel()).max()


# --- figures ---


def test_no_frame_gives_no_figures() -> None:
    figures = MaskMeter("regions").figures()
    assert (figures.source, figures.num_frames, figures.num_truth_masks) == ("regions", 0, 0)
    undefined = {"num_frames", "num_truth_masks", "source"} ^ {item.name for item in dataclasses.fields(figures)}
    assert all(math.isnan(getattr(figures, name)) for name in undefined)
    document = json.loads(json.dumps(figures.as_json(), allow_nan=False))
    assert {name for name, value in document.items() if value is None} == undefined


def test_figures_of_a_frame() -> None:
    meter = MaskMeter("blocks")
    meter.add(*two_blocks(), ms=5.0, cpu_ms=7.0)
    figures = meter.figures()
    assert (figures.num_frames, figures.masks_per_frame, figures.num_truth_masks) == (1, 2.0, 2)
    assert (figures.ms, figures.cpu_ms) == (5.0, 7.0)
    assert figures.coverage == pytest.approx((100 + 190 + 20) / 400)
    assert figures.leakage == pytest.approx(20 / 400)
    # the first block: IoU 100/200, which is not above; the second: 190/220
    assert (figures.recall_50, figures.recall_75, figures.fragments_per_object) == (0.5, 0.5, 1.0)


def test_fragments_are_whole_when_united() -> None:
    meter, frame = MaskMeter("fragmented"), two_blocks()[0]
    meter.add(frame, TruthMasks(fragments=6).masks(frame), ms=1.0, cpu_ms=1.0)
    figures = meter.figures()
    assert (figures.recall_75, figures.united_recall_75, figures.fragments_per_object) == (0.0, 1.0, 6.0)


def test_the_first_frame_is_for_warming_up_and_one_slow_frame_is_not_typical() -> None:
    meter = MaskMeter("blocks")
    for ms in (900.0, 4.0, 5.0, 600.0):
        meter.add(*two_blocks(), ms=ms, cpu_ms=2 * ms)
    assert (meter.figures().ms, meter.figures().cpu_ms) == (5.0, 10.0)


def test_frames_without_truth_have_masks_coverage_and_times_alone() -> None:
    frame, masks = two_blocks()
    meter = MaskMeter("blocks")
    meter.add(dataclasses.replace(frame, truth=None), masks, ms=5.0, cpu_ms=7.0)
    figures = meter.figures()
    assert figures.coverage == pytest.approx(310 / 400)
    assert math.isnan(figures.recall_50) and math.isnan(figures.leakage)


def test_the_table_has_a_column_for_each_source_and_what_needs_truth_only_with_truth() -> None:
    meters = [MaskMeter("blocks"), MaskMeter("none")]
    meters[0].add(*two_blocks(), ms=5.0, cpu_ms=7.0)
    header, lines = report_lines([meter.figures() for meter in meters], with_truth=True)
    table = {line[0]: line[1:] for line in lines}
    assert header == ["", "blocks", "none"]
    assert table["frames"] == ["1", "0"]
    assert table["ms a frame"] == ["5.0", "n/a"]
    assert table["recall at IoU .5 %"] == ["50.0", "n/a"]
    assert table["pixels leaked %"] == ["5.00", "n/a"]
    without = report_lines([meter.figures() for meter in meters], with_truth=False)[1]
    assert [line[0] for line in without] == [
        "frames",
        "masks a frame",
        "ms a frame",
        "CPU ms a frame",
        "pixels covered %",
    ]
