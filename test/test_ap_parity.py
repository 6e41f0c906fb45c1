"""Average precision and mesh transfer against the numbers of the published functions, case by case."""

from __future__ import annotations

import numpy as np
import parity_cases
import pytest
from parity_cases import ParityCase

from autoseg3d_ros.evaluation.average_precision import (
    OBJECT_CLASS,
    THRESHOLDS,
    SceneMatches,
    average_precision,
    match_scene,
    precision_recall,
)
from autoseg3d_ros.evaluation.mesh_transfer import nearest_point, segment_vote

FIRST_THING = 2  # the classes begin with wall and floor


@pytest.mark.parametrize("case", parity_cases.all_cases(), ids=lambda case: case.name)
def test_family_is_known(case: ParityCase) -> None:
    if case.family in parity_cases.LATER:
        pytest.skip(f"{case.family}_*: {parity_cases.LATER[case.family]}")
    assert case.family in parity_cases.IMPLEMENTED, f"{case.path}: no test reads {case.family}_*; see parity_cases.py"


def test_there_are_cases_to_compare_with() -> None:
    families = {case.family for case in parity_cases.all_cases()}
    if not families & {*parity_cases.IMPLEMENTED}:
        pytest.fail(f"{parity_cases.FOLDER}: expected ap_*.npz or transfer_*.npz there, found {sorted(families)}")


@parity_cases.parametrize("ap_")
def test_average_precision(case: ParityCase) -> None:
    scores = average_precision(_scenes(case))
    expected = [float(case.expected(name)) for name in ("all_ap", "all_ap_50", "all_ap_25")]
    assert [scores.ap, scores.ap50, scores.ap25] == pytest.approx(expected, abs=1e-6, nan_ok=True)


@parity_cases.parametrize("ap_")
def test_area_under_every_curve(case: ParityCase) -> None:
    scenes = _scenes(case)
    if _is_class_aware(case):
        class_ids, expected = case.expected("class_ids").tolist(), case.expected("ap_per_class_threshold")
    else:
        class_ids, expected = [OBJECT_CLASS], case.expected("ap_per_threshold")[None]
    assert case.expected("overlaps").tolist() == list(THRESHOLDS)
    got = [[_area(scenes, threshold, class_id) for threshold in THRESHOLDS] for class_id in class_ids]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6)
    scores = average_precision(scenes)
    assert sorted(scores.per_class) == [id for id, row in zip(class_ids, expected, strict=True) if not np.isnan(row[0])]


@parity_cases.parametrize("transfer_")
def test_transfer_to_mesh(case: ParityCase) -> None:
    segment_id, num_vertices = case.given("segment_ids"), len(case.given("segment_ids"))
    if case.name.startswith("transfer_mesh"):
        points_m = case.given("points")
        index, distance_m = nearest_point(points_m, case.given("vertices"))
        np.testing.assert_array_equal(index, case.expected("nearest"))
        np.testing.assert_allclose(
            distance_m, np.linalg.norm(case.given("vertices") - points_m[index], axis=1), rtol=1e-5
        )
        masks = _unpacked(case.given("masks"), len(points_m))[:, index]
        np.testing.assert_array_equal(masks, _unpacked(case.expected("vertex_masks"), num_vertices))
        expected = _unpacked(case.expected("smoothed_masks"), num_vertices)
    else:
        masks, expected = case.given("masks"), case.expected("smoothed_masks")
    np.testing.assert_array_equal(segment_vote(masks, segment_id), expected)


def _is_class_aware(case: ParityCase) -> bool:
    return case.name.startswith("ap_classaware")


def _area(scenes: list[SceneMatches], threshold: float, class_id: int) -> float:
    """Return the area of the trapezoids under a curve; NaN without one."""
    recall, precision, _ = precision_recall(scenes, threshold, class_id)
    widths, heights = recall[:-1] - recall[1:], (precision[:-1] + precision[1:]) / 2
    return float((widths * heights).sum()) if len(recall) else float("nan")


def _scenes(case: ParityCase) -> list[SceneMatches]:
    return [_scene(case, index) for index in range(int(case.given("n_scenes")))]


def _scene(case: ParityCase, index: int) -> SceneMatches:
    given_id = case.given(f"gt_ids_{index}").astype(np.int64)
    truth_id = np.where(given_id < 0, 0, given_id)
    masks = _unpacked(case.given(f"masks_{index}"), len(truth_id))
    classes = {}
    if _is_class_aware(case):
        things = case.given("valid_class_ids")[FIRST_THING:]
        listed = {*things.tolist()}
        truth_class = {id: id // 1000 for id in np.unique(truth_id).tolist() if id // 1000 in listed}
        classes = {"truth_class": truth_class, "mask_class": things[case.given(f"labels_{index}")]}
    score, min_region = case.given(f"scores_{index}"), int(case.meta["min_region"])
    return match_scene(truth_id, masks, score, min_region=min_region, **classes)


def _unpacked(packed: np.ndarray, length: int) -> np.ndarray:
    return np.unpackbits(packed, axis=1, count=length).astype(bool)
