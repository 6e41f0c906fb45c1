"""Instances as vision_msgs sees them."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from ros_builders import HEAD, an_instance

from autoseg3d_ros.ros.detections_3d import detections_msg, vision_messages

STAND_INS = Path(__file__).parent / "message_stand_ins"


@pytest.fixture(params=["installed", "stand-in"])
def messages(request, monkeypatch):
    if request.param == "installed":
        yield pytest.importorskip("vision_msgs.msg", reason="vision_msgs is not installed")
        return
    monkeypatch.syspath_prepend(str(STAND_INS))
    for name in ("vision_msgs", "vision_msgs.msg"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield vision_messages()
    for name in ("vision_msgs", "vision_msgs.msg"):
        sys.modules.pop(name, None)


def test_no_instances(messages):
    assert detections_msg(messages, HEAD, []) == messages.Detection3DArray(header=HEAD)


def test_an_instance_is_a_detection_with_its_id_as_text(messages):
    array = detections_msg(messages, HEAD, [an_instance(70_000), an_instance(2)])
    first, second = array.detections
    assert (first.id, second.id) == ("70000", "2")
    assert array.header == first.header == HEAD
    center, size = first.bbox.center, first.bbox.size
    assert (center.position.x, center.position.y, center.position.z) == (1.0, 2.0, 1.0)
    assert 2 * math.atan2(center.orientation.z, center.orientation.w) == pytest.approx(0.3)
    assert (center.orientation.x, center.orientation.y) == (0.0, 0.0)
    assert (size.x, size.y, size.z) == (0.2, 0.4, 0.5)


def test_without_labels_the_score_is_all_there_is_to_say(messages):
    (result,) = detections_msg(messages, HEAD, [an_instance(1, score=0.75)]).detections[0].results
    assert (result.hypothesis.class_id, result.hypothesis.score) == ("", 0.75)
    assert result.pose.pose.position.x == 1.0


def test_labels_are_hypotheses_best_first(messages):
    named = an_instance(1, labels=("cup", "mug"), label_scores=(0.6, 0.3))
    results = detections_msg(messages, HEAD, [named]).detections[0].results
    assert [(one.hypothesis.class_id, one.hypothesis.score) for one in results] == [("cup", 0.6), ("mug", 0.3)]
