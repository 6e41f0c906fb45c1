"""What RViz is told: every id that vanishes is deleted by name."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import serialize_message
from ros_builders import an_instance
from visualization_msgs.msg import Marker, MarkerArray

from autoseg3d_ros.ros.markers import NAMESPACES, InstanceMarkers
from autoseg3d_ros.structures import EventType, InstanceEvent, InstanceState


def removed(instance_id: int, kind: EventType = EventType.REMOVED) -> InstanceEvent:
    return InstanceEvent(kind, instance_id, stamp_ns=0, other_id=1)


class Display:
    """Does what RViz does with marker messages."""

    def __init__(self) -> None:
        self.markers: dict[tuple[str, int], Marker] = {}

    def show(self, message: MarkerArray) -> None:
        serialize_message(message)
        for marker in message.markers:
            if marker.action == Marker.DELETEALL:
                self.markers.clear()
            elif marker.action == Marker.DELETE:
                del self.markers[marker.ns, marker.id]
            else:
                self.markers[marker.ns, marker.id] = marker

    def ids(self) -> set[int]:
        for namespace in NAMESPACES:
            assert {i for ns, i in self.markers if ns == namespace} == {i for _ns, i in self.markers}
        return {instance_id for _namespace, instance_id in self.markers}


def test_nothing_gives_nothing():
    board = InstanceMarkers("map", 5.0)
    assert board.changes([], []).markers == []
    assert board.everything([]).markers == []
    assert board.changes([], [removed(4)]).markers == [], "an id that was never shown needs no DELETE"


def test_one_instance():
    markers = {one.ns: one for one in InstanceMarkers("odom", 1.5).changes([an_instance(7)], []).markers}
    assert set(markers) == set(NAMESPACES)
    for marker in markers.values():
        assert (marker.id, marker.action, marker.header.frame_id) == (7, Marker.ADD, "odom")
        assert (marker.lifetime.sec, marker.lifetime.nanosec) == (1, 500_000_000)
        assert (marker.header.stamp.sec, marker.header.stamp.nanosec) == (0, 0)
    box, text, footprint = markers["boxes"], markers["ids"], markers["footprints"]
    assert (box.type, box.scale.x, box.scale.y, box.scale.z) == (Marker.CUBE, 0.2, 0.4, 0.5)
    assert (box.pose.position.x, box.pose.position.y, box.pose.position.z) == (1.0, 2.0, 1.0)
    assert 2 * math.atan2(box.pose.orientation.z, box.pose.orientation.w) == pytest.approx(0.3)
    assert 0 < box.color.a < 1
    assert (text.type, text.text) == (Marker.TEXT_VIEW_FACING, "7")
    assert text.pose.position.z > 1.25, "above the box"
    assert [(round(p.x, 3), round(p.y, 3), p.z) for p in footprint.points] == [
        (0.9, 1.8, 0.75),
        (1.1, 1.8, 0.75),
        (1.0, 2.2, 0.75),
        (0.9, 1.8, 0.75),
    ], "closed, at the lowest point"


@pytest.mark.parametrize("kind", [EventType.REMOVED, EventType.MERGED])
def test_a_vanished_id_is_deleted_by_name(kind):
    board, display = InstanceMarkers("map", 5.0), Display()
    display.show(board.changes([an_instance(1), an_instance(2)], []))
    deletions = board.changes([], [removed(2, kind)])
    assert {(one.ns, one.id, one.action) for one in deletions.markers} == {(ns, 2, Marker.DELETE) for ns in NAMESPACES}
    display.show(deletions)
    assert display.ids() == {1}


@pytest.mark.parametrize("kind", [EventType.LOST, EventType.RETIRED, EventType.REVIVED, EventType.CONFIRMED])
def test_an_id_in_memory_stays_shown(kind):
    board, display = InstanceMarkers("map", 5.0), Display()
    display.show(board.changes([an_instance(1)], []))
    display.show(board.changes([an_instance(1, state=InstanceState.LOST)], [removed(1, kind)]))
    assert display.ids() == {1}


def test_reset_deletes_everything_at_once():
    board, display = InstanceMarkers("map", 5.0), Display()
    display.show(board.changes([an_instance(1)], []))
    assert [one.action for one in board.clear().markers] == [Marker.DELETEALL]
    assert board.everything([]).markers == []


def test_the_track_follows_a_moving_instance_and_not_noise():
    board = InstanceMarkers("map", 5.0)
    for x in (0.0, 0.001, -0.002, 0.5, 1.0):
        message = board.changes([an_instance(1, centroid_m=(x, 0.0, 0.0))], [])
    track = next(one for one in message.markers if one.ns == "tracks")
    assert [point.x for point in track.points] == [0.0, 0.5, 1.0]


def test_a_flat_or_empty_instance_can_be_drawn():
    flat = an_instance(1)
    flat = an_instance(1, box=type(flat.box)((0.0, 0.0, 0.0), (0.0, 0.0, 0.0), 0.0), footprint_m=flat.footprint_m[:0])
    message = InstanceMarkers("map", 5.0).changes([flat], [])
    Display().show(message)
    box = next(one for one in message.markers if one.ns == "boxes")
    assert min(box.scale.x, box.scale.y, box.scale.z) > 0


@given(st.lists(st.tuples(st.sampled_from(["changes", "everything", "clear"]), st.sets(st.integers(1, 5)))))
def test_the_display_shows_what_is_in_memory(steps):
    board, display, in_memory = InstanceMarkers("map", 5.0), Display(), set()
    for step, ids in steps:
        if step == "clear":
            display.show(board.clear())
            in_memory = set()
        elif step == "everything":
            display.show(board.everything(an_instance(i) for i in sorted(ids)))
            in_memory = set(ids)
        else:
            gone = {i for i in in_memory if i % 2}
            display.show(
                board.changes([an_instance(i) for i in sorted(ids - gone)], [removed(i) for i in sorted(gone)])
            )
            in_memory = (in_memory - gone) | (ids - gone)
        assert display.ids() == in_memory
