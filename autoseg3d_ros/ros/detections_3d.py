"""Instances as `vision_msgs` detections, for those who know that package and not ours."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from std_msgs.msg import Header

from autoseg3d_ros.ros.conversions import fill_box_pose, fill_vector
from autoseg3d_ros.structures import Instance

logger = logging.getLogger(__name__)


def vision_messages() -> ModuleType | None:
    """Return `vision_msgs.msg`; where it is not installed, say what is missing without it and return None."""
    try:
        return importlib.import_module("vision_msgs.msg")
    except ImportError:
        logger.info("detections_3d is not published: the ROS package vision_msgs is not installed")
        return None


def detections_msg(messages: ModuleType, head: Header, instances: Iterable[Instance]) -> Any:
    """Return a Detection3DArray of the module `messages`: one detection an instance, its id as text."""
    detections = [_detection(messages, head, one) for one in instances]
    return messages.Detection3DArray(header=head, detections=detections)


def _detection(messages: ModuleType, head: Header, one: Instance) -> Any:
    detection = messages.Detection3D(header=head, id=str(one.id))
    fill_box_pose(detection.bbox.center, one.box)
    fill_vector(detection.bbox.size, one.box.size_m)
    # Without labels the class is empty, and what is left to say is the score.
    named = list(zip(one.labels, one.label_scores, strict=True)) or [("", one.score)]
    detection.results = [_result(messages, one, label, score) for label, score in named]
    return detection


def _result(messages: ModuleType, one: Instance, label: str, score: float) -> Any:
    result = messages.ObjectHypothesisWithPose()
    result.hypothesis.class_id, result.hypothesis.score = label, score
    fill_box_pose(result.pose.pose, one.box)
    return result
