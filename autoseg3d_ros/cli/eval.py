"""`autoseg3d eval`: one run against the truth of its source, or all scenes of a split with several rows."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any

from autoseg3d_ros.benchmark.labelled_points import FinalInstance
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.scene_evaluation import SceneScorer
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.benchmark.scores import scores_of as pooled_scores
from autoseg3d_ros.cli import eval_split
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.scene_folder import MESH_FILE, SCENE_FILE, SceneFolder
from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.evaluation.identity import IdentityScores, pooled_identity
from autoseg3d_ros.evaluation.results import format_scores, scores_as_dict
from autoseg3d_ros.reporting.run_folder import SCORES, RunFolder, read_run, write_json
from autoseg3d_ros.structures import EventType, FrameError, InstanceState

_RUN_SCORES = {  # of `benchmark.scores`, beside the identity scores of the run: key -> title
    "hota": "HOTA",
    "assa": "AssA",
    "revivals_right": "revivals right",
    "ap": "AP",
    "ap50": "AP50",
    "ap25": "AP25",
    "ap50_near": "AP50 near",
}


def execute(args: argparse.Namespace) -> int:
    """Print the scores and write them into the run folder, or evaluate a split."""
    if args.split is not None:
        if args.source is not None:
            raise CommandError(f"--split evaluates the data set {args.run} itself; leave out {args.source}")
        return eval_split.execute(args)
    if args.source is None or args.out is not None:
        raise CommandError(
            "expected either RUN SOURCE, to score one run, or DATASET --split S --out DIR, to evaluate its scenes"
        )
    return _execute_run(args)


def scores_of(run: RunFolder, source: FrameSource) -> IdentityScores | None:
    """Return the identity scores of the frames that both have, by stamp, or None where none of them has truth.

    Pixels without valid depth do not count: no instance could be seen there.
    """
    outcome = _outcome_of(run, source, None)
    return pooled_identity([outcome.frames.identity]) if outcome else None


def _execute_run(args: argparse.Namespace) -> int:
    run, source = read_run(args.run), open_source(args.source, args.format)
    outcome = _outcome_of(run, source, _scene_at(args.source))
    if outcome is None:
        raise CommandError(
            f"{args.source}: no frame of {args.run} has instance truth there; expected the source of the run, with "
            "instance/000000.png beside its images or a truth topic in its bag"
        )
    identity, others = pooled_identity([outcome.frames.identity]), _other_scores(outcome)
    write_json(run.path / SCORES, {**scores_as_dict(identity), **others})
    print(format_scores(identity))
    for key, value in others.items():
        print(f"{_RUN_SCORES[key]:<16}{'   n/a' if value is None else f'{value:6.3f}'}")
    print(f"written to {run.path / SCORES}")
    return 0


def _outcome_of(run: RunFolder, source: FrameSource, scene: SceneFolder | None) -> SceneOutcome | None:
    """Score the frames that both have; with `scene`, on its mesh too. None where no frame has truth."""
    labelled = {frame.stamp_ns: frame for frame in run.processed()}
    scorer = SceneScorer(Protocol(), scene)
    num_truth = 0
    for item in prefetched(source.frames()):
        if isinstance(item, FrameError) or item.stamp_ns not in labelled:
            continue
        scorer.add(item, run.label_image(labelled[item.stamp_ns]))
        num_truth += item.truth is not None
    if not num_truth:
        return None
    if scene is None:
        return scorer.outcome([], {}, {})
    merged = EventType.MERGED.name.lower()
    heirs = {row["id"]: row["other_id"] for row in run.events() if row["type"] == merged}
    return scorer.outcome([_final_instance(row) for row in run.instances()], heirs, {})


def _final_instance(row: dict[str, Any]) -> FinalInstance:
    is_confirmed = row["state"] != InstanceState.TENTATIVE.name.lower()
    return FinalInstance(row["id"], is_confirmed, row["score"], row["num_observations"])


def _scene_at(path: Path) -> SceneFolder | None:
    """Return the scene folder at a path; None where it is another source, or a scene without a mesh."""
    return SceneFolder(path) if (path / SCENE_FILE).is_file() and (path / MESH_FILE).is_file() else None


def _other_scores(outcome: SceneOutcome) -> dict[str, float | None]:
    """Return the scores beside identity; AP only where there was a mesh, None where a score is undefined."""
    scores = pooled_scores([outcome])
    keys = [key for key in _RUN_SCORES if outcome.matches is not None or not key.startswith("ap")]
    return {key: None if math.isnan(scores[key]) else scores[key] for key in keys}
