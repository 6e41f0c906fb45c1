"""Many scenes times many rows: what is left out, what is used again, and workers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from benchmark_builders import write_scene

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark import split_evaluation
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.rows import row_configs
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.benchmark.split_evaluation import Task, TaskResult, evaluate_all, former_results, open_split
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import SceneFolder, write_info
from autoseg3d_ros.data.source import SourceError

QUICK = Protocol(num_resamples=20)


@pytest.fixture
def scene(tmp_path: Path) -> SceneFolder:
    return write_scene(tmp_path / "data" / "tiny")


def tasks_of(folder: Path, out: Path, row: str = "truth", **changes: object) -> list[Task]:
    geometric = configuration.replace(Config(), {"model.name": "none"})
    config = dataclasses.replace(row_configs([row], geometric)[row], **changes)
    scenes = open_split(folder, "test").scenes
    return [Task(row, config, QUICK, one.path, out / row / f"{one.path.name}.json") for one in scenes]


def results_of(tasks: list[Task], num_workers: int = 1) -> dict[str, TaskResult]:
    return {result.scene: result for result in evaluate_all(tasks, num_workers)}


def test_an_empty_split_says_what_there_is(scene: SceneFolder) -> None:
    with pytest.raises(SourceError, match="no scene of split 'val', found test"):
        open_split(scene.path.parent, "val")


def test_a_split_is_opened_in_order_without_what_is_damaged(scene: SceneFolder) -> None:
    data = scene.path.parent
    for name in ("b", "a", "c"):
        write_scene(data / name, num_frames=1)
    write_scene(data / "other", split="train", num_frames=1)
    write_scene(data / ".a.partial", num_frames=1)  # in the making
    (data / "b" / "scene.json").write_text("{")
    split = open_split(data, "test", limit=2)
    assert [one.name for one in split.scenes] == ["a", "c"]
    assert list(split.left_out) == ["b"]
    assert "not a finished scene" in split.left_out["b"]


def test_finished_outcomes_are_used_again_until_something_changes(scene: SceneFolder, tmp_path: Path) -> None:
    data, out = scene.path.parent, tmp_path / "out"
    (first,) = evaluate_all(tasks_of(data, out), 1)
    (second,) = evaluate_all(tasks_of(data, out), 1)
    assert (first.is_reused, second.is_reused) == (False, True)
    assert first.outcome and second.outcome
    assert first.outcome.to_dict() == second.outcome.to_dict()

    assert not results_of(tasks_of(data, out, seed=1))["tiny"].is_reused
    other_protocol = [dataclasses.replace(one, protocol=Protocol(frame_stride=2)) for one in tasks_of(data, out)]
    assert not results_of(other_protocol)["tiny"].is_reused
    assert not results_of(tasks_of(data, out))["tiny"].is_reused  # the file now holds the other protocol's
    write_info(scene.path, dataclasses.replace(scene.info, origin={"seed": 1}))
    assert not results_of(tasks_of(data, out))["tiny"].is_reused
    assert results_of(tasks_of(data, out))["tiny"].is_reused


def test_what_is_left_is_told_before_it_is_begun(scene: SceneFolder, tmp_path: Path) -> None:
    assert former_results([]) == ([], [])
    done, left = (tasks_of(scene.path.parent, tmp_path / "out", row)[0] for row in ("truth", "regions"))
    assert [one.outcome is not None for one in evaluate_all([done], 1)] == [True]
    former, open_tasks = former_results([left, done])
    assert [(one.row, one.is_reused) for one in former] == [("truth", True)]
    assert open_tasks == [left]


def test_a_change_during_an_evaluation_makes_it_count_no_more(
    scene: SceneFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluate = split_evaluation.evaluate_scene

    def evaluate_and_change(*arguments: object) -> SceneOutcome | None:
        outcome = evaluate(*arguments)
        write_info(scene.path, dataclasses.replace(scene.info, origin={"seed": 1}))
        return outcome

    monkeypatch.setattr(split_evaluation, "evaluate_scene", evaluate_and_change)
    tasks = tasks_of(scene.path.parent, tmp_path / "out")
    assert [one.outcome is not None for one in evaluate_all(tasks, 1)] == [True]
    assert former_results(tasks) == ([], tasks)


@pytest.mark.parametrize("content", ["", "[]", '{"digest": 1}', '{"outcome": {}, "digest": 1}'])
def test_a_damaged_outcome_is_computed_again(scene: SceneFolder, tmp_path: Path, content: str) -> None:
    (task,) = tasks_of(scene.path.parent, tmp_path / "out")
    task.out.parent.mkdir(parents=True)
    task.out.write_text(content)
    (result,) = evaluate_all([task], 1)
    assert result.outcome and not result.is_reused


def test_a_scene_that_fails_is_named_and_the_others_go_on(scene: SceneFolder, tmp_path: Path) -> None:
    data, out = scene.path.parent, tmp_path / "out"
    write_scene(data / "bare", num_frames=1)
    (data / "bare" / "mesh.npz").unlink()
    results = results_of(tasks_of(data, out))
    assert "mesh.npz" in results["bare"].message
    assert results["bare"].outcome is None
    assert results["tiny"].outcome is not None
    assert [file.name for file in (out / "truth").iterdir()] == ["tiny.json"]


def test_a_defect_in_one_scene_does_not_end_the_others(
    scene: SceneFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object) -> SceneOutcome:
        raise ZeroDivisionError("oh")

    monkeypatch.setattr(split_evaluation, "evaluate_scene", fail)
    (result,) = evaluate_all(tasks_of(scene.path.parent, tmp_path / "out"), 1)
    assert "ZeroDivisionError: oh" in result.message


def test_nothing_begins_after_a_stop(scene: SceneFolder, tmp_path: Path) -> None:
    tasks = tasks_of(scene.path.parent, tmp_path / "out")
    assert list(evaluate_all(tasks, 1, should_stop=lambda: True)) == []
    assert not (tmp_path / "out").exists()


def test_a_stop_ends_a_scene_between_two_frames(scene: SceneFolder, tmp_path: Path) -> None:
    asked: list[bool] = []
    tasks = tasks_of(scene.path.parent, tmp_path / "out")
    assert list(evaluate_all(tasks, 1, should_stop=lambda: bool(asked.append(True)) or len(asked) > 3)) == []
    assert len(asked) == 4
    assert not (tmp_path / "out").exists()


def test_two_workers_give_what_one_gives(scene: SceneFolder, tmp_path: Path) -> None:
    data = scene.path.parent
    write_scene(data / "second", num_frames=3)
    one, two = ({}, {})
    for num_workers, found in ((1, one), (2, two)):
        tasks = [task for row in ("fragmented", "regions") for task in tasks_of(data, tmp_path / str(num_workers), row)]
        assert all(result.outcome for result in evaluate_all(tasks, num_workers))
        for task in tasks:
            document = json.loads(task.out.read_text())
            assert document["outcome"].pop("stage_ms")
            found[task.row, task.scene.name] = document
    assert one == two
    assert len(one) == 4
