"""`autoseg3d synth`: write scenes of the synthetic world, with all cores, going on where a former call stopped."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import time
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any, Literal

import cv2

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.scene_folder import SceneFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.synthetic.recording import DATASET, Recording, record

_PREVIEW = "preview.png"
_POLL_S = 0.1
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


def _record_all(out: Path, recordings: Sequence[Recording], num_cores: int) -> int:
    out.mkdir(parents=True, exist_ok=True)
    num_processes = min(num_cores, len(recordings))
    if num_processes > 1:
        frames, how = _by_processes(out, recordings, num_processes), f"{num_processes} processes"
    else:
        frames, how = _by_threads(out, recordings, num_cores), f"{num_cores} thread{'s' * (num_cores > 1)}"
    total = sum(one.num_frames for one in recordings)
    print(f"{out}: recording {len(recordings)} scenes of {recordings[0].num_frames} frames by {how}", flush=True)
    started_s, num_frames = time.monotonic(), 0
    with Interruption() as interruption:
        for _ in with_progress(frames, total):
            num_frames += 1
            if interruption:
                break
        frames.close()
    rate = num_frames / (time.monotonic() - started_s)
    if interruption:
        print(f"{out}: stopped; finished scenes stay, the same command goes on with the others")
    else:
        print(f"{out}: {len(recordings)} scenes, {num_frames} frames, {rate:.1f} frames/s")
    return interruption.exit_code


def _by_threads(out: Path, recordings: Sequence[Recording], num_threads: int) -> Generator[None]:
    """Record one scene after the other in this process; yield once a frame."""
    for recording in recordings:
        yield from (None for _ in record(out / recording.name, recording, num_threads))


def _by_processes(out: Path, recordings: Sequence[Recording], num_processes: int) -> Generator[None]:
    """Record a scene in each process; yield once a frame. Closed early, it stops them after the frame at hand."""
    context = multiprocessing.get_context("spawn")
    counter, stop = context.Value("q", 0), context.Event()
    with ProcessPoolExecutor(num_processes, context, _start_worker, (counter, stop)) as pool:
        try:
            waiting = {pool.submit(_record_one, out, recording) for recording in recordings}
            num_told = 0
            while waiting:
                done, waiting = wait(waiting, _POLL_S, FIRST_COMPLETED)
                for future in done:
                    future.result()
                for _ in range(counter.value - num_told):
                    num_told += 1
                    yield
        except BrokenProcessPool as error:
            raise CommandError(
                f"{out}: a worker process was killed (out of memory?); finished scenes stay: go on with fewer --workers"
            ) from error
        finally:
            stop.set()
            pool.shutdown(cancel_futures=True)


class _Worker:
    """What a worker process shares with the command; set when it starts."""

    counter: Any  # frames done by all
    stop: Any  # event: end after the frame at hand


def _start_worker(counter: Any, stop: Any) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the command tells the workers
    cv2.setNumThreads(1)  # the processes share the cores
    _Worker.counter, _Worker.stop = counter, stop


def _record_one(out: Path, recording: Recording) -> None:
    for _ in record(out / recording.name, recording):
        with _Worker.counter.get_lock():
            _Worker.counter.value += 1
        if _Worker.stop.is_set():
            return


def _draw_preview(out: Path, recordings: Sequence[Recording]) -> None:
    # Imported this late because drawing needs libraries that recording does not.
    from autoseg3d_ros.reporting.contact_sheet import scene_sheet

    write_png(out / _PREVIEW, scene_sheet([SceneFolder(out / one.name) for one in recordings]))
    print(f"{out / _PREVIEW}: a picture of the scenes")
