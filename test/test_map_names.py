"""What a confirmed track owns in the map keeps its name."""

from __future__ import annotations

import numpy as np
import pytest
from scripted_network import played, scripted

from autoseg3d_ros.learned_recognition import named_by_owner
from autoseg3d_ros.recognition import Naming
from autoseg3d_ros.structures import EventType, SegmentedFrame, Superpoints

APART, LEFT, NOTHING = ((0,), (1,)), ((0,),), ()


def superpoints_of(*superpoint: int, num: int) -> Superpoints:
    ids = np.array(superpoint, np.int32)
    zeros = np.zeros((len(ids), 3), np.float32)
    return Superpoints(zeros, zeros.astype(np.uint8), np.arange(len(ids)), ids, ids[None], num)


@pytest.mark.parametrize(
    ("owner", "claims", "point_claims", "shown", "shown_points"),
    [
        ([], [], [], [], []),
        ([0, 0], [3, 0], [3, 0, 0], [3, 0], [3, 0, 0]),  # the map knows nothing
        ([5, 0], [0, 0], [0, 0, 0], [5, 0], [5, 5, 0]),  # nobody claims what the map knows
        ([5, 6], [3, 6], [3, 0, 6], [5, 6], [5, 5, 6]),  # another name is shown
    ],
)
def test_the_owner_is_shown_and_the_map_is_told_what_is_claimed(owner, claims, point_claims, shown, shown_points):
    superpoints = superpoints_of(*([0, 0, 1][: len(point_claims)]), num=len(owner))
    claimed = np.array(point_claims, np.int32)
    names = Naming(np.array(claims, np.int32), claimed, claimed)
    named = named_by_owner(names, np.array(owner, np.int32), superpoints)
    assert [named.of_superpoint.tolist(), named.of_point.tolist()] == [shown, shown_points]
    assert named.for_map.tolist() == point_claims  # a name does not spread by itself


def ids_shown(frame: SegmentedFrame) -> list[int]:
    return np.unique(frame.label_image[frame.label_image > 0]).tolist()


@pytest.mark.parametrize(("by_map", "expected"), [(True, [1, 2]), (False, [])])
def test_what_the_network_misses_is_shown_under_its_name(by_map, expected):
    script = [APART] * 3 + [NOTHING]
    last = played(scripted(script, **{"model.map_names": by_map}), len(script))[-1]
    assert ids_shown(last) == np.unique(last.point_ids[last.point_ids > 0]).tolist() == expected
    assert {event.type for event in last.events} == {EventType.LOST}


def test_a_track_that_is_not_confirmed_names_nothing():
    script = [APART, NOTHING]
    assert ids_shown(played(scripted(script, **{"model.map_names": True}), 2)[-1]) == []


def test_a_claim_that_is_made_again_and_again_wins_the_name():
    both = ((0, 1),)
    script = [APART] * 3 + [both] * 12
    online = scripted(script, **{"model.map_names": True})
    shown = [ids_shown(frame) for frame in played(online, len(script))]
    assert shown[3] == [1, 2]
    assert shown[-1] in ([1], [2])
