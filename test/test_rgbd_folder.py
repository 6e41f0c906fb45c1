"""RGB-D folders: what is written is read back, and what is wrong is said by file name while the rest goes on."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from builders import SMALL_CAMERA, recorded_folder, recorded_frame

from autoseg3d_ros.data.camera_file import RecordedCamera, read_camera_file, write_camera_file
from autoseg3d_ros.data.rgbd_folder import RgbdFolder, RgbdFolderWriter
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import Frame, FrameError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A good folder of three frames, for a test to spoil."""
    recorded_folder(tmp_path / "good", 3)
    return tmp_path / "good"


def only_error(folder: Path, index: int = 1) -> str:
    """Return the message of the one frame that fails; the others must be there."""
    results = list(RgbdFolder(folder).frames())
    assert [isinstance(result, FrameError) for result in results] == [i == index for i in range(len(results))]
    return str(results[index])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    written = recorded_folder(tmp_path, 4)
    source = RgbdFolder(tmp_path)
    read = list(source.frames())
    assert len(source) == len(read) == 4
    assert (source.camera, source.frame_rate_hz, source.name) == (SMALL_CAMERA, 10.0, tmp_path.name)
    for index, (one, other) in enumerate(zip(written, read, strict=True)):
        assert isinstance(other, Frame)
        assert (other.stamp_ns, other.depth_stamp_ns, other.name) == (index * 10**8, index * 10**8, f"{index:06d}")
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.depth_m, other.depth_m)
        np.testing.assert_array_equal(one.truth, other.truth)
        np.testing.assert_allclose(one.pose.matrix, other.pose.matrix, rtol=0, atol=1e-15)


def test_pose_file_holds_every_bit_of_the_matrix(tmp_path: Path) -> None:
    (written,) = recorded_folder(tmp_path, 1)
    np.testing.assert_array_equal(np.loadtxt(tmp_path / "pose" / "000000.txt"), written.pose.matrix)


def test_depth_is_rounded_to_the_unit_and_zero_beyond_16_bits(tmp_path: Path) -> None:
    depth_m = np.full((24, 32), 1.00049, np.float32)
    depth_m[0, :3] = (0.0, 65.535, 70.0)
    writer = RgbdFolderWriter(tmp_path, SMALL_CAMERA, depth_scale=1000.0, fps=10.0)
    writer.add(replace(recorded_frame(0), depth_m=depth_m))
    (frame,) = RgbdFolder(tmp_path).frames()
    np.testing.assert_array_equal(frame.depth_m[0, :4], np.float32([0.0, 65.535, 0.0, 1.0]))


def test_the_number_of_a_frame_is_its_time(folder: Path) -> None:
    for name in ("rgb", "depth", "instance"):
        (folder / name / "000001.png").unlink()
    (folder / "pose" / "000001.txt").unlink()
    assert [frame.stamp_ns for frame in RgbdFolder(folder).frames()] == [0, 200_000_000]


def test_jpeg_colour_and_no_truth(tmp_path: Path) -> None:
    recorded_folder(tmp_path, 2, truth=False)
    image = np.full((24, 32, 3), (10, 100, 200), np.uint8)  # blue, green, red
    cv2.imwrite(str(tmp_path / "rgb" / "000001.jpg"), image)
    (tmp_path / "rgb" / "000001.png").unlink()
    first, second = RgbdFolder(tmp_path).frames()
    assert first.truth is None and second.truth is None
    np.testing.assert_allclose(second.rgb.mean(axis=(0, 1)), (200, 100, 10), atol=2)


def test_writer_refuses_a_folder_in_use(folder: Path) -> None:
    with pytest.raises(SourceError, match="holds frames already"):
        RgbdFolderWriter(folder, SMALL_CAMERA, depth_scale=1000.0, fps=10.0)


def test_writer_refuses_ids_beyond_16_bits(tmp_path: Path) -> None:
    writer = RgbdFolderWriter(tmp_path, SMALL_CAMERA, depth_scale=1000.0, fps=10.0)
    with pytest.raises(FrameError, match="up to 65535, got 65536"):
        writer.add(replace(recorded_frame(0), truth=np.full((24, 32), 65536, np.int32)))


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere.*no such file"):
        RgbdFolder(tmp_path / "nowhere")


def test_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"camera\.yaml: no such file; it must give width, height, fx"):
        RgbdFolder(tmp_path)
    write_camera_file(tmp_path / "camera.yaml", RecordedCamera(SMALL_CAMERA, 1000.0, 10.0))
    with pytest.raises(SourceError, match=r"no frames; expected rgb/000000\.png"):
        RgbdFolder(tmp_path)


def test_two_images_of_one_frame(folder: Path) -> None:
    shutil.copy(folder / "rgb" / "000001.png", folder / "rgb" / "1.png")
    with pytest.raises(SourceError, match=r"000001\.png and 1\.png are the same frame"):
        RgbdFolder(folder)


