"""`autoseg3d eval DATASET --split S --out DIR`: the table of a split, and the files that it comes from."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.rows import ROWS, row_configs
from autoseg3d_ros.benchmark.scores import ResampledScores, scores_of
from autoseg3d_ros.benchmark.split_evaluation import Split, Task, TaskResult, open_split
from autoseg3d_ros.build import with_model
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.evaluations import counts, evaluate, num_from_before, outcomes_by_scene, scenes_left_out
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
    config = with_model(run_config(args.config, args.changes, masks=None, model=args.model, seed=args.seed))
    configs = row_configs(args.masks.split(","), config)
    split = open_split(args.run, args.split, args.limit_scenes)
    tasks = [
        Task(row, config, protocol, scene.path, args.out / row / f"{scene.path.name}.json")
        for scene in split.scenes
        for row, config in configs.items()
    ]
    results, exit_code = evaluate(tasks, args.workers, args.out)
    return exit_code or _report(args, protocol, split, list(configs), results)


def _report(
    args: argparse.Namespace, protocol: Protocol, split: Split, rows: Sequence[str], results: Sequence[TaskResult]
) -> int:
    outcomes = {row: outcomes_by_scene(results, row) for row in rows}
    left_out = scenes_left_out(split, results)
    if not any(outcomes.values()):
        raise CommandError("\n".join(["no scene could be evaluated", *left_out_lines(left_out)]))
    scores: dict[str, Scores] = {row: ResampledScores(scenes, protocol).intervals() for row, scenes in outcomes.items()}
    document: dict[str, Any] = {
        "dataset": args.run.resolve().name,
        "split": args.split,
        "protocol": dataclasses.asdict(protocol),
        "left_out": left_out,
        "rows": {
            row: {
                "changes": dict(ROWS[row].changes),
                **counts(scenes),
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
    num_reused = num_from_before(results)
    print(f"written to {args.out}: {RESULTS}, {REPORT}, {CURVES}" + (f"; {num_reused} from before" * (num_reused > 0)))
    return 0


def _draw(file: Path, outcomes: dict[str, dict[str, Any]]) -> None:
    matches = {row: [one.matches for one in scenes.values() if one.matches] for row, scenes in outcomes.items()}
    curves = {
        threshold: {row: Curve(*precision_recall(scenes, threshold)[:2]) for row, scenes in matches.items()}
        for threshold in _CURVE_THRESHOLDS
    }
    draw_curves(file, curves)
