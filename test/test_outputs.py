"""What is published, on which topics, how often; and that nothing is made for topics nobody listens to."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from output_bench import CAMERA_FRAME, FOR_WHOEVER_COMES_LATER, MAP_ID, Bench
from rclpy.qos import DurabilityPolicy, HistoryPolicy, ReliabilityPolicy
from ros_builders import an_instance
from ros_harness import wait_until
from visualization_msgs.msg import Marker

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import Config
from autoseg3d_ros.ros import conversions, outputs
from autoseg3d_ros.ros.markers import InstanceMarkers
from autoseg3d_ros.ros.overlay import OverlayPainter
from autoseg3d_ros.structures import EventType, InstanceEvent, InstanceState

STAND_INS = Path(__file__).parent / "message_stand_ins"
FRAME_STAMP_NS = 5_000_000_005  # of `segmented_frame`
RELIABLE, BEST_EFFORT = ReliabilityPolicy.RELIABLE, ReliabilityPolicy.BEST_EFFORT
VOLATILE, LATCHED = DurabilityPolicy.VOLATILE, DurabilityPolicy.TRANSIENT_LOCAL
QOS = {
    "instances": (10, RELIABLE, VOLATILE),
    "instances_full": (1, RELIABLE, LATCHED),
    "segmentation": (5, RELIABLE, VOLATILE),
    "points": (5, RELIABLE, VOLATILE),
    "map_points": (1, RELIABLE, LATCHED),
    "markers": (10, RELIABLE, VOLATILE),
    "detections_3d": (10, RELIABLE, VOLATILE),
    "~/overlay": (5, BEST_EFFORT, VOLATILE),
}
# What makes the content of each topic.
BUILDERS = {
    "instances": [(outputs, "serialized_instances")],
    "segmentation": [(conversions, "segmentation_msg")],
    "points": [(conversions, "cloud_msg")],
    "map_points": [(conversions, "cloud_msg")],
    "markers": [(InstanceMarkers, "changes"), (InstanceMarkers, "begin_full_set"), (InstanceMarkers, "next_part")],
    "detections_3d": [(outputs, "detections_msg")],
    "~/overlay": [(OverlayPainter, "show")],
}


@pytest.fixture
def with_vision_msgs(monkeypatch):
    monkeypatch.syspath_prepend(str(STAND_INS))
    for name in ("vision_msgs", "vision_msgs.msg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    for name in ("vision_msgs", "vision_msgs.msg"):
        sys.modules.pop(name, None)


@pytest.fixture
def bench(with_vision_msgs):
    bench = Bench()
    yield bench
    bench.outputs.close()


def test_every_topic_has_its_quality_of_service(bench):
    assert {
        topic: (one.qos.depth, one.qos.reliability, one.qos.durability) for topic, one in bench.node.publishers.items()
    } == QOS
    assert {one.qos.history for one in bench.node.publishers.values()} == {HistoryPolicy.KEEP_LAST}


@pytest.mark.parametrize("topic", [None, *BUILDERS])
def test_nothing_is_made_for_topics_that_nobody_listens_to(bench, monkeypatch, topic):
    called = set()
    for owner, name in {builder for builders in BUILDERS.values() for builder in builders}:
        made_by, before = (owner, name), getattr(owner, name)
        monkeypatch.setattr(
            owner, name, lambda *args, _before=before, _by=made_by, **kw: (called.add(_by), _before(*args, **kw))[1]
        )
    bench.state(0.0)  # `instances_full` is for whoever comes later, and out before the frame
    called.clear()
    if topic is not None:
        bench.listen(topic)
    bench.outputs._pace_of_full.done(0.0, 1000.0)
    bench.frame()
    bench.outputs._pace_of_full.done(0.0, 1000.0)
    bench.state(2.0)
    assert called == set(BUILDERS.get(topic, ()))
    assert bench.segmenter.num_maps == (topic == "map_points")
    if topic is not None:
        assert wait_until(lambda: bench.on(topic))
    assert {name for name in QOS if bench.on(name)} <= {topic} | FOR_WHOEVER_COMES_LATER


def test_all_topics_of_a_frame(bench):
    bench.listen(*QOS)
    event = InstanceEvent(EventType.CREATED, 3, FRAME_STAMP_NS)
    seen, lost = an_instance(3, last_seen_ns=FRAME_STAMP_NS), an_instance(4, state=InstanceState.LOST)
    bench.frame([seen, lost], (event,))
    (instances,), (points,), (labels,) = bench.on("instances"), bench.on("points"), bench.on("segmentation")
    (detections,), (markers,) = bench.on("detections_3d"), bench.on("markers")
    assert wait_until(lambda: bench.on("~/overlay"))
    (picture,) = bench.on("~/overlay")

    assert instances.instances == [conversions.instance_msg(seen), conversions.instance_msg(lost)]
    assert instances.events == [conversions.event_msg(event)]
    assert (conversions.map_id(instances.map_id), instances.frame_index, instances.is_full) == (MAP_ID, 0, False)
    assert conversions.cloud_points(points)["instance_id"].tolist() == [3, 3]
    assert conversions.label_image(labels.labels).tolist() == [[0, 0], [3, 3]]
    assert list(labels.stage_names) == ["sync_wait", "masks", "publish"]
    assert {marker.id for marker in markers.markers} == {3, 4}
    assert [one.id for one in detections.detections] == ["3"], "what the frame shows, not what it lost"
    assert (picture.encoding, picture.width, picture.height) == ("bgr8", 2, 2)
    heads = {name: bench.on(name)[0].header for name in QOS if name not in ("instances_full", "map_points", "markers")}
    assert {name: head.frame_id for name, head in heads.items()} == {
        **dict.fromkeys(heads, "map"),
        "segmentation": CAMERA_FRAME,
        "~/overlay": CAMERA_FRAME,
    }
    assert {conversions.stamp_ns(head.stamp) for head in heads.values()} == {FRAME_STAMP_NS}


def test_the_least_state_holds_for_what_is_shown(bench):
    bench.outputs.configure(settings.replace(Config(), {"output.min_state": "active"}))
    bench.listen("instances", "markers", "detections_3d")
    at_once = {"last_seen_ns": FRAME_STAMP_NS}
    bench.frame([an_instance(1, state=InstanceState.TENTATIVE, **at_once), an_instance(2, **at_once)])
    bench.segmenter.all_instances = (an_instance(1, state=InstanceState.TENTATIVE), an_instance(2))
    bench.state(0.0)
    assert [one.id for one in bench.on("instances")[0].instances] == [2]
    assert [one.id for one in bench.on("detections_3d")[0].detections] == ["2"]
    assert {marker.id for message in bench.on("markers") for marker in message.markers} == {2}
    assert [one.id for one in bench.on("instances_full")[0].instances] == [2]
    bench.outputs.configure(Config())
    bench.state(10.0)
    assert [one.id for one in bench.on("instances_full")[1].instances] == [1, 2], "told at once"


def test_the_whole_state_comes_at_its_rate(bench):
    bench.outputs.configure(settings.replace(Config(), {"output.map_rate_hz": 0.5}))
    bench.listen("instances_full", "map_points", "markers")
    for tenth in range(41):
        bench.frame()
        bench.state(tenth / 10)
    assert [len(bench.on(name)) for name in ("instances_full", "map_points")] == [3, 3], "at 0, 2 and 4 s"
    boxes = [one for message in bench.on("markers") for one in message.markers if (one.ns, one.id) == ("boxes", 1)]
    assert len(boxes) == 5, "at 0, 1, 2, 3 and 4 s"


def test_the_last_state_is_not_swallowed_and_not_repeated(bench):
    bench.listen("instances_full", "map_points")
    bench.frame()
    bench.state(0.0)
    bench.frame()
    for now_s in (0.5, 1.0, 1.5, 2.0):
        bench.state(now_s)
    assert [len(bench.on(name)) for name in ("instances_full", "map_points")] == [2, 2]


def test_markers_are_repeated_before_they_die(bench):
    bench.outputs.configure(settings.replace(Config(), {"output.marker_lifetime_s": 0.5}))
    bench.listen("markers")
    for eighth in range(9):
        bench.state(eighth / 8)
    assert len(bench.on("markers")) == 5, "each 0.25 s, though nothing changes"


def test_a_late_listener_is_sent_map_and_markers(bench):
    bench.frame()
    bench.state(0.0)
    bench.listen("map_points", "markers")
    bench.state(0.1)
    assert len(bench.on("map_points")[0].data) == 4 * 24
    assert {marker.id for marker in bench.on("markers")[0].markers} == {1, 2, 3}


def test_what_was_removed_while_nobody_listened_is_deleted(bench):
    bench.listen("markers")
    bench.frame([an_instance(9)])
    bench.node.publishers["markers"].num_subscriptions = 0
    bench.frame([], (InstanceEvent(EventType.REMOVED, 9, FRAME_STAMP_NS),))
    bench.listen("markers")
    bench.state(0.0)
    assert {one.id for one in bench.on("markers")[-1].markers if one.action == Marker.DELETE} == {9}


def test_a_new_map_deletes_everything_once(bench):
    bench.listen("markers", "instances_full", "map_points")
    for _ in range(3):
        bench.frame()
        bench.state(0.0)
    before = [len(bench.on(name)) for name in ("instances_full", "map_points")]
    bench.outputs.forget()
    bench.state(0.01)
    actions = [marker.action for message in bench.on("markers") for marker in message.markers]
    assert actions.count(Marker.DELETEALL) == 1
    assert [len(bench.on(name)) for name in ("instances_full", "map_points")] == [n + 1 for n in before], "at once"


def test_closing_destroys_every_publisher(bench):
    bench.outputs.close()
    assert bench.node.destroyed == list(bench.node.publishers.values())


def test_without_vision_msgs_one_line_says_so(monkeypatch, caplog):
    for name in ("vision_msgs", "vision_msgs.msg"):
        monkeypatch.setitem(sys.modules, name, None)
    with caplog.at_level("INFO"):
        bench = Bench()
    assert [(one.levelname, one.getMessage()) for one in caplog.records] == [
        ("INFO", "detections_3d is not published: the ROS package vision_msgs is not installed")
    ]
    bench.listen("instances")
    bench.frame()
    assert set(bench.node.publishers) == set(QOS) - {"detections_3d"}
    bench.outputs.close()
