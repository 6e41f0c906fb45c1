from __future__ import annotations

import numpy as np
import pytest
from scenes import NO_PAIRS, BlockMasks, NoMasks, frame_of, nothing_touches

from autoseg3d_ros import config
from autoseg3d_ros.config import Config
from autoseg3d_ros.fragment_merging import FragmentMerger, FragmentRelations
from autoseg3d_ros.geometric_recognition import GeometricRecognition
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import EventType, FrameError, InstanceState
from autoseg3d_ros.tracking.tracker import Tracker, TrackUpdate

LEFT, RIGHT = (5, 5, 30, 40, 1.0), (45, 10, 25, 30, 2.0)


def segmenter(source=None, **changes):
    settings = config.replace(Config(), changes)
    return segmenter_with(source or BlockMasks(), nothing_touches, settings)


def segmenter_with(source, judge, settings):
    tracker = Tracker(settings.tracking, settings.limits)
    recognition = GeometricRecognition(judge, FragmentMerger(settings.tracking), tracker, settings.tracking)
    return OnlineSegmenter(source, recognition, tracker, settings)


def label_of(segmented, block):
    x, y, width, height, _ = block
    return int(segmented.label_image[y + height // 2, x + width // 2])


def test_a_frame_without_depth_is_legal_first_and_later():
    online = segmenter()
    first = online.step(frame_of())
    assert (first.frame_index, first.instances, first.events) == (0, (), ())
    assert not first.label_image.any()
    online.step(frame_of(LEFT, index=1))
    online.step(frame_of(index=2))
    assert label_of(online.step(frame_of(LEFT, index=3)), LEFT) == 1


def test_a_frame_without_masks_is_segmented_by_its_surfaces():
    segmented = segmenter(NoMasks()).step(frame_of(LEFT, RIGHT))
    assert {label_of(segmented, LEFT), label_of(segmented, RIGHT)} == {1, 2}


def test_instances_keep_their_ids_while_the_camera_moves():
    online = segmenter()
    for index in range(8):
        shift_m = 0.01 * index
        moved = [(x - round(shift_m * 70 / depth), y, w, h, depth) for x, y, w, h, depth in (LEFT, RIGHT)]
        segmented = online.step(frame_of(*moved, index=index, shift_m=shift_m))
        assert [label_of(segmented, block) for block in moved] == [1, 2]
    assert [instance.state for instance in segmented.instances] == [InstanceState.ACTIVE] * 2
    assert online.state.tracks.next_id == 3


def test_an_instance_that_left_and_came_back_is_the_same():
    online = segmenter()
    for index in range(4):
        online.step(frame_of(LEFT, RIGHT, index=index))
    for index in range(4, 80):
        online.step(frame_of(RIGHT, index=index))
    left = next(instance for instance in online.instances() if instance.id == 1)
    assert left.state == InstanceState.RETIRED
    segmented = online.step(frame_of(LEFT, RIGHT, index=80))
    assert label_of(segmented, LEFT) == 1
    assert (EventType.REVIVED, 1) in {(event.type, event.instance_id) for event in segmented.events}


def test_a_record_says_where_and_how_large():
    online = segmenter(**{"map.voxel_m": 0.01})
    for index in range(3):
        segmented = online.step(frame_of((20, 10, 40, 30, 1.4), index=index))
    (instance,) = segmented.instances
    assert instance.roi_px == (20, 10, 40, 30)
    np.testing.assert_allclose(instance.centroid_m, [0.0, (24.5 - 29.5) / 70 * 1.4, 1.4], atol=0.02)
    np.testing.assert_allclose(sorted(instance.box.size_m[:2])[1], 40 / 70 * 1.4, atol=0.03)
    assert instance.box.size_m[2] < 0.01
    assert (instance.num_observations, instance.num_missed) == (3, 0)
    assert (instance.first_seen_ns, instance.last_seen_ns) == (100_000_000, 300_000_000)
    assert instance.num_points == online.state.map.num_voxels[1] > 0


def test_an_instance_on_voxels_that_another_still_owns_has_a_size_and_keeps_its_id():
    def apart(frame, superpoints):
        return FragmentRelations(
            NO_PAIRS, np.zeros(0, np.float32), np.array([[0, 1]])[: superpoints.num_superpoints - 1]
        )

    online = segmenter_with(BlockMasks(), apart, Config())
    for index in range(10):  # a wall that has been seen often ...
        online.step(frame_of((0, 0, 80, 60, 1.0), index=index))
    for index in range(10, 14):  # ... turns out to have a picture on it
        segmented = online.step(frame_of((0, 0, 80, 60, 1.0), (30, 20, 20, 20, 1.0), index=index))
        assert int(segmented.label_image[30, 40]) == 2
        picture = next(instance for instance in segmented.instances if instance.id == 2)
        np.testing.assert_allclose(sorted(picture.box.size_m[:2])[1], 20 / 70, atol=0.03)


def test_point_ids_agree_with_the_label_image():
    segmented = segmenter().step(frame_of(LEFT, RIGHT))
    np.testing.assert_array_equal(segmented.label_image.ravel()[segmented.superpoints.pixel], segmented.point_ids)


def test_the_same_frames_give_the_same_bytes():
    def run():
        online = segmenter(**{"lifting.num_points": 300})
        steps = [online.step(frame_of(LEFT, RIGHT, index=index, shift_m=0.01 * index)) for index in range(5)]
        return [step.label_image.tobytes() for step in steps], online.map_points(), online.instances()

    labels, points, instances = run()
    labels_again, points_again, instances_again = run()
    assert labels == labels_again
    assert points.xyz_m.tobytes() == points_again.xyz_m.tobytes()
    assert [str(instance) for instance in instances] == [str(instance) for instance in instances_again]


def test_reset_begins_a_new_map():
    online = segmenter()
    online.step(frame_of(LEFT))
    old = online.state.map_id
    online.reset()
    assert online.state.map_id != old
    assert online.instances() == ()
    assert len(online.map_points().xyz_m) == 0
    assert label_of(online.step(frame_of(RIGHT, index=1)), RIGHT) == 1


def test_two_cameras_share_components_but_not_state():
    first, second = segmenter(), segmenter()
    first.step(frame_of(LEFT))
    assert second.instances() == ()


def test_a_mask_source_that_fails_leaves_the_state_alone():
    class Failing(BlockMasks):
        def masks(self, frame):
            if frame.name == "000001":
                raise FrameError("frame 000001: no masks")
            return super().masks(frame)

    online = segmenter(Failing())
    online.step(frame_of(LEFT))
    with pytest.raises(FrameError):
        online.step(frame_of(LEFT, index=1))
    assert online.state.frame_index == 1
    assert label_of(online.step(frame_of(LEFT, index=2)), LEFT) == 1


def test_caps_hold():
    online = segmenter(**{"limits.max_instances": 2, "limits.retired_capacity": 1, "limits.max_points": 200})
    for index in range(30):
        online.step(
            frame_of((5, 5, 20, 20, 1.0), (30, 5, 20, 20, 1.0), (55, 5, 20, 20, 1.0), index=index, shift_m=3.0 * index)
        )
        assert len(online.state.map) <= 200
        assert len(online.instances()) <= 3


def test_of_a_track_that_is_gone_its_slot_keeps_no_shape_for_the_next_one():
    state = (online := segmenter()).state
    online.step(frame_of(LEFT, RIGHT))
    (gone, stays), former = state.tracks.occupied().tolist(), state.shapes.box_m.copy()
    heirs = np.arange(state.tracks.num_slots, dtype=np.int32)
    nothing = np.zeros(0, np.int32)
    assert not state.pass_on(TrackUpdate(nothing, nothing, heirs, (), nothing)), "everybody is there"
    heirs[gone] = 0
    assert state.pass_on(TrackUpdate(nothing, nothing, heirs, (), nothing))
    assert former[gone].any() and not state.shapes.box_m[gone].any()
    assert state.shapes.num_points_at_fit[gone] == 0, "however many voxels the next one has, it is fitted"
    np.testing.assert_array_equal(state.shapes.box_m[stays], former[stays])


def test_the_map_is_labelled_by_id():
    online = segmenter()
    online.step(frame_of(LEFT, RIGHT))
    points = online.map_points()
    assert len(points.xyz_m) == len(points.rgb) == len(points.instance_id) == len(points.score)
    near = points.xyz_m[:, 2] < 1.5
    assert set(points.instance_id[near]) == {1}
    assert set(points.instance_id[~near]) == {2}
