"""Instances as RViz shows them: a box, the id and the footprint of each, and the track of the active ones.

Every marker has the instance id as its marker id, in a namespace of its own kind, so that an id that vanishes can be
deleted by name. Stamps are zero ("the latest transform"): a marker holds until it is changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.ros.conversions import fill_box_pose
from autoseg3d_ros.structures import EventType, Instance, InstanceEvent, InstanceState

NAMESPACES = ("boxes", "ids", "footprints", "tracks")
_BOX_ALPHA = {
    InstanceState.UNKNOWN: 0.1,
    InstanceState.TENTATIVE: 0.15,
    InstanceState.ACTIVE: 0.45,
    InstanceState.LOST: 0.25,
    InstanceState.RETIRED: 0.1,
}
_MIN_BOX_M = 0.005  # RViz refuses a cube without thickness
_TEXT_M = 0.06
_LINE_M = 0.008
_STILL = 0.03  # metres and radians: a box that changes less is sent again with the full set only
_TRACK_STEP_M = 0.03  # smaller moves of a centroid are measurement noise
_TRACK_LENGTH = 50
_NUM_PARTS, _MIN_PART = 10, 5  # of the full set; of the instances in a part


class InstanceMarkers:
    """Remembers what RViz was told, so that each frame sends only what changed and every vanished id is deleted.

    A Marker costs more to make than all the rest, and then to send: they are updated in place, what an eye cannot tell
    from what it sees is not sent, and the full set goes out in parts.
    """

    def __init__(self, map_frame: str, lifetime_s: float) -> None:
        self._header = Header(frame_id=map_frame)
        self._shown: dict[int, _Shown] = {}
        self._gone: list[int] = []  # to be deleted with the next part
        self._waiting: dict[int, Instance] = {}  # what is left of the full set
        self._part_size = _MIN_PART
        self.set_lifetime(lifetime_s)

    def set_lifetime(self, lifetime_s: float) -> None:
        """Let markers sent from now on vanish after `lifetime_s` seconds without news; 0 = never."""
        self._lifetime = _duration(lifetime_s)

    def changes(self, instances: Iterable[Instance], events: Iterable[InstanceEvent]) -> MarkerArray:
        """Return the markers that a frame has changed, and a DELETE for each id that is gone."""
        gone = [event.instance_id for event in events if event.type in (EventType.MERGED, EventType.REMOVED)]
        for instance_id in gone:
            self._waiting.pop(instance_id, None)
        markers = self._deletions(gone)
        for one in instances:
            if one.id in self._waiting:
                self._waiting[one.id] = one
            markers += self._shown_of(one).changes(one)
        return self._message(markers)

    def begin_full_set(self, instances: Sequence[Instance]) -> None:
        """Let `next_part` send all `instances`, and a DELETE for each id shown that is not among them."""
        self._waiting = {one.id: one for one in instances}
        self._gone = [instance_id for instance_id in self._shown if instance_id not in self._waiting]
        self._part_size = max(_MIN_PART, math.ceil(len(instances) / _NUM_PARTS))

    def next_part(self) -> MarkerArray:
        """Return the next part of the full set; without markers when all of it has been sent."""
        markers = self._deletions(self._gone)
        self._gone = []
        for instance_id in list(self._waiting)[: self._part_size]:
            one = self._waiting.pop(instance_id)
            markers += self._shown_of(one).everything(one)
        return self._message(markers)

    def clear(self) -> MarkerArray:
        """Return one DELETEALL and forget all tracks: after a reset no id means what it meant before."""
        self._shown.clear()
        self._waiting.clear()
        self._gone.clear()
        return MarkerArray(markers=[Marker(header=self._header, action=Marker.DELETEALL)])

    def _shown_of(self, one: Instance) -> _Shown:
        if one.id not in self._shown:
            self._shown[one.id] = _Shown(one.id, self._header)
        return self._shown[one.id]

    def _deletions(self, gone: Iterable[int]) -> list[Marker]:
        shown = [self._shown.pop(instance_id) for instance_id in gone if instance_id in self._shown]
        return [deletion for one in shown for deletion in one.deletions()]

    def _message(self, markers: list[Marker]) -> MarkerArray:
        for marker in markers:
            marker.lifetime = self._lifetime
        return MarkerArray(markers=markers)


class _Look(NamedTuple):
    """What can be seen of an instance but its track."""

    state: InstanceState
    text: str
    box: tuple[float, ...]  # centre, size, yaw

    def is_like(self, other: _Look) -> bool:
        return (self.state, self.text) == (other.state, other.text) and all(
            abs(mine - theirs) < _STILL for mine, theirs in zip(self.box, other.box, strict=True)
        )


class _Shown:
    """The markers of one instance."""

    def __init__(self, instance_id: int, head: Header) -> None:
        self._box = _marker(head, "boxes", instance_id, Marker.CUBE, alpha=0.0)
        self._text = _marker(head, "ids", instance_id, Marker.TEXT_VIEW_FACING, alpha=1.0)
        self._footprint = _marker(head, "footprints", instance_id, Marker.LINE_STRIP, alpha=0.9)
        self._track = _marker(head, "tracks", instance_id, Marker.LINE_STRIP, alpha=0.9)
        self._text.scale.z = _TEXT_M
        self._footprint.scale.x = self._track.scale.x = _LINE_M
        self._centroids: deque[Point] = deque(maxlen=_TRACK_LENGTH)
        self._look: _Look | None = None  # as it was sent
        self._has_track = False

    def changes(self, one: Instance) -> list[Marker]:
        """Bring the markers up to date; return those that must be sent."""
        had_track, is_longer = self._has_track, self._follow(one)
        markers = [self._track] if self._has_track and (is_longer or not had_track) else []
        if had_track and not self._has_track:
            markers = [_deletion(self._track)]
        look = _look(one)
        if self._look is None or not look.is_like(self._look):
            markers += self._draw(one, look)
        return markers

    def everything(self, one: Instance) -> list[Marker]:
        """Bring the markers up to date; return all there are."""
        self._follow(one)
        return self._draw(one, _look(one)) + ([self._track] if self._has_track else [])

    def deletions(self) -> list[Marker]:
        """Return a DELETE for each marker that there may be."""
        return [_deletion(marker) for marker in (self._box, self._text, self._footprint, self._track)]

    def _draw(self, one: Instance, look: _Look) -> list[Marker]:
        self._look = look
        self._box.color.a = _BOX_ALPHA[one.state]
        fill_box_pose(self._box.pose, one.box)
        scale = self._box.scale
        scale.x, scale.y, scale.z = (max(size_m, _MIN_BOX_M) for size_m in one.box.size_m)
        low_m, high_m = one.z_range_m
        above = self._text.pose.position
        above.x, above.y, above.z = *one.box.center_m[:2], high_m + _TEXT_M
        self._text.text = look.text
        corners = one.footprint_m.tolist()
        self._footprint.points = [Point(x=x, y=y, z=low_m) for x, y in [*corners, *corners[:1]]]
        return [self._box, self._text, self._footprint]

    def _follow(self, one: Instance) -> bool:
        """Lengthen the track of an active instance; return whether it is longer."""
        self._has_track = one.state is InstanceState.ACTIVE
        x, y, z = one.centroid_m
        if not self._has_track or (self._centroids and _distance_m(self._centroids[-1], one) <= _TRACK_STEP_M):
            return False
        self._centroids.append(Point(x=x, y=y, z=z))
        # RViz warns about a strip of one point; twice the same point draws nothing.
        self._track.points = list(self._centroids) * (2 if len(self._centroids) == 1 else 1)
        return True


def _look(one: Instance) -> _Look:
    text = f"{one.id} {one.labels[0]}" if one.labels else str(one.id)
    return _Look(one.state, text, (*one.box.center_m, *one.box.size_m, one.box.yaw_rad))


def _marker(head: Header, namespace: str, instance_id: int, kind: int, alpha: float) -> Marker:
    red, green, blue = (id_colours(instance_id) / 255.0).tolist()
    marker = Marker(header=head, ns=namespace, id=instance_id, type=kind)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
    marker.pose.orientation.w = 1.0
    return marker


def _deletion(marker: Marker) -> Marker:
    return Marker(header=marker.header, ns=marker.ns, id=marker.id, action=Marker.DELETE)


def _distance_m(last: Point, one: Instance) -> float:
    return math.dist((last.x, last.y, last.z), one.centroid_m)


def _duration(seconds: float) -> Duration:
    whole, part = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=whole, nanosec=part)
