"""Average precision of 3D instances by the ScanNet rules, as the released evaluation applies them (`method.md` §9.3).

Truth and predictions are sets of vertices of one mesh. At each IoU threshold, class by class:
- truth objects are visited in ascending id; a prediction is a hit where its IoU exceeds the threshold strictly,
- the first hit in list order is used up; hits that an earlier truth object used up are skipped silently,
- the highest confidence of the hits is the true positive, every other hit a false positive; these stay usable,
- a truth object without a hit is a hard false negative,
- a prediction that hits nothing is a false positive, unless more than the threshold's share of it is void or belongs
  to truth objects of its class that are too small to count.
Truth objects of fewer than `min_region` vertices do not count, predictions that small do not exist.

The pairs (true or false positive, confidence) of all scenes make one precision-recall curve: a point for every distinct
confidence and one at recall 0, precision 1; equal confidences are one point. The area is that of the trapezoids, which
is what the convolution with (-1/2, 0, 1/2) in the published evaluators amounts to.

A class without counted truth is NaN and left out of the means. Unlike in the release, a first scene without predictions
is no error.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

THRESHOLDS = (*np.arange(0.5, 0.95, 0.05).tolist(), 0.25)  # some a few 1e-16 above the round number, as released
OBJECT_CLASS = 0  # the one class of a class-agnostic evaluation
_VOID = -1  # in place of a class
_NUM_STRICT = len(THRESHOLDS) - 1  # AP is the mean over all thresholds but 0.25
_AT_50, _AT_25 = 0, len(THRESHOLDS) - 1


@dataclass(frozen=True)
class SceneMatches:
    """What one scene adds to the precision-recall curves: E verdicts on predictions, C classes with truth."""

    truth_class: np.ndarray  # (C,) int64, ascending
    num_truth: np.ndarray  # (C,) int64 truth objects that count; each is a true positive or a hard false negative
    class_id: np.ndarray  # (E,) int64
    threshold: np.ndarray  # (E,) int64 index into THRESHOLDS
    is_true: np.ndarray  # (E,) bool, true or false positive
    score: np.ndarray  # (E,) float32

    def num_hard_false_negatives(self) -> np.ndarray:
        """Return the truth objects without a hit (C, 10) int64, by class and threshold."""
        found = np.zeros((len(self.truth_class), len(THRESHOLDS)), np.int64)
        row = np.searchsorted(self.truth_class, self.class_id[self.is_true])
        np.add.at(found, (row, self.threshold[self.is_true]), 1)
        return self.num_truth[:, None] - found

    def to_dict(self) -> dict[str, list[Any]]:
        """Return the fields as lists, for JSON; `from_dict` restores them exactly."""
        return {name: getattr(self, name).tolist() for name in _DTYPES}

    @staticmethod
    def from_dict(fields: Mapping[str, Sequence[Any]]) -> SceneMatches:
        """Return what `to_dict` wrote; raises KeyError for a missing field."""
        return SceneMatches(**{name: np.array(fields[name], dtype) for name, dtype in _DTYPES.items()})


_DTYPES: dict[str, type] = {
    "truth_class": np.int64,
    "num_truth": np.int64,
    "class_id": np.int64,
    "threshold": np.int64,
    "is_true": np.bool_,
    "score": np.float32,
}


@dataclass(frozen=True)
class ClassAp:
    """Average precision of one class; NaN without truth."""

    ap: float  # mean over IoU thresholds 0.50 to 0.90
    ap50: float
    ap25: float
    num_truth: int


@dataclass(frozen=True)
class ApScores:
    """Means over the classes that have truth; NaN where none has."""

    ap: float
    ap50: float
    ap25: float
    per_class: dict[int, ClassAp]


def match_scene(
    truth_id: np.ndarray,
    masks: np.ndarray,
    score: np.ndarray,
    *,
    truth_class: Mapping[int, int] | None = None,
    mask_class: np.ndarray | None = None,
    min_region: int = 100,
) -> SceneMatches:
    """Return the verdicts on one scene's predictions.

    `truth_id` (V,) int, 0 = void; `masks` (I, V) bool in the order in which they are to be visited; `score` (I,) in
    [0, inf). With `truth_class`, class by truth id, and `mask_class` (I,) int, each class is matched on its own and
    truth ids that are not listed are void; without, all instances are of one class, `OBJECT_CLASS`.
    `min_region` in vertices, for truth and masks alike.
    Raises ValueError where shapes differ, a truth id is negative, a score is negative or not finite, or only one of
    the two class arguments is given.
    """
    score = np.asarray(score, np.float32) + np.float32(0)  # no -0: it would sort above all
    ids, of_vertex, size = np.unique(truth_id, return_inverse=True, return_counts=True)
    if truth_class is None and mask_class is None:
        truth_class, mask_class = dict.fromkeys(ids.tolist(), OBJECT_CLASS), np.full(len(score), OBJECT_CLASS)
    if truth_class is None or mask_class is None:
        raise ValueError("average precision: expected the classes of both truth and masks, or of neither")
    _check_scene(truth_id, masks, score, mask_class)
    class_of_id = np.array([truth_class.get(id, _VOID) if id else _VOID for id in ids.tolist()], np.int64)
    common = np.array([np.bincount(of_vertex[mask], minlength=len(ids)) for mask in masks], np.int64)
    common = common.reshape(len(masks), len(ids))  # also without masks
    mask_size, void = common.sum(axis=1), common[:, class_of_id == _VOID].sum(axis=1)
    exists = mask_size >= max(min_region, 1)
    verdicts = []
    for class_id in np.unique(mask_class[exists]).tolist():
        rows, columns = np.flatnonzero(exists & (mask_class == class_id)), np.flatnonzero(class_of_id == class_id)
        overlap = _ClassOverlap(common[np.ix_(rows, columns)], size[columns], mask_size[rows], void[rows])
        for index in range(len(THRESHOLDS)):
            verdicts += [(class_id, index, *verdict) for verdict in overlap.verdicts(score[rows], index, min_region)]
    counted = (class_of_id != _VOID) & (size >= min_region)
    return _scene_matches(class_of_id[counted], verdicts)


def _scene_matches(class_of_truth: np.ndarray, verdicts: list[tuple[int, int, bool, float]]) -> SceneMatches:
    classes, num_truth = np.unique(class_of_truth, return_counts=True)
    class_id, threshold, is_true, score = zip(*verdicts, strict=True) if verdicts else ((), (), (), ())
    return SceneMatches(
        truth_class=classes,
        num_truth=num_truth,
        class_id=np.array(class_id, np.int64),
        threshold=np.array(threshold, np.int64),
        is_true=np.array(is_true, np.bool_),
        score=np.array(score, np.float32),
    )


@dataclass(frozen=True)
class _ClassOverlap:
    """Vertices shared by the M masks and the N truth objects of one class, small ones included."""

    common: np.ndarray  # (M, N) int64
    truth_size: np.ndarray  # (N,) int64, by ascending id
    mask_size: np.ndarray  # (M,) int64
    void: np.ndarray  # (M,) int64 vertices of the mask that are void

    def verdicts(self, score: np.ndarray, index: int, min_region: int) -> list[tuple[bool, float]]:
        """Return (is a true positive, confidence) of the masks that are judged at THRESHOLDS[index]."""
        hit = self.common / (self.truth_size + self.mask_size[:, None] - self.common) > THRESHOLDS[index]
        counts = self.truth_size >= min_region
        found: list[tuple[bool, float]] = []
        used = np.zeros(len(score), bool)
        for column in np.flatnonzero(counts):
            hits = np.flatnonzero(hit[:, column] & ~used)
            if len(hits):
                used[hits[0]] = True
                *duplicates, best = sorted(score[hits].tolist())
                found += [(True, best), *((False, confidence) for confidence in duplicates)]
        ignored = self.void + self.common[:, ~counts].sum(axis=1)
        wrong = ~hit.any(axis=1) & (ignored / self.mask_size <= THRESHOLDS[index])
        return found + [(False, confidence) for confidence in score[wrong].tolist()]


def average_precision(scenes: Sequence[SceneMatches]) -> ApScores:
    """Return the scores of the scenes together; a scene may occur several times, as in a bootstrap."""
    return ApPool(scenes).scores()


def precision_recall(
    scenes: Sequence[SceneMatches], threshold: float, class_id: int = OBJECT_CLASS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return recall, precision and confidence (K,) float64 of one class's curve, by ascending confidence.

    The last point, recall 0 and precision 1 by definition, has confidence infinity. Empty without truth of the class.
    Raises ValueError where `threshold` is not one of THRESHOLDS.
    """
    index = np.flatnonzero(np.isclose(THRESHOLDS, threshold))
    if not len(index):
        raise ValueError(f"precision and recall: expected one of the IoU thresholds {THRESHOLDS}, got {threshold}")
    return ApPool(scenes).curve(class_id, int(index[0]))


