"""Association and track memory against the numbers of the published functions, frame by frame.

Tracks are compared by their ids. Their slots differ: ours begin at 1, and a retired track keeps its slot.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase
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

from autoseg3d_ros.memory.bank import ObjectFeatures, embedding_affinity
from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.tracking.reference import REFERENCE


@pytest.fixture(autouse=True)
def _inference():
    with torch.inference_mode():
        yield


# ---- ESAM's merging (§4)


@parity_cases.parametrize("merge_esam_")
def test_merging_of_esam(case: ParityCase) -> None:
    tracks = OnlineTracks(ESAM, width=case.given("feats_0").shape[1])
    num_frames, masks = int(case.given("n_frames")), []
    for frame in range(num_frames):
        seen = features(case.given(f"feats_{frame}"), absolute_boxes(case, frame), case.given(f"labels_{frame}"))
        similarity = embedding_affinity(seen, tracks.instances.at(tracks.table.occupied())).numpy()
        known = tracks.occupied_ids()
        tracks.observe(similarity, case.given(f"scores_{frame}"), seen, seen)
        if frame:
            close(similarity.T, case.expected(f"similarity_{frame}")[known])
            assert _matched(tracks, len(known)) == _pairs(case, "match_rows", frame)
        _compare_instances(tracks, case, frame)
        masks.append(unpacked(case.given(f"masks_{frame}"), case.meta["points_per_frame"]))
    bank_masks, scores = tracks.masks(masks), case.expected(f"bank_scores_{num_frames - 1}")
    np.testing.assert_array_equal(bank_masks, unpacked(case.expected("bank_masks"), bank_masks.shape[1]))
    shown = best(tracks.table.score[tracks.slots_of(np.arange(len(scores)))], case.meta["topk"])
    np.testing.assert_array_equal(bank_masks[shown], unpacked(case.expected("final_masks"), bank_masks.shape[1]))
    close(scores[shown], case.expected("final_scores"))
    close(tracks.instance_corners(tracks.slots_of(shown)), case.expected("final_boxes"))


def _matched(tracks: OnlineTracks, num_known: int) -> dict[int, int]:
    """Return detection -> published id of what the last frame matched to tracks there before."""
    ids = tracks.ids_of_frame[-1]
    return {detection: id for detection, id in enumerate(ids.tolist()) if 0 <= id < num_known}


def _pairs(case: ParityCase, rows: str, frame: int, id_of_row: np.ndarray | None = None) -> dict[int, int]:
    matched = case.expected(f"{rows}_{frame}")
    ids = matched if id_of_row is None else id_of_row[matched]
    return dict(zip(case.expected(f"match_dets_{frame}").tolist(), ids.tolist(), strict=True))


def _compare_instances(tracks: OnlineTracks, case: ParityCase, frame: int, tolerance: float = 2e-5) -> None:
    """Compare the bank of instances; it has a row for each id ever given, we forget what is expired."""
    ids, slots = tracks.occupied_ids(), tracks.table.occupied()
    assert tracks.table.next_id - 1 == len(case.expected(f"bank_scores_{frame}"))
    close(tracks.table.score[slots], case.expected(f"bank_scores_{frame}")[ids], tolerance)
    stored = tracks.instances.at(slots)
    close(stored.embedding, case.expected(f"bank_feats_{frame}")[ids], tolerance)
    close(tracks.instance_corners(slots), case.expected(f"bank_boxes_{frame}")[ids], tolerance)
    assert stored.label.tolist() == case.expected(f"bank_labels_{frame}")[ids].tolist()
    assert tracks.instances.age[slots].tolist() == case.expected(f"bank_counts_{frame}")[ids].tolist()


# ---- AutoSeg3D's track bank from given affinities (§5.3 to §5.5)


@parity_cases.parametrize("track_")
def test_track_bank(case: ParityCase) -> None:
    config = replace(REFERENCE, lost_after=case.meta["miss_thres"] + 1)
    tracks = OnlineTracks(config, case.given("feats_0").shape[1], case.meta["update_type"])
    masks, id_of_slot = [], np.zeros(0, int)
    for frame in range(int(case.given("n_frames"))):
        box_m, label = absolute_boxes(case, frame), case.given(f"labels_{frame}")
        seen = features(case.given(f"track_emb_{frame}"), box_m, label)
        score, num_known = np.zeros((len(label), len(tracks.occupied_ids())), np.float32), tracks.table.next_id - 1
        if frame:
            column_ids = id_of_slot[case.expected(f"track_slots_{frame}")]
            columns = tracks.columns_of(column_ids)
            stored = tracks.memory.at(tracks.slots_of(column_ids))
            iou = box_iou(seen.box_m, stored.box_m).numpy()
            score[:, columns] = np.maximum(case.given(f"affinity_{frame}") * iou, 0)
            close(score[:, columns].T, case.expected(f"similarity_{frame}"))
        tracks.observe(score, case.given(f"scores_{frame}"), seen, features(case.given(f"feats_{frame}"), box_m, label))
        if frame:
            assert _matched(tracks, num_known) == _pairs(case, "match_slots", frame, id_of_slot)
        id_of_slot = case.expected(f"slot_global_track_id_{frame}")
        _compare_track_slots(tracks, case, frame)
        _compare_instances(tracks, case, frame)
        masks.append(unpacked(case.given(f"masks_{frame}"), case.meta["points_per_frame"]))
    bank_masks = tracks.masks(masks)
    np.testing.assert_array_equal(bank_masks, unpacked(case.expected("bank_masks"), bank_masks.shape[1]))


def _compare_track_slots(tracks: OnlineTracks, case: ParityCase, frame: int) -> None:
    valid = case.expected(f"slot_valid_track_{frame}")
    ids = case.expected(f"slot_global_track_id_{frame}")[valid]
    slots = tracks.slots_of(ids)
    assert tracks.live_ids() == sorted(ids.tolist())
    assert tracks.table.next_id - 1 == case.expected(f"next_id_{frame}")
    assert tracks.memory.age[slots].tolist() == case.expected(f"slot_track_age_{frame}")[valid].tolist()
    assert tracks.table.num_missed[slots].tolist() == case.expected(f"slot_disappear_time_{frame}")[valid].tolist()
    close(tracks.memory.at(slots).embedding, case.expected(f"slot_queries_{frame}")[valid])
    close(tracks.memory.at(slots).box_m, case.expected(f"slot_bboxes_{frame}")[valid])
    retired = case.expected(f"buffer_ids_{frame}")
    assert tracks.retired_ids() == sorted(retired.tolist())
    buffer_age = tracks.table.num_missed[tracks.slots_of(retired)] - case.meta["miss_thres"] - 1
    assert buffer_age.tolist() == case.expected(f"buffer_age_{frame}").tolist()


# ---- AutoSeg3D's long-term memory over frames (§5.1 to §5.5)


@pytest.mark.parametrize("case", parity_cases.cases_of("ltm_sequence"), ids=lambda case: case.name)
def test_long_term_memory_over_frames(case: ParityCase) -> None:
    tracks = LongTermTracks(case.meta["weights_seed"])
    ids_in_slots = np.zeros(0, int)
    for frame in range(_num_frames(case)):
        seen, scores = _detections(case, f"f{frame}")
        faces = tracks.network.embed(seen.embedding, seen.box_m)
        close(faces.to_store, case.expected(f"f{frame}_u2"))
        product, score = tracks.affinity(faces.to_match, seen.box_m)
        if frame:
            columns = tracks.columns_of(ids_in_slots)
            close(product[:, columns], case.expected(f"f{frame}_A"))
            close(score[:, columns], case.expected(f"f{frame}_final_score"))
        tracks.observe(score, scores, replace(seen, embedding=faces.to_store), seen)
        _compare_long_term(tracks, case, frame)
        ids = np.arange(tracks.table.next_id - 1)
        close(tracks.instance_corners(tracks.slots_of(ids)), case.expected(f"f{frame}_bank_corners"))
        close(tracks.table.score[tracks.slots_of(ids)], case.expected(f"f{frame}_bank_scores"))
        assert _rows(tracks, len(scores)).tolist() == case.expected(f"f{frame}_bank_rows").tolist()
        ids_in_slots = case.expected(f"f{frame}_slot_id")


@pytest.mark.parametrize("case", parity_cases.cases_of("ltm_revival"), ids=lambda case: case.name)
def test_revival_by_long_term_memory(case: ParityCase) -> None:
    """The published code leaves an orphan row in its bank of instances for each revival; we have no such rows."""
    tracks, rows = LongTermTracks(case.meta["weights_seed"]), np.zeros(0, int)  # rows: (ids,) published row of each id
    num_orphans = 0
    for frame, chosen in enumerate(case.given("frame_set").tolist()):
        seen, scores = _detections(case, f"set{chosen}")
        faces = tracks.network.embed(seen.embedding, seen.box_m)
        _, score = tracks.affinity(faces.to_match, seen.box_m)
        retired = tracks.retired_ids()
        columns = tracks.columns_of(retired)
        tracks.observe(score, scores, replace(seen, embedding=faces.to_store), seen)
        revived = [id for id in retired if id in tracks.live_ids()]
        num_orphans += len(revived)
        rows = np.append(rows, np.arange(len(rows), tracks.table.next_id - 1) + num_orphans)
        if f"out__f{frame}_buffer_cost" in names_in(case):
            unmatched = np.flatnonzero(case.expected(f"f{frame}_matched_slot") < 0)
            close(score[unmatched][:, columns].T, case.expected(f"f{frame}_buffer_cost")[: len(retired)])
        if f"out__f{frame}_slot" in names_in(case):
            _compare_long_term(tracks, case, frame)
            assert tracks.retired_ids() == case.expected(f"f{frame}_buffer_ids").tolist()
            slots = tracks.slots_of(np.arange(len(rows)))
            close(tracks.table.score[slots], case.expected(f"f{frame}_bank_scores")[rows])
            assert _rows(tracks, len(scores)).tolist() == case.expected(f"f{frame}_bank_rows")[rows].tolist()


def _num_frames(case: ParityCase) -> int:
    return sum(name.endswith("_det_score") for name in names_in(case))


def _detections(case: ParityCase, name: str) -> tuple[ObjectFeatures, np.ndarray]:
    box_m = case.given(f"{name}_det_box")
    return features(case.given(f"{name}_det_embedding"), box_m), case.given(f"{name}_det_score")


def _compare_long_term(tracks: OnlineTracks, case: ParityCase, frame: int) -> None:
    ids = case.expected(f"f{frame}_slot_id")
    slots = tracks.slots_of(ids)
    assert tracks.live_ids() == sorted(ids.tolist())
    assert (tracks.table.num_observations[slots] - 1).tolist() == case.expected(f"f{frame}_slot_age").tolist()
    assert tracks.table.num_missed[slots].tolist() == case.expected(f"f{frame}_slot_missed").tolist()
    close(tracks.memory.at(slots).embedding, case.expected(f"f{frame}_slot_embedding"))
    close(tracks.memory.at(slots).box_m, case.expected(f"f{frame}_slot_box"))


def _rows(tracks: OnlineTracks, num_detections: int) -> np.ndarray:
    """Return (ids, D) bool: which detection of the last frame went to which id."""
    return np.arange(tracks.table.next_id - 1)[:, None] == tracks.ids_of_frame[-1][:num_detections]