@pytest.mark.parametrize("name", ["rgb/000001.png", "depth/000001.png", "pose/000001.txt"])
def test_missing_file_skips_one_frame(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert f"{name}: no such file" in only_error(folder)


@pytest.mark.parametrize("name", ["rgb/000001.png", "depth/000001.png", "instance/000001.png"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda data: data[: len(data) // 2], "cut short"),
        (lambda data: b"", "got 0 bytes that cannot be decoded"),
        (lambda data: b"not an image", "got 12 bytes that cannot be decoded"),
    ],
)
def test_unreadable_image_skips_one_frame(folder: Path, name: str, spoil, message: str) -> None:
    file = folder / name
    file.write_bytes(spoil(file.read_bytes()))
    error = only_error(folder)
    assert name in error and message in error


@pytest.mark.parametrize("name", ["rgb/000001.png", "depth/000001.png", "instance/000001.png"])
def test_image_of_another_size_skips_one_frame(folder: Path, name: str) -> None:
    image = cv2.imread(str(folder / name), cv2.IMREAD_UNCHANGED)
    cv2.imwrite(str(folder / name), image[:12, :16])
    error = only_error(folder)
    assert name in error and "expected 32x24 as the camera says, got 16x12" in error


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((24, 32), np.uint8), "expected one 16-bit channel, got 1 channel of 8 bit"),
        (np.zeros((24, 32, 3), np.uint16), "expected one 16-bit channel, got 3 channels of 16 bit"),
    ],
)
def test_depth_of_another_kind_skips_one_frame(folder: Path, image: np.ndarray, message: str) -> None:
    cv2.imwrite(str(folder / "depth" / "000001.png"), image)
    assert message in only_error(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected 4x4 numbers, got 0"),
        ("1 0 0 zero", "could not convert string to float: 'zero'"),
        ("1 0 0 0  0 1 0 0  0 0 1 0", "expected 4x4 numbers, got 12"),
        ("nan 0 0 0  0 1 0 0  0 0 1 0  0 0 0 1", "expected finite numbers"),
        ("2 0 0 0  0 2 0 0  0 0 2 0  0 0 0 1", "expected a rigid transform"),
        ("1 0 0 0  0 1 0 0  0 0 -1 0  0 0 0 1", "expected a rigid transform"),
        ("1 0 0 0  0 1 0 0  0 0 1 0  1 2 3 1", "expected a rigid transform"),
    ],
)
def test_bad_pose_skips_one_frame(folder: Path, text: str, message: str) -> None:
    (folder / "pose" / "000001.txt").write_text(text)
    error = only_error(folder)
    assert "pose/000001.txt" in error and message in error


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fx": None}, "fx: expected a positive number, got None"),
        ({"fx": -1.0}, "fx: expected a positive number, got -1.0"),
        ({"cx": "left"}, "cx: expected a number, got 'left'"),
        ({"cx": float("nan")}, "cx: expected a number, got nan"),
        ({"width": 32.5}, "width: expected a positive whole number of pixels, got 32.5"),
        ({"depth_scale": 0}, "depth_scale: expected a positive number, got 0"),
        ({"fps": True}, "fps: expected a positive number, got True"),
        ({"focal": 3.0}, "unknown focal"),
        ({"distortion": [0.1, 0.2]}, "distortion: expected 4 or 5 or 8 coefficients, got 2"),
        ({"distortion": 0.1}, "distortion: expected a list of numbers"),
        ({"distortion": [0.1, 0.2, 0.3, "x"]}, "distortion: expected a number, got 'x'"),
    ],
)
def test_bad_camera_file(folder: Path, changes: dict, message: str) -> None:
    file = folder / "camera.yaml"
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), **changes}))
    with pytest.raises(SourceError) as error:
        RgbdFolder(folder)
    assert str(file) in str(error.value) and message in str(error.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a mapping of keys to numbers, got NoneType"),
        ("[1, 2", "not valid YAML"),
        ("width: 32\nheight: 24\nfps: 10\n", "missing fx, fy, cx, cy, depth_scale"),
    ],
)
def test_camera_file_that_is_no_camera(folder: Path, text: str, message: str) -> None:
    (folder / "camera.yaml").write_text(text)
    with pytest.raises(SourceError, match=message):
        RgbdFolder(folder)


@pytest.mark.parametrize("distortion", [(), (0.1, -0.2, 0.001, 0.002)])
def test_camera_file_round_trip(tmp_path: Path, distortion: tuple[float, ...]) -> None:
    camera = RecordedCamera(SMALL_CAMERA, 5000.0, 29.97, distortion)
    write_camera_file(tmp_path / "camera.yaml", camera)
    assert read_camera_file(tmp_path / "camera.yaml") == camera


def test_distortion_of_the_folder_is_taken_out(folder: Path) -> None:
    plain = next(RgbdFolder(folder).frames())
    file = folder / "camera.yaml"
    file.write_text(file.read_text() + "distortion: [0.2, -0.1, 0.0, 0.0]\n")
    rectified = next(RgbdFolder(folder).frames())
    for field in ("rgb", "depth_m", "truth"):
        assert not np.array_equal(getattr(plain, field), getattr(rectified, field))
