"""Evaluations as `eval` and `ablate` run them: with progress, ended by Ctrl-C, and gone on with by the same command."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from pathlib import Path

from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.benchmark.split_evaluation import Split, Task, TaskResult, evaluate_all, former_results
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import Progress

LeftOut = dict[str, str]  # row (empty = all), scene and message


def evaluate(tasks: Sequence[Task], workers: int | None, out: Path) -> tuple[list[TaskResult], int]:
    """Run what is not finished yet; return the results and the exit code, 0 where there are all of them.

    None workers = one a core. A stop is told with what is kept in `out`.
    """
    results, open_tasks = former_results(tasks)
    num_workers = workers or os.cpu_count() or 1
    with (
        Interruption() as interruption,
        Progress(len(open_tasks), unit="evaluation") as progress,
        closing(evaluate_all(open_tasks, num_workers, interruption.__bool__)) as finished,
    ):
        for result in finished:
            results.append(result)
            progress.advance(1)
            if interruption:
                break
    if len(results) == len(tasks):
        return results, 0
    print(f"stopped: {len(results)} of {len(tasks)} evaluations are in {out}; the same command goes on")
    return results, interruption.exit_code


def outcomes_by_scene(results: Iterable[TaskResult], row: str) -> dict[str, SceneOutcome]:
    """Return the outcomes of a row by the name of the scene, in the order of the names."""
    outcomes = {one.scene: one.outcome for one in results if one.row == row and one.outcome}
    return dict(sorted(outcomes.items()))


def scenes_left_out(split: Split, results: Iterable[TaskResult]) -> list[LeftOut]:
    """Return what could not be evaluated and why."""
    left_out = [{"row": "", "scene": name, "message": reason} for name, reason in split.left_out.items()]
    return left_out + [
        {"row": one.row, "scene": one.scene, "message": one.message} for one in results if not one.outcome
    ]


def num_from_before(results: Iterable[TaskResult]) -> int:
    """Return how many results are of a former evaluation."""
    return sum(one.is_reused for one in results)


def counts(outcomes: Mapping[str, SceneOutcome]) -> dict[str, int]:
    """Return how much was evaluated."""
    return {
        "num_scenes": len(outcomes),
        "num_frames": sum(one.num_frames for one in outcomes.values()),
        "num_skipped": sum(one.num_skipped for one in outcomes.values()),
    }
