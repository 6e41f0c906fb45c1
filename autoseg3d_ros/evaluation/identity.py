"""How well ids last: identity metrics of label images against instance truth, over a whole sequence.

`label_overlap` says which masks count and which match. Over the sequence, with TP matches at hand:
- IDF1, IDP, IDR: truth ids are assigned to predicted ids one to one, once for the whole sequence, so that the matches
  between partners (IDTP) are most. IDR = IDTP / truth masks, IDP = IDTP / predicted masks, IDF1 their harmonic mean
  (Ristani et al., "Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", ECCVW 2016).
- switches: a truth object matches another predicted id than at its last match, however long ago that was
  (Bernardin and Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008).
- fragmentations: a truth object is matched, then visible and unmatched, then matched again. Frames in which it cannot
  be seen do not interrupt it.
- recall = TP / truth masks, precision = TP / predicted masks, mean IoU of the matches.

Ids of different scenes are different, so the counts of several scenes add up. A ratio of nothing to nothing is NaN.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from autoseg3d_ros.evaluation.label_overlap import MIN_TRUTH_PX, FrameOverlap, frame_overlap


@dataclass(frozen=True)
class IdentityScores:
    """What sequences score; the module says how each number is defined."""

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


@dataclass(frozen=True)
class IdentityCounts:
    """What a sequence adds to the scores; `dataclasses.asdict` is its JSON."""

    num_frames: int
    num_truth_ids: int
    num_predicted_ids: int
    num_truth_masks: int
    num_predicted_masks: int
    num_matches: int
    num_id_true_positives: int  # IDTP
    num_switches: int
    num_fragmentations: int
    iou_sum: float  # over the matches


class IdentityAccumulator:
    """Collects the matches of a sequence, frame by frame."""

    def __init__(self, min_truth_px: int = MIN_TRUTH_PX) -> None:
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
        self.update_overlap(frame_overlap(truth, predicted, valid, self._min_truth_px))

    def update_overlap(self, overlap: FrameOverlap) -> None:
        """Add one frame whose overlap is known already."""
        self._num_frames += 1
        self._truth_frames.update(overlap.truth_ids.tolist())
        self._predicted_frames.update(overlap.predicted_ids.tolist())
        self._matched_frames.update(overlap.matches.items())
        self._iou_sum += float(overlap.iou[overlap.iou > 0.5].sum())
        self._follow(overlap.matches, overlap.truth_ids.tolist())

    def counts(self) -> IdentityCounts:
        """Return what the frames so far add to the scores."""
        return IdentityCounts(
            num_frames=self._num_frames,
            num_truth_ids=len(self._truth_frames),
            num_predicted_ids=len(self._predicted_frames),
            num_truth_masks=self._truth_frames.total(),
            num_predicted_masks=self._predicted_frames.total(),
            num_matches=self._matched_frames.total(),
            num_id_true_positives=self._best_partners(),
            num_switches=self._num_switches,
            num_fragmentations=self._num_fragmentations,
            iou_sum=self._iou_sum,
        )

    def result(self) -> IdentityScores:
        """Return the scores of the frames so far."""
        return pooled_identity([self.counts()])

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


def pooled_identity(counts: Sequence[IdentityCounts]) -> IdentityScores:
    """Return the scores of several scenes together."""
    num_truth = sum(scene.num_truth_masks for scene in counts)
    num_predicted = sum(scene.num_predicted_masks for scene in counts)
    num_matches = sum(scene.num_matches for scene in counts)
    id_true_positives = sum(scene.num_id_true_positives for scene in counts)
    return IdentityScores(
        idf1=_ratio(2 * id_true_positives, num_truth + num_predicted),
        idp=_ratio(id_true_positives, num_predicted),
        idr=_ratio(id_true_positives, num_truth),
        num_switches=sum(scene.num_switches for scene in counts),
        num_fragmentations=sum(scene.num_fragmentations for scene in counts),
        recall=_ratio(num_matches, num_truth),
        precision=_ratio(num_matches, num_predicted),
        mean_iou=_ratio(sum(scene.iou_sum for scene in counts), num_matches),
        num_frames=sum(scene.num_frames for scene in counts),
        num_truth_ids=sum(scene.num_truth_ids for scene in counts),
        num_predicted_ids=sum(scene.num_predicted_ids for scene in counts),
        num_truth_masks=num_truth,
        num_predicted_masks=num_predicted,
        num_matches=num_matches,
    )


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
