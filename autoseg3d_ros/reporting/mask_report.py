"""What mask sources cost and give, measured side by side on the same frames."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import numpy as np

from autoseg3d_ros.evaluation.mask_recall import MaskRecallAccumulator
from autoseg3d_ros.evaluation.under_segmentation import num_leaked_px
from autoseg3d_ros.structures import Frame, Masks2D

_NAN = float("nan")


@dataclass(frozen=True)
class MaskFigures:
    """One mask source on some frames; NaN where a figure has nothing to stand on."""

    source: str
    num_frames: int
    masks_per_frame: float
    coverage: float  # share of the pixels with depth that are in a mask
    ms: float  # median wall time a frame; the first frame does not count: models warm up
    cpu_ms: float  # the same of all threads together
    num_truth_masks: int
    recall_50: float  # share of the truth masks that a single mask has with an IoU above .5
    recall_75: float
    united_recall_50: float  # the same where the masks that lie mostly in an object are united
    united_recall_75: float
    fragments_per_object: float
    leakage: float  # share of the pixels with depth in a mask that belongs mostly to something else

    def as_json(self) -> dict[str, Any]:
        """Return the figures for JSON, which has no NaN: what is undefined is None."""
        figures = asdict(self).items()
        return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in figures}


class MaskMeter:
    """Measures one mask source, frame by frame."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._recall = MaskRecallAccumulator()
        self._num_masks = 0
        self._num_leaked_px = 0
        self._ms: list[float] = []
        self._cpu_ms: list[float] = []

    def add(self, frame: Frame, masks: Masks2D, ms: float, cpu_ms: float) -> None:
        """Take the masks of one frame and what they took; truth counts where the frame has it."""
        valid = frame.depth_m > 0
        truth = np.zeros_like(masks.ids) if frame.truth is None else frame.truth
        self._recall.update(truth, masks, valid)
        self._num_leaked_px += num_leaked_px(truth, masks, valid)
        self._num_masks += masks.num_masks
        self._ms.append(ms)
        self._cpu_ms.append(cpu_ms)

    def figures(self) -> MaskFigures:
        """Return the figures of the frames so far."""
        counts, scores = self._recall.counts(), self._recall.result()
        num_frames = len(self._ms)
        has_truth = counts.num_truth_masks > 0
        return MaskFigures(
            source=self._source,
            num_frames=num_frames,
            masks_per_frame=self._num_masks / num_frames if num_frames else _NAN,
            ms=_typical(self._ms),
            cpu_ms=_typical(self._cpu_ms),
            num_truth_masks=counts.num_truth_masks,
            leakage=self._num_leaked_px / counts.num_valid_px if has_truth else _NAN,
            **asdict(scores),
        )


def _typical(times: Sequence[float]) -> float:
    return median(times[1:] or times) if times else _NAN


@dataclass(frozen=True)
class _Line:
    title: str
    key: str
    scale: float = 1.0
    decimals: int = 1


_ALWAYS = (
    _Line("frames", "num_frames", decimals=0),
    _Line("masks a frame", "masks_per_frame"),
    _Line("ms a frame", "ms"),
    _Line("CPU ms a frame", "cpu_ms"),
    _Line("pixels covered %", "coverage", 100),
)
_OF_TRUTH = (
    _Line("truth masks", "num_truth_masks", decimals=0),
    _Line("recall at IoU .5 %", "recall_50", 100),
    _Line("recall at IoU .75 %", "recall_75", 100),
    _Line("fragments united: recall at .5 %", "united_recall_50", 100),
    _Line("fragments united: recall at .75 %", "united_recall_75", 100),
    _Line("fragments an object", "fragments_per_object", decimals=2),
    _Line("pixels leaked %", "leakage", 100, 2),
)


def report_lines(rows: Sequence[MaskFigures], with_truth: bool) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of a table with one line a figure and one column a source."""
    lines = (*_ALWAYS, *_OF_TRUTH) if with_truth else _ALWAYS
    return ["", *(row.source for row in rows)], [[line.title, *(_text(row, line) for row in rows)] for line in lines]


def _text(row: MaskFigures, line: _Line) -> str:
    value = getattr(row, line.key)
    return "n/a" if math.isnan(value) else f"{value * line.scale:.{line.decimals}f}"
