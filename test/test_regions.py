"""Weight-free masks: what must be parted is parted, what is one surface stays one."""

from __future__ import annotations

import numpy as np
import pytest
from builders import SHARED_DATA, depth_of_plane, frame_of_depth

from autoseg3d_ros.data.apc import ApcShelf
from autoseg3d_ros.data.synthetic.generate import room_camera, room_frames
from autoseg3d_ros.data.synthetic.room import furnished_room
from autoseg3d_ros.data.tum import TumSequence
from autoseg3d_ros.evaluation.mask_recall import MaskRecallAccumulator
from autoseg3d_ros.evaluation.under_segmentation import num_leaked_px
from autoseg3d_ros.lifting.regions import RegionMasks
from autoseg3d_ros.lifting.surface import depth_noise_m
from autoseg3d_ros.mask_config import RegionsConfig
from autoseg3d_ros.structures import NO_MASK, CameraIntrinsics, Frame, Masks2D

CAMERA = CameraIntrinsics(width=320, height=240, fx=260.0, fy=260.0, cx=159.5, cy=119.5)
CONFIGS = (RegionsConfig(working_width_px=320), RegionsConfig(working_width_px=160))
GREY = np.full((240, 320, 3), 150, np.uint8)


def measured(depth_m: np.ndarray, seed: int = 0) -> np.ndarray:
    """Add the noise of a Kinect to exact depth."""
    random = np.random.default_rng(seed)
    finite = np.where(np.isfinite(depth_m), depth_m, 0)
    return finite + depth_noise_m(finite) * random.standard_normal(depth_m.shape) * (finite > 0)


def masks_of(depth_m: np.ndarray, rgb: np.ndarray = GREY, config: RegionsConfig = CONFIGS[0]) -> Masks2D:
    return RegionMasks(config).masks(frame_of_depth(CAMERA, depth_m, rgb))


def best_iou(masks: Masks2D, region: np.ndarray) -> float:
    ious = [
        (region & (masks.ids == mask)).sum() / (region | (masks.ids == mask)).sum() for mask in range(masks.num_masks)
    ]
    return max(ious, default=0.0)


def block(rows: tuple[int, int], columns: tuple[int, int]) -> np.ndarray:
    region = np.zeros((240, 320), bool)
    region[slice(*rows), slice(*columns)] = True
    return region


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (5, 5), (1, 200), (240, 320)])
def test_no_valid_depth_gives_no_masks(shape: tuple[int, int]) -> None:
    camera = CameraIntrinsics(width=shape[1], height=shape[0], fx=200.0, fy=200.0, cx=0.0, cy=0.0)
    masks = RegionMasks(RegionsConfig(working_width_px=32)).masks(frame_of_depth(camera, np.zeros(shape)))
    assert masks.num_masks == 0
    assert masks.ids.shape == shape and (masks.ids == NO_MASK).all()


@pytest.mark.parametrize("shape", [(1, 1), (4, 4), (97, 131), (101, 211)])
def test_any_size_of_image_is_legal(shape: tuple[int, int]) -> None:
    camera = CameraIntrinsics(width=shape[1], height=shape[0], fx=200.0, fy=200.0, cx=0.0, cy=0.0)
    config = RegionsConfig(working_width_px=64, min_region_px=1)
    masks = RegionMasks(config).masks(frame_of_depth(camera, np.full(shape, 1.5)))
    assert masks.ids.shape == shape
    assert masks.num_masks == (0 if shape == (1, 1) else 1)  # one pixel is no surface
    assert (masks.ids >= 0).mean() == pytest.approx(masks.num_masks, abs=0.01)


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("rgb", [GREY, np.zeros_like(GREY)])
@pytest.mark.parametrize("normal", [(0.0, 0.0, 1.0), (0.5, 0.0, 0.8), (0.0, 0.8, 0.5)])
def test_a_noisy_plane_is_one_region(
    normal: tuple[float, float, float], rgb: np.ndarray, config: RegionsConfig
) -> None:
    depth_m = depth_of_plane(CAMERA, normal, 1.0)
    seen = np.isfinite(depth_m) & (depth_m < 3.0)
    masks = masks_of(measured(np.where(seen, depth_m, 0)), rgb, config)
    assert best_iou(masks, seen) > 0.97


@pytest.mark.parametrize("config", CONFIGS)
def test_a_depth_step_parts(config: RegionsConfig) -> None:
    box = block((80, 180), (100, 200))
    masks = masks_of(measured(np.where(box, 1.2, 1.5)), config=config)
    assert masks.num_masks == 2
    assert best_iou(masks, box) > 0.97 and best_iou(masks, ~box) > 0.97


