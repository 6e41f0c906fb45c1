"""`autoseg3d eval DATASET --split S --out DIR`: the table of a split, and the files that it comes from."""

from __future__ import annotations

import argparse
import dataclasses
import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.rows import ROWS, row_configs
from autoseg3d_ros.benchmark.scores import score_intervals, scores_of
from autoseg3d_ros.benchmark.split_evaluation import Split, Task, TaskResult, evaluate_all, open_split
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.cli.tables import table
from autoseg3d_ros.evaluation.average_precision import precision_recall
from autoseg3d_ros.reporting.benchmark_table import (
    Scores,
    as_json,
    interval_as_dict,
    left_out_lines,
    report,
    score_lines,
)
from autoseg3d_ros.reporting.curves import Curve, draw_curves
from autoseg3d_ros.reporting.run_folder import write_json

RESULTS, REPORT, CURVES = "results.json", "results.md", "curves.png"
_CURVE_THRESHOLDS = (0.5, 0.25)


def execute(args: argparse.Namespace) -> int:
    """Evaluate what is not evaluated yet, then write and print the results; return the exit code."""
    if args.out is None:
        raise CommandError("--split needs --out DIR, the folder for the results")
    protocol = Protocol(frame_stride=args.stride)
    configs = row_configs(
        args.masks.split(","), run_config(args.config, args.changes, masks=None, model=args.model, seed=args.seed)
    )
    split = open_split(args.run, args.split, args.limit_scenes)
    tasks = [
        Task(row, config, protocol, scene.path, args.out / row / f"{scene.path.name}.json")
        for scene in split.scenes
        for row, config in configs.items()
    ]
    num_workers = args.workers or os.cpu_count() or 1
    with Interruption() as interruption, closing(evaluate_all(tasks, num_workers, interruption.__bool__)) as results:
        finished = list(_until_interrupted(results, len(tasks), interruption))
    if len(finished) < len(tasks):
        print(f"stopped: {len(finished)} of {len(tasks)} evaluations are in {args.out}; the same command goes on")
        return interruption.exit_code
    return _report(args, protocol, split, list(configs), finished)


def _until_interrupted(results: Iterator[TaskResult], total: int, interruption: Interruption) -> Iterator[TaskResult]:
    for result in with_progress(results, total, unit="evaluation"):
        yield result
        if interruption:
            return


def _report(
    args: argparse.Namespace, protocol: Protocol, split: Split, rows: Sequence[str], results: Sequence[TaskResult]
) -> int:
    outcomes = {
        row: {one.scene: one.outcome for one in sorted(results, key=_scene) if one.row == row and one.outcome}
        for row in rows
    }
    left_out = [{"row": "", "scene": name, "message": reason} for name, reason in split.left_out.items()]
    left_out += [{"row": one.row, "scene": one.scene, "message": one.message} for one in results if not one.outcome]
    if not any(outcomes.values()):
        raise CommandError("\n".join(["no scene could be evaluated", *left_out_lines(left_out)]))
    scores: dict[str, Scores] = {
        row: score_intervals(list(scenes.values()), protocol) for row, scenes in outcomes.items()
    }
    document: dict[str, Any] = {
        "dataset": args.run.resolve().name,
        "split": args.split,
        "protocol": dataclasses.asdict(protocol),
        "left_out": left_out,
        "rows": {
            row: {
                "changes": dict(ROWS[row].changes),
                "num_scenes": len(scenes),
                "num_frames": sum(one.num_frames for one in scenes.values()),
                "num_skipped": sum(one.num_skipped for one in scenes.values()),
                "scores": {name: interval_as_dict(score) for name, score in scores[row].items()},
                "scenes": {name: as_json(scores_of([one])) for name, one in scenes.items()},
            }
            for row, scenes in outcomes.items()
        },
    }
    write_json(args.out / RESULTS, document)
    (args.out / REPORT).write_text(report(document, scores))
    _draw(args.out / CURVES, outcomes)
    print(table(*score_lines(scores)))
    for line in left_out_lines(left_out):
        print(line)
    num_reused = sum(one.is_reused for one in results)
    print(f"written to {args.out}: {RESULTS}, {REPORT}, {CURVES}" + (f"; {num_reused} from before" * (num_reused > 0)))
    return 0


def _draw(file: Path, outcomes: dict[str, dict[str, Any]]) -> None:
    matches = {row: [one.matches for one in scenes.values() if one.matches] for row, scenes in outcomes.items()}
    curves = {
        threshold: {row: Curve(*precision_recall(scenes, threshold)[:2]) for row, scenes in matches.items()}
        for threshold in _CURVE_THRESHOLDS
    }
    draw_curves(file, curves)


def _scene(result: TaskResult) -> str:
    return result.scene
