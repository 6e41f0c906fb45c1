"""Pictures: the right colour in the right place, and sheets that stay in order."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import an_instance, recorded_folder
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autoseg3d_ros.colours import NO_INSTANCE_RGB, id_colours
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.reporting.draw_run import SheetSampler, draw_run, plan_of_confirmed
from autoseg3d_ros.reporting.pictures import PAPER, Tile, contact_sheet, outlines, overlay, spread, with_ids
from autoseg3d_ros.reporting.run_folder import RunWriter, read_run
from autoseg3d_ros.reporting.topdown import topdown

GREY = np.full((40, 60, 3), 100, np.uint8)


def has_colour(picture: np.ndarray, rgb: np.ndarray) -> bool:
    return bool((picture == rgb).all(axis=-1).any())


def where_colour(picture: np.ndarray, rgb: np.ndarray) -> tuple[float, float]:
    """Return the mean (row, column) of a colour."""
    rows, columns = np.nonzero((picture == rgb).all(axis=-1))
    return rows.mean(), columns.mean()


def cube(x_m: float, y_m: float, side_m: float = 0.5, z_m: float = 0.0) -> np.ndarray:
    """Return points 2 cm apart on a square of `side_m` with its lower left corner at (x, y)."""
    steps = np.arange(0.0, side_m, 0.02)
    x, y = np.meshgrid(steps + x_m, steps + y_m)
    return np.stack([x.ravel(), y.ravel(), np.full(x.size, z_m)], axis=1).astype(np.float32)


def test_no_ids_have_no_colours() -> None:
    assert id_colours(np.zeros(0, np.int32)).shape == (0, 3)


def test_no_instance_is_grey_and_ids_keep_their_shape() -> None:
    assert id_colours(np.array([[0, 1]])).tolist()[0][0] == list(NO_INSTANCE_RGB)
    assert id_colours(np.zeros((2, 5), np.uint32)).shape == (2, 5, 3)


@given(st.integers(1, 60_000))
def test_neighbouring_ids_look_different(first: int) -> None:
    colours = id_colours(np.arange(first, first + 8)).astype(float)
    distance = np.linalg.norm(colours[:, None] - colours[None], axis=-1)[~np.eye(8, dtype=bool)]
    assert distance.min() > 60


def test_overlay_without_instances_is_the_image() -> None:
    np.testing.assert_array_equal(overlay(GREY, np.zeros((40, 60), np.int32), width_px=60), GREY)


def test_overlay_tints_an_instance_and_leaves_the_rest() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[:, 30:] = 3
    painted = overlay(GREY, labels, width_px=60)
    tint = 0.45 * 100 + 0.55 * id_colours(np.array(3))
    assert np.abs(painted[2, 50] - tint).max() <= 1
    assert painted[2, 10].tolist() == [100, 100, 100]


def test_overlay_writes_the_id_where_the_segment_is_widest() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[5:35, 5:35] = 3
    labels[19:21, 35:60] = 3  # a thin tail must not draw the number towards it
    without_text = np.abs(overlay(GREY, labels, width_px=60)[20, 20].astype(int) - 0.55 * id_colours(np.array(3)))
    assert without_text.max() > 46  # the digit has covered the tint


@pytest.mark.parametrize("width_px", [30, 60, 480])
def test_overlay_keeps_the_aspect(width_px: int) -> None:
    assert overlay(GREY, np.ones((40, 60), np.int32), width_px).shape == (width_px * 2 // 3, width_px, 3)


def test_outlines_lie_between_labels() -> None:
    assert np.argwhere(outlines(np.array([[1, 1, 2], [1, 1, 2]]))).tolist() == [[0, 1], [1, 1]]


def test_sheet_of_nothing_is_blank() -> None:
    assert (contact_sheet([]) == PAPER).all()


def test_sheet_keeps_its_tiles_in_reading_order() -> None:
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250)]
    sheet = contact_sheet([Tile(np.full((10, 90, 3), colour, np.uint8), "") for colour in colours], columns=2)
    red, green, blue = (where_colour(sheet, np.array(colour)) for colour in colours)
    assert red[0] == green[0] < blue[0]
    assert red[1] == blue[1] < green[1]


@pytest.mark.parametrize(
    ("count", "wanted", "indices"), [(0, 3, []), (1, 3, [0]), (2, 3, [0, 1]), (9, 3, [0, 4, 8]), (9, 1, [0])]
)
def test_spread(count: int, wanted: int, indices: list[int]) -> None:
    assert spread(count, wanted) == indices


def test_plan_of_nothing_says_so() -> None:
    assert topdown(np.zeros((0, 3), np.float32), np.zeros(0, np.int32)).shape[2] == 3


def test_plan_of_one_point() -> None:
    assert has_colour(topdown(np.ones((1, 3), np.float32), np.array([5])), id_colours(np.array(5)) * 0.6 // 1)


@given(arrays.arrays(np.float32, st.tuples(st.integers(1, 6), st.just(3)), elements=st.floats(-9, 9, width=16)))
@settings(max_examples=8, deadline=None)
def test_plan_of_a_few_points_shows_some_of_them(xyz_m: np.ndarray) -> None:
    picture = topdown(xyz_m, np.full(len(xyz_m), 5))
    assert (np.ptp(picture.astype(int), axis=-1) > 50).any()  # paper, ink and grid are grey


def test_tentative_instances_are_left_out_of_the_plan() -> None:
    xyz_m, ids = np.concatenate([cube(0, 0), cube(2, 0)]), np.repeat([1, 2], len(cube(0, 0)))
    dim = (id_colours(np.array([1, 2])) * 0.6).astype(np.uint8)
    picture = plan_of_confirmed(xyz_m, ids, tentative=[2], title="")
    assert has_colour(picture, dim[0])
    assert not has_colour(picture, dim[1])


def test_plan_has_x_to_the_right_and_y_up() -> None:
    xyz_m = np.concatenate([cube(0, 0), cube(2, 0), cube(0, 2)])
    picture = topdown(xyz_m, np.repeat([1, 2, 3], len(cube(0, 0))))
    dim = (id_colours(np.array([1, 2, 3])) * 0.6).astype(np.uint8)  # all at one height: the darkest shade
    origin, right, up = (where_colour(picture, colour) for colour in dim)
    assert right[1] > origin[1] + 100
    assert up[0] < origin[0] - 100


def test_plan_draws_the_small_over_the_large_and_the_labelled_over_the_rest() -> None:
    table, cup, ceiling = cube(0, 0, 1.0), cube(0.4, 0.4, 0.2), cube(0, 0, 1.0, z_m=2.0)
    ids = np.repeat([1, 2, 0], [len(table), len(cup), len(ceiling)])
    picture = topdown(np.concatenate([table, cup, ceiling]), ids)
    dim = (id_colours(np.array([1, 2, 0])) * 0.6).astype(np.uint8)
    assert has_colour(picture, dim[0])
    assert has_colour(picture, dim[1])
    assert not has_colour(picture, np.array(NO_INSTANCE_RGB))


def test_plan_leaves_points_without_position_out() -> None:
    xyz_m = np.concatenate([cube(0, 0), np.full((3, 3), np.nan, np.float32)])
    ids = np.ones(len(xyz_m), np.int32)
    np.testing.assert_array_equal(topdown(xyz_m, ids), topdown(xyz_m[:-3], ids[:-3]))


def test_sampler_takes_the_next_frame_for_an_unusable_one(tmp_path: Path) -> None:
    frames = recorded_folder(tmp_path, 3)
    sampler = SheetSampler(3)
    labels = np.zeros(frames[0].depth_m.shape, np.int32)
    for number in (1, 2):  # frame 0 could not be used
        sampler.offer(number, frames[number], labels)
    two_tiles = contact_sheet([Tile(overlay(frame.rgb, labels), "") for frame in frames[1:]])
    assert sampler.sheet().shape == two_tiles.shape


def test_a_run_is_drawn_from_its_source_by_stamp(tmp_path: Path) -> None:
    frames = recorded_folder(tmp_path / "source", 3)
    with RunWriter(tmp_path / "run") as writer:
        writer.add_frame(0, frames[2].stamp_ns, np.full(frames[2].depth_m.shape, 4, np.int32))
        writer.write_instances([an_instance(id=4)])
        writer.write_map(cube(0, 0), np.zeros((len(cube(0, 0)), 3), np.uint8), np.full(len(cube(0, 0)), 4))
    draw_run(read_run(tmp_path / "run"), RgbdFolder(tmp_path / "source"))
    sheet = cv2.imread(str(tmp_path / "run" / "overlay.png"))[..., ::-1]
    only_tile = overlay(frames[2].rgb, np.full(frames[2].depth_m.shape, 4, np.int32))
    height, width = only_tile.shape[:2]
    np.testing.assert_array_equal(sheet[6 : 6 + height, 6 : 6 + width], only_tile)
    assert (tmp_path / "run" / "topdown.png").exists()


def test_holes_of_sparse_depth_are_painted_over_and_wide_gaps_are_not() -> None:
    labels = np.zeros((40, 60), np.int32)
    labels[:, ::2] = 7  # every second column measured
    labels[:, 20:40] = 0
    painted = overlay(GREY, labels, width_px=60)
    tinted = (painted != 100).any(axis=-1)
    assert tinted[:, :18].all()
    assert not tinted[:, 22:38].any()


def test_of_two_numbers_that_would_overlap_only_the_roomier_is_written() -> None:
    roomy = np.zeros((40, 60), np.int32)
    roomy[:, :30] = 11111
    both = roomy.copy()
    both[10:30, 30:44] = 22222
    np.testing.assert_array_equal(with_ids(GREY, both), with_ids(GREY, roomy))
    assert (with_ids(GREY, both - roomy) != GREY).any()
