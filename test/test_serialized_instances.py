"""The bytes of `InstanceArray` are those that ROS 2 makes of the message."""

from __future__ import annotations

import math
import uuid

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from hypothesis import given
from hypothesis import strategies as st
from rclpy.serialization import deserialize_message, serialize_message
from ros_builders import an_instance

from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.serialized_instances import serialized_instances
from autoseg3d_ros.structures import EventType, InstanceEvent, InstanceState, OrientedBox

WORDS = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=9)
COUNTS = st.integers(0, 2**32 - 1)
STAMPS_NS = st.integers(0, (2**31 - 1) * 10**9)
REALS = st.floats(allow_nan=False)
FLOATS = st.floats(allow_nan=False, width=32)
POINTS = st.tuples(REALS, REALS, REALS)


@st.composite
def instances(draw: st.DrawFn):
    corners = draw(st.lists(st.tuples(FLOATS, FLOATS), max_size=5))
    label_scores = tuple(draw(st.lists(FLOATS, max_size=3)))
    metres = st.floats(-1e6, 1e6)
    return an_instance(
        draw(COUNTS),
        state=draw(st.sampled_from(InstanceState)),
        score=draw(FLOATS),
        match_confidence=draw(FLOATS),
        first_seen_ns=draw(STAMPS_NS),
        last_seen_ns=draw(STAMPS_NS),
        num_observations=draw(COUNTS),
        num_missed=draw(COUNTS),
        centroid_m=draw(POINTS),
        box=OrientedBox(draw(st.tuples(metres, metres, metres)), draw(st.tuples(metres, metres, metres)), draw(metres)),
        footprint_m=np.array(corners, np.float32).reshape(-1, 2),
        num_points=draw(COUNTS),
        roi_px=draw(st.tuples(COUNTS, COUNTS, COUNTS, COUNTS)),
        labels=tuple(draw(WORDS) for _ in label_scores),
        label_scores=label_scores,
    )


EVENTS = st.builds(InstanceEvent, st.sampled_from(EventType), COUNTS, STAMPS_NS, COUNTS, WORDS)


@given(
    STAMPS_NS,
    WORDS,
    st.uuids(),
    COUNTS,
    st.lists(instances(), max_size=4),
    st.lists(EVENTS, max_size=3),
    st.booleans(),
)
def test_a_subscriber_reads_what_the_message_says(stamp_ns, frame_id, map_id, index, shown, events, is_full):
    head = conversions.header(stamp_ns, frame_id)
    message = conversions.instance_array_msg(head, map_id, index, shown, events, is_full=is_full)
    by_ros = serialize_message(message)
    ours = serialized_instances(stamp_ns, frame_id, map_id, index, shown, events, is_full=is_full)
    assert len(ours) == len(by_ros)  # what is between the fields is left to chance by ROS
    assert deserialize_message(ours, InstanceArray) == deserialize_message(by_ros, InstanceArray)


def test_a_birth_has_no_confidence_yet():
    ours = serialized_instances(0, "map", uuid.UUID(int=1), 0, [an_instance(1, match_confidence=math.nan)])
    (one,) = deserialize_message(ours, InstanceArray).instances
    assert math.isnan(one.match_confidence)
