"""Recall of 2D masks: empties first, hand-computed frames, then what must hold of any."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.evaluation.mask_recall import (
    MaskRecallAccumulator,
    MaskRecallCounts,
    MaskRecallScores,
    pooled_mask_recall,
)
from autoseg3d_ros.structures import NO_MASK, Masks2D

NAN = float("nan")


def strip(*runs: tuple[int, int]) -> np.ndarray:
    """Return a (1, W) label image of (label, pixels) runs."""
    return np.concatenate([np.full((1, length), label, np.int32) for label, length in runs], axis=1)


def masks_of(*runs: tuple[int, int]) -> Masks2D:
    ids = strip(*runs)
    return Masks2D(ids, int(ids.max(initial=NO_MASK)) + 1)


def counts_of(*frames: tuple, min_truth_px: int = 1) -> MaskRecallCounts:
    accumulator = MaskRecallAccumulator(min_truth_px)
    for frame in frames:
        accumulator.update(*frame)
    return accumulator.counts()


def scores_of(*frames: tuple, min_truth_px: int = 1) -> MaskRecallScores:
    return pooled_mask_recall([counts_of(*frames, min_truth_px=min_truth_px)])


TWO = strip((1, 10), (2, 10))

# name: truth, masks, then recall at .5 and .75, of united fragments the same, fragments an object, coverage
HAND_COMPUTED = {
    "no pixel": (strip((0, 0)), masks_of((0, 0)), NAN, NAN, NAN, NAN, NAN, NAN),
    "no truth": (strip((0, 20)), masks_of((0, 5), (NO_MASK, 15)), NAN, NAN, NAN, NAN, NAN, 0.25),
    "no mask": (TWO, masks_of((NO_MASK, 20)), 0.0, 0.0, 0.0, 0.0, 0.0, 0.0),
    "perfect": (TWO, masks_of((1, 10), (0, 10)), 1.0, 1.0, 1.0, 1.0, 1.0, 1.0),
    # the first object: best 1/2, which is not enough; united all of it
    "halves": (TWO, masks_of((0, 5), (1, 5), (2, 10)), 0.5, 0.5, 1.0, 1.0, 1.5, 1.0),
    # best 6/10, united 8/10
    "two of three pieces": (strip((1, 10)), masks_of((0, 6), (1, 2), (NO_MASK, 2)), 1.0, 0.0, 1.0, 1.0, 2.0, 0.8),
    # best 3/4, which does not exceed 3/4
    "exactly three quarters": (strip((1, 8)), masks_of((0, 6), (NO_MASK, 2)), 1.0, 0.0, 1.0, 0.0, 1.0, 0.75),
    # half inside each: in neither
    "one mask over both": (TWO, masks_of((0, 20)), 0.0, 0.0, 0.0, 0.0, 0.0, 1.0),
    # 10 of 16 pixels in the first: best and united 10/16
    "spills over": (TWO, masks_of((0, 16), (NO_MASK, 4)), 0.5, 0.0, 0.5, 0.0, 0.5, 0.8),
    # 5 + 4 pixels in the object and 1 outside: best 5/10, united 9/11
    "a fragment spills over": (
        strip((0, 1), (1, 10)), masks_of((0, 5), (1, 5), (NO_MASK, 1)), 0.0, 0.0, 1.0, 1.0, 2.0, 10 / 11,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HAND_COMPUTED.values(), ids=HAND_COMPUTED.keys())
def test_hand_computed(case: tuple) -> None:
    truth, masks, *expected = case
    assert list(dataclasses.astuple(scores_of((truth, masks)))) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize(("size_px", "counted"), [(99, 0), (100, 1)])
def test_truth_counts_from_a_hundred_valid_pixels_on(size_px: int, counted: int) -> None:
    truth, masks = strip((1, 150)), masks_of((0, 150))
    valid = strip((1, size_px), (0, 150 - size_px)).astype(bool)
    accumulator = MaskRecallAccumulator()
    accumulator.update(truth, masks, valid)
    counts = accumulator.counts()
    assert (counts.num_truth_masks, counts.num_found_75, counts.num_valid_px) == (counted, counted, size_px)


def test_sizes_must_agree() -> None:
    with pytest.raises(ValueError, match="one size"):
        MaskRecallAccumulator().update(TWO, masks_of((0, 5)))


def test_counts_pool_and_survive_json() -> None:
    first, second = (TWO, masks_of((0, 5), (1, 5), (2, 10))), (strip((1, 20)), masks_of((NO_MASK, 20)))
    together = counts_of(first, second)
    assert MaskRecallCounts(**json.loads(json.dumps(dataclasses.asdict(together)))) == together
    assert pooled_mask_recall([counts_of(first), counts_of(second)]) == scores_of(first, second)
    assert (together.num_frames, together.num_truth_masks, together.num_fragments) == (2, 3, 3)
    assert math.isnan(pooled_mask_recall([]).coverage)
    accumulator = MaskRecallAccumulator(min_truth_px=1)
    accumulator.update(*first)
    assert accumulator.result() == scores_of(first)


images = st.lists(st.integers(0, 4), min_size=12, max_size=12).map(lambda ids: np.array(ids, np.int32).repeat(3)[None])


@given(images, images, st.permutations(range(4)))
@settings(max_examples=100, deadline=None)
def test_names_of_masks_do_not_matter(truth: np.ndarray, found: np.ndarray, names: list[int]) -> None:
    renamed = np.array([NO_MASK, *names], np.int32)[found]
    assert scores_as_numbers(truth, found - 1) == pytest.approx(scores_as_numbers(truth, renamed), nan_ok=True)


@given(images, images)
@settings(max_examples=100, deadline=None)
def test_united_fragments_find_what_a_mask_finds(truth: np.ndarray, found: np.ndarray) -> None:
    """A mask with IoU above 1/2 is a fragment, and the other fragments only add to it: IoU > .5 stays."""
    counts = counts_of((truth, Masks2D(found - np.int32(1), 4)))
    assert counts.num_truth_masks >= counts.num_united_50 >= counts.num_found_50 >= counts.num_found_75
    assert counts.num_fragments >= counts.num_united_50


def scores_as_numbers(truth: np.ndarray, ids: np.ndarray) -> list[float]:
    return list(dataclasses.astuple(scores_of((truth, Masks2D(ids.astype(np.int32), 4)))))
