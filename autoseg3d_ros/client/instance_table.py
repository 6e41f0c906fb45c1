"""A planner's own table of instances, kept right by the two-line protocol of `InstanceArray`.

`map_id` changed -> forget all ids; `frame_index` jumped -> read `instances_full`. Messages are only looked into, never
changed and never imported: whatever has the fields of `InstanceArray` will do.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import dataclass
from typing import Any

from autoseg3d_ros.structures import EventType, InstanceState

_MAX_WAITING = 1_000  # messages kept after a jump until the full list comes, which takes a second or so
_NEVER = -1


@dataclass(frozen=True)
class TableChange:
    """What one message did to the table; ids in neither set are as they were."""

    is_new_map: bool = False  # all former ids are void
    is_reread: bool = False  # replaced by a full list: `events` do not tell all that has happened
    updated: frozenset[int] = frozenset()  # new, or with other values than before
    gone: frozenset[int] = frozenset()
    events: tuple[Any, ...] = ()  # `InstanceEvent` messages, in order


class InstanceTable:
    """The instances of one map, fed with every message of `instances` and `instances_full` as they come.

    Each topic is in order, but one may overtake the other. While `is_complete` is false the table holds the best that
    is known. With `tracking.reference`, `num_missed` of retired instances is that at their retirement.
    """

    def __init__(self) -> None:
        self.map_id = b""  # 16 bytes; empty before the first message
        self.frame_index = _NEVER  # of the last frame in the table
        self.is_complete = False  # holds exactly what was published of the state after frame `frame_index`
        self._map_of_topic: dict[bool, bytes] = {}  # last map_id by `is_full`
        self._full: Any = None  # the last full list
        self._begin()

    def update(self, message: Any) -> TableChange:
        """Take in one message of either topic; return what it changed."""
        map_id, before = bytes(message.map_id.uuid), self._rows
        is_late = map_id != self.map_id and map_id == self._map_of_topic.get(message.is_full)
        self._map_of_topic[message.is_full] = map_id
        if is_late:  # the other topic was faster to tell of a new map
            self._full = message if message.is_full else self._full
            return TableChange()
        is_new_map = map_id != self.map_id
        if is_new_map:
            self.map_id = map_id
            self._begin()
        is_reread = self._take_full(message) if message.is_full else self._take_changes(message)
        return TableChange(
            is_new_map,
            is_reread,
            updated=frozenset(one for one, row in self._rows.items() if before.get(one) is not row),
            gone=frozenset(before.keys() - self._rows.keys()),
            events=tuple(message.events),
        )

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, instance_id: int) -> bool:
        return instance_id in self._rows

    def get(self, instance_id: int) -> Any | None:
        """Return the `Instance` message of an id, as of the last frame; None where there is no such id."""
        row = self._rows.get(instance_id)
        return None if row is None else self._as_of_now(row)

    def instances(self) -> list[Any]:
        """Return the `Instance` messages of all ids, as of the last frame, by id."""
        return [self._as_of_now(self._rows[one]) for one in sorted(self._rows)]

    def heir(self, instance_id: int) -> int:
        """Return the id under which an object lives on after the mergers that were told; else the id itself."""
        while instance_id in self._heir:
            instance_id = self._heir[instance_id]
        return instance_id

    def _begin(self) -> None:
        self.frame_index, self.is_complete = _NEVER, False
        self._rows: dict[int, _Row] = {}
        self._heir: dict[int, int] = {}
        self._waiting: deque[Any] = deque(maxlen=_MAX_WAITING)  # changes without a gap, for the full list to come
        self._last_change = _NEVER  # frame_index of the last message of changes

    def _take_full(self, message: Any) -> bool:
        """Keep a full list, and use it unless the table knows more; return whether it was used."""
        index = _index_of_full(message)
        if self._has_full() and index < _index_of_full(self._full):  # an earlier state of this map was loaded
            self.is_complete, self._last_change = False, index
            self._waiting.clear()
        self._full = message
        if self.is_complete and index < self.frame_index:
            return False
        return self._reread()

    def _take_changes(self, message: Any) -> bool:
        """Apply the changes of one frame; return whether the full list was used as well."""
        index, last = message.frame_index, self._last_change
        self._last_change = index
        self._heir.update({one.id: one.other_id for one in message.events if one.type == EventType.MERGED})
        if last < index <= self.frame_index:
            return False  # the full list was faster
        if index == 0 and not (self._has_full() and _index_of_full(self._full) >= 0):  # nothing was before it
            self._rows, self.is_complete = {}, True
        elif index != self.frame_index + 1:
            self.is_complete = False
            self._waiting.clear()
            if index <= last and self._has_full() and _index_of_full(self._full) >= index:
                self._full = None  # an earlier state of this map was loaded, of which this list knows nothing
        if not self.is_complete:
            self._waiting.append(message)
            if self._reread():
                return True
        self._apply(message)
        return False

    def _reread(self) -> bool:
        """Begin again at the full list where it connects to the changes that wait; return whether it does."""
        if not self._has_full():
            return False
        index = _index_of_full(self._full)
        if self._waiting and index + 1 < self._waiting[0].frame_index:
            return False
        self._rows = {one.id: _Row(one, index) for one in self._full.instances}
        self.frame_index, self.is_complete = index, True
        for message in self._waiting:
            if message.frame_index > index:
                self._apply(message)
        self._waiting.clear()
        return True

    def _has_full(self) -> bool:
        return self._full is not None and bytes(self._full.map_id.uuid) == self.map_id

    def _apply(self, message: Any) -> None:
        gone = {one.id for one in message.events if one.type in (EventType.MERGED, EventType.REMOVED)}
        rows = {one: row for one, row in self._rows.items() if one not in gone}
        rows.update({one.id: _Row(one, message.frame_index) for one in message.instances})
        self._rows, self.frame_index = rows, message.frame_index

    def _as_of_now(self, row: _Row) -> Any:
        """Return an instance that has not been told of since as it is now: out of view, and missed if it is alive."""
        num_frames = self.frame_index - row.frame_index
        if num_frames <= 0:
            return row.message
        now = copy.copy(row.message)
        now.roi = type(now.roi)()
        if now.state != InstanceState.RETIRED:
            now.num_missed += num_frames
        return now


@dataclass(frozen=True)
class _Row:
    message: Any  # as it came
    frame_index: int  # of the frame after which it was so


def _index_of_full(message: Any) -> int:
    """Return the last frame that a full list knows of: an empty one of frame 0 may be of before that frame."""
    return message.frame_index if message.frame_index or message.instances else _NEVER
