"""`autoseg3d lift`: the frames of a data set as points with superpoints, for training; goes on after a stop."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import Progress
from autoseg3d_ros.data.scene_folder import scenes_of
from autoseg3d_ros.training.frame_cache import CacheConfig, cache_scenes, not_cached, num_kept_frames


def execute(args: argparse.Namespace) -> int:
    """Lift what is not lifted yet; return 0, 1 where scenes were left out, or 130 after Ctrl-C."""
    config = CacheConfig()
    config = replace(config, every=args.every or config.every, masks=tuple(args.masks or config.masks))
    scenes = scenes_of(args.source, args.split)
    try:
        for name in config.masks:
            config.mask_source(name, scenes[0])
    except ValueError as error:
        raise CommandError(f"--masks: {error}") from error
    missing = not_cached(scenes, args.out, config)
    print(f"{args.out}: {len(scenes) - len(missing)} of {len(scenes)} scenes are there already")
    total, left_out = sum(num_kept_frames(scene, config) for scene in missing), 0
    with Interruption() as interruption, Progress(total) as progress:
        workers = args.workers or os.cpu_count() or 1
        for report in cache_scenes(missing, args.out, config, workers, interruption.__bool__, progress.advance):
            if report.reason:
                left_out += 1
                print(f"{report.scene}: left out: {report.reason}")
            elif report.skipped:
                num_frames, num_skipped = report.num_frames + len(report.skipped), len(report.skipped)
                first = report.skipped[0]
                print(f"{report.scene}: {num_skipped} of {num_frames} frames cannot be used, the first: {first}")
    return interruption.exit_code or int(left_out > 0)
