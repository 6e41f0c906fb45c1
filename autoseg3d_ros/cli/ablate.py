"""`autoseg3d ablate DATASET --models DIR --out DIR`: what each part of the method adds, as tables in Markdown."""

from __future__ import annotations

import argparse
import dataclasses
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from autoseg3d_ros.benchmark.ablation import (
    DIFFERENCES,
    AblationRow,
    ablation_config,
    ablation_rows,
    mask_changes,
    weights_of,
)
from autoseg3d_ros.benchmark.digests import file_digest
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.benchmark.scores import ResampledScores, mean_stage_ms, scores_of
from autoseg3d_ros.benchmark.split_evaluation import Split, Task, open_split
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.evaluations import counts, evaluate, num_from_before, outcomes_by_scene, scenes_left_out
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.cli.revision import revision
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.cli.tables import table
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.reporting.ablation_table import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    MasksTable,
    report,
    with_milliseconds,
)
from autoseg3d_ros.reporting.benchmark_table import Scores, as_json, interval_as_dict, left_out_lines, row_lines
from autoseg3d_ros.reporting.run_folder import write_json

RESULTS = "results.md"


@dataclass(frozen=True)
class _Plan:
    """What is evaluated."""

    rows: Sequence[AblationRow]
    unusable: Mapping[str, str]  # row -> why its network cannot be used
    configs: Mapping[str, Mapping[str, Config]]  # masks -> row -> settings

    def by_folder(self) -> dict[str, Config]:
        """Return the settings by the folder of their outcomes, see `_folder`."""
        return {_folder(masks, row): one for masks, rows in self.configs.items() for row, one in rows.items()}


def execute(args: argparse.Namespace) -> int:
    """Evaluate what is not evaluated yet, then write and print the tables; return the exit code."""
    protocol = Protocol(frame_stride=args.stride)
    machine, split = _machine(), open_split(args.dataset, args.split, args.limit_scenes)
    plan = _plan(args)
    origin = _origin(args, plan, split, machine)
    configs = plan.by_folder()
    tasks = [
        Task(folder, config, protocol, scene.path, args.out / folder / f"{scene.path.name}.json")
        for scene in split.scenes
        for folder, config in configs.items()
    ]
    results, exit_code = evaluate(tasks, args.workers, args.out)
    if exit_code:
        return exit_code
    left_out = scenes_left_out(split, results)
    outcomes = {folder: outcomes_by_scene(results, folder) for folder in configs}
    if not any(outcomes.values()):
        raise CommandError("\n".join(["no scene could be evaluated", *left_out_lines(left_out)]))
    tables = _tables(plan, {folder: ResampledScores(one, protocol) for folder, one in outcomes.items()})
    document = {
        **origin,
        "protocol": dataclasses.asdict(protocol),
        "left_out": left_out,
        "masks": {one.masks: _masks_document(one, outcomes) for one in tables},
    }
    _write(args.results or args.out / RESULTS, document, tables)
    if num_reused := num_from_before(results):
        print(f"{num_reused} of {len(results)} evaluations are from before")
    return 0


def _machine() -> dict[str, str | int]:
    try:
        from autoseg3d_ros.benchmark.convolution_speed import machine
    except ImportError as error:
        raise CommandError(f"needs torch and safetensors ({error}); pip install torch safetensors") from error
    return machine()


def _plan(args: argparse.Namespace) -> _Plan:
    """Return what is to be evaluated; rows whose network cannot be used are left out, and that is said.

    Raises ConfigError for wrong names and settings, CommandError where no row is left.
    """
    if not args.masks:
        raise CommandError("--masks: expected at least one, such as regions")
    base = run_config(args.config, args.changes, masks=None, seed=args.seed)
    rows, unusable = ablation_rows(args.rows), {}
    for row in rows:
        reason = _reason_against(row, args.models, ablation_config(row, args.masks[0], args.models, base))
        if reason:
            unusable[row.name] = reason
            print(f"row {row.name} is left out: {reason}")
    usable = [row for row in rows if row.name not in unusable]
    if not usable:
        raise CommandError(f"no row is left, the reasons are above; expected trained networks in {args.models}")
    configs = {
        masks: {row.name: ablation_config(row, masks, args.models, base) for row in usable} for masks in args.masks
    }
    return _Plan(rows, unusable, configs)


