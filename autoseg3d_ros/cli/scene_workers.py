"""A task for each of many scenes, in several processes, that Ctrl-C ends between two frames."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from multiprocessing.synchronize import Event
from typing import TypeVar

from autoseg3d_ros.cli.errors import CommandError

Report = TypeVar("Report")
SceneTask = Callable[[str, Callable[[], bool]], Report]  # (scene, stopped) -> report

_LOOK_INTERVAL_S = 0.2
_stop: Event | None = None  # of a worker process


def run_each(
    task: SceneTask[Report], scenes: Sequence[str], num_workers: int, stopped: Callable[[], bool]
) -> Iterator[Report]:
    """Yield `task(scene, stopped)` of each scene as it is finished; once `stopped()`, no further scene is begun.

    With one worker it runs in this process. Otherwise the task must survive pickling. Raises CommandError where a
    worker process dies.
    """
    if stopped():
        return
    if num_workers > 1 and len(scenes) > 1:
        yield from _in_processes(task, scenes, min(num_workers, len(scenes)), stopped)
        return
    for scene in scenes:
        if stopped():
            return
        yield task(scene, stopped)


def _in_processes(
    task: SceneTask[Report], scenes: Sequence[str], num_workers: int, stopped: Callable[[], bool]
) -> Iterator[Report]:
    context = get_context("spawn")
    stop = context.Event()
    with ProcessPoolExecutor(num_workers, context, _start_worker, (stop,)) as executor:
        pending: set[Future[Report]] = {executor.submit(_run_in_worker, task, scene) for scene in scenes}
        try:
            while pending and not stopped():
                done, pending = wait(pending, _LOOK_INTERVAL_S, FIRST_COMPLETED)
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise CommandError(
                "a worker process died, most likely for want of memory; try again with fewer --workers: finished "
                "scenes are kept"
            ) from error
        finally:
            stop.set()
            executor.shutdown(cancel_futures=True)


def _start_worker(stop: Event) -> None:
    global _stop
    _stop = stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to stop


def _run_in_worker(task: SceneTask[Report], scene: str) -> Report:
    assert _stop is not None, "runs in a process that _start_worker has set up"
    return task(scene, _stop.is_set)
