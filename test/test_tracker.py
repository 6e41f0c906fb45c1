from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tracker_life import CONFIG, Life, confirmed

from autoseg3d_ros.structures import EventType, InstanceState

NO_PAIRS = np.zeros((0, 2), np.int64)


def test_an_empty_frame_does_nothing():
    life = Life()
    assert life.frame() == []
    assert life.events == []
    assert life.tracks.next_id == 1


def test_a_track_is_born_tentative_and_confirmed_by_observations():
    life = Life()
    assert life.frame(0) == [1]
    assert life.state(1) == InstanceState.TENTATIVE
    assert np.isnan(life.tracks.match_confidence[life.slot(1)])
    assert life.frame(1) == life.frame(1) == [1]
    assert life.state(1) == InstanceState.ACTIVE
    assert life.history(1) == ["CREATED", "CONFIRMED"]
    assert life.tracks.match_confidence[life.slot(1)] == pytest.approx(0.9)
    assert life.tracks.num_observations[life.slot(1)] == 3


@pytest.mark.parametrize(
    ("prior", "expected"),
    [
        (0, [0.6, 0.75, 0.7]),  # 0.6, (0.6 + 0.9) / 2, (0.6 + 0.9 + 0.6) / 3
        (3, [0.15, 0.3, 0.35]),  # 0.6 / 4, 1.5 / 5, 2.1 / 6
    ],
)
def test_the_score_is_a_mean_that_begins_with_the_prior(prior, expected):
    life = Life(config=replace(CONFIG, score_prior=prior))
    seen = []
    for track, score in ((0, 0.6), (1, 0.9), (1, 0.6)):
        life.frame(track, score=score)
        seen.append(float(life.tracks.score[life.slot(1)]))
    assert seen == pytest.approx(expected)


def test_what_may_not_be_born_stays_without_a_track():
    life = Life()
    assert life.frame(0, may_be_born=False) == [0]
    assert life.tracks.next_id == 1


def test_a_tentative_track_that_is_missed_is_removed_and_its_id_never_used_again():
    life = Life()
    life.frame(0)
    life.frame()
    life.frame()
    assert [(event.type, event.reason) for event in life.events[1:]] == [(EventType.REMOVED, "never_confirmed")]
    assert life.update.heir_of_slot[1] == 0
    assert life.frame(0) == [2]


def test_a_confirmed_track_is_lost_found_retired_and_revived_under_its_id():
    life = confirmed(Life())
    life.frame()
    assert life.state(1) == InstanceState.LOST
    assert life.frame(1) == [1]
    assert life.state(1) == InstanceState.ACTIVE
    for _ in range(4):
        life.frame()
    assert life.state(1) == InstanceState.RETIRED
    for _ in range(200):
        life.frame()
    assert life.frame(1) == [1]
    assert life.state(1) == InstanceState.ACTIVE
    assert life.history(1) == ["CREATED", "CONFIRMED", "LOST", "LOST", "RETIRED", "REVIVED"]


@pytest.mark.parametrize("config", [CONFIG, replace(CONFIG, live_first=True)])
def test_all_tracks_can_die_and_life_goes_on(config):
    life = confirmed(Life(retired_capacity=0, config=config), num=3)
    for _ in range(10):
        assert life.frame() == []
    assert len(life.tracks.occupied()) == 0
    assert life.frame(0, 0) == [4, 5]
    assert life.frame(4, 5, 0) == [4, 5, 6]


def test_a_track_may_be_confirmed_at_birth():
    life = Life(config=replace(CONFIG, min_observations=1))
    life.frame(0)
    assert life.state(1) == InstanceState.ACTIVE
    assert life.history(1) == ["CREATED", "CONFIRMED"]


def test_age_counts_the_observations_before_this_one():
    life = Life()
    ages = []
    for ids in [(0,), (1,), (0, 1), (), (1, 2)]:
        life.frame(*ids)
        ages.append(life.update.age.tolist())
    assert ages == [[0], [1], [0, 2], [], [3, 1]]
    life.frame(0, 1, may_be_born=False)
    assert life.update.age.tolist() == [0, 4]


# Track 1 is live, track 2 retired; columns in this order.
ROUNDS = {
    "both want the live one": ([[0.5, 0.0], [0.9, 0.0]], [3, 1], [3, 1]),
    "what the live one leaves over goes to the retired one": ([[0.5, 0.4], [0.9, 0.0]], [2, 1], [2, 1]),
    "the live one is served first": ([[0.5, 0.9]], [2], [1]),
    "even where the sum is less": ([[0.5, 0.9], [0.4, 0.0]], [2, 1], [1, 3]),
    "too weak for either": ([[0.1, 0.2]], [3], [3]),
}


@pytest.mark.parametrize("case", ROUNDS.values(), ids=ROUNDS.keys())
@pytest.mark.parametrize("live_first", [False, True])
def test_rounds_of_matching(live_first, case):
    affinity, in_one_round, in_two_rounds = case
    life = confirmed(Life(config=replace(CONFIG, live_first=live_first)), num=2)
    for _ in range(4):
        life.frame(1)
    assert (life.state(1), life.state(2)) == (InstanceState.ACTIVE, InstanceState.RETIRED)
    num = len(affinity)
    update = life.tracker.update(life.tracks, np.array(affinity), np.ones(num), np.ones(num, bool), 99)
    assert life.tracks.id[update.slot_of_detection].tolist() == (in_two_rounds if live_first else in_one_round)


def test_the_retirement_buffer_is_bounded_and_the_oldest_goes_first():
    life = confirmed(Life(max_instances=4, retired_capacity=2), num=3)
    for _ in range(4):
        life.frame()
    assert sorted(life.tracks.id[life.tracks.retired()]) == [2, 3]
    assert [e.instance_id for e in life.events if e.reason == "memory_limit"] == [1]


