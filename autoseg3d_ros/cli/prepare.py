"""`autoseg3d prepare`: the raw files of a benchmark -> scene folders, with 2D masks and superpoints if wanted."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.prepare_superpoints import LiftingTask, lift_scenes
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.data.preparation import SceneReport, claim, missing_files, prepare_scene
from autoseg3d_ros.data.raw_dataset import RawDataset
from autoseg3d_ros.data.scene_folder import SCENE_FILE
from autoseg3d_ros.worker_pool import Worker, run_each

_MOST_NAMES = 5
_MOST_REASONS = 3


def execute(args: argparse.Namespace) -> int:
    """Check or prepare a data set; return 1 where anything was left out, 128 + signal where it was stopped."""
    if args.dataset == "synthetic":
        return _lift(args, args.root, _finished_scenes(args.root, args.scenes))
    dataset = _dataset(args)
    scenes = _chosen_scenes(dataset, args)
    lacking = missing_files(dataset, scenes)
    print(f"{dataset.name}: {len(scenes)} scenes, {len(scenes) - len(lacking)} of them complete", flush=True)
    _print_missing(lacking)
    if args.check:
        return 1 if lacking else 0
    if args.out is None:
        raise CommandError("expected --out DIR, the folder to write to, or --check")
    complete = [scene for scene in scenes if scene not in lacking]
    status = _prepare(dataset, complete, args)
    if status > 1 or not (args.masks or args.superpoints):
        return status or int(bool(lacking))
    prepared = [scene for scene in complete if (args.out / scene / SCENE_FILE).exists()]
    return _lift(args, args.out, prepared) or status or int(bool(lacking))


def _dataset(args: argparse.Namespace) -> RawDataset:
    """Open the raw files; the module of a benchmark is imported when it is asked for."""
    if args.dataset in ("scannet", "scannet200"):
        from autoseg3d_ros.data.scannet import ScanNet, ScanNet200

        return (ScanNet if args.dataset == "scannet" else ScanNet200)(args.root, args.intrinsics)
    if args.intrinsics != "average":
        raise CommandError("--intrinsics is for scannet and scannet200; the others record theirs or have but one")
    if args.dataset == "scenenn":
        from autoseg3d_ros.data.scenenn import SceneNN

        return SceneNN(args.root)
    from autoseg3d_ros.data.threerscan import ThreeRScan

    return ThreeRScan(args.root)


def _chosen_scenes(dataset: RawDataset, args: argparse.Namespace) -> list[str]:
    names = dataset.scene_names()
    if args.scenes:
        names = _expect_known(args.scenes, names, args.root)
    if args.split:
        names = [name for name in names if dataset.split_of(name) == args.split]
    if not names:
        raise CommandError(f"{args.root}: no scene of split {args.split!r}; leave --split out to see what is there")
    return names


def _finished_scenes(root: Path, wanted: Sequence[str]) -> list[str]:
    names = sorted(file.parent.name for file in root.glob(f"*/{SCENE_FILE}"))
    if not names:
        raise CommandError(
            f"{root}: expected scene folders with {SCENE_FILE}, found none; `autoseg3d synth` writes them"
        )
    return _expect_known(wanted, names, root) if wanted else names


def _expect_known(wanted: Sequence[str], names: Sequence[str], root: Path) -> list[str]:
    if unknown := [scene for scene in wanted if scene not in names]:
        raise CommandError(
            f"{root}: no scene {', '.join(unknown)}; there are {len(names)}, among them {_some(names, _MOST_NAMES)}"
        )
    return list(wanted)


def _print_missing(lacking: dict[str, list[Path]]) -> None:
    """Print which scenes lack which files, scenes that lack the same together."""
    scenes_of: dict[tuple[str, ...], list[str]] = {}
    for scene, files in lacking.items():
        what = tuple(file.name.replace(scene, "<scene>") for file in files)
        scenes_of.setdefault(what, []).append(scene)
    for what, scenes in sorted(scenes_of.items(), key=lambda item: -len(item[1])):
        first = lacking[scenes[0]][0]
        print(f"  missing {', '.join(what)}\n    in {len(scenes)}: {_some(scenes, _MOST_NAMES)} (expected {first})")


def _prepare(dataset: RawDataset, scenes: list[str], args: argparse.Namespace) -> int:
    claim(args.out, {"dataset": args.dataset, "intrinsics": args.intrinsics})
    reports: list[SceneReport] = []
    started_s = time.monotonic()
    with Interruption() as interruption:
        task = partial(_prepare_one, dataset, args.out)
        for report in run_each(task, scenes, args.workers, interruption.__bool__):
            if report.outcome == "stopped":
                continue
            reports.append(report)
            _print_report(report, f"{len(reports)} of {len(scenes)}, {time.monotonic() - started_s:.0f} s")
    _print_summary(reports, len(scenes), args.out)
    return interruption.exit_code or int(any(report.outcome == "left out" for report in reports))


def _prepare_one(dataset: RawDataset, out: Path, scene: str, worker: Worker) -> SceneReport:
    return prepare_scene(dataset, out, scene, worker.stopped)


def _print_report(report: SceneReport, progress: str) -> None:
    if report.outcome == "left out":
        print(f"{report.scene}: LEFT OUT: {report.reason} ({progress})", file=sys.stderr, flush=True)
        return
    skipped = f", {len(report.skipped)} skipped" * bool(report.skipped)
    print(
        f"{report.scene}: {report.outcome}, {report.num_frames} frames{skipped}, {report.num_instances} instances "
        f"({progress})",
        flush=True,
    )
    for line in (*report.warnings, *report.skipped[:_MOST_REASONS]):
        print(f"  {line}", file=sys.stderr, flush=True)


def _print_summary(reports: list[SceneReport], num_scenes: int, out: Path) -> None:
    count = {outcome: sum(report.outcome == outcome for report in reports) for outcome in ("written", "kept")}
    left_out = [report for report in reports if report.outcome == "left out"]
    num_open = num_scenes - sum(count.values()) - len(left_out)
    print(
        f"{out}: {count['written']} scenes written, {count['kept']} kept, {len(left_out)} left out"
        + f", {num_open} not done: run the same command again" * bool(num_open)
    )
    for report in left_out:
        print(f"  {report.scene}: {report.reason}")


def _lift(args: argparse.Namespace, root: Path, scenes: list[str]) -> int:
    if not (args.masks or args.superpoints):
        raise CommandError("nothing to do: expected --masks SOURCE, --superpoints or both")
    config = run_config(args.config, args.changes, masks=None, seed=None)
    return lift_scenes(root, scenes, LiftingTask(args.masks, args.superpoints, config), args.workers)


def _some(names: Sequence[str], most: int) -> str:
    return ", ".join(names[:most]) + ", ..." * (len(names) > most)
