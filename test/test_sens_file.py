"""ScanNet's recordings: each field comes back, and a damaged file is told from a whole one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scannet_builders import COLOUR_HEIGHT, COLOUR_WIDTH, HEIGHT, LOOK_DOWN, LOST, WIDTH, K, SensRecording

from autoseg3d_ros.data.sens_file import SensFile
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import FrameError

RANDOM = np.random.default_rng(3)
NOISE = RANDOM.integers(0, 256, (COLOUR_HEIGHT, COLOUR_WIDTH, 3), np.uint8)
DEPTH = RANDOM.integers(0, 9000, (HEIGHT, WIDTH)).astype(np.uint16)
TWO_POSES = [LOOK_DOWN, np.eye(4)]


def opened(folder: Path, data: bytes) -> SensFile:
    file = folder / "scene.sens"
    file.write_bytes(data)
    return SensFile(file)


@pytest.mark.parametrize("colour_compression", [0, 1, 2])
@pytest.mark.parametrize("depth_compression", [0, 1])
def test_what_is_recorded_comes_back(tmp_path: Path, colour_compression: int, depth_compression: int) -> None:
    recording = SensRecording(TWO_POSES, DEPTH, NOISE, colour_compression, depth_compression)
    sens = opened(tmp_path, recording.data())
    sens.expect_complete()
    assert (len(sens), sens.num_promised, sens.sensor_name) == (2, 2, "StructureSensor")
    assert (sens.depth_size, sens.depth_units_a_metre) == ((WIDTH, HEIGHT), 1000.0)
    np.testing.assert_array_equal(sens.depth_intrinsics, K.astype(np.float32))
    second, first = sens.frame(1), sens.frame(0)  # in any order
    assert (second.colour_stamp_us, second.depth_stamp_us) == (33333, 33338)
    np.testing.assert_array_equal(first.world_from_camera, LOOK_DOWN)
    np.testing.assert_array_equal(second.world_from_camera, np.eye(4))
    np.testing.assert_array_equal(first.depth_units, DEPTH)
    np.testing.assert_array_equal(second.depth_units, DEPTH + 1)
    if colour_compression != 2:
        np.testing.assert_array_equal(first.rgb, NOISE)


def test_jpeg_keeps_red_first(tmp_path: Path) -> None:
    sens = opened(tmp_path, SensRecording().data())
    np.testing.assert_allclose(sens.frame(0).rgb.reshape(-1, 3).mean(axis=0), (200, 100, 50), atol=3)


def test_no_frames_and_a_lost_pose_are_legal(tmp_path: Path) -> None:
    assert len(opened(tmp_path, SensRecording([]).data())) == 0
    assert np.isneginf(opened(tmp_path, SensRecording([LOST]).data()).frame(0).world_from_camera).all()


def test_frames_before_a_cut_are_usable_and_the_cut_is_told(tmp_path: Path) -> None:
    recording = SensRecording([LOOK_DOWN] * 3)
    data, frame_bytes = recording.data(), len(recording.frame(0))
    second = len(recording.header()) + len(recording.frame(0))
    for length in (second, second + 1, second + 96, second + 97, second + len(recording.frame(1)) - 1):
        sens = opened(tmp_path, data[:length])
        assert len(sens) == 1
        np.testing.assert_array_equal(sens.frame(0).depth_units, recording.depth_units)
        for broken in (sens.expect_complete, lambda sens=sens: sens.frame(1)):
            with pytest.raises(SourceError, match=rf"scene\.sens: cut short in frame 1 of 3.* got {length}; download"):
                broken()
    assert frame_bytes > 97, "the offsets above are inside the second frame"


def test_a_cut_in_the_header_is_told(tmp_path: Path) -> None:
    header = SensRecording().header()
    for length in (0, 3, 11, 20, 100, len(header) - 1):
        with pytest.raises(SourceError, match=rf"cut short in its header: .* got {length}; download it again"):
            opened(tmp_path, header[:length])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 3}, "expected a .sens file of version 4, got version 3"),
        ({"depth_compression": 2}, "got 2 and 2"),
        ({"colour_compression": -1}, "got -1 and 1"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        opened(tmp_path, replace(SensRecording(), **changes).data())


def test_a_frame_that_cannot_be_decoded_leaves_the_others(tmp_path: Path) -> None:
    recording = SensRecording([LOOK_DOWN] * 2)
    data = bytearray(recording.data())
    depth = len(recording.header()) + 96 + len(recording.colour_data())
    data[depth : depth + 8] = b"\xff" * 8
    sens = opened(tmp_path, bytes(data))
    with pytest.raises(FrameError, match=r"scene\.sens frame 0: depth: cannot be decompressed"):
        sens.frame(0)
    np.testing.assert_array_equal(sens.frame(1).depth_units, recording.depth_units + 1)


def test_images_of_another_size_are_refused(tmp_path: Path) -> None:
    whole, small = SensRecording(), SensRecording(rgb=NOISE[:10], depth_units=DEPTH[:5])
    with pytest.raises(FrameError, match="colour: expected 64x48 as the header says, got 64x10"):
        opened(tmp_path, whole.header() + SensRecording(rgb=NOISE[:10]).frame(0)).frame(0)
    with pytest.raises(FrameError, match=rf"depth: expected {WIDTH * HEIGHT * 2} bytes, got {WIDTH * 5 * 2}"):
        opened(tmp_path, whole.header() + replace(small, rgb=whole.rgb).frame(0)).frame(0)
    with pytest.raises(IndexError):
        opened(tmp_path, whole.data()).frame(1)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.sens: cannot be read"):
        SensFile(tmp_path / "nowhere.sens")
