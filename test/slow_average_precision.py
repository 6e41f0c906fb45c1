"""Average precision from the text of `method.md` §9.3 alone: sets, loops and the convolution, nothing shared."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

THRESHOLDS = [*np.arange(0.5, 0.95, 0.05), 0.25]


@dataclass
class SlowScene:
    """Vertices of each truth object and each prediction; class 0 = the only one."""

    truth: dict[int, tuple[int, set[int]]]  # id -> class, vertices; ids whose class is not evaluated are left out
    void: set[int]
    predictions: list[tuple[int, float, set[int]]]  # class, confidence, vertices


def slow_average_precision(scenes: list[SlowScene], min_region: int) -> dict[int, list[float]]:
    """Return AP by class with truth, one value a threshold."""
    classes = {
        class_id for scene in scenes for class_id, vertices in scene.truth.values() if len(vertices) >= min_region
    }
    return {c: [_area(scenes, c, threshold, min_region) for threshold in THRESHOLDS] for c in sorted(classes)}


def _area(scenes: list[SlowScene], class_id: int, threshold: float, min_region: int) -> float:
    pairs: list[tuple[float, bool]] = []  # confidence, true positive
    hard_false_negatives = 0
    num_predictions = 0
    for scene in scenes:
        truth = {id: vertices for id, (c, vertices) in scene.truth.items() if c == class_id}
        predictions = [
            (score, vertices)
            for c, score, vertices in scene.predictions
            if c == class_id and len(vertices) >= min_region
        ]
        num_predictions += len(predictions)
        used = set()
        for id in sorted(truth):
            if len(truth[id]) < min_region:
                continue
            current = None
            for number, (score, vertices) in enumerate(predictions):
                if number in used or not _iou(vertices, truth[id]) > threshold:
                    continue
                if current is None:
                    current = score
                    used.add(number)
                else:
                    pairs.append((min(current, score), False))
                    current = max(current, score)
            if current is None:
                hard_false_negatives += 1
            else:
                pairs.append((current, True))
        small = set().union(*(vertices for vertices in truth.values() if len(vertices) < min_region))
        for score, vertices in predictions:
            if any(_iou(vertices, other) > threshold for other in truth.values()):
                continue
            if not len(vertices & (scene.void | small)) / len(vertices) > threshold:
                pairs.append((score, False))
    if not num_predictions:
        return 0.0
    return _convolved_area(pairs, hard_false_negatives)


def _convolved_area(pairs: list[tuple[float, bool]], hard_false_negatives: int) -> float:
    precision, recall = [], []
    for confidence in sorted({confidence for confidence, _ in pairs}):
        true = sum(is_true for other, is_true in pairs if other >= confidence)
        wrong = sum(not is_true for other, is_true in pairs if other >= confidence)
        missed = sum(is_true for other, is_true in pairs if other < confidence) + hard_false_negatives
        precision.append(true / (true + wrong))
        recall.append(true / (true + missed) if true + missed else math.nan)
    precision.append(1.0)
    recall.append(0.0)
    steps = np.convolve([recall[0], *recall, 0.0], [-0.5, 0.0, 0.5], "valid")
    return float(np.dot(precision, steps))


def _iou(a: set[int], b: set[int]) -> float:
    return len(a & b) / (len(a) + len(b) - len(a & b))