def test_without_a_buffer_the_retired_are_removed():
    life = confirmed(Life(max_instances=4, retired_capacity=0))
    for _ in range(4):
        life.frame()
    assert life.history(1)[-1] == "REMOVED"


def test_a_full_table_retires_the_least_useful():
    life = confirmed(Life(max_instances=2), num=2)
    life.frame(1)  # 2 is missed once
    assert life.frame(1, 0) == [1, 3]
    assert life.state(2) == InstanceState.RETIRED
    assert len(life.tracks.live()) == 2


def test_revival_into_a_full_table_makes_room():
    life = confirmed(Life(max_instances=2))
    for _ in range(4):
        life.frame()
    life.frame(0, 0)
    life.frame(2, 3)
    life.frame(2, 3)
    assert life.frame(2, 1) == [2, 1]
    assert len(life.tracks.live()) == 2
    assert life.state(3) == InstanceState.RETIRED


def test_more_detections_than_room_leave_the_rest_without_a_track():
    life = Life(max_instances=2)
    assert life.frame(0, 0, 0) == [1, 2, 0]
    assert life.frame(1, 2, 0) == [1, 2, 0]


def test_duplicates_merge_into_the_older_after_enough_votes():
    life = confirmed(Life(), num=2)
    pair = np.array([[life.slot(2), life.slot(1)]])
    for votes in range(3):
        merged = life.tracker.merge_duplicates(life.tracks, pair, NO_PAIRS, life.stamp_ns)
        assert bool(merged.events) == (votes == 2)
    assert [(e.type, e.instance_id, e.other_id) for e in merged.events] == [(EventType.MERGED, 2, 1)]
    assert merged.heir_of_slot.tolist()[:3] == [0, 1, 1]
    assert 2 not in life.tracks.id
    assert not life.tracks.same_object_votes


@pytest.mark.parametrize(("num_observations", "expected"), [((3, 4), 0.9), ((4, 3), 0.1)])
def test_a_merged_track_keeps_the_score_of_the_one_seen_more_often(num_observations, expected):
    life = confirmed(Life(), num=2)
    slots = [life.slot(1), life.slot(2)]
    life.tracks.score[slots] = 0.1, 0.9
    life.tracks.num_observations[slots] = num_observations
    for _ in range(3):
        life.tracker.merge_duplicates(life.tracks, np.array([slots]), NO_PAIRS, life.stamp_ns)
    assert life.tracks.score[slots[0]] == pytest.approx(expected)
    assert life.tracks.num_observations[slots[0]] == 4


@pytest.mark.parametrize(
    ("older", "younger", "expected", "events"),
    [
        (InstanceState.ACTIVE, InstanceState.TENTATIVE, InstanceState.ACTIVE, ["MERGED"]),
        (InstanceState.TENTATIVE, InstanceState.TENTATIVE, InstanceState.TENTATIVE, ["MERGED"]),
        (InstanceState.TENTATIVE, InstanceState.ACTIVE, InstanceState.ACTIVE, ["CONFIRMED", "MERGED"]),
        (InstanceState.LOST, InstanceState.ACTIVE, InstanceState.ACTIVE, ["MERGED"]),
        (InstanceState.LOST, InstanceState.TENTATIVE, InstanceState.LOST, ["MERGED"]),
        (InstanceState.RETIRED, InstanceState.LOST, InstanceState.LOST, ["REVIVED", "MERGED"]),
        (InstanceState.RETIRED, InstanceState.TENTATIVE, InstanceState.ACTIVE, ["REVIVED", "MERGED"]),
    ],
)
def test_the_older_is_at_least_as_alive_as_the_one_it_absorbs(older, younger, expected, events):
    life = confirmed(Life(), num=2)
    life.tracks.state[1:3] = older, younger
    for _ in range(3):
        merged = life.tracker.merge_duplicates(life.tracks, np.array([[1, 2]]), NO_PAIRS, 0)
    assert life.state(1) == expected
    assert [event.type.name for event in merged.events] == events


def test_votes_apart_hold_a_merge_off():
    life = confirmed(Life(), num=2)
    pair = np.array([[1, 2]])
    for _ in range(20):
        assert not life.tracker.merge_duplicates(life.tracks, pair, NO_PAIRS, 0).events
        assert not life.tracker.merge_duplicates(life.tracks, NO_PAIRS, pair, 0).events


def test_three_duplicates_merge_into_one():
    life = confirmed(Life(), num=3)
    for _ in range(3):
        life.tracker.merge_duplicates(life.tracks, np.array([[1, 2], [1, 3], [2, 3]]), NO_PAIRS, 0)
    assert life.tracks.id[life.tracks.live()].tolist() == [1]


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.lists(st.integers(0, 12), max_size=5, unique=True), max_size=40), st.integers(1, 4), st.integers(0, 3)
)
def test_whatever_happens_ids_are_unique_bounded_and_explained_by_events(frames, max_instances, retired_capacity):
    life = Life(max_instances=max_instances, retired_capacity=retired_capacity)
    alive = set()
    for ids in frames:
        before = len(life.events)
        given_ids = [i for i in life.frame(*ids) if i]
        assert len(set(given_ids)) == len(given_ids)
        for event in life.events[before:]:
            if event.type == EventType.CREATED:
                assert event.instance_id not in alive
                alive.add(event.instance_id)
            elif event.type == EventType.REMOVED:
                alive.remove(event.instance_id)
        assert alive == set(life.tracks.id[life.tracks.occupied()].tolist())
        assert len(life.tracks.live()) <= max_instances
        assert len(life.tracks.retired()) <= retired_capacity
