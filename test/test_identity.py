"""Identity metrics: hand-computed sequences, empties first, then properties and an independent slow implementation."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.evaluation.identity import (
    IdentityAccumulator,
    IdentityCounts,
    IdentityScores,
    pooled_identity,
)
from autoseg3d_ros.evaluation.label_overlap import frame_overlap, label_overlap
from autoseg3d_ros.evaluation.results import format_scores, scores_as_dict

NAN = float("nan")


def strip(*runs: tuple[int, int]) -> np.ndarray:
    """Return a (1, W) label image of (label, pixels) runs."""
    return np.concatenate([np.full((1, length), label, np.int32) for label, length in runs], axis=1)


def scores_of(*frames: tuple[np.ndarray, ...], min_truth_px: int = 1) -> IdentityScores:
    accumulator = IdentityAccumulator(min_truth_px)
    for frame in frames:
        accumulator.update(*frame)
    return accumulator.result()


NOTHING = strip((0, 20))
ONE = strip((1, 10), (0, 10))
TWO = strip((1, 10), (2, 10))
SWAPPED = strip((2, 10), (1, 10))

# name: frames of (truth, predicted), then idf1, switches, fragmentations, recall, precision, mean IoU
HAND_COMPUTED = {
    "no frames": ([], NAN, 0, 0, NAN, NAN, NAN),
    "frames of nothing": ([(NOTHING, NOTHING)] * 2, NAN, 0, 0, NAN, NAN, NAN),
    "no prediction": ([(TWO, NOTHING)] * 3, 0.0, 0, 0, 0.0, NAN, NAN),
    "no truth: predictions on void are ignored": ([(NOTHING, TWO)] * 3, NAN, 0, 0, NAN, NAN, NAN),
    "perfect": ([(TWO, TWO)] * 3, 1.0, 0, 0, 1.0, 1.0, 1.0),
    "perfect under other ids": ([(TWO, SWAPPED)] * 3, 1.0, 0, 0, 1.0, 1.0, 1.0),
    # 4 frames under id 1, 2 under id 7: IDTP 4 of 6 and 6
    "one switch": ([(ONE, ONE)] * 4 + [(ONE, strip((7, 10), (0, 10)))] * 2, 4 / 6, 1, 0, 1.0, 1.0, 1.0),
    "switch there and back": ([(ONE, ONE), (ONE, strip((7, 10), (0, 10))), (ONE, ONE)], 2 / 3, 2, 0, 1.0, 1.0, 1.0),
    # partners for 3 of 4 frames, twice
    "two ids swap": ([(TWO, TWO)] * 3 + [(TWO, SWAPPED)], 6 / 8, 2, 0, 1.0, 1.0, 1.0),
    # the larger piece matches with IoU 0.7, the smaller is a false positive in each frame: 2 * 2 / (2 + 4)
    "object in two pieces": ([(ONE, strip((5, 7), (6, 3), (0, 10)))] * 2, 4 / 6, 0, 0, 1.0, 0.5, 0.7),
    "object in equal halves": ([(ONE, strip((5, 5), (6, 5), (0, 10)))] * 2, 0.0, 0, 0, 0.0, 0.0, NAN),
    # one mask over both: IoU 14/20 with the larger: 2 * 1 / (2 + 1)
    "merged objects": ([(strip((1, 14), (2, 6)), strip((9, 20)))], 2 / 3, 0, 0, 0.5, 1.0, 0.7),
    "merged equal objects": ([(TWO, strip((9, 20)))], 0.0, 0, 0, 0.0, 0.0, NAN),
    # id 3 covers 4 pixels of the object and 6 of void: more than half void, ignored; id 1 matches with IoU 6/10
    "mask mostly on void": ([(ONE, strip((1, 6), (3, 10), (0, 4)))], 1.0, 0, 0, 1.0, 1.0, 0.6),
    # exactly half void counts: id 3 is a false positive
    "mask half on void": ([(ONE, strip((1, 6), (3, 8), (0, 6)))], 2 / 3, 0, 0, 1.0, 0.5, 0.6),
    "gone and back under its id": ([(ONE, ONE), (NOTHING, NOTHING), (ONE, ONE)], 1.0, 0, 0, 1.0, 1.0, 1.0),
    "gone and back under another id": (
        [(ONE, ONE), (NOTHING, NOTHING), (ONE, strip((7, 10), (0, 10)))], 1 / 2, 1, 0, 1.0, 1.0, 1.0,
    ),
    # visible but not found in the second frame: 2 * 2 / (3 + 2)
    "not found for a frame": ([(ONE, ONE), (ONE, NOTHING), (ONE, ONE)], 4 / 5, 0, 1, 2 / 3, 1.0, 1.0),
    "not found for two frames": ([(ONE, ONE), *[(ONE, NOTHING)] * 2, (ONE, ONE)], 2 / 3, 0, 1, 1 / 2, 1.0, 1.0),
    "not found at first or at last": ([(ONE, NOTHING), (ONE, ONE), (ONE, NOTHING)], 1 / 2, 0, 0, 1 / 3, 1.0, 1.0),
    "one id for two objects in turn": (
        [(ONE, ONE), (strip((0, 10), (2, 10)), strip((0, 10), (1, 10)))], 1 / 2, 0, 0, 1.0, 1.0, 1.0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HAND_COMPUTED.values(), ids=HAND_COMPUTED.keys())
def test_hand_computed_sequence(case: tuple) -> None:
    frames, *expected = case
    scores = scores_of(*frames)
    got = [
        scores.idf1, scores.num_switches, scores.num_fragmentations, scores.recall, scores.precision, scores.mean_iou,
    ]  # fmt: skip
    assert got == pytest.approx(expected, nan_ok=True)


def test_counts_masks_and_ids() -> None:
    scores = scores_of((TWO, strip((5, 10), (0, 10))), (ONE, strip((5, 4), (6, 6), (0, 10))))
    assert (scores.num_frames, scores.num_truth_ids, scores.num_predicted_ids) == (2, 2, 2)
    assert (scores.num_truth_masks, scores.num_predicted_masks, scores.num_matches) == (3, 3, 2)
    assert (scores.idr, scores.idp) == pytest.approx((1 / 3, 1 / 3))


@pytest.mark.parametrize(("size_px", "counted"), [(99, 0), (100, 1)])
def test_truth_below_the_minimum_size_is_ignored_with_what_finds_it(size_px: int, counted: int) -> None:
    truth = strip((1, size_px), (0, 50))
    scores = scores_of((truth, truth), min_truth_px=100)
    assert (scores.num_truth_masks, scores.num_predicted_masks) == (counted, counted)


def test_pixels_that_are_not_valid_do_not_exist() -> None:
    truth, predicted = strip((1, 10), (2, 10)), strip((1, 6), (3, 10), (0, 4))
    valid = strip((1, 6), (0, 14)).astype(bool)
    scores = scores_of((truth, predicted, valid))
    assert (scores.num_truth_masks, scores.num_predicted_masks, scores.mean_iou) == (1, 1, 1.0)
    nothing_valid = scores_of((truth, predicted, np.zeros_like(valid)))
    assert (nothing_valid.num_frames, nothing_valid.num_truth_masks, nothing_valid.num_predicted_masks) == (1, 0, 0)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.int64])
def test_every_integer_image_is_read_alike(dtype: type) -> None:
    assert scores_of((TWO.astype(dtype), TWO)).idf1 == 1.0


def test_large_ids_are_kept_apart() -> None:
    truth, predicted = strip((1, 10), (65_535, 10)), strip((65_536, 10), (2**31 - 1, 10))
    scores = scores_of((truth, predicted))
    assert (scores.idf1, scores.num_truth_ids, scores.num_predicted_ids) == (1.0, 2, 2)


def test_images_that_cannot_be_compared_are_refused() -> None:
    accumulator = IdentityAccumulator()
    with pytest.raises(ValueError, match="one size"):
        accumulator.update(ONE, strip((1, 5)))
    with pytest.raises(ValueError, match="one size"):
        accumulator.update(ONE, ONE, np.ones((2, 20), bool))
    with pytest.raises(ValueError, match="negative"):
        accumulator.update(ONE, ONE - 1)


def test_labels_share_pixels() -> None:
    found = label_overlap(strip((0, 2), (5, 3), (2, 1)), strip((9, 3), (0, 3)))
    assert (found.truth_ids.tolist(), found.predicted_ids.tolist()) == ([0, 2, 5], [0, 9])
    assert found.common_px.tolist() == [[0, 2], [1, 0], [2, 1]]
    assert (found.truth_px.tolist(), found.predicted_px.tolist()) == ([2, 1, 3], [3, 3])
    empty = label_overlap(np.zeros((0, 4), int), np.zeros((0, 4), int))
    assert (empty.truth_ids.tolist(), empty.common_px.shape) == ([], (0, 0))


def test_a_frame_says_what_is_visible_and_what_matches() -> None:
    frame = frame_overlap(strip((1, 10), (2, 10), (3, 4)), strip((7, 6), (8, 14), (0, 4)), min_truth_px=5)
    assert (frame.truth_ids.tolist(), frame.predicted_ids.tolist()) == ([1, 2], [7, 8])
    np.testing.assert_allclose(frame.iou, [[6 / 10, 4 / 20], [0, 10 / 14]])
    assert frame.matches == {1: 7, 2: 8}


def test_an_overlap_serves_as_well_as_its_images() -> None:
    by_images, by_overlap = IdentityAccumulator(min_truth_px=1), IdentityAccumulator()
    for frame in [(TWO, SWAPPED), (TWO, TWO), (ONE, NOTHING)]:
        by_images.update(*frame)
        by_overlap.update_overlap(frame_overlap(*frame, min_truth_px=1))
    assert by_overlap.counts() == by_images.counts()


def test_counts_survive_json() -> None:
    accumulator = IdentityAccumulator(min_truth_px=1)
    accumulator.update(TWO, strip((1, 7), (3, 13)))
    counts = accumulator.counts()
    assert IdentityCounts(**json.loads(json.dumps(dataclasses.asdict(counts)))) == counts


label_images = st.lists(st.integers(0, 4), min_size=24, max_size=24).map(lambda ids: np.array(ids, np.int32)[None])


@st.composite
def sequences(draw: st.DrawFn) -> list[tuple[np.ndarray, np.ndarray]]:
    """Frames whose prediction is the truth with some runs relabelled: enough matches to disagree about."""
    frames = []
    for _ in range(draw(st.integers(0, 6))):
        truth = np.repeat(np.array(draw(st.lists(st.integers(0, 3), min_size=4, max_size=4)), np.int32), 6)[None]
        names = np.array([draw(st.integers(0, 1)), *(draw(st.integers(0, 4)) for _ in range(3))], np.int32)
        noise = draw(label_images)
        kept = np.array(draw(st.lists(st.booleans(), min_size=24, max_size=24)))[None] | (draw(st.integers(0, 2)) > 0)
        frames.append((truth, np.where(kept, names[truth], noise)))
    return frames


@given(sequences())
@settings(max_examples=100, deadline=None)
def test_equals_a_slow_independent_implementation(frames: list[tuple[np.ndarray, np.ndarray]]) -> None:
    scores = scores_of(*frames, min_truth_px=5)
    expected = slow_scores(frames, min_truth_px=5)
    assert {name: getattr(scores, name) for name in expected} == pytest.approx(expected, nan_ok=True)


@given(sequences(), st.permutations(range(1, 8)))
@settings(max_examples=100, deadline=None)
def test_names_of_predictions_do_not_matter(frames: list[tuple[np.ndarray, np.ndarray]], names: list[int]) -> None:
    renamed = np.array([0, *names])
    before = scores_of(*frames)
    after = scores_of(*((truth, renamed[predicted]) for truth, predicted in frames))
    assert scores_as_dict(before) == pytest.approx(scores_as_dict(after))  # the order of sums may differ


@given(st.lists(sequences(), max_size=3))
@settings(max_examples=50, deadline=None)
def test_scenes_pool_like_one_sequence_in_which_no_id_returns(
    scenes: list[list[tuple[np.ndarray, np.ndarray]]],
) -> None:
    counts, joined = [], IdentityAccumulator(min_truth_px=1)
    for number, frames in enumerate(scenes):
        scene = IdentityAccumulator(min_truth_px=1)
        for images in frames:
            scene.update(*images)
            joined.update(*(np.where(image > 0, image + 10 * number, 0) for image in images))
        counts.append(scene.counts())
    assert scores_as_dict(pooled_identity(counts)) == pytest.approx(scores_as_dict(joined.result()))


@given(sequences())
@settings(max_examples=100, deadline=None)
def test_ratios_are_shares(frames: list[tuple[np.ndarray, np.ndarray]]) -> None:
    scores = scores_of(*frames)
    for ratio in (scores.idf1, scores.idp, scores.idr, scores.recall, scores.precision, scores.mean_iou):
        assert math.isnan(ratio) or 0.0 <= ratio <= 1.0


def test_table_and_json_show_undefined_ratios() -> None:
    empty, perfect = scores_of(), scores_of((TWO, TWO))
    assert "n/a" in format_scores(empty)
    assert "IDF1             1.000" in format_scores(perfect)
    assert all(line == line.rstrip() for line in format_scores(perfect).splitlines())
    assert json.loads(json.dumps(scores_as_dict(empty), allow_nan=False))["idf1"] is None
    assert scores_as_dict(perfect)["idf1"] == 1.0


def slow_scores(frames: list[tuple[np.ndarray, np.ndarray]], min_truth_px: int) -> dict[str, float]:
    """The definitions of `evaluation.identity`, mask by mask and with every assignment tried."""
    history: dict[int, list[int | None]] = {}  # truth id -> matched predicted id or None, for the frames it counts in
    predicted_total, ious, predicted_ids = 0, [], set()
    for truth, predicted in frames:
        masks = {i: truth == i for i in set(truth.flat) - {0} if (truth == i).sum() >= min_truth_px}
        counted = np.any([*masks.values(), np.zeros_like(truth, bool)], axis=0)
        found = {p: predicted == p for p in set(predicted.flat) - {0}}
        found = {p: mask for p, mask in found.items() if (mask & ~counted).sum() / mask.sum() <= 0.5}
        predicted_total += len(found)
        predicted_ids |= set(found)
        for i, mask in masks.items():
            iou = {p: (mask & other).sum() / (mask | other).sum() for p, other in found.items()}
            partner = max(iou, key=iou.__getitem__, default=None)
            matched = partner is not None and iou[partner] > 0.5
            history.setdefault(i, []).append(partner if matched else None)
            ious += [iou[partner]] if matched else []
    truth_total = sum(map(len, history.values()))
    partners = [*predicted_ids, *([None] * len(history))]
    id_true_positives = max(
        sum(seen.count(p) for seen, p in zip(history.values(), choice, strict=True) if p is not None)
        for choice in itertools.permutations(partners, len(history))
    )
    switches = fragmentations = 0
    for seen in history.values():
        matches = [p for p in seen if p is not None]
        switches += sum(a != b for a, b in itertools.pairwise(matches))
        runs = [key for key, _ in itertools.groupby(p is not None for p in seen)]
        fragmentations += max(runs.count(True) - 1, 0)
    masks_total = truth_total + predicted_total
    return {
        "idf1": 2 * id_true_positives / masks_total if masks_total else NAN,
        "num_switches": switches,
        "num_fragmentations": fragmentations,
        "recall": len(ious) / truth_total if truth_total else NAN,
        "mean_iou": sum(ious) / len(ious) if ious else NAN,
        "num_predicted_masks": predicted_total,
    }
