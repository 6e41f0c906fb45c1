"""Prefetching changes when items are made, and nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from autoseg3d_ros.data.prefetch import prefetched


def prefetch_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("prefetch")]


@pytest.mark.parametrize("items", [[], [1], [None, 2, None], list(range(50))])
def test_same_items_in_the_same_order(items: list) -> None:
    assert list(prefetched(items)) == items
    assert not prefetch_threads()


def test_one_item_ahead_and_not_more() -> None:
    made = []
    second_made = threading.Event()

    def items() -> Iterator[int]:
        for item in range(5):
            made.append(item)
            if item == 1:
                second_made.set()
            yield item

    iterator = prefetched(items())
    assert next(iterator) == 0
    assert second_made.wait(10)  # made in the background while the first is in use
    iterator.close()
    assert made == [0, 1]


def test_items_are_made_in_another_thread() -> None:
    def items() -> Iterator[int]:
        yield threading.get_ident()

    assert list(prefetched(items())) != [threading.get_ident()]


def test_exception_comes_in_its_place() -> None:
    def items() -> Iterator[int]:
        yield 1
        raise OSError("disk gone")

    iterator = prefetched(items())
    assert next(iterator) == 1
    with pytest.raises(OSError, match="disk gone"):
        next(iterator)
    assert not prefetch_threads()


def test_early_stop_ends_the_thread_and_closes_the_generator() -> None:
    closed = []

    def items() -> Iterator[int]:
        try:
            yield from range(100)
        finally:
            closed.append(True)

    inner = items()  # held here, so that only an explicit close can end it
    for item in prefetched(inner):
        if item == 3:
            break
    assert closed == [True]
    assert not prefetch_threads()