class ApPool:
    """The verdicts of several scenes, sorted once, and scored under any weights of the scenes.

    A curve is one class at one threshold; a point is a distinct confidence in it. A resample of a bootstrap is a vector
    of weights, how often each scene was drawn, and needs no sorting: a thousand of hundreds of scenes take seconds.
    """

    def __init__(self, scenes: Sequence[SceneMatches]) -> None:
        num_classes = [len(scene.truth_class) for scene in scenes]
        num_verdicts = [len(scene.score) for scene in scenes]
        self._num_scenes = len(scenes)
        self._classes, self._class_row = np.unique(
            _joined([scene.truth_class for scene in scenes], np.int64), return_inverse=True
        )
        self._class_scene = np.repeat(np.arange(len(scenes)), num_classes)
        self._num_truth = _joined([scene.num_truth for scene in scenes], np.int64)
        class_id = _joined([scene.class_id for scene in scenes], np.int64)
        row = np.searchsorted(self._classes, class_id)
        curve = row * len(THRESHOLDS) + _joined([scene.threshold for scene in scenes], np.int64)
        score = _joined([scene.score for scene in scenes], np.float32)
        has_truth = np.append(self._classes, _VOID)[row] == class_id
        order = np.argsort(curve << 32 | score.view(np.int32))  # floats from 0 upwards sort like their bits
        order = order[has_truth[order]]
        self._scene = np.repeat(np.arange(len(scenes)), num_verdicts)[order]
        self._is_true = _joined([scene.is_true for scene in scenes], np.bool_)[order]
        curve, score = curve[order], score[order]
        self._first = np.flatnonzero((np.diff(curve, prepend=-1) != 0) | (np.diff(score, prepend=-1) != 0))
        self._curve, self._confidence = curve[self._first], score[self._first]  # of each point
        self._end = np.searchsorted(curve, self._curve, side="right")  # of the verdicts of the point's curve

    def scores(self, weight: np.ndarray | None = None) -> ApScores:
        """Return the scores where scene k occurs `weight[k]` times, (num scenes,) int >= 0; once each without."""
        num_truth, recall, precision = self._points(weight)
        is_last = np.append(np.diff(self._curve), 1) != 0  # the point at recall 0, precision 1 comes next
        next_recall = np.where(is_last, 0.0, np.append(recall[1:], 0.0))
        next_precision = np.where(is_last, 1.0, np.append(precision[1:], 1.0))
        trapezoid = (recall - next_recall) * (precision + next_precision) / 2
        num_curves = len(self._classes) * len(THRESHOLDS)
        area = np.bincount(self._curve, trapezoid, num_curves).reshape(-1, len(THRESHOLDS))
        per_class = {
            class_id: ClassAp(float(row[:_NUM_STRICT].mean()), float(row[_AT_50]), float(row[_AT_25]), int(num))
            for class_id, row, num in zip(self._classes.tolist(), area, num_truth.tolist(), strict=True)
            if num
        }
        ap, ap50, ap25 = (_mean([getattr(one, name) for one in per_class.values()]) for name in ("ap", "ap50", "ap25"))
        return ApScores(ap, ap50, ap25, per_class)

    def curve(self, class_id: int, threshold: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return `precision_recall` at THRESHOLDS[threshold]."""
        _, recall, precision = self._points(None)
        row = np.flatnonzero(self._classes == class_id)
        point = np.isin(self._curve, row * len(THRESHOLDS) + threshold)
        return (
            np.append(recall[point], [0.0] * len(row)),
            np.append(precision[point], [1.0] * len(row)),
            np.append(self._confidence[point], [np.inf] * len(row)),
        )

    def _points(self, weight: np.ndarray | None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return truth objects (C,), and recall and precision (K,) of every point.

        A point whose verdicts all have weight 0 repeats the next point of its curve, which adds no area.
        """
        weight = np.ones(self._num_scenes) if weight is None else np.asarray(weight, float)
        num_truth = np.bincount(self._class_row, self._num_truth * weight[self._class_scene], len(self._classes))
        each = weight[self._scene]
        verdicts, hits = np.append(0.0, np.cumsum(each)), np.append(0.0, np.cumsum(each * self._is_true))
        num_verdicts = verdicts[self._end] - verdicts[self._first]
        num_hits = hits[self._end] - hits[self._first]
        return (
            num_truth,
            num_hits / np.maximum(num_truth[self._curve // len(THRESHOLDS)], 1.0),
            np.divide(num_hits, num_verdicts, out=np.ones(len(num_hits)), where=num_verdicts > 0),
        )


def _joined(parts: Sequence[np.ndarray], dtype: type) -> np.ndarray:
    return np.concatenate([np.zeros(0, dtype), *parts])


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if values else float("nan")


def _check_scene(truth_id: np.ndarray, masks: np.ndarray, score: np.ndarray, mask_class: np.ndarray) -> None:
    if masks.dtype != np.bool_ or masks.shape != (len(score), len(truth_id)):
        got = f"{masks.dtype} {masks.shape} with {len(score)} scores and {len(truth_id)} truth ids"
        raise ValueError(f"average precision: expected masks (I, V) bool, score (I,) and truth_id (V,), got {got}")
    if truth_id.min(initial=0) < 0:
        raise ValueError("average precision: expected truth ids from 0 (void) upwards, got a negative one")
    if not np.all((score >= 0) & np.isfinite(score)):
        raise ValueError("average precision: expected finite scores from 0 upwards")
    if np.shape(mask_class) != score.shape or np.min(mask_class, initial=0) < 0:
        raise ValueError(f"average precision: expected a class from 0 upwards per mask, {score.shape}")
