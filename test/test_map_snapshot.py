"""What is saved of a segmenter, and that one which gets it goes on as if nothing had happened."""

from __future__ import annotations

import copy
import uuid
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from map_builders import content, geometric_segmenter, grown, state_of, steps, walk

from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import FRAMES_AHEAD, MapSnapshot, ahead, snapshot
from autoseg3d_ros.persistence.network_digest import network_digest
from autoseg3d_ros.persistence.restoration import restore
from autoseg3d_ros.segmenter import OnlineSegmenter

RETIRES_SOON = {"tracking.lost_after": 3}


def through_a_file(saved: MapSnapshot, folder: Path) -> MapSnapshot:
    write_map(saved, folder / "a.autoseg3d", overwrite=True)
    return read_map(folder / "a.autoseg3d")


def told(online: OnlineSegmenter, frames) -> list[tuple]:
    """Return all that the next frames make known."""
    return [
        (one.label_image.tobytes(), one.frame_index, one.events, [str(instance) for instance in one.instances])
        for one in steps(online, frames)
    ]


@pytest.mark.parametrize("num_before", [0, 1, 8, 10, 17])
def test_a_map_from_a_file_goes_on_as_if_nothing_had_happened(tmp_path, num_before):
    frames = walk(24)
    uninterrupted = grown(num_before)
    saved = snapshot(uninterrupted, "")
    restored = geometric_segmenter(**RETIRES_SOON)
    restore(through_a_file(saved, tmp_path), restored)
    assert state_of(restored) == content(saved)
    assert [str(one) for one in restored.instances()] == [
        str(replace(one, roi_px=(0, 0, 0, 0))) for one in uninterrupted.instances()
    ]
    assert told(restored, frames[num_before:]) == told(uninterrupted, frames[num_before:])
    assert state_of(restored) == state_of(uninterrupted)


def test_the_walk_has_something_of_everything():
    """The test above says nothing of what its map does not have."""
    saved = snapshot(grown(10), "")
    assert all(array.any() for name, array in saved.arrays.items() if name != "track_match_confidence")
    assert saved.num_retirements > 0
    assert 3 not in snapshot(grown(8), "").arrays["track_slot"]  # a gap


def test_a_snapshot_does_not_change_with_the_segmenter():
    online = grown(10)
    saved = snapshot(online, "")
    before = copy.deepcopy(content(saved))
    steps(online, walk(14)[10:])
    assert content(saved) == before
    restore(saved, online)
    steps(online, walk(14)[10:])
    assert content(saved) == before


def test_ids_given_since_it_was_saved_are_not_given_again():
    online = grown(8)
    saved = snapshot(online, "")
    steps(online, walk(12)[8:])
    next_id = online.state.tracks.next_id
    assert next_id > saved.next_id
    restore(saved, online)
    assert (online.state.map_id, online.state.tracks.next_id) == (saved.map_id, next_id)
    assert online.state.frame_index == 13, "whoever has heard of frame 11 sees a jump"
    stranger = grown(12)
    restore(saved, stranger)  # of another map: its ids do not count
    assert (stranger.state.tracks.next_id, stranger.state.frame_index) == (saved.next_id, saved.frame_index)


def test_a_segmenter_that_goes_on_while_it_is_saved_may_give_ids_that_nobody_gives_again(tmp_path):
    online = grown(8)
    saved = through_a_file(ahead(snapshot(online, "")), tmp_path)
    steps(online, walk(20)[8:])
    restored = geometric_segmenter(**RETIRES_SOON)
    restore(saved, restored)
    assert restored.state.tracks.next_id == saved.next_id > online.state.tracks.next_id
    (first,) = steps(restored, walk(9)[8:])
    assert first.frame_index == 8 + FRAMES_AHEAD > online.state.frame_index
    assert len(restored.state.map) == len(grown(9).state.map)


@pytest.mark.parametrize(
    ("num_frames", "changes", "told"),
    [
        (8, {"map_frame": "odom"}, "positions are in the frame 'map', map_frame is 'odom'; set map_frame to 'map'"),
        (8, {"map.voxel_m": 0.04}, "its voxels are 0.02 m, map.voxel_m is 0.04; set map.voxel_m to 0.02"),
        (8, {"limits.max_instances": 2}, "3 live instances, limits.max_instances is 2; set limits.max_instances to"),
        (10, {"limits.retired_capacity": 0}, "1 retired instances, limits.retired_capacity is 0"),
    ],
)
def test_a_map_that_does_not_fit_is_refused_before_anything_is_touched(num_frames, changes, told):
    saved = snapshot(grown(num_frames), "")
    online = grown(5, **changes)
    state, before = online.state, state_of(online)
    with pytest.raises(MapFileError, match="does not fit") as caught:
        restore(saved, online)
    assert told in str(caught.value)
    assert caught.value.reason == MapFault.INCOMPATIBLE
    assert online.state is state
    assert state_of(online) == before


def test_a_failure_halfway_leaves_the_state_alone(monkeypatch):
    online = grown(5)
    state, before = online.state, state_of(online)
    monkeypatch.setattr("autoseg3d_ros.persistence.restoration._fill_shapes", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        restore(snapshot(grown(10), ""), online)
    assert online.state is state
    assert state_of(online) == before


def test_fewer_slots_take_over_all_tracks_in_their_order():
    saved = snapshot(grown(8), "")
    assert saved.arrays["track_slot"].tolist() == [1, 2, 4]
    online = geometric_segmenter(**{"limits.max_instances": 3, "limits.retired_capacity": 0})
    restore(saved, online)
    assert online.state.tracks.occupied().tolist() == [1, 2, 3]
    assert online.state.tracks.id[1:].tolist() == saved.arrays["track_id"].tolist()
    assert set(online.state.tracks.same_object_votes) == {(1, 2), (1, 3), (2, 3)}
    wide = geometric_segmenter()
    restore(saved, wide)
    assert [str(one) for one in online.instances()] == [str(one) for one in wide.instances()]
    assert online.map_points().instance_id.tolist() == wide.map_points().instance_id.tolist()
    frames = walk(9)[8:]
    assert [one.label_image.tolist() for one in steps(online, frames)] == [
        one.label_image.tolist() for one in steps(wide, frames)
    ]


def test_a_smaller_map_keeps_what_was_seen_last():
    saved = snapshot(grown(10), "")
    last_seen = saved.arrays["voxel_last_seen"]
    num_kept = int((last_seen >= 5).sum())
    assert 0 < num_kept < len(last_seen)
    online = geometric_segmenter(**{"limits.max_points": num_kept})
    restore(saved, online)
    points = online.map_points()
    np.testing.assert_array_equal(points.xyz_m, saved.arrays["voxel_xyz_rgb"][last_seen >= 5, :3])
    counts = np.bincount(points.instance_id, minlength=saved.next_id)
    assert online.state.map.num_voxels[saved.arrays["track_slot"]].tolist() == counts[saved.arrays["track_id"]].tolist()
    assert online.state.map.num_voxels.sum() == num_kept
    steps(online, walk(14)[10:])
    assert len(online.state.map) <= num_kept


def test_a_larger_map_takes_all():
    saved = snapshot(grown(10, **{"limits.max_points": 2500}), "")
    online = geometric_segmenter()
    restore(saved, online)
    assert len(online.state.map) == len(saved.arrays["voxel_key"])
    assert isinstance(online.state.map_id, uuid.UUID)


def test_recognition_by_geometry_has_no_digest():
    assert network_digest(geometric_segmenter()) == ""
