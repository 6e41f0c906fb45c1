"""How much of the truth a set of 2D masks offers, before any tracking: the ceiling of what is built on them.

A truth mask counts from `min_truth_px` valid pixels on. It is found where the best of the masks has an IoU above a
threshold with it. Fragments of an object are the masks with more than half of their valid pixels in it; united they are
the best that merging of fragments can give. All IoU are over valid pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np

from autoseg3d_ros.evaluation.label_overlap import MIN_TRUTH_PX, label_overlap
from autoseg3d_ros.structures import Masks2D


@dataclass(frozen=True)
class MaskRecallCounts:
    """What a sequence adds to the scores; `dataclasses.asdict` is its JSON."""

    num_frames: int = 0
    num_truth_masks: int = 0
    num_found_50: int = 0  # by a single mask
    num_found_75: int = 0
    num_united_50: int = 0  # by the union of the fragments
    num_united_75: int = 0
    num_fragments: int = 0
    num_valid_px: int = 0
    num_covered_px: int = 0  # valid pixels in any mask


@dataclass(frozen=True)
class MaskRecallScores:
    """Shares of the truth masks, fragments an object, and the share of valid pixels in any mask; NaN of nothing."""

    recall_50: float
    recall_75: float
    united_recall_50: float
    united_recall_75: float
    fragments_per_object: float
    coverage: float


class MaskRecallAccumulator:
    """Collects masks and truth of a sequence, frame by frame."""

    def __init__(self, min_truth_px: int = MIN_TRUTH_PX) -> None:
        self._min_truth_px = min_truth_px
        self._frames: list[MaskRecallCounts] = []

    def update(self, truth: np.ndarray, masks: Masks2D, valid: np.ndarray | None = None) -> None:
        """Add one frame: (H, W) integer truth labels, 0 = none, its masks, and (H, W) bool of the valid pixels.

        Raises ValueError where the shapes differ or a label is negative.
        """
        self._frames.append(_frame_counts(truth, masks, valid, self._min_truth_px))

    def counts(self) -> MaskRecallCounts:
        """Return what the frames so far add to the scores."""
        return _total(self._frames)

    def result(self) -> MaskRecallScores:
        """Return the scores of the frames so far."""
        return pooled_mask_recall(self._frames)


def _frame_counts(truth: np.ndarray, masks: Masks2D, valid: np.ndarray | None, min_truth_px: int) -> MaskRecallCounts:
    overlap = label_overlap(truth, masks.ids + 1, valid)  # NO_MASK, -1, becomes 0 = none
    rows = np.flatnonzero((overlap.truth_ids != 0) & (overlap.truth_px >= min_truth_px))
    columns = np.flatnonzero(overlap.predicted_ids != 0)
    common_px = overlap.common_px[np.ix_(rows, columns)]
    truth_px, mask_px = overlap.truth_px[rows], overlap.predicted_px[columns]
    best = (common_px / (truth_px[:, None] + mask_px - common_px)).max(axis=1, initial=0.0)
    inside = 2 * common_px > mask_px  # (T, M), each mask in at most one object
    united_px = (common_px * inside).sum(axis=1)
    united = united_px / (truth_px + (mask_px * inside).sum(axis=1) - united_px)
    return MaskRecallCounts(
        num_frames=1,
        num_truth_masks=len(rows),
        num_found_50=int((best > 0.5).sum()),
        num_found_75=int((best > 0.75).sum()),
        num_united_50=int((united > 0.5).sum()),
        num_united_75=int((united > 0.75).sum()),
        num_fragments=int(inside.sum()),
        num_valid_px=int(overlap.common_px.sum()),
        num_covered_px=int(mask_px.sum()),
    )


def pooled_mask_recall(counts: Sequence[MaskRecallCounts]) -> MaskRecallScores:
    """Return the scores of several scenes together."""
    total = _total(counts)
    return MaskRecallScores(
        recall_50=_ratio(total.num_found_50, total.num_truth_masks),
        recall_75=_ratio(total.num_found_75, total.num_truth_masks),
        united_recall_50=_ratio(total.num_united_50, total.num_truth_masks),
        united_recall_75=_ratio(total.num_united_75, total.num_truth_masks),
        fragments_per_object=_ratio(total.num_fragments, total.num_truth_masks),
        coverage=_ratio(total.num_covered_px, total.num_valid_px),
    )


def _total(counts: Sequence[MaskRecallCounts]) -> MaskRecallCounts:
    return MaskRecallCounts(
        **{field.name: sum(getattr(scene, field.name) for scene in counts) for field in fields(MaskRecallCounts)}
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
