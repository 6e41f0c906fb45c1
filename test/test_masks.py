"""Masks from files, from truth, and painting."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import SMALL_CAMERA, frame_of_depth, recorded_frame
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg3d_ros.lifting.masks import FileMasks, TruthMasks, compact_masks, paint_masks, resize_ids
from autoseg3d_ros.structures import NO_MASK, Frame, FrameError

SHAPE = (SMALL_CAMERA.height, SMALL_CAMERA.width)


def frame_of_truth(truth: np.ndarray, stamp_ns: int = 0) -> Frame:
    frame = frame_of_depth(SMALL_CAMERA, np.ones(SHAPE, np.float32))
    return Frame(stamp_ns, frame.rgb, frame.depth_m, frame.camera, frame.pose, truth=truth.astype(np.int32))


def two_halves() -> np.ndarray:
    truth = np.zeros(SHAPE, np.int32)
    truth[:, :10], truth[:, 20:] = 7, 3
    return truth


class TestPaintMasks:
    def test_no_masks(self) -> None:
        painted = paint_masks(np.zeros((0, *SHAPE), bool))
        assert painted.num_masks == 0
        assert (painted.ids == NO_MASK).all()

    def test_an_empty_mask_has_no_id(self) -> None:
        assert paint_masks(np.zeros((1, *SHAPE), bool)).num_masks == 0

    def test_small_masks_lie_on_top_whatever_the_order(self) -> None:
        large, small = np.zeros((2, 4, 4), bool)
        large[:3], small[1, 1] = True, True
        expected = [[0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [-1, -1, -1, -1]]
        assert paint_masks(np.stack([large, small])).ids.tolist() == expected
        assert paint_masks(np.stack([small, large])).ids.tolist() == expected

    def test_given_areas_decide_instead_of_counted_ones(self) -> None:
        large, small = np.ones((1, 2), bool), np.array([[True, False]])
        painted = paint_masks(np.stack([large, small]), areas=np.array([1.0, 5.0]))
        assert painted.ids.tolist() == [[0, 0]]  # the one called large came first and is covered
        assert painted.num_masks == 1

    @given(arrays(bool, st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(1, 6))))
    def test_every_covered_pixel_belongs_to_the_smallest_mask_over_it(self, masks: np.ndarray) -> None:
        painted = paint_masks(masks)
        assert ((painted.ids >= 0) == masks.any(axis=0)).all()
        assert sorted(set(painted.ids[painted.ids >= 0].tolist())) == list(range(painted.num_masks))
        sizes = np.where(masks, np.count_nonzero(masks, axis=(1, 2))[:, None, None], masks.size + 1)
        for mask_id in range(painted.num_masks):
            pixels = painted.ids == mask_id
            owners = [mask for mask in range(len(masks)) if masks[mask][pixels].all()]
            assert any((sizes[owner][pixels] == sizes.min(axis=0)[pixels]).all() for owner in owners)


def test_compacting_keeps_the_order_of_the_ids_that_occur() -> None:
    masks = compact_masks(np.array([[9, NO_MASK, 4], [9, 300, 4]], np.int32))
    assert masks.ids.tolist() == [[1, NO_MASK, 0], [1, 2, 0]]
    assert masks.num_masks == 3


class TestResizeIds:
    def test_the_same_shape_is_the_same_image(self) -> None:
        ids = np.arange(6, dtype=np.int32).reshape(2, 3)
        assert resize_ids(ids, (2, 3)) is ids

    @pytest.mark.parametrize(
        ("row", "width", "expected"),
        [([1, 2], 4, [1, 1, 2, 2]), ([1, 2, 3, 4], 2, [2, 4]), ([1, 2, 3], 2, [1, 3]), ([5], 3, [5, 5, 5])],
    )
    def test_a_pixel_takes_the_id_under_its_centre(self, row: list[int], width: int, expected: list[int]) -> None:
        ids = np.array([row], np.int32)
        assert resize_ids(ids, (1, width)).tolist() == [expected]
        assert resize_ids(ids.T, (width, 1)).T.tolist() == [expected]


class TestFileMasks:
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_reads_the_image_named_like_the_frame(self, tmp_path: Path, dtype: type) -> None:
        ids = np.zeros(SHAPE, dtype)
        ids[:5], ids[10:] = 2, np.iinfo(dtype).max
        cv2.imwrite(str(tmp_path / "000003.png"), ids)
        masks = FileMasks(tmp_path).masks(recorded_frame(3))
        assert masks.num_masks == 2
        assert (masks.ids[:5] == 0).all() and (masks.ids[5:10] == NO_MASK).all() and (masks.ids[10:] == 1).all()

    def test_an_image_of_zeros_is_no_masks(self, tmp_path: Path) -> None:
        cv2.imwrite(str(tmp_path / "000000.png"), np.zeros(SHAPE, np.uint8))
        assert FileMasks(tmp_path).masks(recorded_frame(0)).num_masks == 0

    def test_a_missing_image_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(FrameError, match=r"000007\.png.*no mask image.*masks\.directory"):
            FileMasks(tmp_path).masks(recorded_frame(7))

    @pytest.mark.parametrize("image", [np.zeros((5, 6), np.uint8), np.zeros((*SHAPE, 3), np.uint8)])
    def test_an_image_of_another_shape_says_both_shapes(self, tmp_path: Path, image: np.ndarray) -> None:
        cv2.imwrite(str(tmp_path / "000000.png"), image)
        with pytest.raises(FrameError, match=rf"000000\.png.*\(24, 32\).*got uint8 of shape \({image.shape[0]}, "):
            FileMasks(tmp_path).masks(recorded_frame(0))

    def test_an_unreadable_image_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "000000.png").write_bytes(b"not a PNG")
        with pytest.raises(FrameError, match=r"000000\.png.*cannot be decoded"):
            FileMasks(tmp_path).masks(recorded_frame(0))


class TestTruthMasks:
    def test_a_frame_without_truth_is_refused(self) -> None:
        with pytest.raises(FrameError, match=r"frame 000001.*instance image"):
            TruthMasks().masks(recorded_frame(1, truth=False))

    @pytest.mark.parametrize("fragments", [1, 4])
    def test_a_frame_without_instances_has_no_masks(self, fragments: int) -> None:
        masks = TruthMasks(fragments).masks(frame_of_truth(np.zeros(SHAPE)))
        assert masks.num_masks == 0
        assert (masks.ids == NO_MASK).all()

    def test_whole_instances(self) -> None:
        masks = TruthMasks().masks(frame_of_truth(two_halves()))
        assert masks.num_masks == 2
        assert (
            (masks.ids[:, :10] == 1).all() and (masks.ids[:, 10:20] == NO_MASK).all() and (masks.ids[:, 20:] == 0).all()
        )

    def test_fragments_part_each_instance_into_connected_pieces(self) -> None:
        truth = two_halves()
        masks = TruthMasks(fragments=5).masks(frame_of_truth(truth))
        assert masks.num_masks == 10
        assert ((masks.ids >= 0) == (truth > 0)).all()
        for mask in range(10):
            piece = masks.ids == mask
            assert len(np.unique(truth[piece])) == 1
            assert cv2.connectedComponents(piece.astype(np.uint8), connectivity=8)[0] == 2  # the piece and the rest

    def test_an_instance_of_one_pixel_stays_whole(self) -> None:
        truth = np.zeros(SHAPE)
        truth[3, 3] = 1
        assert TruthMasks(fragments=5).masks(frame_of_truth(truth)).num_masks == 1

    def test_fragments_depend_on_seed_and_stamp_only(self) -> None:
        frame = frame_of_truth(two_halves())
        ids = TruthMasks(3, seed=1).masks(frame).ids
        assert np.array_equal(TruthMasks(3, seed=1).masks(frame).ids, ids)
        assert not np.array_equal(TruthMasks(3, seed=2).masks(frame).ids, ids)
        assert not np.array_equal(TruthMasks(3, seed=1).masks(frame_of_truth(two_halves(), stamp_ns=5)).ids, ids)
