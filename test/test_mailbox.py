"""The mailbox: its writers never wait, its reader never hangs, and every item is read or counted."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros.config import ProcessConfig
from autoseg3d_ros.stream.drops import DropCounts, DropReason
from autoseg3d_ros.stream.mailbox import Mailbox

LATEST = ProcessConfig(mode="latest")
LOSSLESS = ProcessConfig(mode="lossless", queue_size=2)
LONG_S = 30.0  # never waited for unless a test fails


def read_all(mailbox):
    items = []
    while len(mailbox):
        items.append(mailbox.get(0.0))
    return items


@pytest.mark.parametrize(
    ("config", "put", "read", "drops"),
    [
        (LATEST, [], [], {}),
        (LATEST, ["a"], ["a"], {}),
        (LATEST, ["a", "b", "c"], ["c"], {DropReason.SUPERSEDED: 2}),
        (LOSSLESS, [], [], {}),
        (LOSSLESS, ["a", "b"], ["a", "b"], {}),
        (LOSSLESS, ["a", "b", "c", "d"], ["a", "b"], {DropReason.QUEUE_FULL: 2}),
    ],
)
def test_what_is_put_is_read_or_counted(config, put, read, drops):
    mailbox = Mailbox(config)
    for item in put:
        mailbox.put(item)
    assert len(mailbox) == len(read)
    assert read_all(mailbox) == read
    assert mailbox.drops == drops


def test_latest_ignores_the_queue_size():
    mailbox = Mailbox(ProcessConfig(mode="latest", queue_size=5))
    mailbox.put("a")
    mailbox.put("b")
    assert read_all(mailbox) == ["b"]


@pytest.mark.parametrize("config", [LATEST, LOSSLESS])
def test_an_empty_mailbox_gives_none_after_the_timeout(config):
    assert Mailbox(config).get(0.0) is None
    assert Mailbox(config).get(0.01) is None


@pytest.mark.parametrize("config", [LATEST, LOSSLESS])
def test_items_that_are_false_or_raise_when_compared_pass(config):
    class Hostile:
        def __eq__(self, other):
            raise RuntimeError

        def __bool__(self):
            raise RuntimeError

        __hash__ = None

    mailbox = Mailbox(config)
    for item in (0, Hostile()):
        mailbox.put(item)
        assert mailbox.get(0.0) is item


def in_reader(mailbox):
    """Start a reader that waits; return a function that gives what it got."""
    got = []
    reader = threading.Thread(target=lambda: got.append(mailbox.get(LONG_S)), daemon=True)
    reader.start()

    def result():
        reader.join(timeout=LONG_S / 3)
        assert not reader.is_alive(), "the reader was not woken"
        return got[0]

    return result


@pytest.mark.parametrize("config", [LATEST, LOSSLESS])
def test_an_item_wakes_the_reader(config):
    mailbox = Mailbox(config)
    result = in_reader(mailbox)
    mailbox.put("a")
    assert result() == "a"


@pytest.mark.parametrize("config", [LATEST, LOSSLESS])
def test_closing_wakes_the_reader(config):
    mailbox = Mailbox(config)
    result = in_reader(mailbox)
    mailbox.close()
    assert result() is None


def test_a_closed_mailbox_hands_out_nothing_and_counts():
    mailbox = Mailbox(LOSSLESS)
    mailbox.put("a")
    mailbox.close()
    mailbox.close()
    mailbox.put("b")
    assert len(mailbox) == 0 and mailbox.get(LONG_S) is None
    assert mailbox.drops == {DropReason.CLOSED: 2}


@given(st.lists(st.booleans()), st.sampled_from(["latest", "lossless"]), st.integers(1, 4))
def test_items_keep_their_order_and_none_vanishes(puts, mode, queue_size):
    mailbox = Mailbox(ProcessConfig(mode=mode, queue_size=queue_size))
    read, num_put = [], 0
    for is_put in puts:
        if is_put:
            mailbox.put(num_put)
            num_put += 1
        elif (item := mailbox.get(0.0)) is not None:
            read.append(item)
        assert len(mailbox) <= (1 if mode == "latest" else queue_size)
    read += read_all(mailbox)
    assert read == sorted(set(read))
    assert len(read) + sum(mailbox.drops.values()) == num_put


def test_two_writers_and_a_reader_lose_nothing():
    mailbox = Mailbox(ProcessConfig(mode="lossless", queue_size=10))
    read = []

    def write(first):
        for item in range(first, first + 1000):
            mailbox.put(item)

    def read_until_none():
        while (item := mailbox.get(LONG_S)) is not None:
            read.append(item)

    reader = threading.Thread(target=read_until_none)
    reader.start()
    writers = [threading.Thread(target=write, args=(first,)) for first in (0, 1000)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    mailbox.close()
    reader.join()
    assert len(read) == len(set(read))
    assert len(read) + sum(mailbox.drops.values()) == 2000


def test_drop_counts():
    drops = DropCounts()
    assert drops.by_reason() == {}
    assert drops.add(DropReason.SUPERSEDED) == 1
    assert drops.add(DropReason.SUPERSEDED, 2) == 3
    assert drops.add(DropReason.CLOSED, 0) == 0
    drops.by_reason().clear()
    assert drops.by_reason() == {DropReason.SUPERSEDED: 3}