def _reason_against(row: AblationRow, models: Path, config: Config) -> str:
    """Return why a row cannot be evaluated: its network is missing or damaged, or lacks a part. Empty = it can."""
    if row.network and not weights_of(row, models).is_file():
        return f"{weights_of(row, models)} is not there"
    try:
        build_segmenter(config)
    except ConfigError as error:
        return str(error)
    return ""


def _tables(plan: _Plan, resampled: Mapping[str, ResampledScores]) -> list[MasksTable]:
    tables = []
    intervals = {folder: resampled[folder].intervals() for folder in with_progress(resampled, len(resampled), "row")}
    for masks, configs in plan.configs.items():
        differences: dict[str, Scores] = {
            f"{one.what}: {one.row} - {one.minus}": resampled[_folder(masks, one.row)].minus(
                resampled[_folder(masks, one.minus)]
            )
            for one in DIFFERENCES
            if one.row in configs and one.minus in configs
        }
        rows = {row: with_milliseconds(intervals[_folder(masks, row)]) for row in configs}
        tables.append(MasksTable(masks, rows, differences))
    return tables


def _origin(args: argparse.Namespace, plan: _Plan, split: Split, machine: Mapping[str, str | int]) -> dict[str, Any]:
    """Return what the figures come from."""
    networks = {row.network: weights_of(row, args.models) for row in plan.rows if row.network}
    workers = {"workers": args.workers or os.cpu_count() or 1}
    first, *others = [scene.info.origin.items() for scene in split.scenes]
    return {
        "dataset": args.dataset.resolve().name,
        "split": args.split,
        "scenes_from": {key: value for key, value in first if all((key, value) in other for other in others)},
        "command": shlex.join(["autoseg3d", *args.typed]),
        "commit": revision(),
        "machine": {**{key: value for key, value in machine.items() if key != "threads"}, **workers},
        "networks": {name: file_digest(file) for name, file in networks.items() if file.is_file()},
        "rows": {
            row.name: {
                "network": row.network,
                "changes": dict(row.changes),
                "left_out": plan.unusable.get(row.name, ""),
            }
            for row in plan.rows
        },
    }


def _masks_document(one: MasksTable, outcomes: Mapping[str, Mapping[str, SceneOutcome]]) -> dict[str, Any]:
    return {
        "changes": mask_changes(one.masks),
        "rows": {row: _row_document(scores, outcomes[_folder(one.masks, row)]) for row, scores in one.rows.items()},
        "differences": {what: _as_json(scores) for what, scores in one.differences.items()},
    }


def _folder(masks: str, row: str) -> str:
    """Return where the outcomes of a row are, below the folder of all."""
    return f"{masks}/{row}"


def _row_document(scores: Scores, scenes: Mapping[str, SceneOutcome]) -> dict[str, Any]:
    return {
        **counts(scenes),
        "scores": _as_json(scores),
        "stage_ms": mean_stage_ms(list(scenes.values())),
        "scenes": {name: as_json(scores_of([one])) for name, one in scenes.items()},
    }


def _as_json(scores: Scores) -> dict[str, Any]:
    return {name: interval_as_dict(score) for name, score in scores.items()}


def _write(file: Path, document: Mapping[str, Any], tables: Sequence[MasksTable]) -> None:
    """Write the tables, and every number as JSON beside them; print them too."""
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file.with_suffix(".json"), document)
    file.write_text(report(document, tables))
    for one in tables:
        print(f"\nmasks: {one.masks}\n")
        print(table(*row_lines(one.rows, COLUMNS)))
        if one.differences:
            print("\n" + table(*row_lines(one.differences, DIFFERENCE_COLUMNS, "difference")))
    print()
    for line in left_out_lines(document["left_out"]):
        print(line)
    print(f"written to {file} and {file.with_suffix('.json').name} beside it")
