"""All scenes of a split times all rows, in parallel worker processes; what is finished is kept and used again."""

from __future__ import annotations

import json
import logging
import multiprocessing
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import cv2

from autoseg3d_ros.benchmark.digests import outcome_digest
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.scene_evaluation import evaluate_scene
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import SCENE_FILE, SceneFolder, scenes_of
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import FrameError

_POLL_S = 0.3
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)
_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Task:
    """One scene evaluated with one row."""

    row: str
    config: Config
    protocol: Protocol
    scene: Path
    out: Path  # file of the outcome


@dataclass(frozen=True)
class TaskResult:
    """What became of a task."""

    row: str
    scene: str
    outcome: SceneOutcome | None = None
    message: str = ""  # why there is no outcome
    is_reused: bool = False


@dataclass(frozen=True)
class Split:
    """The scenes of a split that can be opened, and why the others cannot."""

    scenes: tuple[SceneFolder, ...]
    left_out: Mapping[str, str]  # scene folder -> reason


def open_split(dataset: Path, split: str, limit: int | None = None) -> Split:
    """Open the first `limit` scenes of a split, by name. A damaged scene is left out and named.

    Raises SourceError where the split has no scene.
    """
    scenes, left_out = [], {}
    for file in sorted(dataset.glob(f"[!.]*/{SCENE_FILE}")):  # hidden: in the making
        try:
            scene = SceneFolder(file.parent)
        except SourceError as error:
            left_out[file.parent.name] = str(error)
            continue
        if scene.info.split == split:
            scenes.append(scene)
    if not scenes:
        scenes_of(dataset, split)  # says what is wrong
    return Split(tuple(scenes[:limit]), left_out)


def evaluate_all(
    tasks: Sequence[Task], num_workers: int, should_stop: Callable[[], bool] = lambda: False
) -> Generator[TaskResult, None, None]:
    """Yield the results of tasks in the order in which they end, first those of a former evaluation.

    One worker is this process; more are processes of their own with one thread each. Workers are ended when
    `should_stop` says so or the iteration is closed; outcomes are on disk as soon as they are yielded.
    """
    open_tasks = []
    for task in tasks:
        former = _former_outcome(task)
        if former is None:
            open_tasks.append(task)
        else:
            yield TaskResult(task.row, task.scene.name, former, is_reused=True)
    if num_workers == 1 or len(open_tasks) <= 1:
        for task in open_tasks:
            if should_stop():
                return
            yield run_task(task)
    else:
        yield from _in_processes(open_tasks, min(num_workers, len(open_tasks)), should_stop)


def run_task(task: Task) -> TaskResult:
    """Evaluate one scene and write its outcome. Whatever goes wrong becomes the message of the result."""
    try:
        scene = SceneFolder(task.scene)
        outcome = evaluate_scene(scene, task.config, task.protocol)
        _write(task, outcome_digest(scene, task.config, task.protocol), outcome)
    except (SourceError, FrameError, OSError) as error:
        return TaskResult(task.row, task.scene.name, message=str(error))
    except Exception as error:  # a defect of ours: the other scenes still count
        _logger.exception("row %s, scene %s", task.row, task.scene)
        return TaskResult(task.row, task.scene.name, message=f"{task.scene}: {type(error).__name__}: {error}")
    return TaskResult(task.row, task.scene.name, outcome)


def _in_processes(
    tasks: Sequence[Task], num_workers: int, should_stop: Callable[[], bool]
) -> Generator[TaskResult, None, None]:
    former_children = set(multiprocessing.active_children())
    context = multiprocessing.get_context("spawn")
    with _environment(_ONE_THREAD):
        executor = ProcessPoolExecutor(num_workers, mp_context=context, initializer=_prepare_worker)
        pending: dict[Future[TaskResult], Task] = {executor.submit(run_task, task): task for task in tasks}
        try:
            while pending and not should_stop():
                done, _ = wait(pending, timeout=_POLL_S, return_when=FIRST_COMPLETED)
                for future in done:
                    yield _result_of(future, pending.pop(future))
        finally:
            executor.shutdown(wait=False, cancel_futures=True)
            if pending:
                for child in set(multiprocessing.active_children()) - former_children:
                    child.terminate()


def _result_of(future: Future[TaskResult], task: Task) -> TaskResult:
    try:
        return future.result()
    except BrokenProcessPool:
        reason = "a worker process was ended from outside (out of memory?); run again, with fewer --workers"
        return TaskResult(task.row, task.scene.name, message=f"{task.scene}: {reason}")


def _prepare_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    cv2.setNumThreads(1)


@contextmanager
def _environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that start meanwhile: BLAS reads them when numpy is imported."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _former_outcome(task: Task) -> SceneOutcome | None:
    """Return the outcome on disk where it was computed from the same, else None."""
    try:
        document = json.loads(task.out.read_text())
        digest = outcome_digest(SceneFolder(task.scene), task.config, task.protocol)
        return SceneOutcome.from_dict(document["outcome"]) if document["digest"] == digest else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _write(task: Task, digest: str, outcome: SceneOutcome) -> None:
    """Write an outcome in one piece."""
    task.out.parent.mkdir(parents=True, exist_ok=True)
    partial = task.out.with_name(f".{task.out.name}.partial")
    partial.write_text(json.dumps({"digest": digest, "outcome": outcome.to_dict()}, sort_keys=True) + "\n")
    os.replace(partial, task.out)
