"""Which instance is nearest to a place; works on `Instance` messages, which are not imported."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from autoseg3d_ros.structures import InstanceState


def is_confirmed(instance: Any) -> bool:
    """Return whether an instance was seen often enough to count on it, in view now or not."""
    return bool(instance.state >= InstanceState.ACTIVE)


def distance_m(instance: Any, xyz_m: tuple[float, float, float]) -> float:
    """Return how far a point in the map frame is from the box of an instance, metres; 0 inside."""
    center, orientation, size = instance.bbox_pose.position, instance.bbox_pose.orientation, instance.bbox_size
    yaw_rad = 2.0 * math.atan2(orientation.z, orientation.w)
    x, y, z = xyz_m[0] - center.x, xyz_m[1] - center.y, xyz_m[2] - center.z
    along = math.cos(yaw_rad) * x + math.sin(yaw_rad) * y
    across = -math.sin(yaw_rad) * x + math.cos(yaw_rad) * y
    offsets = ((along, size.x), (across, size.y), (z, size.z))
    return math.hypot(*(max(abs(offset) - length / 2, 0.0) for offset, length in offsets))


def nearest(instances: Iterable[Any], xyz_m: tuple[float, float, float]) -> tuple[Any, float] | None:
    """Return the confirmed instance nearest to a point in the map frame and its distance; None where there is none.

    Of several at one distance it is that with the smallest id.
    """
    found = [(distance_m(one, xyz_m), one.id, one) for one in instances if is_confirmed(one)]
    if not found:
        return None
    distance, _id, one = min(found, key=lambda candidate: candidate[:2])
    return one, distance
