"""`autoseg3d eval`: how well the ids of a run last, against the instance truth of its source."""

from __future__ import annotations

import argparse

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.evaluation.identity import IdentityAccumulator, IdentityScores
from autoseg3d_ros.evaluation.results import format_scores, scores_as_dict
from autoseg3d_ros.reporting.run_folder import SCORES, RunFolder, read_run, write_json
from autoseg3d_ros.structures import FrameError


def execute(args: argparse.Namespace) -> int:
    """Print the scores and write them into the run folder."""
    run, source = read_run(args.run), open_source(args.source, args.format)
    scores = scores_of(run, source)
    if scores is None:
        raise CommandError(
            f"{args.source}: no frame of {args.run} has instance truth there; expected the source of the run, with "
            "instance/000000.png beside its images or a truth topic in its bag"
        )
    write_json(run.path / SCORES, scores_as_dict(scores))
    print(format_scores(scores))
    print(f"written to {run.path / SCORES}")
    return 0


def scores_of(run: RunFolder, source: FrameSource) -> IdentityScores | None:
    """Return the identity scores of the frames that both have, by stamp, or None where none of them has truth.

    Pixels without valid depth do not count: no instance could be seen there.
    """
    labelled = {frame.stamp_ns: frame for frame in run.processed()}
    accumulator = IdentityAccumulator()
    for item in prefetched(source.frames()):
        if isinstance(item, FrameError) or item.truth is None or item.stamp_ns not in labelled:
            continue
        label_image = run.label_image(labelled[item.stamp_ns])
        accumulator.update(item.truth, label_image, valid=item.depth_m > 0)
    scores = accumulator.result()
    return scores if scores.num_frames else None
