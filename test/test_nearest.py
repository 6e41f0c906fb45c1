"""Which instance is nearest: distances to boxes by hand."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest

from autoseg3d_ros.client.nearest import distance_m, is_confirmed, nearest
from autoseg3d_ros.structures import InstanceState


def xyz(x, y, z):
    return SimpleNamespace(x=x, y=y, z=z)


def box(instance_id=1, center=(0.0, 0.0, 0.0), size=(2.0, 1.0, 4.0), yaw_rad=0.0, state=InstanceState.ACTIVE):
    orientation = SimpleNamespace(z=math.sin(yaw_rad / 2), w=math.cos(yaw_rad / 2))
    pose = SimpleNamespace(position=xyz(*center), orientation=orientation)
    return SimpleNamespace(id=instance_id, state=state, bbox_pose=pose, bbox_size=xyz(*size))


@pytest.mark.parametrize(
    ("point", "yaw_rad", "expected_m"),
    [
        ((0.0, 0.0, 0.0), 0.0, 0.0),
        ((1.0, 0.5, 2.0), 0.0, 0.0),
        ((4.0, 0.0, 0.0), 0.0, 3.0),
        ((-4.0, 4.5, 0.0), 0.0, 5.0),
        ((4.0, 0.0, 0.0), math.pi / 2, 3.5),
        ((0.0, 4.0, 0.0), math.pi / 2, 3.0),
        ((0.0, 4.0, 6.0), math.pi / 2, 5.0),
    ],
    ids=["centre", "corner", "ahead", "beyond a corner", "turned, beside", "turned, ahead", "turned, ahead and above"],
)
def test_the_distance_is_to_the_box(point, yaw_rad, expected_m):
    assert distance_m(box(yaw_rad=yaw_rad), point) == pytest.approx(expected_m)


def test_a_turned_box_turns_the_right_way():
    diagonal = math.sqrt(0.5)
    turned = box(size=(4.0, 0.0, 0.0), yaw_rad=math.pi / 4)
    assert distance_m(turned, (2 * diagonal, 2 * diagonal, 0.0)) == pytest.approx(0.0, abs=1e-9)
    assert distance_m(turned, (2 * diagonal, -2 * diagonal, 0.0)) == pytest.approx(2.0)


def test_nobody_is_nearest_to_nothing():
    assert nearest([], (0.0, 0.0, 0.0)) is None
    assert nearest([box(state=InstanceState.TENTATIVE)], (0.0, 0.0, 0.0)) is None


def test_the_nearest_is_found():
    far, near, tentative = box(1, (9.0, 0.0, 0.0)), box(2, (5.0, 0.0, 0.0)), box(3, state=InstanceState.TENTATIVE)
    assert nearest([far, near, tentative], (0.0, 0.0, 0.0)) == (near, 4.0)


def test_a_tie_goes_to_the_smallest_id():
    assert nearest([box(5), box(2), box(9)], (0.0, 0.0, 0.0))[0].id == 2


@pytest.mark.parametrize("state", list(InstanceState))
def test_what_is_out_of_view_is_still_there(state):
    expected = state in (InstanceState.ACTIVE, InstanceState.LOST, InstanceState.RETIRED)
    assert is_confirmed(box(state=state)) is expected
