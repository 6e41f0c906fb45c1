from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoseg3d_ros.config import LimitsConfig, MapConfig
from autoseg3d_ros.mapping.instance_map import UNMAPPED, InstanceMap
from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.mapping.voxel_hash import MISSING, VoxelHash

VOXEL_M = 0.1


def make_map(max_points=1000):
    return InstanceMap(MapConfig(voxel_m=VOXEL_M), LimitsConfig(max_points=max_points), num_slots=4)


def line_of_voxels(start, num):
    return np.array([[(start + i + 0.5) * VOXEL_M, 0.05, 0.05] for i in range(num)], np.float32)


def add(instance_map, points, slot, frame_index=0):
    slots = np.full(len(points), slot, np.int32)
    instance_map.integrate(points, np.zeros((len(points), 3), np.uint8), slots, frame_index)


def owners_at(instance_map, points):
    return instance_map.slots_at(points)[0].tolist()


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 400), max_size=60), max_size=6))
def test_the_hash_is_a_dictionary(batches):
    table, expected = VoxelHash(1000), {}
    for batch in batches:
        new = np.unique(np.array([key for key in batch if key not in expected], np.int64))
        for key, row in zip(new.tolist(), table.insert(new).tolist(), strict=True):
            expected[key] = row
    keys = np.arange(420)
    assert table.find(keys).tolist() == [expected.get(key, MISSING) for key in keys.tolist()]
    assert len(table) == len(expected)


def test_colliding_keys_all_find_a_place():
    table = VoxelHash(64)  # 128 places: 64 keys surely collide
    keys = np.arange(64) << 40
    rows = table.insert(keys)
    assert sorted(rows.tolist()) == list(range(64))
    np.testing.assert_array_equal(table.find(keys), rows)


def test_a_full_hash_says_so():
    table = VoxelHash(4)
    with pytest.raises(OverflowError, match=r"4 \+ 1"):
        table.insert(np.arange(4))
        table.insert(np.array([9]))


def test_an_empty_map_knows_nothing():
    instance_map = make_map()
    assert owners_at(instance_map, np.zeros((0, 3), np.float32)) == []
    assert owners_at(instance_map, np.zeros((2, 3), np.float32)) == [UNMAPPED, UNMAPPED]
    add(instance_map, np.zeros((0, 3), np.float32), 1)
    assert len(instance_map) == 0


def test_points_of_one_voxel_become_one_mean():
    instance_map = make_map()
    points = np.array([[0.01, 0.02, 0.03], [0.03, 0.04, 0.05]], np.float32)
    colours = np.array([[10, 20, 30], [20, 40, 60]], np.uint8)
    instance_map.integrate(points, colours, np.array([3, 3], np.int32), 0)
    np.testing.assert_allclose(instance_map.xyz_m, [[0.02, 0.03, 0.04]], atol=1e-6)
    assert instance_map.rgb.tolist() == [[15, 30, 45]]
    assert owners_at(instance_map, points) == [3, 3]


def test_a_voxel_changes_hands_only_by_majority():
    instance_map = make_map()
    point = line_of_voxels(0, 1)
    for _ in range(3):
        add(instance_map, point, 1)
    for owner_after in (1, 1, 1, 2):  # votes 3 → 2, 1, 0, then the newcomer takes over
        add(instance_map, point, 2)
        assert owners_at(instance_map, point) == [owner_after]


def test_who_disputes_a_voxel_is_remembered_until_its_owner_is_seen_again():
    instance_map = make_map()
    point = line_of_voxels(0, 1)
    for slot, expected in ((1, (1, 0)), (1, (1, 0)), (2, (1, 2)), (0, (1, 2)), (1, (1, 0)), (3, (1, 3))):
        add(instance_map, point, slot)
        assert tuple(int(column[0]) for column in instance_map.slots_at(point)) == expected


def test_voxels_of_a_removed_track_are_free_at_once():
    instance_map = make_map()
    point = line_of_voxels(0, 1)
    for _ in range(9):
        add(instance_map, point, 1)
    instance_map.relabel(np.array([0, 0, 2, 3], np.int32))
    add(instance_map, point, 2)
    assert owners_at(instance_map, point) == [2]


def test_unlabelled_points_leave_the_owner_alone():
    instance_map = make_map()
    point = line_of_voxels(0, 1)
    add(instance_map, point, 1)
    for _ in range(20):
        add(instance_map, point, 0)
    assert owners_at(instance_map, point) == [1]


