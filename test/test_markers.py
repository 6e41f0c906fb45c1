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

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.ros.markers import NAMESPACES, InstanceMarkers
from autoseg3d_ros.structures import EventType, Instance, InstanceEvent, InstanceState, OrientedBox


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
                self.markers.pop((marker.ns, marker.id), None)
            else:
                self.markers[marker.ns, marker.id] = marker

    def ids(self) -> set[int]:
        """The ids that are shown, each with everything but perhaps a track."""
        shown = self.of("boxes")
        assert shown == self.of("ids") == self.of("footprints") and self.of("tracks") <= shown
        return shown

    def of(self, namespace: str) -> set[int]:
        return {instance_id for ns, instance_id in self.markers if ns == namespace}


def full_set(board: InstanceMarkers, instances: list[Instance]) -> list[MarkerArray]:
    """All parts of a full set."""
    board.begin_full_set(instances)
    parts = []
    while (part := board.next_part()).markers:
        parts.append(part)
    return parts


def namespaces(message: MarkerArray) -> set[str]:
    return {marker.ns for marker in message.markers}


def test_nothing_gives_nothing():
    board = InstanceMarkers("map", 5.0)
    assert board.changes([], []).markers == []
    assert full_set(board, []) == []
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
    for marker in markers.values():
        assert [marker.color.r * 255, marker.color.g * 255, marker.color.b * 255] == pytest.approx(
            id_colours(7).tolist()
        )
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
    assert full_set(board, []) == []


def test_the_track_follows_a_moving_instance_and_not_noise():
    board = InstanceMarkers("map", 5.0)
    for x in (0.0, 0.001, 0.5, 0.498, 1.0):
        message = board.changes([an_instance(1, centroid_m=(x, 0.0, 0.0))], [])
    (track,) = message.markers
    assert (track.ns, [point.x for point in track.points]) == ("tracks", [0.0, 0.5, 1.0])
    assert (track.type, track.pose.orientation.w) == (Marker.LINE_STRIP, 1.0)


def test_a_track_has_so_many_poses_and_no_more():
    board = InstanceMarkers("map", 5.0)
    for x in range(200):
        message = board.changes([an_instance(1, centroid_m=(float(x), 0.0, 0.0))], [])
    assert [point.x for point in message.markers[0].points] == list(range(150, 200))


def test_only_active_instances_have_a_track():
    board, display = InstanceMarkers("map", 5.0), Display()
    for state in InstanceState:
        display.show(board.changes([an_instance(1, state=state)], []))
        assert display.of("tracks") == ({1} if state is InstanceState.ACTIVE else set()), state
        for part in full_set(board, [an_instance(1, state=state)]):
            display.show(part)
        assert display.of("tracks") == ({1} if state is InstanceState.ACTIVE else set()), state
    display.show(board.changes([an_instance(1, centroid_m=(3.0, 2.0, 1.0))], []))
    assert [point.x for point in display.markers["tracks", 1].points] == [1.0, 3.0], "the same track goes on"


def box_at(x: float, yaw_rad: float = 0.3, length_m: float = 0.2) -> OrientedBox:
    return OrientedBox((x, 2.0, 1.0), (length_m, 0.4, 0.5), yaw_rad)


@pytest.mark.parametrize(
    "changes, sent",
    [
        ({"num_observations": 5, "score": 0.5, "num_points": 100}, set()),
        ({"box": box_at(1.02)}, set()),
        ({"box": box_at(1.04)}, {"boxes", "ids", "footprints"}),
        ({"box": box_at(1.0, length_m=0.24)}, {"boxes", "ids", "footprints"}),
        ({"box": box_at(1.0, yaw_rad=0.34)}, {"boxes", "ids", "footprints"}),
        ({"labels": ("cup",), "label_scores": (0.5,)}, {"boxes", "ids", "footprints"}),
        ({"state": InstanceState.LOST}, set(NAMESPACES)),
        ({"centroid_m": (1.1, 2.0, 1.0)}, {"tracks"}),
    ],
    ids=["nothing to see", "2 cm", "4 cm", "longer", "turned", "named", "lost", "centroid"],
)
def test_only_what_can_be_seen_to_change_is_sent(changes, sent):
    board = InstanceMarkers("map", 5.0)
    board.changes([an_instance(1)], [])
    assert namespaces(board.changes([an_instance(1, **changes)], [])) == sent


def test_small_changes_add_up():
    board, display = InstanceMarkers("map", 5.0), Display()
    for step in range(21):
        display.show(board.changes([an_instance(1, box=box_at(1.0 + 0.01 * step))], []))
    assert display.markers["boxes", 1].pose.position.x == pytest.approx(1.2, abs=0.03)


def test_the_full_set_sends_everything_in_ten_parts():
    board, display = InstanceMarkers("map", 5.0), Display()
    instances = [an_instance(i + 1) for i in range(205)]
    display.show(board.changes(instances, []))
    parts = full_set(board, instances)
    assert [len(part.markers) for part in parts] == [21 * 4] * 9 + [16 * 4]
    again = Display()  # one that has been told nothing so far
    for part in parts:
        again.show(part)
    assert again.ids() == display.ids() == set(range(1, 206))


def test_what_changes_while_the_full_set_goes_out():
    board, display = InstanceMarkers("map", 5.0), Display()
    instances = [an_instance(i + 1) for i in range(15)]
    board.begin_full_set(instances)
    display.show(board.next_part())
    display.show(board.changes([an_instance(12, box=box_at(3.0))], [removed(1), removed(14)]))
    while (part := board.next_part()).markers:
        display.show(part)
    assert display.ids() == set(range(2, 16)) - {14}
    assert display.markers["boxes", 12].pose.position.x == 3.0, "not what it was when the set was begun"


def test_a_reset_ends_the_full_set():
    board = InstanceMarkers("map", 5.0)
    board.begin_full_set([an_instance(1)])
    board.clear()
    assert board.next_part().markers == []


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
            for part in full_set(board, [an_instance(i) for i in sorted(ids)]):
                display.show(part)
            in_memory = set(ids)
        else:
            gone = {i for i in in_memory if i % 2}
            display.show(
                board.changes([an_instance(i) for i in sorted(ids - gone)], [removed(i) for i in sorted(gone)])
            )
            in_memory = (in_memory - gone) | (ids - gone)
        assert display.ids() == in_memory
