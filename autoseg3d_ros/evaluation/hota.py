"""HOTA: detection and association over time in one number, over the IoU of masks.

Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021. At each of 19 localisation
thresholds alpha (0.05 to 0.95), masks are matched one to one in every frame, so that first the masks of truth and
predicted ids that go together over the whole sequence find each other, then the larger IoU decides. With TP, FN, FP:
- DetA = TP / (TP + FN + FP), DetRe = TP / (TP + FN), DetPr = TP / (TP + FP),
- A(c) of a match c between truth id t and predicted id p = frames in which t and p match / frames in which either is
  there; AssA is its mean over the matches, AssRe and AssPr the same over the frames of t and of p,
- HOTA = sqrt(DetA * AssA), and the number that is reported is the mean over the thresholds; LocA is the mean IoU.
At a threshold without a match all are 0, but LocA is 1. With no mask at all every score is NaN.

`label_overlap` says which masks count. The counts of several scenes add up. Equal to TrackEval 1.3.0, which is no
dependency: for this one class it would bring in pycocotools, tabulate and loaders that write folders.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from autoseg3d_ros.evaluation.label_overlap import FrameOverlap

ALPHAS = tuple((np.arange(1, 20) / 20).tolist())
_TOLERANCE = 1e-9  # an IoU equal to a threshold is a match


@dataclass(frozen=True)
class HotaCounts:
    """What a sequence adds to the scores, a value for each of ALPHAS; `dataclasses.asdict` is its JSON."""

    num_true_positives: Sequence[int]
    num_false_negatives: Sequence[int]
    num_false_positives: Sequence[int]
    association_sum: Sequence[float]  # of A(c) over the matches
    association_recall_sum: Sequence[float]
    association_precision_sum: Sequence[float]
    iou_sum: Sequence[float]  # over the matches


@dataclass(frozen=True)
class HotaScores:
    """Means over the thresholds."""

    hota: float
    det_a: float
    ass_a: float
    det_re: float
    det_pr: float
    ass_re: float
    ass_pr: float
    loc_a: float


class HotaAccumulator:
    """Collects the overlaps of a sequence; matching needs all of them, so it is done at the end."""

    def __init__(self) -> None:
        self._frames: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []  # truth rows, predicted columns, IoU
        self._truth_row: dict[int, int] = {}
        self._predicted_column: dict[int, int] = {}

    def update(self, overlap: FrameOverlap) -> None:
        """Add one frame."""
        rows = [self._truth_row.setdefault(id, len(self._truth_row)) for id in overlap.truth_ids.tolist()]
        columns = [
            self._predicted_column.setdefault(id, len(self._predicted_column)) for id in overlap.predicted_ids.tolist()
        ]
        self._frames.append((np.array(rows, np.int64), np.array(columns, np.int64), overlap.iou))

    def counts(self) -> HotaCounts:
        """Return what the frames so far add to the scores."""
        num_truth = np.zeros(len(self._truth_row), np.int64)  # frames of each id
        num_predicted = np.zeros(len(self._predicted_column), np.int64)
        for rows, columns, _ in self._frames:
            num_truth[rows] += 1
            num_predicted[columns] += 1
        row, column, iou = self._matches(num_truth, num_predicted)
        matched = iou >= np.array(ALPHAS)[:, None] - _TOLERANCE  # (19, M)
        sums = np.array([_associations(row[some], column[some], num_truth, num_predicted) for some in matched])
        num_matches = matched.sum(axis=1)
        return HotaCounts(
            num_true_positives=num_matches.tolist(),
            num_false_negatives=(num_truth.sum() - num_matches).tolist(),
            num_false_positives=(num_predicted.sum() - num_matches).tolist(),
            association_sum=sums[:, 0].tolist(),
            association_recall_sum=sums[:, 1].tolist(),
            association_precision_sum=sums[:, 2].tolist(),
            iou_sum=(matched @ iou).tolist(),
        )

    def result(self) -> HotaScores:
        """Return the scores of the frames so far."""
        return pooled_hota([self.counts()])

    def _matches(self, num_truth: np.ndarray, num_predicted: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return truth row, predicted column and IoU (M,) of every pair that the assignments of the frames chose."""
        together = np.zeros((len(num_truth), len(num_predicted)))  # frames in which two ids might match, softly counted
        for rows, columns, iou in self._frames:
            shared = iou.sum(axis=1)[:, None] + iou.sum(axis=0) - iou
            together[np.ix_(rows, columns)] += np.divide(iou, shared, out=np.zeros_like(iou), where=shared > 0)
        affinity = together / (num_truth[:, None] + num_predicted - together)
        found = []
        for rows, columns, iou in self._frames:
            row, column = linear_sum_assignment(affinity[np.ix_(rows, columns)] * iou, maximize=True)
            found.append((rows[row], columns[column], iou[row, column]))
        empty = np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0)
        row, column, iou = (np.concatenate(parts) for parts in zip(empty, *found, strict=True))
        return row, column, iou


def _associations(
    row: np.ndarray, column: np.ndarray, num_truth: np.ndarray, num_predicted: np.ndarray
) -> tuple[float, float, float]:
    """Return the sums over matches (row, column) (M,) of A(c), and of its recall and precision."""
    pair, num_matches = np.unique(row * len(num_predicted) + column, return_counts=True)
    truth_frames = num_truth[pair // max(len(num_predicted), 1)]
    predicted_frames = num_predicted[pair % max(len(num_predicted), 1)]
    either = truth_frames + predicted_frames - num_matches
    squared = num_matches**2  # each of the pair's matches adds the pair's ratio
    return (
        float((squared / either).sum()),
        float((squared / truth_frames).sum()),
        float((squared / predicted_frames).sum()),
    )


def pooled_hota(counts: Sequence[HotaCounts]) -> HotaScores:
    """Return the scores of several scenes together: sums first, then ratios."""

    def total(name: str) -> np.ndarray:
        return np.array([getattr(scene, name) for scene in counts], float).reshape(-1, len(ALPHAS)).sum(axis=0)

    true, missed, wrong = (total(f"num_{name}") for name in ("true_positives", "false_negatives", "false_positives"))
    if not np.any(true + missed + wrong):
        nan = float("nan")
        return HotaScores(nan, nan, nan, nan, nan, nan, nan, nan)
    detection = _shares(true, true + missed + wrong)
    association = _shares(total("association_sum"), true)
    return HotaScores(
        hota=float(np.sqrt(detection * association).mean()),
        det_a=float(detection.mean()),
        ass_a=float(association.mean()),
        det_re=float(_shares(true, true + missed).mean()),
        det_pr=float(_shares(true, true + wrong).mean()),
        ass_re=float(_shares(total("association_recall_sum"), true).mean()),
        ass_pr=float(_shares(total("association_precision_sum"), true).mean()),
        loc_a=float(_shares(total("iou_sum"), true, without=1.0).mean()),
    )


def _shares(part: np.ndarray, whole: np.ndarray, without: float = 0.0) -> np.ndarray:
    """Return part / whole, and at thresholds where whole is 0 the value `without`."""
    return np.divide(part, whole, out=np.full(len(ALPHAS), without), where=whole > 0)