def test_columns_fill_another_map():
    instance_map, other = make_map(), make_map()
    add(instance_map, line_of_voxels(0, 5), 1, frame_index=3)
    add(instance_map, line_of_voxels(0, 1), 2, frame_index=4)
    add(other, line_of_voxels(90, 20), 3)
    other.fill(instance_map.columns())
    assert {name: column.tolist() for name, column in other.columns().items()} == {
        name: column.tolist() for name, column in instance_map.columns().items()
    }
    assert owners_at(other, line_of_voxels(0, 5)) == [1] * 5
    assert owners_at(other, line_of_voxels(90, 1)) == [UNMAPPED]
    assert other.num_voxels.tolist() == instance_map.num_voxels.tolist()
    add(other, line_of_voxels(20, 1), 1)
    assert len(other) == 6 and len(instance_map) == 5


def test_the_cap_holds_and_the_longest_unseen_go_first():
    instance_map = make_map(max_points=100)
    for frame_index in range(30):
        add(instance_map, line_of_voxels(10 * frame_index, 10), 1, frame_index)
        assert len(instance_map) <= 100
    assert owners_at(instance_map, line_of_voxels(290, 10)) == [1] * 10
    assert owners_at(instance_map, line_of_voxels(0, 10)) == [UNMAPPED] * 10


def test_what_is_in_view_is_not_forgotten_to_make_room():
    instance_map = make_map(max_points=20)
    add(instance_map, line_of_voxels(0, 10), 1, 0)
    add(instance_map, line_of_voxels(100, 10), 2, 1)
    add(instance_map, line_of_voxels(0, 15), 1, 2)  # ten old voxels seen again, five new ones
    assert owners_at(instance_map, line_of_voxels(0, 15)) == [1] * 15


def test_a_frame_larger_than_the_whole_map_is_cut():
    instance_map = make_map(max_points=20)
    add(instance_map, line_of_voxels(0, 50), 1)
    assert len(instance_map) == 20


def test_relabelling_passes_voxels_on():
    instance_map = make_map()
    add(instance_map, line_of_voxels(0, 3), 1)
    add(instance_map, line_of_voxels(5, 2), 2)
    instance_map.relabel(np.array([0, 2, 2], np.int32))
    assert instance_map.num_voxels.tolist() == [0, 0, 5, 0]


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(1, 30), st.integers(0, 3)), max_size=25))
def test_the_counts_are_those_of_the_labels(additions):
    instance_map = make_map(max_points=50)
    for frame_index, (start, num, slot) in enumerate(additions):
        add(instance_map, line_of_voxels(start, num), slot, frame_index)
        expected = np.bincount(instance_map.slot, minlength=4)
        assert instance_map.num_voxels.tolist() == expected.tolist()


def test_a_point_without_a_voxel_asks_its_nearest_neighbour():
    instance_map = make_map()
    add(instance_map, line_of_voxels(3, 1), 2)  # x from 0.3 to 0.4
    assert owners_at(instance_map, np.array([[0.41, 0.05, 0.05]], np.float32)) == [2]
    assert owners_at(instance_map, np.array([[0.49, 0.05, 0.05]], np.float32)) == [UNMAPPED]


def test_shapes_are_those_of_the_voxels():
    instance_map, shapes = make_map(), InstanceShapes(4)
    add(instance_map, line_of_voxels(0, 11), 1)
    add(instance_map, line_of_voxels(50, 1), 2)
    shapes.update(instance_map, np.array([1, 2, 3]))
    np.testing.assert_allclose(shapes.centroid_m[1], [0.55, 0.05, 0.05], atol=1e-5)
    np.testing.assert_allclose(shapes.centroid_m[2], [5.05, 0.05, 0.05], atol=1e-5)
    assert not shapes.box_m[3].any()


def test_a_new_track_in_a_freed_slot_has_no_shape_of_the_former_owner():
    instance_map, shapes = make_map(), InstanceShapes(4)
    add(instance_map, line_of_voxels(0, 11), 1)
    shapes.update(instance_map, np.array([1]))
    instance_map.relabel(np.array([0, 0, 2, 3], np.int32))
    shapes.forget(np.array([1]))
    assert not shapes.box_m[1].any() and not shapes.centroid_m[1].any() and not len(shapes.footprint_m[1])
    assert not any(shapes.oriented[1].size_m)
    add(instance_map, line_of_voxels(50, 11), 1)  # as many voxels as the former owner had
    shapes.update(instance_map, np.array([1]))
    np.testing.assert_allclose(shapes.centroid_m[1], [5.55, 0.05, 0.05], atol=1e-5)


def test_one_stray_voxel_does_not_inflate_a_box():
    instance_map, shapes = make_map(), InstanceShapes(4)
    add(instance_map, np.concatenate([line_of_voxels(0, 200), line_of_voxels(900, 1)]), 1)
    shapes.update(instance_map, np.array([1]))
    assert shapes.box_m[1, 1, 0] < 25.0
