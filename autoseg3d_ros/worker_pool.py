"""One task for each of many items, in several processes, which a stop ends between two steps of a task."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

_LOOK_INTERVAL_S = 0.2
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class WorkerDiedError(RuntimeError):
    """A worker process was ended from outside."""


@dataclass(frozen=True)
class Worker:
    """What a task knows of the outside."""

    stopped: Callable[[], bool]  # asked between two steps: is the task to end now?
    count: Callable[[], None]  # tells that a step is done


Task = Callable[[Item, Worker], Result]

_worker: Worker | None = None  # in a worker process


def run_each(
    task: Task[Item, Result],
    items: Sequence[Item],
    num_workers: int,
    stopped: Callable[[], bool],
    on_count: Callable[[int], None] = lambda num_steps: None,
) -> Generator[Result, None, None]:
    """Yield `task(item, worker)` of each item as it ends; once `stopped()`, none is begun and the running ones end.

    With one worker, or one item, everything runs in this process; otherwise task, items and results are pickled, and
    each process computes with one thread. `on_count` is given the number of steps that tasks have counted since its
    last call. Raises WorkerDiedError; results that were yielded before are good.
    """
    if stopped():
        return
    if num_workers > 1 and len(items) > 1:
        yield from _in_processes(task, items, min(num_workers, len(items)), stopped, on_count)
        return
    worker = Worker(stopped, lambda: on_count(1))
    for item in items:
        if stopped():
            return
        yield task(item, worker)


def _in_processes(
    task: Task[Item, Result],
    items: Sequence[Item],
    num_workers: int,
    stopped: Callable[[], bool],
    on_count: Callable[[int], None],
) -> Generator[Result, None, None]:
    context = get_context("spawn")
    stop, counter, num_told = context.Event(), context.Value("q", 0), 0
    with _environment(_ONE_THREAD), ProcessPoolExecutor(num_workers, context, _start, (stop, counter)) as executor:
        pending: set[Future[Result]] = {executor.submit(_run, task, item) for item in items}
        try:
            while pending and not stopped():
                done, pending = wait(pending, _LOOK_INTERVAL_S, FIRST_COMPLETED)
                num_counted = counter.value
                on_count(num_counted - num_told)
                num_told = num_counted
                yield from (future.result() for future in done)
        except BrokenProcessPool as error:
            raise WorkerDiedError(
                "a worker process was ended from outside (out of memory?); what is finished is kept: run the same "
                "command again, with fewer --workers"
            ) from error
        finally:
            stop.set()
            executor.shutdown(cancel_futures=True)


def _start(stop, counter) -> None:  # type: ignore[no-untyped-def]  # multiprocessing has no public types for these
    global _worker
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent says when to stop
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s")
    import cv2

    cv2.setNumThreads(1)

    def count() -> None:
        with counter.get_lock():
            counter.value += 1

    _worker = Worker(stop.is_set, count)


def _run(task: Task[Item, Result], item: Item) -> Result:
    assert _worker is not None, "runs in a process that _start has set up"
    return task(item, _worker)


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
