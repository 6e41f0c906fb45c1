"""Instances as RViz shows them: a box, the id, the footprint and the track of each.

Every marker has the instance id as its marker id, in a namespace of its own kind, so that an id that vanishes can be
deleted by name. Stamps are zero ("the latest transform"): a marker holds until it is changed.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

from builtin_interfaces.msg import Duration
from geometry_msgs.msg import Point, Quaternion, Vector3
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
    """Remembers what RViz was told, so that each frame sends only what changed and every vanished id is deleted."""

    def __init__(self, map_frame: str, lifetime_s: float) -> None:
        self._header = Header(frame_id=map_frame)
        self._shown: dict[int, list[Marker]] = {}
        self._tracks: dict[int, deque[Point]] = {}
        self.set_lifetime(lifetime_s)

    def set_lifetime(self, lifetime_s: float) -> None:
        """Let markers sent from now on vanish after `lifetime_s` seconds without news; 0 = never."""
        self._lifetime = _duration(lifetime_s)

    def changes(self, instances: Iterable[Instance], events: Iterable[InstanceEvent]) -> MarkerArray:
        """Return the markers of the instances that changed and a DELETE for each id that is gone."""
        gone = [event.instance_id for event in events if event.type in (EventType.MERGED, EventType.REMOVED)]
        return MarkerArray(markers=self._delete(gone) + [marker for one in instances for marker in self._add(one)])

    def everything(self, instances: Iterable[Instance]) -> MarkerArray:
        """Return the markers of all `instances`, and a DELETE for each id shown so far that is not among them."""
        instances = list(instances)
        gone = set(self._shown) - {one.id for one in instances}
        return MarkerArray(
            markers=self._delete(sorted(gone)) + [marker for one in instances for marker in self._add(one)]
        )

    def clear(self) -> MarkerArray:
        """Return one DELETEALL and forget all tracks: after a reset no id means what it meant before."""
        self._shown.clear()
        self._tracks.clear()
        return MarkerArray(markers=[Marker(header=self._header, action=Marker.DELETEALL)])

    def _delete(self, ids: Iterable[int]) -> list[Marker]:
        deletions = []
        for instance_id in ids:
            self._tracks.pop(instance_id, None)
            for marker in self._shown.pop(instance_id, ()):
                deletions.append(Marker(header=self._header, ns=marker.ns, id=marker.id, action=Marker.DELETE))
        return deletions

    def _add(self, one: Instance) -> list[Marker]:
        track = self._tracks.setdefault(one.id, deque(maxlen=_TRACK_LENGTH))
        centroid = _point(one.centroid_m)
        if not track or _distance_m(track[-1], centroid) > _TRACK_STEP_M:
            track.append(centroid)
        markers = [self._box(one), self._text(one), self._footprint(one), self._track(one, track)]
        self._shown[one.id] = markers
        return markers

    def _box(self, one: Instance) -> Marker:
        marker = self._marker(one, "boxes", Marker.CUBE, _BOX_ALPHA[one.state])
        marker.pose.position = _point(one.box.center_m)
        marker.pose.orientation = Quaternion(z=math.sin(one.box.yaw_rad / 2), w=math.cos(one.box.yaw_rad / 2))
        x, y, z = (max(size, _MIN_BOX_M) for size in one.box.size_m)
        marker.scale = Vector3(x=x, y=y, z=z)
        return marker

    def _text(self, one: Instance) -> Marker:
        marker = self._marker(one, "ids", Marker.TEXT_VIEW_FACING, 1.0)
        x, y, _z = one.box.center_m
        marker.pose.position = _point((x, y, one.z_range_m[1] + _TEXT_M))
        marker.scale.z = _TEXT_M
        marker.text = f"{one.id} {one.labels[0]}" if one.labels else str(one.id)
        return marker

    def _footprint(self, one: Instance) -> Marker:
        marker = self._marker(one, "footprints", Marker.LINE_STRIP, 0.9)
        marker.scale.x = _LINE_M
        corners = one.footprint_m.tolist()
        marker.points = [_point((x, y, one.z_range_m[0])) for x, y in [*corners, *corners[:1]]]
        return marker

    def _track(self, one: Instance, track: deque[Point]) -> Marker:
        marker = self._marker(one, "tracks", Marker.LINE_STRIP, 0.9)
        marker.scale.x = _LINE_M
        # RViz warns about a strip of one point; twice the same point draws nothing.
        marker.points = list(track) if len(track) > 1 else [track[0], track[0]]
        return marker

    def _marker(self, one: Instance, namespace: str, kind: int, alpha: float) -> Marker:
        red, green, blue = (id_colours(one.id) / 255.0).tolist()
        marker = Marker(header=self._header, ns=namespace, id=one.id, type=kind, lifetime=self._lifetime)
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
