"""`autoseg3d synth`: write scenes of the synthetic world, with all cores, going on where a former call stopped."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import Progress
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.scene_folder import SceneFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.synthetic.recording import DATASET, Recording, record
from autoseg3d_ros.worker_pool import Worker, run_each

_PREVIEW = "preview.png"
_GENERATOR = "generator"  # key of the origin that is not an argument


def execute(args: argparse.Namespace) -> int:
    """Write `--scenes` scenes into `--out`; return 0, or 130 after Ctrl-C. Raises CommandError."""
    width_px, height_px = args.size
    recordings = [
        Recording(args.split, args.seed, number, args.frames, width_px, height_px, args.exact_poses, args.still)
        for number in range(args.scenes)
    ]
    state = {one: _state(args.out, one) for one in recordings}
    missing = [one for one in recordings if state[one] != "finished"]
    if len(missing) < len(recordings):
        print(f"{args.out}: {len(recordings) - len(missing)} of {len(recordings)} scenes are there already")
    if num_former := sum(one == "former" for one in state.values()):
        print(f"{args.out}: {num_former} scene{'s' * (num_former > 1)} of a former version of the generator: made anew")
    exit_code = _record_all(args.out, missing, args.workers or os.cpu_count() or 1) if missing else 0
    if args.preview and not exit_code:
        _draw_preview(args.out, recordings)
    return exit_code


def _state(out: Path, recording: Recording) -> Literal["missing", "former", "finished"]:
    """Return whether a scene is there. Raises CommandError where its folder holds anything else."""
    folder = out / recording.name
    if out.exists() and not out.is_dir():
        raise CommandError(f"{out}: expected a folder for scenes, found a file; choose another --out")
    if not folder.exists():
        return "missing"
    try:
        info = SceneFolder(folder).info
    except SourceError as error:
        raise CommandError(f"{folder}: expected a scene that synth wrote ({error}); choose another --out") from error
    if info.dataset != DATASET:
        raise CommandError(f"{folder}: holds a scene of {info.dataset!r}; choose another --out")
    found, wanted = dict(info.origin), dict(recording.origin)
    same_generator = found.pop(_GENERATOR, None) == wanted.pop(_GENERATOR)
    if found != wanted:
        differences = "; ".join(
            f"{key} {found.get(key)}, not {value}" for key, value in wanted.items() if found.get(key) != value
        )
        raise CommandError(
            f"{folder}: was made with {differences}; give the same arguments, remove it, or choose another --out"
        )
    return "finished" if same_generator else "former"


def _record_all(out: Path, recordings: Sequence[Recording], num_workers: int) -> int:
    out.mkdir(parents=True, exist_ok=True)
    total = sum(one.num_frames for one in recordings)
    # One scene by itself has all cores: threads, because what takes time in a frame leaves the interpreter's lock.
    num_threads = num_workers if len(recordings) == 1 else 1
    print(f"{out}: recording {len(recordings)} scenes, {total} frames, by {num_workers} workers", flush=True)
    with Interruption() as interruption, Progress(total) as progress:
        task = partial(_record_one, out, num_threads)
        for _ in run_each(task, recordings, num_workers, interruption.__bool__, progress.advance):
            pass
    if interruption:
        print(f"{out}: stopped; finished scenes stay, the same command goes on with the others")
    else:
        print(f"{out}: {len(recordings)} scenes, {total} frames, {progress.rate_hz:.1f} frames/s")
    return interruption.exit_code


def _record_one(out: Path, num_threads: int, recording: Recording, worker: Worker) -> None:
    for _ in record(out / recording.name, recording, num_threads):
        worker.count()
        if worker.stopped():
            return


def _draw_preview(out: Path, recordings: Sequence[Recording]) -> None:
    # Imported this late because drawing needs libraries that recording does not.
    from autoseg3d_ros.reporting.contact_sheet import scene_sheet

    write_png(out / _PREVIEW, scene_sheet([SceneFolder(out / one.name) for one in recordings]))
    print(f"{out / _PREVIEW}: a picture of the scenes")
