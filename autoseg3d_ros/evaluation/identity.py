"""How well ids last: identity metrics of label images against instance truth, over a whole sequence.

In each frame a truth mask and a predicted mask match when their IoU exceeds 1/2. Labels of one image do not overlap, so
at most one mask can match another and no assignment is needed (Kirillov et al., "Panoptic Segmentation", CVPR 2019).

Not counted at all are
- truth masks below `min_truth_px` pixels,
- predicted masks of which more than half lies where no truth mask is counted: floor and walls have no truth, and
  finding them is no error,
- pixels outside `valid`.

Over the sequence, with TP matches at hand:
- IDF1, IDP, IDR: truth ids are assigned to predicted ids one to one, once for the whole sequence, so that the matches
  between partners (IDTP) are most. IDR = IDTP / truth masks, IDP = IDTP / predicted masks, IDF1 their harmonic mean
  (Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCVW 2016).
- switches: a truth object matches another predicted id than at its last match, however long ago that was
  (Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008).
- fragmentations: a truth object is matched, then visible and unmatched, then matched again. Frames in which it cannot
  be seen do not interrupt it.
- recall = TP / truth masks, precision = TP / predicted masks, mean IoU of the matches.

A ratio of nothing to nothing is NaN.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

_ID_BITS = 32


@dataclass(frozen=True)
class IdentityScores:
    """What a sequence scores; the module says how each number is defined."""

    idf1: float
    idp: float
    idr: float
    num_switches: int
    num_fragmentations: int
    recall: float
    precision: float
    mean_iou: float
    num_frames: int
    num_truth_ids: int
    num_predicted_ids: int
    num_truth_masks: int
    num_predicted_masks: int
    num_matches: int


class IdentityAccumulator:
    """Collects the matches of a sequence, frame by frame."""

    def __init__(self, min_truth_px: int = 100) -> None:
        self._min_truth_px = min_truth_px
        self._num_frames = 0
        self._truth_frames: Counter[int] = Counter()  # truth id -> frames in which it counts
        self._predicted_frames: Counter[int] = Counter()
        self._matched_frames: Counter[tuple[int, int]] = Counter()  # (truth id, predicted id) -> frames
        self._iou_sum = 0.0
        self._last_match: dict[int, int] = {}  # truth id -> predicted id
        self._interrupted: set[int] = set()  # truth ids visible and unmatched since their last match
        self._num_switches = 0
        self._num_fragmentations = 0

    def update(self, truth: np.ndarray, predicted: np.ndarray, valid: np.ndarray | None = None) -> None:
        """Add one frame: two (H, W) integer label images, 0 = none, and (H, W) bool of the pixels that count.

        Raises ValueError where the shapes differ or a label is negative.
        """
        truth_ids, predicted_ids, iou = self._counted_masks(*_overlaps(truth, predicted, valid))
        rows, columns = np.nonzero(iou > 0.5)
        matches = dict(zip(truth_ids[rows].tolist(), predicted_ids[columns].tolist(), strict=True))
        self._num_frames += 1
        self._truth_frames.update(truth_ids.tolist())
        self._predicted_frames.update(predicted_ids.tolist())
        self._matched_frames.update(matches.items())
        self._iou_sum += float(iou[rows, columns].sum())
        self._follow(matches, truth_ids.tolist())

    def result(self) -> IdentityScores:
        """Return the scores of the frames so far."""
        num_truth, num_predicted = self._truth_frames.total(), self._predicted_frames.total()
        num_matches = self._matched_frames.total()
        id_true_positives = self._best_partners()
        return IdentityScores(
            idf1=_ratio(2 * id_true_positives, num_truth + num_predicted),
            idp=_ratio(id_true_positives, num_predicted),
            idr=_ratio(id_true_positives, num_truth),
            num_switches=self._num_switches,
            num_fragmentations=self._num_fragmentations,
            recall=_ratio(num_matches, num_truth),
            precision=_ratio(num_matches, num_predicted),
            mean_iou=_ratio(self._iou_sum, num_matches),
            num_frames=self._num_frames,
            num_truth_ids=len(self._truth_frames),
            num_predicted_ids=len(self._predicted_frames),
            num_truth_masks=num_truth,
            num_predicted_masks=num_predicted,
            num_matches=num_matches,
        )

    def _counted_masks(
        self, truth_ids: np.ndarray, predicted_ids: np.ndarray, overlap_px: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return the truth ids (T,) and predicted ids (P,) that count and their IoU (T, P)."""
        truth_px, predicted_px = overlap_px.sum(axis=1), overlap_px.sum(axis=0)
        truth_counts = (truth_ids != 0) & (truth_px >= self._min_truth_px)
        void_px = overlap_px[~truth_counts].sum(axis=0)
        predicted_counts = (predicted_ids != 0) & (2 * void_px <= predicted_px)
        common = overlap_px[np.ix_(truth_counts, predicted_counts)]
        union = truth_px[truth_counts][:, None] + predicted_px[predicted_counts] - common
        return truth_ids[truth_counts], predicted_ids[predicted_counts], common / union

    def _follow(self, matches: dict[int, int], visible: list[int]) -> None:
        """Count switches and fragmentations of this frame."""
        for truth_id, predicted_id in matches.items():
            self._num_switches += self._last_match.get(truth_id, predicted_id) != predicted_id
            self._num_fragmentations += truth_id in self._interrupted
        self._interrupted.difference_update(matches)
        self._interrupted.update(id for id in visible if id in self._last_match and id not in matches)
        self._last_match.update(matches)

    def _best_partners(self) -> int:
        """Return the most matches that a one-to-one assignment of truth ids to predicted ids can hold."""
        row = {id: index for index, id in enumerate(self._truth_frames)}
        column = {id: index for index, id in enumerate(self._predicted_frames)}
        frames = np.zeros((len(row), len(column)), dtype=np.int64)
        for (truth_id, predicted_id), count in self._matched_frames.items():
            frames[row[truth_id], column[predicted_id]] = count
        return int(frames[linear_sum_assignment(frames, maximize=True)].sum())


def _overlaps(
    truth: np.ndarray, predicted: np.ndarray, valid: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the labels of both images, 0 included where it occurs, and the pixels (T, P) that share each pair."""
    if truth.shape != predicted.shape or (valid is not None and valid.shape != truth.shape):
        shapes = [image.shape for image in (truth, predicted, valid) if image is not None]
        raise ValueError(f"identity scores: expected label images of one size, got {shapes}")
    if valid is not None:
        truth, predicted = truth[valid], predicted[valid]
    if min(truth.min(initial=0), predicted.min(initial=0)) < 0:
        raise ValueError("identity scores: expected labels from 0 (none) upwards, got a negative one")
    pairs = (truth.astype(np.int64).ravel() << _ID_BITS) | predicted.astype(np.int64).ravel()
    pairs, count = np.unique(pairs, return_counts=True)
    truth_ids, row = np.unique(pairs >> _ID_BITS, return_inverse=True)
    predicted_ids, column = np.unique(pairs & (2**_ID_BITS - 1), return_inverse=True)
    overlap_px = np.zeros((len(truth_ids), len(predicted_ids)), dtype=np.int64)
    overlap_px[row, column] = count
    return truth_ids, predicted_ids, overlap_px


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
