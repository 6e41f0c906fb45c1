"""HOTA: empties first, hand-computed sequences, numbers of TrackEval 1.3.0, then properties."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.evaluation.hota import ALPHAS, HotaAccumulator, HotaCounts, HotaScores, pooled_hota
from autoseg3d_ros.evaluation.label_overlap import FrameOverlap

NAN = float("nan")


def overlap(truth: list[int], predicted: list[int], iou: object) -> FrameOverlap:
    shape = (len(truth), len(predicted))
    return FrameOverlap(np.array(truth, np.int64), np.array(predicted, np.int64), np.array(iou, float).reshape(shape))


def counts_of(frames: list[FrameOverlap]) -> HotaCounts:
    accumulator = HotaAccumulator()
    for frame in frames:
        accumulator.update(frame)
    return accumulator.counts()


def scores_of(frames: list[FrameOverlap]) -> HotaScores:
    return pooled_hota([counts_of(frames)])


NOTHING = overlap([], [], [])
UNSEEN = overlap([1], [], [])
INVENTED = overlap([], [1], [])
ONE, OTHER = overlap([1], [1], [[1.0]]), overlap([1], [7], [[1.0]])

# name: frames, then HOTA, DetA, AssA
HAND_COMPUTED = {
    "no frames": ([], NAN, NAN, NAN),
    "frames of nothing": ([NOTHING] * 2, NAN, NAN, NAN),
    "no prediction": ([UNSEEN] * 2, 0.0, 0.0, 0.0),
    "no truth": ([INVENTED] * 2, 0.0, 0.0, 0.0),
    "perfect": ([ONE] * 3, 1.0, 1.0, 1.0),
    # each of 4 matches shares its ids in 2 frames of 2 + 4 - 2
    "switch half way": ([ONE] * 2 + [OTHER] * 2, math.sqrt(1 / 2), 1.0, 1 / 2),
    # 3 matches with 3/4, one with 1/4: (9/4 + 1/4) / 4
    "switch at the end": ([ONE] * 3 + [OTHER], math.sqrt(10 / 16), 1.0, 10 / 16),
    # DetA 2/4; the id is there in 2 of the 4 frames: A 2/4
    "not found half of the time": ([ONE] * 2 + [UNSEEN] * 2, 1 / 2, 1 / 2, 1 / 2),
    # DetA 2/4; the predicted id has 4 frames, 2 with the truth
    "seen where nothing is": ([ONE] * 2 + [INVENTED] * 2, 1 / 2, 1 / 2, 1 / 2),
    # matched at .05 to .6, 12 of 19 thresholds, an IoU equal to a threshold included
    "IoU 0.6": ([overlap([1], [1], [[0.6]])], 12 / 19, 12 / 19, 12 / 19),
    # id 1 goes with truth 1 over the sequence, so it keeps it in the frame where id 2 overlaps it more; of 4 truth and
    # 5 predicted masks 4 match at .05 to .4 (DetA 4/5), else 3 (3/6). AssA: 1 for the matches up to .4;
    # above, id 1 and truth 1 match in 3 of 4 + 4 - 3 frames: 3/5
    "the sequence decides before the overlap": (
        [ONE] * 3 + [overlap([1], [1, 2], [[0.4, 0.6]])],
        (8 * math.sqrt(4 / 5) + 11 * math.sqrt(3 / 6 * 3 / 5)) / 19,
        (8 * 4 / 5 + 11 * 3 / 6) / 19,
        (8 * 1 + 11 * 3 / 5) / 19,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HAND_COMPUTED.values(), ids=HAND_COMPUTED.keys())
def test_hand_computed(case: tuple) -> None:
    frames, *expected = case
    scores = scores_of(frames)
    assert [scores.hota, scores.det_a, scores.ass_a] == pytest.approx(expected, nan_ok=True)


def test_parts_of_the_scores() -> None:
    """Two matches of IoU .6, 4 truth masks, 3 predicted ones; above .6 all is 0, but LocA is 1."""
    found = overlap([1], [1], [[0.6]])
    scores = scores_of([found, found, UNSEEN, UNSEEN, INVENTED])
    expected = {"det_re": 2 / 4, "det_pr": 2 / 3, "ass_re": 2 / 4, "ass_pr": 2 / 3}
    got = {name: getattr(scores, name) for name in expected}
    assert got == pytest.approx({name: value * 12 / 19 for name, value in expected.items()})
    assert scores.loc_a == pytest.approx((12 * 0.6 + 7 * 1.0) / 19)


def test_counts_pool_and_survive_json() -> None:
    first, second = [ONE] * 3, [ONE, OTHER]
    read = [HotaCounts(**json.loads(json.dumps(dataclasses.asdict(counts_of(frames))))) for frames in (first, second)]
    pooled = pooled_hota(read)
    # 3 matches with A = 1, 2 with A = 1/2
    assert (pooled.ass_a, pooled.det_a) == pytest.approx((4 / 5, 1.0))
    assert pooled_hota([*read, counts_of([])]) == pooled
    assert math.isnan(pooled_hota([]).hota)


def random_sequence(seed: int) -> list[FrameOverlap]:
    """Return frames of up to 4 objects whose predicted masks drift, vanish, split and change their ids."""
    rng = np.random.default_rng(seed)
    frames = []
    for _ in range(rng.integers(1, 12)):
        truth = np.flatnonzero(rng.random(4) < 0.8)
        predicted = np.flatnonzero(rng.random(6) < 0.6)
        share = rng.dirichlet(np.full(len(predicted) + 1, 0.3), len(truth))[:, :-1]  # disjoint masks: a row's sum <= 1
        swap = rng.random() < 0.2
        likely = truth[:, None] == (predicted[::-1] if swap else predicted)
        iou = np.where(likely, np.maximum(share, rng.random(share.shape) * 0.9), share / 3).round(2)
        frames.append(overlap((truth + 1).tolist(), (predicted + 1).tolist(), iou))
    return frames


# HOTA, DetA, AssA, DetRe, DetPr, AssRe, AssPr, LocA of random_sequence(seed), each the mean over the thresholds
# (HOTA.eval_sequence of trackeval 1.3.0, MIT licence; 500 such sequences agreed to 1e-15)
TRACKEVAL = {
    3: [0.260293, 0.242695, 0.293676, 0.379934, 0.347368, 0.36149, 0.519481, 0.742351],
    7: [0.238485, 0.246476, 0.239059, 0.376161, 0.336565, 0.311056, 0.39772, 0.70166],
    11: [0.265455, 0.25241, 0.293567, 0.315789, 0.360902, 0.350877, 0.459649, 0.687193],
    19: [0.28652, 0.278382, 0.30185, 0.425439, 0.378168, 0.381609, 0.482412, 0.722127],
}
TRACKEVAL_3_AND_7 = [0.251389, 0.244095, 0.274422, 0.37799, 0.341745, 0.347807, 0.475531, 0.720869]


@pytest.mark.parametrize("seed", TRACKEVAL)
def test_equals_trackeval(seed: int) -> None:
    assert list(dataclasses.astuple(scores_of(random_sequence(seed)))) == pytest.approx(TRACKEVAL[seed], abs=1e-5)


def test_several_sequences_pool_as_in_trackeval() -> None:
    pooled = pooled_hota([counts_of(random_sequence(seed)) for seed in (3, 7)])
    assert list(dataclasses.astuple(pooled)) == pytest.approx(TRACKEVAL_3_AND_7, abs=1e-5)


@given(st.integers(0, 10_000), st.permutations(range(1, 7)))
@settings(max_examples=50, deadline=None)
def test_names_do_not_matter(seed: int, names: list[int]) -> None:
    frames = random_sequence(seed)
    renamed = [
        FrameOverlap(100 - frame.truth_ids, np.array(names)[frame.predicted_ids - 1], frame.iou) for frame in frames
    ]
    assert dataclasses.astuple(scores_of(renamed)) == pytest.approx(dataclasses.astuple(scores_of(frames)), nan_ok=True)


@given(st.integers(0, 10_000))
@settings(max_examples=50, deadline=None)
def test_scores_are_shares(seed: int) -> None:
    counts = counts_of(random_sequence(seed))
    assert all(0.0 <= value <= 1.0 + 1e-12 or math.isnan(value) for value in dataclasses.astuple(pooled_hota([counts])))
    assert len(counts.num_true_positives) == len(ALPHAS)
    assert list(counts.num_true_positives) == sorted(counts.num_true_positives, reverse=True)
