"""`autoseg3d run`: a source through the segmenter, without ROS, into a run folder."""

from __future__ import annotations

import argparse
from contextlib import ExitStack, closing
from pathlib import Path

from autoseg3d_ros import config as configuration
from autoseg3d_ros.build import build_segmenter, with_model
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.offline import OfflineRun
from autoseg3d_ros.cli.repetition import Repetition
from autoseg3d_ros.cli.summary import run_summary
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.raw_dataset import CLOCKWISE, ROTATE_FOR_MASKS
from autoseg3d_ros.data.scene_folder import SCENE_FILE, SceneFolder
from autoseg3d_ros.model.selection import describe_model
from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import snapshot
from autoseg3d_ros.persistence.network_digest import network_digest
from autoseg3d_ros.persistence.restoration import restore
from autoseg3d_ros.reporting.rerun_log import RerunRecording
from autoseg3d_ros.reporting.run_folder import RunWriter, read_run
from autoseg3d_ros.segmenter import OnlineSegmenter

_WEIGHTS = ".safetensors"


def execute(args: argparse.Namespace) -> int:
    """Run, print what came out, return the exit code."""
    config = with_model(run_config(args.config, args.changes, masks=args.masks, model=args.model, seed=args.seed))
    if config.masks.source == "file" and not config.masks.directory:
        config = configuration.replace(config, {"masks.directory": str(args.source / "masks")})
    source = Repetition(open_source(args.source, args.format, config), args.repeat, args.limit)
    segmenter = build_segmenter(config, is_turned=lies_on_its_side(args.source))
    if args.save_map and not args.save_map.absolute().parent.is_dir():
        raise CommandError(f"--save-map {args.save_map}: expected a folder that is there; make it first")
    if args.load_map:
        restore(read_map(args.load_map), segmenter)
    writer = RunWriter(args.out)
    with ExitStack() as stack:
        recordings = [stack.enter_context(closing(RerunRecording(args.rerun)))] if args.rerun else []
        run = OfflineRun(source, segmenter, stack.enter_context(writer), recordings)
        interruption = stack.enter_context(Interruption())
        run.process(interruption)
    print(run_summary(read_run(args.out), source.name, describe_model(config.model), run.timing, run.seconds))
    if args.save_map and run.timing.num_frames:
        _save(segmenter, args.save_map)
    if interruption:
        print(f"stopped after {run.timing.num_frames} of {len(source)} frames; what was computed is written")
    elif not run.timing.num_frames:
        raise CommandError(f"{args.source}: none of {len(source)} frames could be used; the reasons are above")
    return interruption.exit_code


def _save(segmenter: OnlineSegmenter, path: Path) -> None:
    saved = snapshot(segmenter, network_digest(segmenter))
    write_map(saved, path, overwrite=True)
    print(f"{path}: map {saved.map_id} with {saved.num_instances} instances, for --load-map")


def lies_on_its_side(path: Path) -> bool:
    """Say whether a path holds a scene whose camera was held upright. Raises SourceError for a damaged scene."""
    is_scene = (path / SCENE_FILE).is_file()
    return is_scene and SceneFolder(path).info.origin.get(ROTATE_FOR_MASKS) == CLOCKWISE


def run_config(
    file: Path | None, changes: list[str], *, masks: str | None, seed: str | None, model: str | None = None
) -> Config:
    """Return the defaults, changed by the file, then by `--set key=value`, then by the short options."""
    values = dict(_key_and_value(change) for change in changes)
    values |= {key: value for key, value in (("masks.source", masks), ("seed", seed)) if value is not None}
    if model is not None:
        is_file = model.endswith(_WEIGHTS)
        values |= {"model.path": model} if is_file else {"model.name": model, "model.path": ""}
    return configuration.replace(configuration.load(file) if file else Config(), values)


def _key_and_value(change: str) -> tuple[str, str]:
    key, separator, value = change.partition("=")
    if not separator:
        raise ConfigError(f"--set: expected key=value, got {change!r}")
    return key.strip(), value.strip()
