"""What the published code does otherwise than we do, by hand; the published numbers are in test_tracking_parity.py."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tracker_life import Life, confirmed

from autoseg3d_ros.structures import EventType, InstanceState
from autoseg3d_ros.tracking.reference import REFERENCE, ReferenceTracker
from autoseg3d_ros.tracking.tracker import Tracker

SHORT = replace(REFERENCE, lost_after=3)  # 2 misses are forgiven, the retired are kept for 4 frames


@pytest.mark.parametrize("kind", [Tracker, ReferenceTracker])
def test_a_first_frame_without_detections(kind):
    life = Life(config=SHORT, kind=kind)
    assert life.frame() == []
    assert life.frame(0, 0) == [1, 2]
    assert life.tracks.num_missed[life.tracks.live()].tolist() == [0, 0]


@pytest.mark.parametrize(("kind", "expected"), [(Tracker, 0), (ReferenceTracker, 1)])
def test_a_birth_where_nothing_matches_counts_as_missed(kind, expected):
    life = Life(config=SHORT, kind=kind)
    life.frame(0)
    assert life.frame(0) == [2]
    assert life.tracks.num_missed[life.slot(1)] == 1
    assert life.tracks.num_missed[life.slot(2)] == expected
    assert life.frame(2, 0) == [2, 3]
    assert life.tracks.num_missed[life.slot(3)] == 0


def test_a_track_that_is_missed_once_too_often_is_retired():
    life = Life(config=SHORT, kind=ReferenceTracker)
    life.frame(0)
    life.frame()
    life.frame()
    assert life.state(1) == InstanceState.LOST
    life.frame()
    assert life.state(1) == InstanceState.RETIRED


@pytest.mark.parametrize(("num_gone", "expected"), [(3, 1), (6, 1), (7, 2), (200, 2)])
def test_the_retired_expire(num_gone, expected):
    life = Life(config=SHORT, kind=ReferenceTracker)
    life.frame(0)
    for _ in range(num_gone):
        life.frame()
    assert life.frame(1) == [expected]
    removed = [event.reason for event in life.events if event.type == EventType.REMOVED]
    assert removed == ["expired"] * (expected - 1)


def test_an_expiry_leaves_the_other_columns_in_place():
    life = confirmed(Life(config=SHORT, kind=ReferenceTracker), num=3)
    for _ in range(7):
        life.frame(2, 3)
    assert life.frame(3, 0, 2) == [3, 4, 2]
    assert life.update.heir_of_slot[1] == 0
    assert 1 not in life.tracks.id


@pytest.mark.parametrize(("kind", "expected"), [(Tracker, 3), (ReferenceTracker, 2)])
def test_a_revived_track_is_averaged_with_one_observation_less(kind, expected):
    life = confirmed(Life(config=SHORT, kind=kind))  # three observations
    for _ in range(4):
        life.frame()
    assert life.frame(0, 1) == [2, 1]
    assert life.update.age.tolist() == [0, expected]
    life.frame(1)
    assert life.update.age.tolist() == [4]
