from __future__ import annotations

import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tracker_life import CONFIG, Life
from tracking_drivers import features

from autoseg3d_ros.memory.bank import ObjectFeatures, TrackBank, blend, embedding_affinity

NO_HEIRS = np.arange(6)
NO_PAIRS = np.zeros((0, 2), np.int64)


def bank_with(rows) -> TrackBank:
    """Return a bank of 6 slots that holds {slot: (embedding, box, label, age)}."""
    bank = TrackBank(6, 2)
    for slot, (embedding, box_m, label, age) in rows.items():
        slots = np.array([slot])
        bank.update(slots, np.array([0]), features([embedding], [box_m], [label]), "count")
        bank.age[slot] = age
    return bank


def box(*center_m: float) -> list[float]:
    """Return a box with edges of 1 m."""
    return [*center_m, 1.0, 1.0, 1.0]


def test_nothing_is_stored_of_no_detections():
    bank = TrackBank(6, 2)
    bank.update(np.zeros(0, np.int32), np.zeros(0, np.int32), features(np.zeros((0, 2)), np.zeros((0, 6))), "count")
    assert len(bank.at(np.zeros(0, int))) == 0
    assert not bank.embedding.any()


def test_what_has_no_slot_is_left_out():
    bank = TrackBank(6, 2)
    seen = features([[1, 2], [3, 4], [5, 6]], [box(1, 1, 1)] * 3, [7, 8, 9])
    bank.update(np.array([0, 4, 0]), np.zeros(3, int), seen, "count")
    assert bank.embedding.tolist() == [[0, 0]] * 4 + [[3, 4], [0, 0]]
    assert bank.label.tolist() == [0, 0, 0, 0, 8, 0]


@pytest.mark.parametrize(
    ("rule", "expected"), [("count", [8.0, 6.0, 4.0, 5.0]), ("ema", [8.0, 6.0, 3.0, 5.5])], ids=["count", "ema"]
)
def test_updates_by_hand(rule, expected):
    bank, got = TrackBank(3, 1), []
    for age, value in enumerate([8.0, 4.0, 0.0, 8.0]):
        seen = features([[value]], [[value, 0, 0, 1, value, 1]], [age])
        bank.update(np.array([2]), np.array([age]), seen, rule)
        got.append(bank.embedding[2, 0].item())
        assert bank.box_m[2].tolist() == pytest.approx([got[-1], 0, 0, 1, got[-1], 1])
        assert bank.age[2] == age
    assert got == pytest.approx(expected)
    assert bank.label[2] == 0  # that of the first observation


@pytest.mark.parametrize("rule", ["count", "ema"])
def test_a_birth_overwrites_whatever_was_in_its_slot(rule):
    bank = bank_with({3: ([1, 1], box(1, 1, 1), 5, 7)})
    bank.embedding[3, 0] = torch.nan
    bank.update(np.array([3]), np.array([0]), features([[2, 3]], [box(0, 0, 0)], [1]), rule)
    assert (bank.embedding[3].tolist(), bank.box_m[3].tolist()) == ([2, 3], box(0, 0, 0))
    assert (int(bank.label[3]), int(bank.age[3])) == (1, 0)


@settings(deadline=None, max_examples=30)
@given(st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=30))
def test_count_is_the_mean_of_all(values):
    stored = torch.zeros(1, 1)
    for age, value in enumerate(values):
        stored = blend(stored, torch.tensor([[value]]), torch.tensor([age]), "count")
    assert stored.item() == pytest.approx(np.mean(values), abs=1e-3)


def test_gradients_flow_through_both_sides_of_a_blend():
    stored, observed = torch.ones(2, 3, requires_grad=True), torch.zeros(2, 3, requires_grad=True)
    blend(stored, observed, torch.tensor([0, 3]), "count").sum().backward()
    assert stored.grad[:, 0].tolist() == [0, 0.75]
    assert observed.grad[:, 0].tolist() == [1, 0.25]


def test_without_heirs_nothing_changes():
    bank = bank_with({1: ([1, 2], box(1, 2, 3), 1, 2)})
    before = pickle.dumps(vars(bank))
    bank.pass_on(NO_HEIRS)
    assert pickle.dumps(vars(bank)) == before


