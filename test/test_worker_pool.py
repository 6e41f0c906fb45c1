"""Tasks in one or several processes: each once, counted, stopped between steps, and a dead worker named."""

from __future__ import annotations

import os
import time
from functools import partial

import pytest

from autoseg3d_ros.worker_pool import Worker, WorkerDiedError, run_each


def never() -> bool:
    return False


def named(suffix: str, item: str, worker: Worker) -> str:
    """A task that can be sent to another process."""
    for _ in range(3):
        worker.count()
    return f"stopped {item}" if worker.stopped() else item + suffix


def endless(_item: int, worker: Worker) -> str:
    while not worker.stopped():
        worker.count()
        time.sleep(0.01)
    return "stopped"


def dying(item: int, _worker: Worker) -> int:
    if item == 1:
        os._exit(1)
    return item


def threads_of(_item: int, _worker: Worker) -> tuple[str | None, int]:
    import cv2

    return os.environ.get("OMP_NUM_THREADS"), cv2.getNumThreads()


@pytest.mark.parametrize("num_workers", [1, 2])
@pytest.mark.parametrize("num_items", [0, 1, 5])
def test_each_item_once_and_every_step_counted(num_workers: int, num_items: int) -> None:
    items, counted = [f"item{number}" for number in range(num_items)], []
    done = list(run_each(partial(named, "!"), items, num_workers, never, counted.append))
    assert sorted(done) == [f"{item}!" for item in items]
    assert sum(counted) == 3 * num_items


@pytest.mark.parametrize("num_workers", [1, 2])
def test_nothing_begins_once_stopped(num_workers: int) -> None:
    assert list(run_each(partial(named, "!"), ["a", "b"], num_workers, lambda: True)) == []


def test_one_worker_ends_after_the_item_in_hand() -> None:
    done: list[str] = []
    for result in run_each(partial(named, "!"), ["a", "b", "c"], 1, lambda: len(done) == 2):
        done.append(result)
    assert done == ["a!", "b!"]


def test_running_tasks_end_when_stopped() -> None:
    counted: list[int] = []
    assert list(run_each(endless, range(4), 2, lambda: sum(counted) > 0, counted.append)) == []


def test_running_tasks_end_when_the_iteration_is_closed() -> None:
    results = run_each(partial(named, "!"), ["a", "b", "c"], 2, never)
    assert next(results) in ("a!", "b!", "c!")
    results.close()


def test_a_dead_worker_is_told() -> None:
    with pytest.raises(WorkerDiedError, match="--workers"):
        list(run_each(dying, range(4), 2, never))


def test_processes_compute_with_one_thread_and_leave_this_one_alone() -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    assert set(run_each(threads_of, range(2), 2, never)) == {("1", 1)}
    assert os.environ.get("OMP_NUM_THREADS") == before