def test_a_step_within_the_noise_does_not_part_unless_the_sensor_is_better() -> None:
    book = block((80, 180), (100, 200))
    depth_m = np.where(book, 1.495, 1.5)
    assert masks_of(depth_m).num_masks == 1
    assert best_iou(masks_of(depth_m, config=RegionsConfig(noise_scale=0.2)), book) > 0.95


@pytest.mark.parametrize("config", CONFIGS)
def test_an_inward_fold_parts_and_an_outward_fold_does_not(config: RegionsConfig) -> None:
    left, right = (depth_of_plane(CAMERA, (side, 0.0, 0.8), 1.0) for side in (-0.6, 0.6))
    corner, edge = (
        masks_of(measured(np.minimum(left, right)), config=config),
        masks_of(measured(np.maximum(left, right))),
    )
    assert best_iou(corner, block((0, 240), (0, 160))) > 0.95
    assert best_iou(corner, block((0, 240), (160, 320))) > 0.95
    assert best_iou(edge, np.ones((240, 320), bool)) > 0.95


@pytest.mark.parametrize("config", CONFIGS)
def test_a_flat_thing_of_another_colour_parts_and_its_shading_and_print_do_not(config: RegionsConfig) -> None:
    poster = block((60, 180), (80, 220))
    rgb = np.where(poster[..., None], [180, 60, 50], [150, 150, 150]).astype(np.uint8)
    rgb[100:103, 90:210:5] = 255  # fine print
    rgb = (rgb * np.linspace(0.7, 1.0, 320)[:, None]).astype(np.uint8)  # light from one side
    masks = masks_of(measured(np.full((240, 320), 1.5)), rgb, config)
    assert best_iou(masks, poster) > 0.9 and best_iou(masks, ~poster) > 0.9


def test_a_dark_thing_on_a_bright_surface_parts_though_it_has_no_hue() -> None:
    tablet = block((60, 180), (80, 220))
    rgb = np.where(tablet[..., None], 40, np.full_like(GREY, 190)).astype(np.uint8)
    assert best_iou(masks_of(measured(np.full((240, 320), 1.5)), rgb), tablet) > 0.9


def test_a_gap_in_an_outline_does_not_let_the_region_leak() -> None:
    depth_m = np.full((240, 320), 1.5)
    keyboard = block((80, 160), (60, 260))
    depth_m[keyboard] = 1.4
    ramp = np.linspace(1.4, 1.5, 30)  # at one place it slopes down to the desk, without a step
    depth_m[110:118, 230:260] = ramp
    masks = masks_of(depth_m)
    assert best_iou(masks, keyboard) > 0.9


@pytest.mark.parametrize("lean", [1, -1])
@pytest.mark.parametrize("half_px", [2, 3])
def test_a_thin_leaning_pole_is_a_region(half_px: int, lean: int) -> None:
    rows, columns = np.mgrid[:240, :320]
    pole = (np.abs(columns - 160 - lean * (rows - 120)) < half_px) & block((20, 220), (0, 320))
    masks = masks_of(measured(np.where(pole, 1.0, 2.0)), config=RegionsConfig(min_region_px=30))
    assert masks.num_masks == 2
    assert best_iou(masks, pole) > 0.9


@pytest.mark.parametrize("width_px", [5, 8])
def test_a_thin_pole_is_a_region(width_px: int) -> None:
    pole = block((20, 220), (150, 150 + width_px))
    assert best_iou(masks_of(measured(np.where(pole, 1.0, 2.0))), pole) > 0.9


def test_a_pole_of_three_pixels_may_break_but_is_no_part_of_the_wall() -> None:
    pole = block((20, 220), (150, 153))
    masks = masks_of(measured(np.where(pole, 1.0, 2.0)), config=RegionsConfig(min_region_px=30))
    of_pole = (masks.ids >= 0) & (masks.ids != masks.ids[120, 20])
    assert (of_pole & pole).sum() > 0.7 * pole.sum()
    assert not (of_pole & ~pole).any()


def test_two_thin_poles_side_by_side_are_not_one() -> None:
    near, far = block((20, 220), (150, 153)), block((20, 220), (153, 156))
    ids = masks_of(np.where(near, 1.0, np.where(far, 1.3, 2.0)), config=RegionsConfig(min_region_px=30)).ids
    assert not set(ids[near & (ids >= 0)].tolist()) & set(ids[far & (ids >= 0)].tolist())


@pytest.mark.parametrize("config", CONFIGS)
def test_missing_depth_leaves_no_holes_in_regions(config: RegionsConfig) -> None:
    box = block((80, 180), (100, 200))
    depth_m = measured(np.where(box, 1.2, 1.5))
    depth_m[np.random.default_rng(1).random(depth_m.shape) < 0.25] = 0  # a Kinect's specks
    if config.working_width_px == 160:
        depth_m[:, ::4], depth_m[::4] = 0, 0  # and the grid that warping leaves
    masks = masks_of(depth_m, config=config)
    assert masks.num_masks == 2
    assert best_iou(masks, box) > 0.93
    assert (masks.ids >= 0).mean() > 0.97


