"""Average precision: empties first, cases computed by hand, 200 random cases against a slow implementation."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from slow_average_precision import SlowScene, slow_average_precision

from autoseg3d_ros.evaluation.average_precision import (
    OBJECT_CLASS,
    THRESHOLDS,
    ApPool,
    ClassAp,
    SceneMatches,
    average_precision,
    match_scene,
    precision_recall,
)

NAN = float("nan")
Masks = Sequence[tuple[float, slice]]  # confidence, vertices


def runs(*lengths: tuple[int, int]) -> np.ndarray:
    """Return the truth (V,) of (id, vertices) runs."""
    return np.concatenate([np.full(length, id) for id, length in lengths])


def scene_of(truth: np.ndarray, masks: Masks, classes: Sequence[int] | None = None, **options: Any) -> SceneMatches:
    on = np.zeros((len(masks), len(truth)), bool)
    for row, (_, vertices) in zip(on, masks, strict=True):
        row[vertices] = True
    score = np.array([confidence for confidence, _ in masks], np.float32)
    return match_scene(truth, on, score, mask_class=None if classes is None else np.array(classes, int), **options)


TWO = runs((1, 200), (2, 200))
ONE_OF_LARGE = runs((1, 200), (2, 400))  # a mask of 100 vertices in the second has IoU 1/4, which never hits

# name: scenes of (truth, masks), then AP, AP50, AP25. Points are written (recall, precision), by rising confidence; the
# last is (0, 1). Widths between recalls times mean precisions make the area.
HAND_COMPUTED: dict[str, tuple[list[tuple[np.ndarray, Masks]], float, float, float]] = {
    "no scene": ([], NAN, NAN, NAN),
    "scene of nothing": ([(np.zeros(0, int), [])], NAN, NAN, NAN),
    "no truth": ([(runs((0, 300)), [(0.9, slice(0, 200))])], NAN, NAN, NAN),
    "only small truth": ([(runs((1, 99), (0, 300)), [(0.9, slice(0, 200))])], NAN, NAN, NAN),
    "no prediction": ([(TWO, [])], 0.0, 0.0, 0.0),
    # (1, 1) (.5, 1) (0, 1)
    "perfect": ([(TWO, [(0.9, slice(0, 200)), (0.8, slice(200, 400))])], 1.0, 1.0, 1.0),
    # halves have IoU 1/2, which does not exceed .5; at .25 both hit: true .9, false .8: (1, 1/2) (1, 1) (0, 1) = 1
    "split in halves": ([(runs((1, 200)), [(0.9, slice(0, 100)), (0.8, slice(100, 200))])], 0.0, 0.0, 1.0),
    # IoU .6 and .4. At .5 and .55: true .5, false .9: (1, 1/2) (0, 0) (0, 1) = 1/4; none at the other seven.
    # At .25 the true positive takes the higher confidence: (1, 1/2) (1, 1) (0, 1) = 1
    "split unequally": (
        [(runs((1, 300)), [(0.5, slice(0, 180)), (0.9, slice(180, 300))])], 2 * 0.25 / 9, 0.25, 1.0,
    ),
    # IoU 2/3 and 1/3. At .5 to .65: (1/2, 1) (0, 1) = 1/2; at .25 the first object has used it up: 1/2
    "merged objects": ([(runs((1, 200), (2, 100)), [(0.9, slice(0, 300))])], 4 * 0.5 / 9, 0.5, 0.5),
    # true .9, false .6: (1, 1/2) (1, 1) (0, 1): a duplicate below the last true positive costs nothing
    "duplicate of the only object": (
        [(runs((1, 200)), [(0.6, slice(0, 200)), (0.9, slice(0, 200))])], 1.0, 1.0, 1.0,
    ),
    # (1, 2/3) (1/2, 1/2) (1/2, 1) (0, 1): 1/2 * 7/12 + 1/2 = 19/24
    "duplicate before another object": (
        [(TWO, [(0.9, slice(0, 200)), (0.8, slice(0, 200)), (0.7, slice(200, 400))])], 19 / 24, 19 / 24, 19 / 24,
    ),
    # the mask finds the small object with IoU .99: neither true nor false
    "small truth found": (
        [(runs((1, 200), (2, 99), (0, 1)), [(0.5, slice(0, 200)), (0.9, slice(200, 300))])], 1.0, 1.0, 1.0,
    ),
    # 80 of 120 vertices on the small object: IoU 2/3 finds it up to .65. Above, 2/3 ignored does not excuse it:
    # (1, 1/2) (0, 0) (0, 1) = 1/4
    "small truth in part": (
        [(runs((1, 300), (2, 80)), [(0.5, slice(0, 300)), (0.9, slice(260, 380))])], (4 + 5 / 4) / 9, 1.0, 1.0,
    ),
    # 150 of 200 vertices on two small objects: IoU 75/200 with each does not hit, 3/4 ignored excuses it up to .7;
    # above: (1, 1/2) (0, 0) (0, 1) = 1/4 at .75, .8, .85 and .9
    "several small truths together": (
        [(runs((1, 300), (2, 75), (3, 75)), [(0.5, slice(0, 300)), (0.9, slice(250, 450))])], (5 + 4 / 4) / 9, 1.0, 1.0,
    ),
    "void": ([(runs((1, 200), (0, 300)), [(0.5, slice(0, 200)), (0.9, slice(200, 320))])], 1.0, 1.0, 1.0),
    # half of the mask is void, which does not exceed .5: (1, 1/2) (0, 0) (0, 1) = 1/4.
    # At .25 its IoU 100/300 hits: true .9, false .5 = 1
    "void by half": (
        [(runs((1, 200), (0, 300)), [(0.5, slice(0, 200)), (0.9, slice(100, 300))])], 0.25, 0.25, 1.0,
    ),
    # 3/5 of the mask is void: excused at .5, .55 and .25, false at the other seven; IoU 80/320 does not exceed .25
    "void by three fifths": (
        [(runs((1, 200), (0, 300)), [(0.5, slice(0, 200)), (0.9, slice(120, 320))])], (2 + 7 / 4) / 9, 1.0, 1.0,
    ),
    # one point (1/2, 1/2), then (0, 1): 1/2 * 3/4
    "tie in confidence": (
        [(ONE_OF_LARGE, [(0.5, slice(0, 200)), (0.5, slice(200, 300))])], 3 / 8, 3 / 8, 3 / 8,
    ),
    # (1/2, 1/2) (1/2, 1) (0, 1)
    "no tie": ([(ONE_OF_LARGE, [(0.5, slice(0, 200)), (0.4, slice(200, 300))])], 1 / 2, 1 / 2, 1 / 2),
    # from .5 on: (1/2, 1/2) (1/2, 1) (0, 1) = 1/2. At .25 the wide one is a false positive of the first object and then
    # the true positive of the second: (1, 2/3) (1/2, 1) (0, 1) = 1/2 * 5/6 + 1/2
    "used twice at .25": (
        [(runs((1, 300), (2, 300)), [(0.9, slice(0, 300)), (0.5, slice(0, 600))])], 1 / 2, 1 / 2, 11 / 12,
    ),
    # the wide one comes first and is used up by the first object: (1/2, 1/2) (1/2, 1) (0, 1)
    "used up at .25": (
        [(runs((1, 300), (2, 300)), [(0.5, slice(0, 600)), (0.9, slice(0, 300))])], 1 / 2, 1 / 2, 1 / 2,
    ),
    # (1/2, 1/2) (1/2, 1) (0, 1), as with any confidence below .5
    "confidence of minus nought": (
        [(ONE_OF_LARGE, [(0.5, slice(0, 200)), (-0.0, slice(200, 300))])], 1 / 2, 1 / 2, 1 / 2,
    ),
    "mask of 99 vertices": ([(runs((1, 150)), [(0.9, slice(0, 99))])], 0.0, 0.0, 0.0),
    # IoU 2/3
    "mask of 100 vertices": ([(runs((1, 150)), [(0.9, slice(0, 100))])], 4 / 9, 1.0, 1.0),
    "IoU exactly 1/2": ([(runs((1, 200)), [(0.9, slice(0, 100))])], 0.0, 0.0, 1.0),
    "IoU exactly 1/4": ([(runs((1, 400)), [(0.9, slice(0, 100))])], 0.0, 0.0, 0.0),
    # (1/2, 1) (0, 1), whichever scene is empty
    "second scene without prediction": (
        [(runs((1, 200)), [(0.9, slice(0, 200))]), (runs((1, 200)), [])], 1 / 2, 1 / 2, 1 / 2,
    ),
    "first scene without prediction": (
        [(runs((1, 200)), []), (runs((1, 200)), [(0.9, slice(0, 200))])], 1 / 2, 1 / 2, 1 / 2,
    ),
    # a true and a false positive of equal confidence: (1/2, 1/2) (0, 1)
    "tie across scenes": (
        [(runs((1, 200)), [(0.5, slice(0, 200))]), (runs((2, 400)), [(0.5, slice(0, 100))])], 3 / 8, 3 / 8, 3 / 8,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HAND_COMPUTED.values(), ids=HAND_COMPUTED.keys())
def test_hand_computed(case: tuple[list[tuple[np.ndarray, Masks]], float, float, float]) -> None:
    scenes, *expected = case
    scores = average_precision([scene_of(truth, masks) for truth, masks in scenes])
    assert [scores.ap, scores.ap50, scores.ap25] == pytest.approx(expected, nan_ok=True)


def test_thresholds_are_those_of_the_release() -> None:
    assert len(THRESHOLDS) == 10
    assert THRESHOLDS[:9] == tuple(np.arange(0.5, 0.95, 0.05)) and THRESHOLDS[9] == 0.25


def test_classes_are_matched_on_their_own() -> None:
    """A mask of the wrong class is a false positive, one of a class without truth nothing, a missed class is 0.

    Class 7: (1, 1/2) (1, 1) (0, 1) = 1, its third mask lies on an object that is not listed: void. Class 8: 0.
    """
    truth = runs((1, 200), (2, 200), (3, 200))
    masks = [(0.9, slice(0, 200)), (0.8, slice(200, 400)), (0.95, slice(400, 600)), (0.99, slice(200, 400))]
    scene = scene_of(truth, masks, classes=[7, 7, 7, 9], truth_class={1: 7, 2: 8, 0: 7, 55: 6})
    scores = average_precision([scene])
    assert scores.per_class == {7: ClassAp(1.0, 1.0, 1.0, 1), 8: ClassAp(0.0, 0.0, 0.0, 1)}
    assert (scores.ap, scores.ap50, scores.ap25) == (0.5, 0.5, 0.5)


def test_a_false_positive_counts_in_a_class_that_has_truth_in_another_scene_only() -> None:
    """(1, 1/2) (0, 0) (0, 1) = 1/4."""
    first = scene_of(runs((1, 200)), [(0.9, slice(0, 200))], classes=[5], truth_class={1: 4})
    second = scene_of(runs((1, 200)), [(0.6, slice(0, 200))], classes=[5], truth_class={1: 5})
    scores = average_precision([first, second])
    assert scores.per_class[5].ap == 0.25
    assert scores.per_class[4].ap == 0.0


def test_hard_false_negatives_are_the_truth_without_a_hit() -> None:
    scene = scene_of(runs((1, 200), (2, 100), (3, 99)), [(0.9, slice(0, 300))])  # IoU 2/3 and 1/3
    assert scene.num_hard_false_negatives().tolist() == [[1] * 4 + [2] * 5 + [1]]


def test_curve_for_a_plot() -> None:
    scene = scene_of(TWO, [(0.9, slice(0, 200)), (0.8, slice(0, 200)), (0.7, slice(200, 400))])
    recall, precision, confidence = precision_recall([scene], 0.5)
    assert recall.tolist() == [1.0, 0.5, 0.5, 0.0]
    assert precision == pytest.approx([2 / 3, 1 / 2, 1.0, 1.0])
    assert confidence == pytest.approx([0.7, 0.8, 0.9, math.inf])
    assert [part.tolist() for part in precision_recall([scene_of(TWO, [])], 0.25)] == [[0.0], [1.0], [math.inf]]
    assert [part.tolist() for part in precision_recall([scene], 0.5, class_id=3)] == [[], [], []]
    assert [part.tolist() for part in precision_recall([], 0.5)] == [[], [], []]
    with pytest.raises(ValueError, match="IoU thresholds"):
        precision_recall([scene], 0.95)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"truth_id": np.zeros(4, int)}, "expected masks"),
        ({"masks": np.ones((1, 5))}, "expected masks"),
        ({"truth_id": np.array([0, 1, 1, -1, 1])}, "negative"),
        ({"score": np.array([NAN])}, "finite"),
        ({"score": np.array([-0.5])}, "finite"),
        ({"mask_class": np.array([1])}, "neither"),
        ({"truth_class": {1: 1}}, "neither"),
        ({"truth_class": {1: 1}, "mask_class": np.array([1, 2])}, "class from 0"),
        ({"truth_class": {1: 1}, "mask_class": np.array([-1])}, "class from 0"),
    ],
)
def test_what_does_not_fit_is_refused(wrong: Mapping[str, Any], message: str) -> None:
    right = {"truth_id": np.array([0, 1, 1, 1, 1]), "masks": np.ones((1, 5), bool), "score": np.array([0.5])}
    match_scene(**right)
    with pytest.raises(ValueError, match=message):
        match_scene(**{**right, **wrong})


Case = tuple[list[SceneMatches], dict[int, list[float]]]

NUM_VERTICES, MIN_REGION = 96, 8


@functools.cache
def random_case(seed: int) -> Case:
    """Return the matches of 1 to 3 random scenes, and what the slow implementation makes of the same scenes."""
    rng = np.random.default_rng(seed)
    by_class = seed % 2 == 1
    scenes = [_random_scene(rng, by_class, decimals=1 if seed % 3 else 6) for _ in range(rng.integers(1, 4))]
    return [fast for fast, _ in scenes], slow_average_precision([slow for _, slow in scenes], MIN_REGION)


def _random_scene(rng: np.random.Generator, by_class: bool, decimals: int) -> tuple[SceneMatches, SlowScene]:
    truth = rng.permutation(7)[:6].repeat(rng.integers(1, 25, 6))[:NUM_VERTICES]
    truth = np.pad(truth, (0, NUM_VERTICES - len(truth)))
    class_of = {id: int(rng.integers(3, 5)) for id in (1, 2, 3, 4, 6)} if by_class else dict.fromkeys(range(1, 7), 0)
    masks = np.zeros((rng.integers(0, 12), NUM_VERTICES), bool)
    for mask in masks:  # the vertices of one or two labels, shifted, and some noise
        mask[:] = np.isin(np.roll(truth, rng.integers(-4, 5)), rng.integers(0, 7, rng.integers(1, 3)))
        mask ^= rng.random(NUM_VERTICES) < rng.choice([0.0, 0.1, 0.3])
    score = rng.random(len(masks)).round(decimals).astype(np.float32)
    classes = rng.integers(3, 6, len(masks)) if by_class else np.full(len(masks), OBJECT_CLASS)
    options = {"truth_class": class_of, "mask_class": classes} if by_class else {}
    vertices = {id: {*np.flatnonzero(truth == id).tolist()} for id in np.unique(truth).tolist()}
    slow = SlowScene(
        truth={id: (class_of[id], some) for id, some in vertices.items() if id in class_of},
        void=set().union(*(some for id, some in vertices.items() if id not in class_of)),
        predictions=[
            (class_id, confidence, {*np.flatnonzero(mask).tolist()})
            for class_id, confidence, mask in zip(classes.tolist(), score.tolist(), masks, strict=True)
        ],
    )
    return match_scene(truth, masks, score, min_region=MIN_REGION, **options), slow


@pytest.mark.parametrize("block", range(10))
def test_equals_a_slow_independent_implementation(block: int) -> None:
    for seed in range(20 * block, 20 * block + 20):
        scenes, expected = random_case(seed)
        scores = average_precision(scenes)
        assert list(scores.per_class) == list(expected), seed
        for class_id, areas in expected.items():
            got = scores.per_class[class_id]
            assert [got.ap, got.ap50, got.ap25] == pytest.approx([np.mean(areas[:9]), areas[0], areas[9]]), seed
            assert [area_of(scenes, threshold, class_id) for threshold in THRESHOLDS] == pytest.approx(areas), seed


def area_of(scenes: Sequence[SceneMatches], threshold: float, class_id: int) -> float:
    recall, precision, _ = precision_recall(scenes, threshold, class_id)
    return float(((recall[:-1] - recall[1:]) * (precision[:-1] + precision[1:]) / 2).sum())


def test_the_random_cases_hold_what_the_rules_are_about() -> None:
    areas = [np.array(list(random_case(seed)[1].values())) for seed in range(200)]
    between = [((area > 0) & (area < 1)).any() for area in areas]
    assert sum(between) > 100


seeds = st.integers(0, 199)


@given(seeds, st.permutations(range(3)))
@settings(max_examples=40, deadline=None)
def test_order_of_scenes_does_not_matter(seed: int, order: list[int]) -> None:
    scenes, _ = random_case(seed)
    shuffled = [scenes[index] for index in order if index < len(scenes)]
    assert as_numbers(shuffled) == pytest.approx(as_numbers(scenes), nan_ok=True)


@given(seeds, st.lists(st.integers(0, 3), min_size=3, max_size=3))
@settings(max_examples=40, deadline=None)
def test_weights_are_repetitions(seed: int, weight: list[int]) -> None:
    scenes, _ = random_case(seed)
    weight = weight[: len(scenes)]
    repeated = average_precision([scene for scene, times in zip(scenes, weight, strict=True) for _ in range(times)])
    weighted = ApPool(scenes).scores(np.array(weight))
    assert weighted.per_class.keys() == repeated.per_class.keys()
    got, expected = (([s.ap, s.ap50, s.ap25]) for s in (weighted, repeated))
    assert got == pytest.approx(expected, nan_ok=True)


@given(seeds)
@settings(max_examples=40, deadline=None)
def test_scores_are_shares_and_survive_json(seed: int) -> None:
    scenes, _ = random_case(seed)
    numbers = as_numbers(scenes)
    assert all(math.isnan(number) or 0.0 <= number <= 1.0 for number in numbers)
    read = [SceneMatches.from_dict(json.loads(json.dumps(scene.to_dict()))) for scene in scenes]
    assert as_numbers(read) == pytest.approx(numbers, nan_ok=True, rel=0, abs=0)


def as_numbers(scenes: Sequence[SceneMatches]) -> list[float]:
    scores = average_precision(scenes)
    return [scores.ap, scores.ap50, scores.ap25]
