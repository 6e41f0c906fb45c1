"""What a predicted label image shares with the truth: computed once per frame, read by every metric over time.

In each frame a truth mask and a predicted mask match when their IoU exceeds 1/2. Labels of one image do not overlap, so
at most one mask can match another and no assignment is needed (Kirillov et al., "Panoptic Segmentation", CVPR 2019).

Not counted at all are
- truth masks below `min_truth_px` pixels,
- predicted masks of which more than half lies where no truth mask is counted: floor and walls have no truth, and
  finding them is no error,
- pixels outside `valid`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

MIN_TRUTH_PX = 100
_ID_BITS = 32


@dataclass(frozen=True)
class LabelOverlap:
    """The pixels that the labels of two images share, label 0 included where it occurs."""

    truth_ids: np.ndarray  # (T,) int64, ascending
    predicted_ids: np.ndarray  # (P,) int64, ascending
    common_px: np.ndarray  # (T, P) int64

    @cached_property
    def truth_px(self) -> np.ndarray:
        """Pixels of each truth label, (T,) int64."""
        return self.common_px.sum(axis=1)

    @cached_property
    def predicted_px(self) -> np.ndarray:
        """Pixels of each predicted label, (P,) int64."""
        return self.common_px.sum(axis=0)


@dataclass(frozen=True)
class FrameOverlap:
    """The masks of one frame that count."""

    truth_ids: np.ndarray  # (T,) int64, ascending: the objects visible in this frame
    predicted_ids: np.ndarray  # (P,) int64, ascending
    iou: np.ndarray  # (T, P) float64

    @cached_property
    def matches(self) -> dict[int, int]:
        """Predicted id by truth id of the pairs whose IoU exceeds 1/2."""
        rows, columns = np.nonzero(self.iou > 0.5)
        return dict(zip(self.truth_ids[rows].tolist(), self.predicted_ids[columns].tolist(), strict=True))


def label_overlap(truth: np.ndarray, predicted: np.ndarray, valid: np.ndarray | None = None) -> LabelOverlap:
    """Return what two (H, W) integer label images share, 0 = none, where `valid` (H, W) bool is true.

    Raises ValueError where the shapes differ or a label is negative.
    """
    if truth.shape != predicted.shape or (valid is not None and valid.shape != truth.shape):
        shapes = [image.shape for image in (truth, predicted, valid) if image is not None]
        raise ValueError(f"overlap of labels: expected label images of one size, got {shapes}")
    if valid is not None:
        truth, predicted = truth[valid], predicted[valid]
    if min(truth.min(initial=0), predicted.min(initial=0)) < 0:
        raise ValueError("overlap of labels: expected labels from 0 (none) upwards, got a negative one")
    pairs = (truth.astype(np.int64).ravel() << _ID_BITS) | predicted.astype(np.int64).ravel()
    pairs, count = np.unique(pairs, return_counts=True)
    truth_ids, row = np.unique(pairs >> _ID_BITS, return_inverse=True)
    predicted_ids, column = np.unique(pairs & (2**_ID_BITS - 1), return_inverse=True)
    common_px = np.zeros((len(truth_ids), len(predicted_ids)), dtype=np.int64)
    common_px[row, column] = count
    return LabelOverlap(truth_ids, predicted_ids, common_px)


def frame_overlap(
    truth: np.ndarray, predicted: np.ndarray, valid: np.ndarray | None = None, min_truth_px: int = MIN_TRUTH_PX
) -> FrameOverlap:
    """Return the masks of one frame that count, and their IoU.

    `truth`, `predicted` (H, W) integer label images, 0 = none; `valid` (H, W) bool, the pixels that count.
    Raises ValueError where the shapes differ or a label is negative.
    """
    overlap = label_overlap(truth, predicted, valid)
    truth_counts = (overlap.truth_ids != 0) & (overlap.truth_px >= min_truth_px)
    void_px = overlap.common_px[~truth_counts].sum(axis=0)
    predicted_counts = (overlap.predicted_ids != 0) & (2 * void_px <= overlap.predicted_px)
    common_px = overlap.common_px[np.ix_(truth_counts, predicted_counts)]
    union_px = overlap.truth_px[truth_counts][:, None] + overlap.predicted_px[predicted_counts] - common_px
    return FrameOverlap(overlap.truth_ids[truth_counts], overlap.predicted_ids[predicted_counts], common_px / union_px)
