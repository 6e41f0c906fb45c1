"""Filters of `~/get_instances`."""

from __future__ import annotations

import math

import numpy as np
import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from ros_builders import an_instance

from autoseg3d_ros.ros.map_query import Query, Region, rows_of
from autoseg3d_ros.ros.transforms import composed
from autoseg3d_ros.structures import InstanceState, RigidPose

LEVEL = (0.0, 0.0, 0.0, 1.0)
QUARTER_TURN = (0.0, 0.0, math.sqrt(0.5), math.sqrt(0.5))  # about z
NEAR, FAR = an_instance(1), an_instance(2, centroid_m=(5.0, 2.0, 1.0), state=InstanceState.LOST)


@pytest.mark.parametrize(
    "query, found",
    [
        (Query(), [1, 2]),
        (Query(ids={2, 7}), [2]),
        (Query(states={InstanceState.ACTIVE}), [1]),
        (Query(ids={1}, states={InstanceState.LOST}), []),
        (Query(region=Region(RigidPose((1.0, 2.0, 1.0), LEVEL), (0.1, 0.1, 0.1))), [1]),
        (Query(region=Region(RigidPose((3.0, 2.0, 1.0), LEVEL), (4.0, 0.0, 0.0))), [1, 2]),
        (Query(region=Region(RigidPose((3.0, 2.0, 1.0), QUARTER_TURN), (4.0, 0.1, 0.1))), []),
        (Query(region=Region(RigidPose((3.0, 2.0, 1.0), QUARTER_TURN), (0.1, 4.2, 0.1))), [1, 2]),
    ],
)
def test_filters_combine_by_and(query, found):
    assert [one.id for one in query.chosen((NEAR, FAR))] == found
    assert query.chosen(()) == []
    assert query.is_everything == (query == Query())


def test_points_of_instances():
    owners = np.array([3, 0, 1, 3, 3], np.int32)
    rows = rows_of([an_instance(3), an_instance(2), an_instance(1)], owners)
    assert [one.tolist() for one in rows] == [[0, 3, 4], [], [2]]
    assert rows_of([], owners) == []


def test_a_region_in_a_frame_that_is_turned():
    map_from_frame = RigidPose((10.0, 0.0, 0.0), QUARTER_TURN)
    map_from_region = composed(map_from_frame, RigidPose((1.0, 0.0, 0.0), LEVEL))
    assert map_from_region.translation_m == pytest.approx((10.0, 1.0, 0.0))
