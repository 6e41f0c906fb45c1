"""Decode the next frame while the current one is computed: OpenCV and zlib release the interpreter lock."""

from __future__ import annotations

from collections.abc import Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

Item = TypeVar("Item")
_END = object()


def prefetched(items: Iterable[Item]) -> Generator[Item, None, None]:
    """Yield `items` unchanged and in order, always one ahead in a background thread.

    An exception of `items` is raised where its item would have come. The thread ends with the iteration, also when the
    consumer stops early, and a generator is closed.
    """
    iterator = _delegated(items)
    with closing(iterator), ThreadPoolExecutor(max_workers=1, thread_name_prefix="prefetch") as worker:
        pending = worker.submit(next, iterator, _END)
        while (item := pending.result()) is not _END:
            pending = worker.submit(next, iterator, _END)
            yield item  # type: ignore[misc]


def _delegated(items: Iterable[Item]) -> Generator[Item, None, None]:
    yield from items  # closing this generator closes `items` too, where it can be closed
