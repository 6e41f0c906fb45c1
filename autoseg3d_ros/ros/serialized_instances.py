"""`InstanceArray` as the bytes that go over the wire, for rclpy to publish as they are.

rclpy makes, checks and converts an object for every nested message of every instance, which takes several times longer.
What is written here are the fields of InstanceArray.msg, Instance.msg and InstanceEvent.msg in their order.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Sequence

import numpy as np

from autoseg3d_ros.ros.cdr import CdrBuffer
from autoseg3d_ros.structures import Instance, InstanceEvent

_NS = 1_000_000_000


def serialized_instances(
    stamp_ns: int,
    frame_id: str,
    map_id: uuid.UUID,
    frame_index: int,
    instances: Sequence[Instance],
    events: Sequence[InstanceEvent] = (),
    *,
    is_full: bool = False,
) -> bytes:
    """Return what `conversions.instance_array_msg` returns for the same, serialized.

    Raises struct.error for a number that its field cannot hold.
    """
    buffer = CdrBuffer()
    buffer.put("<iI", *divmod(stamp_ns, _NS))
    buffer.put_string(frame_id)
    buffer.put_bytes(map_id.bytes)
    buffer.align(4)
    buffer.put("<IB", frame_index, is_full)
    buffer.align(4)
    buffer.put("<I", len(instances))
    for one in instances:
        _put_instance(buffer, one)
    buffer.align(4)
    buffer.put("<I", len(events))
    for event in events:
        _put_event(buffer, event)
    return bytes(buffer)


def _put_instance(buffer: CdrBuffer, one: Instance) -> None:
    box, half_yaw_rad = one.box, one.box.yaw_rad / 2
    x_px, y_px, width_px, height_px = one.roi_px
    corners_m = np.zeros((len(one.footprint_m), 3), "<f4")
    corners_m[:, :2] = one.footprint_m
    first_seen, last_seen = divmod(one.first_seen_ns, _NS), divmod(one.last_seen_ns, _NS)
    counts = (one.num_observations, one.num_missed)
    turn_xyzw = (0.0, 0.0, math.sin(half_yaw_rad), math.cos(half_yaw_rad))
    buffer.align(4)
    buffer.put("<IB3xffiIiIII", one.id, one.state, one.score, one.match_confidence, *first_seen, *last_seen, *counts)
    buffer.align(8)
    buffer.put("<13dI", *one.centroid_m, *box.center_m, *turn_xyzw, *box.size_m, len(corners_m))
    buffer.put_bytes(corners_m.tobytes())
    buffer.put("<ff5IB", *one.z_range_m, one.num_points, x_px, y_px, height_px, width_px, False)
    buffer.put_strings(one.labels)
    buffer.put_floats(one.label_scores)


def _put_event(buffer: CdrBuffer, event: InstanceEvent) -> None:
    buffer.put("<B", event.type)
    buffer.align(4)
    buffer.put("<IIiI", event.instance_id, event.other_id, *divmod(event.stamp_ns, _NS))
    buffer.put_string(event.reason)
