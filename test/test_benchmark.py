"""The evaluation of scenes: points to vertices, rows, whole scenes, and many of them in workers."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from benchmark_builders import LEFT, scene_frame, scene_mesh, write_scene

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.labelled_points import FinalInstance, LabelledPoints, top_instances
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.rows import DEFAULT_ROWS, row_configs
from autoseg3d_ros.benchmark.scene_evaluation import SceneScorer, evaluate_scene
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.benchmark.scores import ResampledScores, scores_of
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.data.scene_folder import SceneFolder, SceneInfo, write_info
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.reporting.benchmark_table import COLUMNS
from autoseg3d_ros.structures import Frame

QUICK = Protocol(num_resamples=20)
ON_LEFT = 25 * 80 + 20  # a pixel of the left block
GEOMETRIC = configuration.replace(Config(), {"model.name": "none"})
TRUTH = row_configs(["truth"], GEOMETRIC)["truth"]


@pytest.fixture
def scene(tmp_path: Path) -> SceneFolder:
    return write_scene(tmp_path / "data" / "tiny")


def in_memory(*ids: int) -> list[FinalInstance]:
    return [FinalInstance(id, is_confirmed=True, score=1.0, num_observations=4) for id in ids]


def scored(scene: SceneFolder, label_images: list[np.ndarray], *ids: int, **heirs: int) -> dict[str, float]:
    """Return the scores of label images given by hand; `heirs` is id_5=2 for 5 merged into 2."""
    scorer = SceneScorer(QUICK, scene)
    for frame, labels in zip(scene.source().frames(), label_images, strict=False):
        assert isinstance(frame, Frame)
        scorer.add(frame, labels)
    return scores_of([scorer.outcome(in_memory(*ids), {int(name[3:]): id for name, id in heirs.items()}, {})])


# --- rows and protocol ---


def test_default_rows_change_only_where_masks_come_from() -> None:
    configs = row_configs(DEFAULT_ROWS, dataclasses.replace(Config(), seed=5))
    assert {name: (one.masks.source, one.masks.fragments) for name, one in configs.items()} == {
        "truth": ("truth", 1),
        "fragmented": ("truth", 4),
        "regions": ("regions", 1),
    }
    assert {one.seed for one in configs.values()} == {5}


@pytest.mark.parametrize(
    ("names", "told"),
    [
        ([], "no row"),
        (["thruth"], "unknown row 'thruth'"),
        ([""], "unknown row ''"),
        (["esam"], "comes with the network"),
    ],
)
def test_rows_that_cannot_be_evaluated(names: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        row_configs(names, GEOMETRIC)


@pytest.mark.parametrize("name", ["frame_stride", "points_per_frame", "top_instances", "min_vertices"])
def test_a_protocol_of_nothing_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Protocol(**{name: 0})


# --- points to vertices ---


def test_without_points_no_vertex_has_an_instance() -> None:
    labels = LabelledPoints(QUICK).on_vertices(np.zeros((3, 3), np.float32), {})
    assert labels.id.tolist() == [0, 0, 0]
    assert np.isinf(labels.distance_m).all()
    assert not labels.masks(np.array([1])).any()


def test_points_outside_the_range_of_depth_are_left_out() -> None:
    frame, points = scene_frame(), LabelledPoints(Protocol(max_depth_m=1.5))
    assert frame.truth is not None
    points.add(frame, frame.truth, np.eye(4))
    labels = points.on_vertices(scene_mesh().vertices_m, {})
    assert set(labels.id.tolist()) == {1}  # only the near block has points, and everything takes the nearest
    _x, _y, width, height, _depth_m = LEFT
    assert np.count_nonzero(labels.masks(np.array([1]), 0.001)) == width * height


def test_vertices_beyond_the_cut_take_no_mask() -> None:
    frame, points = scene_frame(), LabelledPoints(QUICK)
    assert frame.truth is not None
    points.add(frame, frame.truth, np.eye(4))
    vertices_m = scene_mesh().vertices_m[[ON_LEFT]] + np.array([[0, 0, 0.0], [0, 0, -0.04], [0, 0, -0.2]], np.float32)
    labels = points.on_vertices(vertices_m, {})
    assert frame.truth.ravel()[ON_LEFT] == 1
    np.testing.assert_allclose(labels.distance_m, [0, 0.04, 0.2], atol=1e-6)
    assert labels.masks(np.array([1])).tolist() == [[True, True, True]]
    assert labels.masks(np.array([1]), 0.05).tolist() == [[True, True, False]]


def test_points_take_the_last_of_a_line_of_heirs() -> None:
    frame, points = scene_frame(), LabelledPoints(QUICK)
    assert frame.truth is not None
    points.add(frame, np.where(frame.truth == 1, 9, 0), np.eye(4))
    labels = points.on_vertices(scene_mesh().vertices_m, {9: 7, 7: 3})
    assert set(labels.id.tolist()) == {0, 3}


def test_the_drawn_pixels_depend_on_seed_and_stamp_alone() -> None:
    frame = scene_frame()
    assert frame.truth is not None
    distances = []
    for seed in (0, 0, 1):
        points = LabelledPoints(Protocol(points_per_frame=100, seed=seed))
        points.add(frame, frame.truth, np.eye(4))
        distances.append(points.on_vertices(scene_mesh().vertices_m, {}).distance_m)
    assert np.count_nonzero(distances[0] == 0) == 100
    np.testing.assert_array_equal(distances[0], distances[1])
    assert not np.array_equal(distances[0], distances[2])


def test_top_instances_are_confirmed_and_in_order_of_score_then_observations_then_age() -> None:
    instances = [
        FinalInstance(1, True, 0.5, 3),
        FinalInstance(2, False, 0.9, 9),
        FinalInstance(3, True, 0.9, 1),
        FinalInstance(4, True, 0.5, 8),
        FinalInstance(5, True, 0.5, 3),
    ]
    assert [one.id for one in top_instances(instances, 3)] == [3, 4, 1]
    assert top_instances([], 3) == []


# --- one scene ---


def test_truth_masks_and_exact_poses_are_perfect(scene: SceneFolder) -> None:
    outcome = evaluate_scene(scene, TRUTH, QUICK)
    scores = scores_of([outcome])
    ones = ("ap", "ap50", "ap25", "ap50_near", "idf1", "mask_recall50", "mask_recall75", "mask_recall50_united")
    assert {name: scores[name] for name in ones} == dict.fromkeys(ones, 1.0)
    assert scores["hota"] > 0.99
    assert (scores["switches"], scores["fragmentations"]) == (0, 0)
    assert (outcome.num_frames, outcome.num_skipped) == (4, 0)
    assert scores["frames_per_second"] > 0


def test_points_lie_where_the_true_pose_says(scene: SceneFolder) -> None:
    for file in (scene.path / "true_pose").iterdir():
        file.unlink()  # the believed poses, a metre beside, are then the best there is
    scores = scores_of([evaluate_scene(scene, TRUTH, QUICK)])
    assert scores["ap50_near"] == 0.0
    assert scores["idf1"] == 1.0


def test_stride_takes_every_kth_frame(scene: SceneFolder) -> None:
    assert evaluate_scene(scene, TRUTH, dataclasses.replace(QUICK, frame_stride=3)).num_frames == 2


def test_tentative_instances_do_not_count(tmp_path: Path) -> None:
    outcome = evaluate_scene(write_scene(tmp_path / "short", num_frames=2), TRUTH, QUICK)
    scores = scores_of([outcome])
    assert outcome.num_instances == 0
    assert (scores["ap50"], scores["idf1"]) == (0.0, 1.0)


def test_a_scene_without_predictions_is_legal(scene: SceneFolder) -> None:
    scores = scored(scene, [np.zeros((60, 80), np.int32)] * 4)
    assert (scores["ap"], scores["ap25"], scores["idf1"]) == (0.0, 0.0, 0.0)
    assert math.isnan(scores["mask_recall50"])


def test_ids_that_were_merged_later_count_for_their_heirs(scene: SceneFolder) -> None:
    truth = scene_frame().truth
    assert truth is not None
    early = np.where((truth == 2) & (np.arange(80) < 60), 5, truth)  # a part of the right block has another id
    assert scored(scene, [early] * 4, 1, 2, 5)["ap"] < 1.0
    assert scored(scene, [early] * 4, 1, 2, id_5=2)["ap"] == 1.0


def test_an_outcome_comes_back_from_json(scene: SceneFolder) -> None:
    outcome = evaluate_scene(scene, TRUTH, QUICK)
    again = SceneOutcome.from_dict(json.loads(json.dumps(outcome.to_dict(), allow_nan=False)))
    assert again.to_dict() == outcome.to_dict()
    assert scores_of([again]) == pytest.approx(scores_of([outcome]), nan_ok=True)


def test_skipped_frames_are_counted_with_the_first_reason(scene: SceneFolder) -> None:
    (scene.path / "depth" / "000001.png").unlink()
    outcome = evaluate_scene(scene, TRUTH, QUICK)
    assert (outcome.num_frames, outcome.num_skipped) == (3, 1)
    assert "000001.png" in outcome.first_skipped


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda path: (path / "mesh.npz").unlink(), "mesh.npz"),
        (lambda path: (path / "mesh.npz").write_bytes(b"PK"), "mesh.npz"),
        (
            lambda path: cv2.imwrite(str(path / "instance/000002.png"), np.full((60, 80), 7, np.uint16)),
            "000002.png.* 7",
        ),
        (lambda path: write_info(path, SceneInfo("tiny", "tiny", "test", ())), "mesh.npz: .* 1, 2"),
        (lambda path: [file.unlink() for file in (path / "pose").iterdir()], "none of 4 frames.*000000.txt"),
    ],
    ids=["no mesh", "cut mesh", "truth id", "mesh id", "no pose"],
)
def test_a_damaged_scene_is_named(scene: SceneFolder, damage, told: str) -> None:
    damage(scene.path)
    with pytest.raises(SourceError, match=told):
        evaluate_scene(SceneFolder(scene.path), TRUTH, QUICK)


def test_masks_from_files_lie_in_each_scene_or_by_its_name(scene: SceneFolder, tmp_path: Path) -> None:
    (scene.path / "masks").mkdir()
    for file in (scene.path / "instance").iterdir():
        (scene.path / "masks" / file.name).write_bytes(file.read_bytes())
    beside = row_configs(["file"], GEOMETRIC)["file"]
    assert scores_of([evaluate_scene(scene, beside, QUICK)])["mask_recall75"] == 1.0
    elsewhere = dataclasses.replace(beside, masks=dataclasses.replace(beside.masks, directory=str(tmp_path / "masks")))
    (tmp_path / "masks").mkdir()
    (scene.path / "masks").rename(tmp_path / "masks" / "tiny")
    assert scores_of([evaluate_scene(scene, elsewhere, QUICK)])["mask_recall75"] == 1.0


# --- scores ---


def test_every_score_has_a_column_and_every_column_a_score() -> None:
    assert list(scores_of([])) == [column.key for column in COLUMNS]


def test_scores_of_no_scene_are_undefined() -> None:
    assert all(math.isnan(score.value) for score in ResampledScores({}, QUICK).intervals().values())


def test_equal_scenes_have_intervals_of_no_width(scene: SceneFolder) -> None:
    outcome = evaluate_scene(scene, TRUTH, QUICK)
    scores = ResampledScores({"a": outcome, "b": outcome}, QUICK).intervals()
    assert (scores["ap50"].low, scores["ap50"].high) == (1.0, 1.0)
