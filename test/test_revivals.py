"""Returns of objects: empties first, then sequences judged by hand."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.evaluation.label_overlap import FrameOverlap
from autoseg3d_ros.evaluation.revivals import RevivalAccumulator, RevivalCounts, pooled_revivals

Frame = dict[int, int]  # truth id -> the predicted id it matches, 0 = visible and not matched
AWAY: list[Frame] = [{}] * 3


def overlap_of(frame: Frame) -> FrameOverlap:
    """Return a frame in which these match perfectly and nothing else is there."""
    truth = np.array(sorted(frame), np.int64)
    predicted = np.array(sorted({id for id in frame.values() if id}), np.int64)
    iou = np.array([[float(frame[t] == p) for p in predicted.tolist()] for t in truth.tolist()])
    return FrameOverlap(truth, predicted, iou.reshape(len(truth), len(predicted)))


def counts_of(frames: list[Frame]) -> RevivalCounts:
    accumulator = RevivalAccumulator(min_absence=3, max_wait=2)
    for frame in frames:
        accumulator.update(overlap_of(frame))
    return accumulator.counts()


# name: frames, then right, wrong, new, missed
HAND_JUDGED: dict[str, tuple[list[Frame], tuple[int, int, int, int]]] = {
    "no frames": ([], (0, 0, 0, 0)),
    "nothing to see": (AWAY * 3, (0, 0, 0, 0)),
    "always in sight": ([{1: 5}] * 6, (0, 0, 0, 0)),
    "first sight after a while is no return": ([*AWAY, {1: 5}], (0, 0, 0, 0)),
    "never comes back": ([{1: 5}, *AWAY], (0, 0, 0, 0)),
    "back too soon": ([{1: 5}, {}, {}, {1: 6}], (0, 0, 0, 0)),
    "never matched before": ([{1: 0}, *AWAY, {1: 5}], (0, 0, 0, 0)),
    "right": ([{1: 5}, *AWAY, {1: 5}], (1, 0, 0, 0)),
    "new": ([{1: 5}, *AWAY, {1: 6}], (0, 0, 1, 0)),
    "wrong: of another object": ([{1: 5, 2: 6}, *AWAY, {1: 6}], (0, 1, 0, 0)),
    "wrong: of another object, given while it was away": ([{1: 5}, *[{2: 6}] * 3, {1: 6}], (0, 1, 0, 0)),
    "wrong: an older id of its own": ([{1: 4}, {1: 5}, *AWAY, {1: 4}], (0, 1, 0, 0)),
    "two objects swap": ([{1: 5, 2: 6}, *AWAY, {1: 6, 2: 5}], (0, 2, 0, 0)),
    "right though another object had it meanwhile": ([{1: 5}, *[{2: 5}] * 3, {1: 5}], (1, 0, 0, 0)),
    "right, the second frame": ([{1: 5}, *AWAY, {1: 0}, {1: 5}], (1, 0, 0, 0)),
    "too late": ([{1: 5}, *AWAY, {1: 0}, {1: 0}, {1: 5}], (0, 0, 0, 1)),
    "a short gap goes on with the same return": ([{1: 5}, *AWAY, {1: 0}, {}, {1: 5}], (1, 0, 0, 0)),
    "leaves again before a match": ([{1: 5}, *AWAY, {1: 0}, *AWAY, {1: 5}], (1, 0, 0, 1)),
    "the recording ends before a match": ([{1: 5}, *AWAY, {1: 0}], (0, 0, 0, 1)),
    "only the first match of a return counts": ([{1: 5}, *AWAY, {1: 5}, {1: 6}], (1, 0, 0, 0)),
    "twice": ([{1: 5}, *AWAY, {1: 5}, *AWAY, {1: 6}], (1, 0, 1, 0)),
    "compares with the last id": ([{1: 5}, *AWAY, {1: 6}, *AWAY, {1: 6}], (1, 0, 1, 0)),
    "visible and unmatched before it leaves": ([{1: 5}, {1: 0}, *AWAY, {1: 5}], (1, 0, 0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("case", HAND_JUDGED.values(), ids=HAND_JUDGED.keys())
def test_hand_judged(case: tuple[list[Frame], tuple[int, int, int, int]]) -> None:
    frames, expected = case
    counts = counts_of(frames)
    assert (counts.num_right, counts.num_wrong, counts.num_new, counts.num_missed) == expected


def test_an_absence_of_ten_frames_is_the_default() -> None:
    for absence, expected in ((9, 0), (10, 1)):
        accumulator = RevivalAccumulator()
        for frame in [{1: 5}, *[{}] * absence, {1: 5}]:
            accumulator.update(overlap_of(frame))
        assert accumulator.counts().num_returns == expected


def test_counts_pool_and_survive_json() -> None:
    counts = RevivalCounts(num_right=3, num_wrong=1, num_new=2, num_missed=2)
    assert RevivalCounts(**json.loads(json.dumps(dataclasses.asdict(counts)))) == counts
    pooled = pooled_revivals([counts, counts])
    assert (pooled.num_right, pooled.num_wrong, pooled.num_new, pooled.num_missed) == (6, 2, 4, 4)
    assert (pooled.num_returns, pooled.right_share) == (16, 6 / 16)
    assert math.isnan(pooled_revivals([]).right_share)


frames = st.lists(st.dictionaries(st.integers(1, 3), st.integers(0, 4), max_size=3), max_size=20)


@given(frames, st.permutations(range(1, 5)))
@settings(max_examples=100, deadline=None)
def test_names_of_predictions_do_not_matter(sequence: list[Frame], names: list[int]) -> None:
    sequence = [_one_to_one(frame) for frame in sequence]
    renamed = [{t: names[p - 1] if p else 0 for t, p in frame.items()} for frame in sequence]
    assert counts_of(renamed) == counts_of(sequence)


@given(frames)
@settings(max_examples=100, deadline=None)
def test_ids_that_never_change_are_always_right_or_missed(sequence: list[Frame]) -> None:
    counts = counts_of([{t: t if p else 0 for t, p in frame.items()} for frame in sequence])
    assert (counts.num_wrong, counts.num_new) == (0, 0)


def _one_to_one(frame: Frame) -> Frame:
    """Keep the first object of each predicted id matched."""
    taken: set[int] = set()
    kept = {}
    for truth_id, predicted_id in frame.items():
        kept[truth_id] = 0 if predicted_id in taken else predicted_id
        taken.add(predicted_id)
    return kept