def test_an_heir_holds_the_mean_of_all_observations():
    rows = {1: ([1, 0], box(0, 0, 0), 4, 2), 2: ([5, 4], box(4, 0, 0), 6, 0), 5: ([9, 9], box(9, 9, 9), 1, 1)}
    bank = bank_with(rows)  # 3, 1 and 2 observations
    bank.pass_on(np.array([0, 1, 1, 3, 4, 0]))  # 2 is absorbed by 1, 5 is removed
    assert bank.embedding[1].tolist() == pytest.approx([2, 1])
    assert bank.box_m[1].tolist() == pytest.approx(box(1, 0, 0))
    assert (int(bank.label[1]), int(bank.age[1])) == (4, 2)


def test_one_heir_of_two():
    rows = {1: ([3, 0], box(0, 0, 0), 0, 0), 2: ([6, 0], box(0, 0, 0), 0, 1), 3: ([0, 0], box(0, 0, 0), 0, 4)}
    bank = bank_with(rows)
    bank.pass_on(np.array([0, 1, 1, 1, 4, 5]))
    assert int(bank.age[1]) == 4
    assert bank.embedding[1].tolist() == pytest.approx([(1 * 3 + 2 * 6 + 5 * 0) / 8, 0])


AFFINITIES = {
    "same place, same direction": (([1, 0], box(0, 0, 0), 0), ([2, 0], box(0, 0, 0), 0), 2.0),
    "half of each overlaps": (([1, 0], box(0, 0, 0), 0), ([1, 0], box(0.5, 0, 0), 0), 1 / 3),
    "opposite embeddings": (([1, 0], box(0, 0, 0), 0), ([-1, 0], box(0, 0, 0), 0), 0.0),
    "elsewhere": (([1, 0], box(0, 0, 0), 0), ([1, 0], box(3, 0, 0), 0), 0.0),
    "another class": (([1, 0], box(0, 0, 0), 1), ([1, 0], box(0, 0, 0), 2), 0.0),
}


@pytest.mark.parametrize("case", AFFINITIES.values(), ids=AFFINITIES.keys())
def test_affinity_of_embeddings_by_hand(case):
    detection, track = (features(*([part] for part in side)) for side in case[:2])
    assert embedding_affinity(detection, track).tolist() == [[pytest.approx(case[2])]]


@pytest.mark.parametrize(("num_detections", "num_tracks"), [(0, 0), (0, 2), (2, 0)])
def test_affinity_of_nothing_is_empty(num_detections, num_tracks):
    detections, tracks = (features(np.zeros((num, 3)), np.ones((num, 6))) for num in (num_detections, num_tracks))
    assert embedding_affinity(detections, tracks).shape == (num_detections, num_tracks)


def test_ten_thousand_frames_fit_into_the_same_memory():
    """Objects come, go, merge and return at random: slots and memory stay what they were, no id is given twice."""
    rng = np.random.default_rng(0)
    life = Life(max_instances=6, retired_capacity=4, config=replace(CONFIG, merge_votes=2))
    tracks, bank = life.tracks, TrackBank(life.tracks.num_slots, 4)
    pool = features(rng.random((10_004, 4)), np.ones((10_004, 6)))
    sizes, happened, created = [], set(), []
    for frame in range(10_000):
        merged = life.tracker.merge_duplicates(tracks, _one_pair(tracks, rng), NO_PAIRS, frame)
        bank.pass_on(merged.heir_of_slot)
        known = np.append(tracks.id[tracks.occupied()], [0, 0])
        life.frame(*rng.choice(known, rng.integers(0, min(4, len(known))), replace=False).tolist())
        bank.pass_on(life.update.heir_of_slot)
        num = len(life.update.age)
        seen = ObjectFeatures(pool.embedding[frame : frame + num], pool.box_m[:num], pool.label[:num])
        bank.update(life.update.slot_of_detection, life.update.age, seen, "count")
        happened |= {event.type.name for event in merged.events + life.update.events}
        created += [event.instance_id for event in life.update.events if event.type.name == "CREATED"]
        if frame % 1000 == 999:
            sizes.append(len(pickle.dumps((tracks, vars(bank)))))
    assert created == list(range(1, tracks.next_id))
    assert tracks.next_id > 1000
    assert happened == {"CREATED", "CONFIRMED", "LOST", "RETIRED", "REVIVED", "REMOVED", "MERGED"}
    assert len(tracks.occupied()) <= 10
    assert max(sizes) - min(sizes) < 500  # votes on a few pairs
    assert bool((bank.embedding >= 0).all() & (bank.embedding <= 1).all())


def _one_pair(tracks, rng) -> np.ndarray:
    """Return a pair of occupied slots now and then, (P, 2)."""
    slots = tracks.occupied()
    return rng.choice(slots, (1, 2), replace=False) if len(slots) > 5 and rng.random() < 0.2 else NO_PAIRS
