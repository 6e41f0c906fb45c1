"""Tracks that one detection of the network covers time and again become one."""

from __future__ import annotations

import pytest
from scripted_network import played, scripted

from autoseg3d_ros.structures import EventType

APART, ONE = ((0,), (1,)), ((0, 1),)


@pytest.mark.parametrize("merging", [True, False])
def test_one_detection_over_two_tracks_merges_them_after_enough_votes(merging):
    script = [APART] * 3 + [ONE] * 3
    online = scripted(script, **{"model.track_merging": merging})
    frames = played(online, len(script))
    assert [event.type for event in frames[0].events] == [EventType.CREATED, EventType.CREATED]
    merged = [[event.instance_id for event in frame.events if event.type == EventType.MERGED] for frame in frames]
    assert merged == [[], [], [], [], [], [2] if merging else []]
    left = [instance.id for instance in online.instances()]
    assert left == ([1] if merging else [1, 2])
    if merging:
        assert set(online.map_points().instance_id.tolist()) == {1}


def test_what_is_seen_apart_again_takes_its_votes_back():
    script = [APART] * 3 + [ONE, APART] * 4
    online = scripted(script, **{"model.track_merging": True})
    played(online, len(script))
    assert [instance.id for instance in online.instances()] == [1, 2]
