"""Instances as RViz shows them: a box, the id, the footprint and the track of each.

Every marker has the instance id as its marker id, in a namespace of its own kind, so that an id that vanishes can be
deleted by name. Stamps are zero ("the latest transform"): a marker holds until it is changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point
from std_msgs.msg import ColorRGBA, Header
from visualization_msgs.msg import Marker, MarkerArray

from autoseg3d_ros.colours import id_colours
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
_TRACK_STEP_M = 0.03  # smaller moves of a centroid are measurement noise
_TRACK_LENGTH = 200


class InstanceMarkers:
    """Remembers what RViz was told, so that each frame sends only what changed and every vanished id is deleted.

    Messages are updated in place: to make a new Marker costs more than all the rest.
    """

    def __init__(self, map_frame: str, lifetime_s: float) -> None:
        self._header = Header(frame_id=map_frame)
        self._shown: dict[int, _Shown] = {}
        self.set_lifetime(lifetime_s)

    def set_lifetime(self, lifetime_s: float) -> None:
        """Let markers sent from now on vanish after `lifetime_s` seconds without news; 0 = never."""
        self._lifetime = _duration(lifetime_s)

    def changes(self, instances: Iterable[Instance], events: Iterable[InstanceEvent]) -> MarkerArray:
        """Return the markers of the instances that changed and a DELETE for each id that is gone."""
        gone = [event.instance_id for event in events if event.type in (EventType.MERGED, EventType.REMOVED)]
        return self._message(gone, instances)

    def everything(self, instances: Iterable[Instance]) -> MarkerArray:
        """Return the markers of all `instances`, and a DELETE for each id shown so far that is not among them."""
        instances = list(instances)
        return self._message(sorted(set(self._shown) - {one.id for one in instances}), instances)

    def clear(self) -> MarkerArray:
        """Return one DELETEALL and forget all tracks: after a reset no id means what it meant before."""
        self._shown.clear()
        return MarkerArray(markers=[Marker(header=self._header, action=Marker.DELETEALL)])

    def _message(self, gone: Iterable[int], instances: Iterable[Instance]) -> MarkerArray:
        deleted = [self._shown.pop(one) for one in gone if one in self._shown]
        deletions = [
            Marker(header=self._header, ns=marker.ns, id=marker.id, action=Marker.DELETE)
            for shown in deleted
            for marker in shown.markers()
        ]
        return MarkerArray(markers=deletions + [marker for one in instances for marker in self._update(one)])

    def _update(self, one: Instance) -> list[Marker]:
        shown = self._shown.get(one.id)
        if shown is None:
            shown = self._shown[one.id] = _Shown(one.id, self._header)
        shown.update(one, self._lifetime)
        return shown.markers()


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

    def markers(self) -> list[Marker]:
        return [self._box, self._text, self._footprint, self._track]

    def update(self, one: Instance, lifetime: Duration) -> None:
        for marker in self.markers():
            marker.lifetime = lifetime
        self._update_box(one)
        x, y, _z = one.box.center_m
        low_m, high_m = one.z_range_m
        self._text.pose.position = _point((x, y, high_m + _TEXT_M))
        self._text.text = f"{one.id} {one.labels[0]}" if one.labels else str(one.id)
        corners = one.footprint_m.tolist()
        self._footprint.points = [_point((x, y, low_m)) for x, y in [*corners, *corners[:1]]]
        self._update_track(_point(one.centroid_m))

    def _update_box(self, one: Instance) -> None:
        self._box.color.a = _BOX_ALPHA[one.state]
        self._box.pose.position = _point(one.box.center_m)
        self._box.pose.orientation.z = math.sin(one.box.yaw_rad / 2)
        self._box.pose.orientation.w = math.cos(one.box.yaw_rad / 2)
        scale = self._box.scale
        scale.x, scale.y, scale.z = (max(float(size), _MIN_BOX_M) for size in one.box.size_m)

    def _update_track(self, centroid: Point) -> None:
        if not self._centroids or _distance_m(self._centroids[-1], centroid) > _TRACK_STEP_M:
            self._centroids.append(centroid)
        # RViz warns about a strip of one point; twice the same point draws nothing.
        self._track.points = list(self._centroids) * (2 if len(self._centroids) == 1 else 1)


def _marker(head: Header, namespace: str, instance_id: int, kind: int, alpha: float) -> Marker:
    red, green, blue = (id_colours(instance_id) / 255.0).tolist()
    marker = Marker(header=head, ns=namespace, id=instance_id, type=kind)
    marker.color = ColorRGBA(r=red, g=green, b=blue, a=alpha)
    marker.pose.orientation.w = 1.0
    return marker


def _point(xyz_m: tuple[float, float, float]) -> Point:
    x, y, z = xyz_m
    return Point(x=float(x), y=float(y), z=float(z))


def _distance_m(first: Point, second: Point) -> float:
    return math.dist((first.x, first.y, first.z), (second.x, second.y, second.z))


def _duration(seconds: float) -> Duration:
    whole, part = divmod(round(seconds * 1e9), 1_000_000_000)
    return Duration(sec=whole, nanosec=part)
