from __future__ import annotations

import numpy as np
from scenes import NO_RELATIONS, BlockMasks, frame_of

from autoseg3d_ros.config import DepthConfig, LiftingConfig, LimitsConfig, TrackingConfig
from autoseg3d_ros.fragment_merging import FragmentMerger, FragmentRelations, MapEvidence, NoJudge, WholeMasks, united
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.structures import NO_MASK
from autoseg3d_ros.tracking.tracker import Tracker

THREE = ((0, 0, 20, 30, 1.0), (20, 0, 20, 30, 1.0), (50, 0, 20, 30, 1.0))  # 0 and 1 touch


def superpoints_of(*blocks):
    frame = frame_of(*blocks)
    return lift(frame, BlockMasks().masks(frame), DepthConfig(), LiftingConfig(), 0)


def evidence_of(superpoints, *slot_of_superpoint, num_slots=4):
    slot = np.array(slot_of_superpoint, np.int32)[superpoints.superpoint]
    return MapEvidence(slot, np.zeros_like(slot), np.bincount(np.clip(slot, 0, None), minlength=num_slots))


def relations(joined=(), apart=()):
    joined, apart = (np.array(pairs, np.int32).reshape(-1, 2) for pairs in (joined, apart))
    return FragmentRelations(joined, np.ones(len(joined), np.float32), apart)


MERGER = FragmentMerger(TrackingConfig())
TABLE = Tracker(TrackingConfig(), LimitsConfig()).new_table()


def votes(relation, superpoints, evidence, table=TABLE):
    together, apart = MERGER.votes(relation, superpoints, evidence, MERGER.owners(superpoints, evidence), table)
    return together.tolist(), apart.tolist()


def test_an_empty_frame_has_no_detections_and_no_votes():
    nothing = superpoints_of()
    evidence = MapEvidence(np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(4, np.int64))
    assert len(MERGER.merge(NO_RELATIONS, nothing, MERGER.owners(nothing, evidence))) == 0
    assert votes(NO_RELATIONS, nothing, evidence) == ([], [])


def test_joined_fragments_become_one_detection_with_one_box():
    superpoints = superpoints_of(*THREE)
    owner = MERGER.owners(superpoints, evidence_of(superpoints, -1, -1, -1))
    detections = MERGER.merge(relations(joined=[(0, 1)]), superpoints, owner)
    assert detections.of_superpoint.tolist() == [0, 0, 1]
    assert detections.num_points.tolist() == [1200, 600]
    one = superpoints.xyz_m[superpoints.superpoint < 2]
    np.testing.assert_array_equal(detections.box_m[0], [one.min(axis=0), one.max(axis=0)])


def test_united_superpoints_are_renumbered_and_keep_their_points():
    nothing = superpoints_of()
    assert united(nothing, NO_RELATIONS).num_superpoints == 0
    superpoints = superpoints_of(*THREE)
    apart = united(superpoints, NO_RELATIONS)
    assert apart.num_superpoints == 3 and np.array_equal(apart.id_image, superpoints.id_image)
    one = united(superpoints, relations(joined=[(0, 2)]))
    assert one.num_superpoints == 2
    assert np.array_equal(one.superpoint, np.array([0, 1, 0])[superpoints.superpoint])
    assert np.array_equal(one.id_image, np.array([0, 1, 0, NO_MASK])[superpoints.id_image])
    assert one.xyz_m is superpoints.xyz_m


def test_whole_masks_stay_apart_though_the_map_takes_them_for_one_object():
    superpoints = superpoints_of(*THREE)
    evidence, merger = evidence_of(superpoints, 1, 1, 1), WholeMasks(TrackingConfig())
    no_opinion = NoJudge()(frame_of(*THREE), superpoints)
    assert len(MERGER.merge(no_opinion, superpoints, MERGER.owners(superpoints, evidence))) == 1
    assert len(merger.merge(no_opinion, superpoints, merger.owners(superpoints, evidence))) == 3


def test_two_tracks_in_one_geometric_group_are_voted_together():
    superpoints = superpoints_of(*THREE)
    assert votes(relations(joined=[(0, 1)]), superpoints, evidence_of(superpoints, 1, 2, 3)) == ([[1, 2]], [])


def test_two_tracks_that_touch_but_are_held_apart_are_voted_apart():
    superpoints = superpoints_of(*THREE)
    assert votes(relations(apart=[(1, 0)]), superpoints, evidence_of(superpoints, 1, 2, 3)) == ([], [[1, 2]])


def test_a_pair_once_suspected_is_voted_apart_when_seen_apart():
    superpoints = superpoints_of(*THREE)
    table = Tracker(TrackingConfig(), LimitsConfig()).new_table()
    table.same_object_votes[(1, 3)] = 2
    assert votes(NO_RELATIONS, superpoints, evidence_of(superpoints, 1, 2, 3), table) == ([], [[1, 3]])
    assert votes(NO_RELATIONS, superpoints, evidence_of(superpoints, 1, 2, 0), table) == ([], [])  # 3 is not seen


def test_unknown_and_unowned_surfaces_cast_no_vote():
    superpoints = superpoints_of(*THREE)
    assert votes(relations(joined=[(0, 1)], apart=[(1, 2)]), superpoints, evidence_of(superpoints, -1, 0, 1)) == (
        [],
        [],
    )


def test_one_fragment_over_two_tracks_votes_them_together():
    superpoints = superpoints_of((0, 0, 40, 30, 1.0))
    halves = np.where(np.arange(superpoints.num_points) % 2 == 0, 1, 2).astype(np.int32)
    assert votes(NO_RELATIONS, superpoints, MapEvidence(halves, np.zeros_like(halves), np.full(4, 600))) == (
        [[1, 2]],
        [],
    )