@pytest.mark.parametrize("cut_off_px", [(0, 0), (1, 0), (2, 1)])
def test_depth_off_its_segment_has_no_mask_up_to_the_last_row_and_column(cut_off_px: tuple[int, int]) -> None:
    height, width = 120 - cut_off_px[0], 120 - cut_off_px[1]
    camera = CameraIntrinsics(width=width, height=height, fx=100.0, fy=100.0, cx=60.0, cy=60.0)
    depth_m = np.full((height, width), 2.0)
    depth_m[:, 60:] = 1.0
    depth_m[:, 60] = 1.4  # a flying pixel in each row
    ids = RegionMasks(RegionsConfig(working_width_px=40)).masks(frame_of_depth(camera, depth_m)).ids
    full_rows = height // 3 * 3  # blocks that are cut off are known from their surroundings at most
    assert (ids[:full_rows, 60] == NO_MASK).all()
    assert (ids[:full_rows, :58] >= 0).all() and (ids[:full_rows, 63:117] >= 0).all()


def test_depth_between_two_surfaces_belongs_to_neither() -> None:
    depth_m = np.full((240, 320), 2.0)
    depth_m[:, 160:] = 1.0
    depth_m[:, 160] = 1.4  # a flying pixel in each row
    masks = masks_of(depth_m, config=CONFIGS[1])
    assert (masks.ids[:, 160] == NO_MASK).mean() > 0.9
    assert (masks.ids[:, :158] >= 0).all() and (masks.ids[:, 163:] >= 0).all()


@pytest.mark.parametrize("working_width_px", [160, 320])
def test_small_regions_are_dropped(working_width_px: int) -> None:
    depth_m = np.where(block((100, 110), (100, 120)), 1.0, 2.0)  # 200 pixels
    kept, dropped = (RegionsConfig(working_width_px, min_region_px=least) for least in (150, 250))
    assert masks_of(depth_m, config=kept).num_masks == 2
    assert masks_of(depth_m, config=dropped).num_masks == 1


def test_in_a_furnished_room_little_leaks_and_most_objects_are_found() -> None:
    recall, num_leaked, num_valid = MaskRecallAccumulator(), 0, 0
    for frame in room_frames(furnished_room(8, "open"), 8, 3, room_camera(320, 240), frame_rate_hz=0.15):
        masks, valid = RegionMasks(RegionsConfig()).masks(frame), frame.depth_m > 0
        assert frame.truth is not None
        recall.update(frame.truth, masks, valid)
        num_leaked += num_leaked_px(frame.truth, masks, valid)
        num_valid += np.count_nonzero(valid)
    assert num_leaked / num_valid < 0.01  # .006; .024 where edges are sought along rows and columns alone
    assert recall.result().united_recall_50 >= 0.75
    assert recall.result().coverage > 0.97


def real_frames(name: str) -> list[Frame]:
    path = SHARED_DATA / name
    if not path.is_dir():
        pytest.skip(f"real data {path} is absent")
    source = TumSequence(path) if name.startswith("tum") else ApcShelf(path)
    return [frame for index, frame in enumerate(source.frames()) if index % 7 == 0 and isinstance(frame, Frame)][:3]


@pytest.mark.parametrize("name", ["tum_fr1_rpy", "apc_shelf_scene0000"])
def test_real_frames_fall_into_a_fair_number_of_regions_the_same_each_time(name: str) -> None:
    for frame in real_frames(name):
        masks = RegionMasks(RegionsConfig()).masks(frame)
        assert 10 <= masks.num_masks <= 250
        assert (masks.ids[frame.depth_m > 0] >= 0).mean() > 0.9
        assert np.array_equal(RegionMasks(RegionsConfig()).masks(frame).ids, masks.ids)


def test_on_the_real_shelf_no_region_spans_an_object_and_its_surroundings() -> None:
    covered, spilt, size = 0, 0, 0
    for frame in real_frames("apc_shelf_scene0000"):
        ids = RegionMasks(RegionsConfig()).masks(frame).ids
        assert frame.truth is not None
        valid = (frame.depth_m > 0) & (ids >= 0)
        for instance in np.unique(frame.truth[frame.truth > 0]):
            inside = valid & (frame.truth == instance)
            share = np.bincount(ids[inside], minlength=ids.max() + 1) / np.maximum(np.bincount(ids[valid]), 1)
            of_object = valid & (share > 0.5)[ids]
            covered += np.count_nonzero(of_object & inside)
            spilt += np.count_nonzero(of_object & ~inside)
            size += np.count_nonzero(inside)
    assert covered / size > 0.75
    assert spilt / covered < 0.2
