"""All scenes of a split times all rows, in parallel worker processes; what is finished is kept and used again."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from autoseg3d_ros.benchmark.digests import outcome_digest
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.scene_evaluation import evaluate_scene
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import SCENE_FILE, SceneFolder, scenes_of
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import FrameError
from autoseg3d_ros.worker_pool import Worker, run_each

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One scene evaluated with one row."""

    row: str
    config: Config
    protocol: Protocol
    scene: Path
    out: Path  # file of the outcome


@dataclass(frozen=True)
class TaskResult:
    """What became of a task."""

    row: str
    scene: str
    outcome: SceneOutcome | None = None
    message: str = ""  # why there is no outcome
    is_reused: bool = False


@dataclass(frozen=True)
class Split:
    """The scenes of a split that can be opened, and why the others cannot."""

    scenes: tuple[SceneFolder, ...]
    left_out: Mapping[str, str]  # scene folder -> reason


def open_split(dataset: Path, split: str, limit: int | None = None) -> Split:
    """Open the first `limit` scenes of a split, by name. A damaged scene is left out and named.

    Raises SourceError where the split has no scene.
    """
    scenes, left_out = [], {}
    for file in sorted(dataset.glob(f"[!.]*/{SCENE_FILE}")):  # hidden: in the making
        try:
            scene = SceneFolder(file.parent)
        except SourceError as error:
            left_out[file.parent.name] = str(error)
            continue
        if scene.info.split == split:
            scenes.append(scene)
    if not scenes:
        scenes_of(dataset, split)  # says what is wrong
    return Split(tuple(scenes[:limit]), left_out)


def evaluate_all(
    tasks: Sequence[Task], num_workers: int, should_stop: Callable[[], bool] = lambda: False
) -> Generator[TaskResult, None, None]:
    """Yield the results of tasks in the order in which they end, first those of `former_results`.

    Workers end after the frame in hand when `should_stop` says so or the iteration is closed; outcomes are on disk as
    soon as they are yielded. Raises WorkerDiedError.
    """
    former, open_tasks = former_results(tasks)
    yield from former
    results = run_each(run_task, open_tasks, num_workers, should_stop)
    yield from (result for result in results if result is not None)


def former_results(tasks: Sequence[Task]) -> tuple[list[TaskResult], list[Task]]:
    """Return the results of a former evaluation that still hold, and the tasks that are left."""
    results, open_tasks = [], []
    for task in tasks:
        former = _former_outcome(task)
        if former is None:
            open_tasks.append(task)
        else:
            results.append(TaskResult(task.row, task.scene.name, former, is_reused=True))
    return results, open_tasks


def run_task(task: Task, worker: Worker) -> TaskResult | None:
    """Evaluate one scene and write its outcome. Whatever goes wrong becomes the message of the result.

    None = stopped before the end.
    """
    try:
        scene = SceneFolder(task.scene)
        digest = outcome_digest(scene, task.config, task.protocol)  # before: what changes meanwhile is not in it
        outcome = evaluate_scene(scene, task.config, task.protocol, worker.stopped)
        if outcome is None:
            return None
        _write(task, digest, outcome)
    except (SourceError, FrameError, OSError) as error:
        return TaskResult(task.row, task.scene.name, message=str(error))
    except Exception as error:  # a defect of ours: the other scenes still count
        _logger.exception("row %s, scene %s", task.row, task.scene)
        return TaskResult(task.row, task.scene.name, message=f"{task.scene}: {type(error).__name__}: {error}")
    return TaskResult(task.row, task.scene.name, outcome)


def _former_outcome(task: Task) -> SceneOutcome | None:
    """Return the outcome on disk where it was computed from the same, else None."""
    try:
        document = json.loads(task.out.read_text())
        digest = outcome_digest(SceneFolder(task.scene), task.config, task.protocol)
        return SceneOutcome.from_dict(document["outcome"]) if document["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(task: Task, digest: str, outcome: SceneOutcome) -> None:
    """Write an outcome in one piece."""
    task.out.parent.mkdir(parents=True, exist_ok=True)
    partial = task.out.with_name(f".{task.out.name}.partial")
    partial.write_text(json.dumps({"digest": digest, "outcome": outcome.to_dict()}, sort_keys=True) + "\n")
    os.replace(partial, task.out)
