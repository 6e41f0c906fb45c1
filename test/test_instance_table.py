"""The table of a planner, message by message; anything with the fields of `InstanceArray` is a message."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from autoseg3d_ros.client.instance_table import InstanceTable
from autoseg3d_ros.structures import EventType, InstanceState

ACTIVE, LOST, RETIRED = InstanceState.ACTIVE, InstanceState.LOST, InstanceState.RETIRED


class Roi:
    def __init__(self, width=0):
        self.width = width


def one(instance_id, state=ACTIVE, num_missed=0):
    return SimpleNamespace(id=instance_id, state=state, num_missed=num_missed, roi=Roi(9))


def event(kind, instance_id, other_id=0):
    return SimpleNamespace(type=int(kind), id=instance_id, other_id=other_id, reason="")


def changes(frame_index, *instances, events=(), map_id=1, is_full=False):
    return SimpleNamespace(
        map_id=SimpleNamespace(uuid=[map_id] * 16),
        frame_index=frame_index,
        is_full=is_full,
        instances=list(instances),
        events=list(events),
    )


def full(frame_index, *instances, map_id=1):
    return changes(frame_index, *instances, map_id=map_id, is_full=True)


def table_of(*messages):
    table = InstanceTable()
    for message in messages:
        table.update(message)
    return table


def summary(table):
    """The whole table in a line: frame, complete or not, ids."""
    return table.frame_index, table.is_complete, [row.id for row in table.instances()]


def test_before_the_first_message_nothing_is_known():
    table = InstanceTable()
    assert summary(table) == (-1, False, [])
    assert (len(table), 1 in table, table.get(1), table.heir(1)) == (0, False, None, 1)


def test_a_frame_without_changes_counts():
    assert summary(table_of(changes(0), changes(1))) == (1, True, [])


def test_changes_add_and_replace():
    table = table_of(changes(0, one(1), one(2)))
    change = table.update(changes(1, one(2, LOST, 1), one(3)))
    assert summary(table) == (1, True, [1, 2, 3])
    assert table.get(2).state == LOST
    assert (change.updated, change.gone, change.is_new_map, change.is_reread) == ({2, 3}, frozenset(), False, False)


@pytest.mark.parametrize("kind", [EventType.MERGED, EventType.REMOVED])
def test_what_is_merged_or_removed_is_gone(kind):
    table = table_of(changes(0, one(1), one(2)))
    change = table.update(changes(1, one(1), events=[event(kind, 2, other_id=1 if kind == EventType.MERGED else 0)]))
    assert summary(table) == (1, True, [1])
    assert (change.gone, [told.id for told in change.events]) == ({2}, [2])


@pytest.mark.parametrize("kind", [EventType.LOST, EventType.RETIRED, EventType.REVIVED, EventType.CONFIRMED])
def test_other_events_leave_the_rest_to_the_instance(kind):
    assert summary(table_of(changes(0, one(1)), changes(1, one(1), events=[event(kind, 1)]))) == (1, True, [1])


def test_an_object_lives_on_under_the_id_of_its_last_heir():
    table = table_of(changes(0, one(1), one(2), one(3)))
    table.update(changes(1, events=[event(EventType.MERGED, 3, 2)]))
    table.update(changes(2, events=[event(EventType.MERGED, 2, 1)]))
    assert [table.heir(instance_id) for instance_id in (1, 2, 3, 4)] == [1, 1, 1, 4]


def test_what_is_not_told_of_has_missed_and_is_out_of_view():
    alive, retired = one(1), one(2, RETIRED, 50)
    table = table_of(changes(0, alive, retired), changes(1, one(3)), changes(2))
    assert [(row.num_missed, row.roi.width) for row in table.instances()] == [(2, 0), (50, 0), (1, 0)]
    assert (alive.num_missed, alive.roi.width) == (0, 9), "a message is not ours to change"


def test_a_jump_is_a_gap_until_the_full_list_comes():
    table = table_of(changes(0, one(1)), changes(2, one(2)), changes(3, one(3)))
    assert summary(table) == (3, False, [1, 2, 3])
    change = table.update(full(2, one(2), one(7)))
    assert change.is_reread
    assert summary(table) == (3, True, [2, 3, 7]), "the list of frame 2 and what changed in frame 3"


@pytest.mark.parametrize(
    ("received", "expected"),
    [
        ([full(5, one(1))], (5, True, [1])),
        ([full(5, one(1)), changes(6, one(2))], (6, True, [1, 2])),
        ([full(5, one(1)), changes(7, one(2))], (7, False, [1, 2])),
        ([changes(6, one(2)), full(5, one(1))], (6, True, [1, 2])),
        ([changes(7, one(2)), full(5, one(1))], (7, False, [2])),
        ([changes(6, one(2)), full(9, one(9))], (9, True, [9])),
        ([full(9, one(9)), changes(6, one(2)), changes(7, one(7)), changes(10, one(1))], (10, True, [1, 9])),
        ([changes(0, one(1)), changes(1, one(2)), full(0, one(1))], (1, True, [1, 2])),
        ([changes(0, one(1)), changes(1, one(2)), full(1, one(1))], (1, True, [1])),
        ([full(2, one(1)), changes(0, one(1)), changes(1), changes(2), changes(3, one(3))], (3, True, [1, 3])),
    ],
    ids=[
        "full list alone",
        "full list, then the next frame",
        "full list, then a later frame",
        "full list late",
        "full list too old",
        "full list ahead of lost changes",
        "changes that the full list knew already",
        "older full list",
        "full list of the same frame",
        "full list ahead of the first frame",
    ],
)
def test_the_topics_may_overtake_each_other(received, expected):
    assert summary(table_of(*received)) == expected


def test_an_empty_list_of_frame_0_may_be_of_before_it():
    empty = full(0)
    assert summary(table_of(empty)) == (-1, True, [])
    assert summary(table_of(empty, changes(0, one(1)), changes(1))) == (1, True, [1])
    assert summary(table_of(changes(0, one(1)), empty)) == (0, True, [1])
    assert summary(table_of(empty, changes(1, one(2)))) == (1, False, [2]), "frame 0 was lost"


def test_a_new_map_voids_all_ids():
    table = table_of(changes(0, one(1), one(2), one(3)), changes(1, events=[event(EventType.MERGED, 2, 1)]))
    change = table.update(changes(0, one(1), map_id=2))
    assert (change.is_new_map, change.gone, summary(table)) == (True, {3}, (0, True, [1]))
    assert change.updated == {1}, "another object under the same number"
    assert table.heir(2) == 2
    assert table.map_id == bytes([2] * 16)


def test_messages_of_the_former_map_that_come_late_are_ignored():
    table = table_of(changes(0, one(1)), full(0, map_id=2))
    assert table.update(changes(1, one(5), events=[event(EventType.LOST, 1)])).events == ()
    assert summary(table) == (-1, True, [])
    table.update(changes(0, one(7), map_id=2))
    assert summary(table) == (0, True, [7])


def test_changes_of_a_former_map_that_come_first_do_not_lose_the_full_list():
    table = table_of(full(7, one(1), map_id=2), changes(3, one(5)), changes(6, one(6), map_id=2))
    assert summary(table) == (7, True, [1])
    assert table.map_id == bytes([2] * 16)


def test_a_map_that_was_left_can_come_back():
    table = table_of(changes(0, one(1)), full(0, one(1)), changes(0, one(2), map_id=2), full(0, one(2), map_id=2))
    table.update(full(0, one(1)))
    table.update(changes(1, one(3)))
    assert summary(table) == (1, True, [1, 3])


@pytest.mark.parametrize(
    "received",
    [
        [full(3, one(1)), changes(4, one(4))],
        [changes(4, one(4)), full(3, one(1))],
        [full(3, one(1)), changes(11, one(2)), changes(4, one(4))],
        [full(3, one(1)), full(4, one(1), one(4)), changes(4, one(4))],
    ],
    ids=["full list first", "changes first", "a message from before in between", "full lists far ahead"],
)
def test_an_earlier_state_of_the_same_map_is_loaded(received):
    table = table_of(full(8, one(1), one(2)), changes(9), changes(10), *received)
    assert summary(table) == (4, True, [1, 4])


def test_changes_wait_in_bounded_memory():
    table = table_of(*(changes(index) for index in range(5, 3000)))
    assert len(table._waiting) == 1000
    table.update(full(2998, one(1)))
    assert summary(table) == (2999, True, [1])
