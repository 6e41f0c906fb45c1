"""Everything after the decoder against the published functions: filtering, association, scene masks on a mesh (§9)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase
from published_modules import load
from tracking_drivers import (
    ESAM,
    LongTermTracks,
    OnlineTracks,
    absolute_boxes,
    best,
    close,
    features,
    names_in,
    unpacked,
)

from autoseg3d_ros.evaluation.mesh_transfer import nearest_point, segment_vote
from autoseg3d_ros.memory.bank import ObjectFeatures, embedding_affinity
from autoseg3d_ros.memory.merge_head import MergeHead
from autoseg3d_ros.model.filtering import FilterConfig, FilteredQueries, filter_queries

TOLERANCE = 1e-3  # what the published attention loses in float32 (README of the cases)


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


@parity_cases.parametrize("sequence_esam_")
def test_sequence_of_esam(case: ParityCase) -> None:
    tracks, merge_head, masks = OnlineTracks(ESAM, 256), _merge_head(case), []
    for frame in range(int(case.given("n_frames"))):
        kept, seen = _detections(case, frame)
        instance = replace(seen, embedding=merge_head(seen.embedding))
        affinity = embedding_affinity(instance, tracks.instances.at(tracks.table.occupied()))
        tracks.observe(affinity.numpy(), kept.score.numpy(), instance, instance)
        masks.append(kept.mask.numpy())
        _compare_bank(tracks, case, frame, masks[-1])
        close(tracks.instance_corners(_slots(tracks)), case.expected(f"bank_boxes_{frame}"), TOLERANCE)
        if f"out__bank_emb_{frame}" in names_in(case):
            close(tracks.instances.at(_slots(tracks)).embedding, case.expected(f"bank_emb_{frame}"), TOLERANCE)
    _compare_scene(tracks, case, masks)


@parity_cases.parametrize("sequence_autoseg3d_")
def test_sequence_of_autoseg3d(case: ParityCase) -> None:
    rule = case.meta["asso_config"].get("update_type", "count")
    tracks, masks = LongTermTracks(int(case.given("weight_seed")), rule), []
    ids_in_slots = np.zeros(0, int)
    for frame in range(int(case.given("n_frames"))):
        kept, seen = _detections(case, frame)
        faces = tracks.network.embed(seen.embedding, seen.box_m)
        product, score = tracks.affinity(faces.to_match, seen.box_m)
        if frame:
            columns = tracks.columns_of(ids_in_slots[case.expected(f"live_slots_{frame}")])
            close(product[:, columns], case.expected(f"affinity_{frame}"), TOLERANCE)
        tracks.observe(score, kept.score.numpy(), replace(seen, embedding=faces.to_store), seen)
        masks.append(kept.mask.numpy())
        _compare_bank(tracks, case, frame, masks[-1])
        _compare_slots(tracks, case, frame)
        if f"out__track_emb_{frame}" in names_in(case):
            close(faces.to_store, case.expected(f"track_emb_{frame}"), TOLERANCE)
        ids_in_slots = case.expected(f"slot_ids_{frame}")
    _compare_scene(tracks, case, masks)


def _merge_head(case: ParityCase) -> MergeHead:
    return load(MergeHead(), "merge_head.", int(case.given("weight_seed")))


def _detections(case: ParityCase, frame: int) -> tuple[FilteredQueries, ObjectFeatures]:
    """Return the objects among the stored queries, compared with the published ones, and their features."""
    config = case.meta["config"]
    logits, masks = case.given(f"cls_{frame}"), case.given(f"masks_{frame}").astype(np.float32)
    filters = FilterConfig(
        config["topk_insts"],
        config["inst_score_thr"],
        config["sp_score_thr"],
        config["npoint_thr"],
        config["matrix_nms_kernel"],
    )
    kept = filter_queries(torch.from_numpy(logits), torch.from_numpy(masks), filters)
    query = kept.query.numpy()
    assert query.tolist() == case.expected(f"kept_queries_{frame}").tolist()
    assert kept.label.tolist() == case.expected(f"det_labels_{frame}").tolist()
    close(kept.score, case.expected(f"det_scores_{frame}"))
    embedding = case.given(f"queries_{frame}").astype(np.float32)[query]
    return kept, features(embedding, absolute_boxes(case, frame)[query], kept.label)


def _slots(tracks: OnlineTracks) -> np.ndarray:
    return tracks.slots_of(np.arange(tracks.table.next_id - 1))


def _compare_bank(tracks: OnlineTracks, case: ParityCase, frame: int, mask: np.ndarray) -> None:
    assert tracks.instances.age[_slots(tracks)].tolist() == case.expected(f"bank_counts_{frame}").tolist()
    close(tracks.table.score[_slots(tracks)], case.expected(f"bank_scores_{frame}"))
    of_id = tracks.masks([mask], first_frame=frame)
    np.testing.assert_array_equal(of_id, unpacked(case.expected(f"bank_frame_masks_{frame}"), mask.shape[1]))


def _compare_slots(tracks: OnlineTracks, case: ParityCase, frame: int) -> None:
    ids = case.expected(f"slot_ids_{frame}")
    slots = tracks.slots_of(ids)
    assert tracks.live_ids() == sorted(ids.tolist())
    assert tracks.memory.age[slots].tolist() == case.expected(f"slot_age_{frame}").tolist()
    assert tracks.table.num_missed[slots].tolist() == case.expected(f"slot_missing_{frame}").tolist()
    close(tracks.memory.at(slots).box_m, case.expected(f"slot_boxes_{frame}"))
    if f"out__slot_emb_{frame}" in names_in(case):
        close(tracks.memory.at(slots).embedding, case.expected(f"slot_emb_{frame}"), TOLERANCE)


def _compare_scene(tracks: OnlineTracks, case: ParityCase, mask_of_frame: list[np.ndarray]) -> None:
    """Compare the instances of the scene: points, then vertices by nearest point and vote of segments (§9.2)."""
    slots = _slots(tracks)
    shown = best(tracks.table.score[slots], case.meta["config"]["inscat_topk_insts"])
    point_masks = tracks.masks(mask_of_frame)[shown]
    np.testing.assert_array_equal(point_masks, unpacked(case.expected("point_masks"), point_masks.shape[1]))
    close(tracks.table.score[slots][shown], case.expected("instance_scores"))
    assert tracks.instances.at(slots).label[shown].tolist() == case.expected("instance_labels").tolist()
    points_m = np.concatenate([case.given(f"points_{frame}") for frame in range(len(mask_of_frame))])
    index, _ = nearest_point(points_m, case.given("vertices"))
    vertex_masks = segment_vote(point_masks[:, index], case.given("segment_ids"))
    np.testing.assert_array_equal(vertex_masks, unpacked(case.expected("vertex_masks"), vertex_masks.shape[1]))
