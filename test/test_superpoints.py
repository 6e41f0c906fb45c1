from __future__ import annotations

import numpy as np
import pytest
from scenes import CAMERA, BlockMasks, NoMasks, frame_of

from autoseg3d_ros.config import DepthConfig, LiftingConfig
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.structures import NO_MASK, Masks2D

BLOCKS = ((5, 5, 30, 40, 1.0), (45, 10, 25, 30, 2.0))


def lifted(frame, source, num_points=20_000, min_region_px=20, seed=0, depth=None):
    lifting = LiftingConfig(num_points=num_points, min_region_px=min_region_px)
    return lift(frame, source.masks(frame), depth or DepthConfig(), lifting, seed)


def test_a_frame_without_depth_gives_no_points():
    superpoints = lifted(frame_of(), NoMasks())
    assert superpoints.num_points == superpoints.num_superpoints == 0
    assert (superpoints.id_image == NO_MASK).all()


def test_every_point_lies_where_its_pixel_says():
    frame = frame_of(*BLOCKS, shift_m=0.5)
    superpoints = lifted(frame, BlockMasks())
    row, column = np.divmod(superpoints.pixel, CAMERA.width)
    depth = frame.depth_m[row, column]
    np.testing.assert_allclose(superpoints.xyz_m[:, 0], (column - CAMERA.cx) / CAMERA.fx * depth + 0.5, atol=1e-5)
    np.testing.assert_allclose(superpoints.xyz_m[:, 2], depth, atol=1e-5)
    np.testing.assert_array_equal(superpoints.id_image[row, column], superpoints.superpoint)


def test_points_are_drawn_without_replacement_up_to_the_number_asked_for():
    few = lifted(frame_of(*BLOCKS), BlockMasks(), num_points=500)
    assert few.num_points == len(np.unique(few.pixel)) == 500
    all_there_are = lifted(frame_of(*BLOCKS), BlockMasks())
    assert all_there_are.num_points == 30 * 40 + 25 * 30


def test_the_draw_depends_on_seed_and_stamp_only():
    frame = frame_of(*BLOCKS)
    first = lifted(frame, BlockMasks(), num_points=300)
    np.testing.assert_array_equal(first.pixel, lifted(frame, BlockMasks(), num_points=300).pixel)
    assert (first.pixel != lifted(frame, BlockMasks(), num_points=300, seed=1).pixel).any()
    assert (first.pixel != lifted(frame_of(*BLOCKS, index=1), BlockMasks(), num_points=300).pixel).any()


def test_unmasked_surfaces_become_superpoints_where_they_are_large_enough():
    frame = frame_of(*BLOCKS, (75, 50, 3, 3, 1.0))
    superpoints = lifted(frame, NoMasks())
    assert superpoints.num_superpoints == 2  # the nine pixels in the corner are too few
    assert (superpoints.id_image[50:53, 75:78] == NO_MASK).all()


def test_a_depth_step_parts_unmasked_surfaces():
    frame = frame_of((5, 5, 30, 40, 1.0), (35, 5, 30, 40, 1.5))
    superpoints = lifted(frame, NoMasks())
    assert superpoints.num_superpoints == 2
    assert superpoints.id_image[20, 10] != superpoints.id_image[20, 60]


@pytest.mark.parametrize(("min_m", "max_m", "expected"), [(0.2, 1.5, 1), (1.5, 6.0, 1), (0.2, 6.0, 2), (3.0, 6.0, 0)])
def test_depth_out_of_range_is_ignored(min_m, max_m, expected):
    superpoints = lifted(frame_of(*BLOCKS), BlockMasks(), depth=DepthConfig(min_m=min_m, max_m=max_m))
    assert superpoints.num_superpoints == expected


def test_ids_are_compact_even_where_masks_have_no_point():
    frame = frame_of(*BLOCKS)
    ids = np.full(frame.depth_m.shape, NO_MASK, np.int32)
    ids[0, 0] = 0  # no depth here
    ids[12:20, 50:60] = 7
    superpoints = lift(frame, Masks2D(ids, 8), DepthConfig(), LiftingConfig(min_region_px=5000), 0)
    assert superpoints.num_superpoints == 1
    assert set(np.unique(superpoints.id_image)) == {NO_MASK, 0}


def test_a_mask_keeps_its_pixels_without_depth_but_has_no_points_there():
    frame = frame_of(BLOCKS[0])
    ids = frame.truth - 1
    frame.depth_m[20:30, 10:20] = 0.0
    superpoints = lift(frame, Masks2D(ids, 1), DepthConfig(), LiftingConfig(), 0)
    assert (superpoints.id_image[20:30, 10:20] == 0).all()
    assert superpoints.num_points == 30 * 40 - 100
    assert np.isfinite(superpoints.xyz_m).all()
