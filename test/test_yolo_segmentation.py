"""What stands around the network: letterbox, decoding, suppression, masks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from autoseg3d_ros.lifting.yolo_segmentation import Candidates, Letterbox, decode, draw_masks, num_classes, suppress

BOX = np.array([[0.0, 0.0, 10.0, 10.0]], np.float32)


class TestLetterbox:
    @pytest.mark.parametrize(
        ("frame", "may_shrink", "content", "shape", "corner"),
        [
            ((480, 640), True, (480, 640), (480, 640), (0, 0)),
            ((480, 640), False, (480, 640), (640, 640), (80, 0)),
            ((720, 1280), True, (360, 640), (384, 640), (12, 0)),
            ((1280, 720), True, (640, 360), (640, 384), (0, 12)),
            ((24, 32), True, (480, 640), (480, 640), (0, 0)),  # small frames are enlarged
            ((375, 1241), False, (193, 640), (640, 640), (223, 0)),  # of 447 grey rows the odd one lies below
            ((1, 3000), True, (1, 640), (32, 640), (15, 0)),
        ],
    )
    def test_where_a_frame_lies(self, frame, may_shrink, content, shape, corner) -> None:
        letterbox = Letterbox.fit(frame, (640, 640), may_shrink=may_shrink)
        assert (letterbox.content_shape, letterbox.shape, letterbox.corner) == (content, shape, corner)

    def test_the_bars_are_grey_and_the_colours_keep_their_order(self) -> None:
        rgb = np.empty((16, 32, 3), np.uint8)
        rgb[:] = (255, 51, 0)
        image = Letterbox.fit((16, 32), (32, 32), may_shrink=False).apply(rgb)
        assert image.shape == (1, 3, 32, 32) and image.dtype == np.float32
        assert (image[0, :, :8] == np.float32(114 / 255)).all() and (image[0, :, 24:] == np.float32(114 / 255)).all()
        assert np.allclose(image[0, :, 8:24], np.array([1.0, 0.2, 0.0])[:, None, None])


class TestDecode:
    def test_no_anchors(self) -> None:
        assert len(decode(np.zeros((7, 0), np.float32), 0.1)) == 0

    def test_nothing_above_the_confidence(self) -> None:
        candidates = decode(np.full((7, 5), 0.1, np.float32), float(np.float32(0.1)))
        assert len(candidates) == 0 and candidates.box_px.shape == (0, 4) and candidates.coefficients.shape == (0, 2)

    @pytest.mark.parametrize("dtype", [np.float32, np.float16])
    def test_corners_of_the_boxes_by_falling_confidence(self, dtype: type) -> None:
        output = np.array(
            [[10, 20, 30], [5, 6, 7], [4, 2, 8], [2, 2, 2], [0.25, 0.05, 0.5], [1, 2, 3], [4, 5, 6]], dtype
        )
        candidates = decode(output, 0.1)
        assert candidates.box_px.tolist() == [[26, 6, 34, 8], [8, 4, 12, 6]]
        assert candidates.confidence.tolist() == [0.5, 0.25]
        assert candidates.coefficients.tolist() == [[3, 6], [1, 4]]

    def test_channels_beyond_box_and_coefficients_are_classes(self) -> None:
        assert (num_classes(37, 32), num_classes(116, 32)) == (1, 80)


class TestSuppress:
    def test_no_box_and_one_box(self) -> None:
        assert suppress(np.zeros((0, 4)), 0.5, 9).tolist() == []
        assert suppress(BOX, 0.5, 9).tolist() == [0]

    @pytest.mark.parametrize(("max_iou", "kept"), [(0.49, [0, 2]), (0.5, [0, 1, 2]), (1.0, [0, 1, 2])])
    def test_half_a_box_has_an_overlap_of_one_half(self, max_iou: float, kept: list[int]) -> None:
        boxes = np.array([[0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10]], np.float32)
        assert suppress(boxes, max_iou, 9).tolist() == kept

    def test_a_suppressed_box_suppresses_none(self) -> None:
        boxes = BOX + np.array([[0], [4], [8]], np.float32) * np.array([[1, 0, 1, 0]], np.float32)  # neighbours: 6 / 14
        assert suppress(boxes, 0.4, 9).tolist() == [0, 2]

    def test_the_search_ends_when_there_are_enough(self) -> None:
        assert suppress(BOX + np.arange(5)[:, None] * 20, 0.5, 3).tolist() == [0, 1, 2]

    @given(
        arrays(np.float32, st.tuples(st.integers(0, 12), st.just(4)), elements=st.integers(0, 9)), st.floats(0.0, 0.95)
    )
    def test_kept_boxes_lie_apart_and_each_other_box_has_a_reason(self, corners: np.ndarray, max_iou: float) -> None:
        boxes = np.hstack([corners[:, :2], corners[:, :2] + corners[:, 2:] + 1])
        kept = suppress(boxes, max_iou, len(boxes))
        iou = overlaps(boxes)
        for index in range(len(boxes)):
            better = kept[kept < index]
            assert (index in kept) == (iou[index, better] <= max_iou).all()


def overlaps(boxes: np.ndarray) -> np.ndarray:
    """Return the intersection over union of all pairs by counting cells of a grid, (N, N)."""
    row, column = np.mgrid[:20, :20] + 0.5
    x0, y0, x1, y1 = boxes.T[:, :, None, None]
    cells = ((column > x0) & (column < x1) & (row > y0) & (row < y1)).reshape(len(boxes), 400).astype(int)
    common = cells @ cells.T
    return common / np.maximum(cells.sum(axis=1)[:, None] + cells.sum(axis=1) - common, 1)


def one_candidate(box: tuple[float, ...], coefficients: tuple[float, ...] = (1.0,)) -> Candidates:
    return Candidates(np.array([box], np.float32), np.ones(1, np.float32), np.array([coefficients], np.float32))


class TestDrawMasks:
    def test_no_candidates(self) -> None:
        nothing = Candidates(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 2), np.float32))
        letterbox = Letterbox.fit((24, 32), (32, 32), may_shrink=True)
        assert draw_masks(nothing, np.zeros((2, 8, 8), np.float32), letterbox, (24, 32)).shape == (0, 24, 32)

    def test_a_mask_ends_at_its_box(self) -> None:
        letterbox = Letterbox.fit((24, 32), (32, 32), may_shrink=False)  # four grey rows above and below
        [mask] = draw_masks(one_candidate((3.5, 4.0, 6.0, 9.25)), np.ones((1, 8, 8), np.float32), letterbox, (24, 32))
        expected = np.zeros((24, 32), bool)
        expected[0:6, 4:6] = True  # a pixel belongs to the box if its corner does
        assert (mask == expected).all()

    def test_a_box_beyond_the_frame_is_cut(self) -> None:
        letterbox = Letterbox.fit((32, 32), (32, 32), may_shrink=False)
        [mask] = draw_masks(one_candidate((-9, -9, 99, 99)), np.ones((1, 8, 8), np.float32), letterbox, (32, 32))
        assert mask.all()

    def test_a_candidate_without_a_pixel_is_left_out(self) -> None:
        letterbox = Letterbox.fit((32, 32), (32, 32), may_shrink=False)
        both = Candidates(np.tile(np.float32([0, 0, 32, 32]), (2, 1)), np.ones(2), np.float32([[-1], [1]]))
        assert len(draw_masks(both, np.ones((1, 8, 8), np.float32), letterbox, (32, 32))) == 1

    def test_coefficients_weigh_the_prototypes(self) -> None:
        letterbox = Letterbox.fit((32, 32), (32, 32), may_shrink=False)
        left, right = np.zeros((2, 8, 8), np.float32)
        left[:, :4], right[:, 4:] = 1, 1
        [mask] = draw_masks(one_candidate((0, 0, 32, 32), (-2.0, 1.0)), np.stack([left, right]), letterbox, (32, 32))
        assert not mask[:, :14].any() and mask[:, 18:].all()

    @pytest.mark.parametrize("may_shrink", [True, False])
    @pytest.mark.parametrize("frame", [(48, 64), (36, 64), (45, 61), (37, 124), (64, 36), (100, 150)])
    def test_a_straight_border_stays_where_it_is(self, frame: tuple[int, int], may_shrink: bool) -> None:
        """The logit is a ramp across the letterbox, so its border is known in the frame, whatever the grey bars."""
        letterbox = Letterbox.fit(frame, (64, 64), may_shrink=may_shrink)
        rows, columns = (
            np.arange(side // 4) * 4 + 2.0 for side in letterbox.shape
        )  # centres of the prototype's pixels
        border = [corner + 0.4 * side for corner, side in zip(letterbox.corner, letterbox.content_shape, strict=True)]
        for axis, ramp in enumerate((rows[:, None] + 0 * columns, 0 * rows[:, None] + columns)):
            prototype = (ramp - border[axis])[None].astype(np.float32)
            [mask] = draw_masks(one_candidate((0, 0, 64, 64)), prototype, letterbox, frame)
            first = int(mask.any(axis=1 - axis).argmax())
            assert abs(first - (0.4 * frame[axis] - 0.5)) <= 1.0
            assert mask.take(range(first, frame[axis]), axis=axis).all()
