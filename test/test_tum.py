"""TUM sequences: pairing by time, poses at the depth stamp, and messages that name file and line."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from builders import SHARED_DATA, SMALL_CAMERA, recorded_frame

from autoseg3d_ros.config import Config, replace
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.tum import TumSequence
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

COLOUR_STAMPS = ("1305031100.000001", "1305031100.2", "1305031100.4", "1305031100.6")
DEPTH_STAMPS = ("1305031100.010001", "1305031100.195", "1305031100.45", "1305031100.6")
NO_TURN = "0 0 0 1"
QUARTER_TURN_ABOUT_Z = "0 0 0.7071067811865476 0.7071067811865476"


@pytest.fixture
def sequence(tmp_path: Path) -> Path:
    """Four colour images: two that pair, one whose depth is 50 ms away, one after the last pose."""
    frame = recorded_frame(0)
    units = np.rint(frame.depth_m * 1000).astype(np.uint16)
    for name in ("rgb", "depth"):
        (tmp_path / name).mkdir()
    for stamp in COLOUR_STAMPS:
        write_png(tmp_path / "rgb" / f"{stamp}.png", frame.rgb)
    for stamp in DEPTH_STAMPS:
        write_png(tmp_path / "depth" / f"{stamp}.png", units)
    write_lines(tmp_path, "rgb", ["# stamp file", *(f"{stamp} rgb/{stamp}.png" for stamp in COLOUR_STAMPS)])
    write_lines(tmp_path, "depth", [f"{stamp} depth/{stamp}.png" for stamp in DEPTH_STAMPS])
    trajectory = [
        f"1305031100.0 0 0 0 {NO_TURN}",
        f"1305031100.2 2 0 0 {QUARTER_TURN_ABOUT_Z}",
        f"1305031100.4 2 2 0 {QUARTER_TURN_ABOUT_Z}",
    ]
    write_lines(tmp_path, "groundtruth", trajectory)
    camera = {name: getattr(SMALL_CAMERA, name) for name in ("width", "height", "fx", "fy", "cx", "cy")}
    write_lines(
        tmp_path, "camera", [f"{key}: {value}" for key, value in {**camera, "depth_scale": 1000}.items()], "yaml"
    )
    return tmp_path


def write_lines(folder: Path, name: str, lines: list[str], suffix: str = "txt") -> None:
    (folder / f"{name}.{suffix}").write_text("\n".join(lines) + "\n")


def test_frames_by_hand(sequence: Path) -> None:
    source = TumSequence(sequence)
    first, second, far, late = source.frames()
    assert len(source) == 4
    assert source.frame_rate_hz == pytest.approx(5.0, rel=1e-4)
    assert isinstance(first, Frame) and isinstance(second, Frame)
    assert (first.stamp_ns, first.depth_stamp_ns, first.name) == (
        1_305_031_100_000_001_000,
        1_305_031_100_010_001_000,
        "1305031100.000001",
    )
    assert (second.stamp_ns, second.depth_stamp_ns) == (1_305_031_100_200_000_000, 1_305_031_100_195_000_000)
    np.testing.assert_allclose(second.pose.translation_m, (1.95, 0, 0))  # 0.195 of the 0.2 s to x = 2
    angle = np.deg2rad(90 * 0.195 / 0.2)
    np.testing.assert_allclose(second.world_from_camera[:2, 0], (np.cos(angle), np.sin(angle)), atol=1e-12)
    np.testing.assert_array_equal(first.depth_m, recorded_frame(0).depth_m)
    assert isinstance(far, FrameError) and "1305031100.4.png" in str(far) and "50 ms away" in str(far)
    assert isinstance(late, FrameError) and "no pose in groundtruth.txt" in str(late) and "0.200 s" in str(late)


def test_settings_reach_pairing_and_interpolation(sequence: Path) -> None:
    def usable(**changes: float) -> list[bool]:
        config = replace(Config(), {key.replace("__", "."): value for key, value in changes.items()})
        return [isinstance(frame, Frame) for frame in TumSequence(sequence, config).frames()]

    assert usable(sync__slop_s=0.008) == [False, True, False, False]
    assert usable(pose__max_gap_s=0.1) == [False, False, False, False]


def test_benchmark_camera_is_the_default(sequence: Path) -> None:
    (sequence / "camera.yaml").unlink()
    source = TumSequence(sequence)
    assert source.camera == CameraIntrinsics(640, 480, 525.0, 525.0, 319.5, 239.5)
    assert "expected 640x480 as the camera says, got 32x24" in str(next(source.frames()))


def test_lost_pose_is_left_out(sequence: Path, caplog: pytest.LogCaptureFixture) -> None:
    lines = (sequence / "groundtruth.txt").read_text().splitlines()
    write_lines(
        sequence,
        "groundtruth",
        [lines[0], "1305031100.1 nan nan nan 0 0 0 1", "1305031100.15 0 0 0 0 0 0 0", *lines[1:]],
    )
    with caplog.at_level(logging.WARNING):
        _, second, *_ = TumSequence(sequence).frames()
    np.testing.assert_allclose(second.pose.translation_m, (1.95, 0, 0))
    assert [record.message.count("left out") for record in caplog.records] == [1, 1]


def test_one_bad_image_skips_one_frame(sequence: Path) -> None:
    (sequence / "depth" / "1305031100.195.png").unlink()
    first, second, *_ = TumSequence(sequence).frames()
    assert isinstance(first, Frame)
    assert "1305031100.195.png: no such file" in str(second)


@pytest.mark.parametrize("name", ["rgb.txt", "depth.txt", "groundtruth.txt"])
@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (Path.unlink, "no such file; a TUM sequence has"),
        (lambda file: file.write_text("# nothing\n\n"), "expected at least one line that is no comment"),
        (
            lambda file: file.write_text(file.read_text() + "soon and more\n"),
            r":\d: expected a stamp in seconds first; got 'soon and more'",
        ),
        (
            lambda file: file.write_text(file.read_text() + "101.0 a b c\n"),
            r":\d: expected `stamp .*; got '101.0 a b c'",
        ),
        (lambda file: file.write_bytes(b"\xff\xfe\x00"), "cannot be read"),
    ],
)
def test_bad_list(sequence: Path, name: str, spoil: Callable[[Path], object], message: str) -> None:
    spoil(sequence / name)
    with pytest.raises(SourceError, match=f"{name}.*{message}"):
        TumSequence(sequence)


def test_pose_line_that_is_no_number(sequence: Path) -> None:
    write_lines(sequence, "groundtruth", ["1305031100.0 0 0 zero 0 0 0 1"])
    with pytest.raises(SourceError, match=r"groundtruth\.txt:1: expected `stamp tx ty tz qx qy qz qw`, all numbers"):
        TumSequence(sequence)


def test_real_sequence_agrees_with_its_reference_poses() -> None:
    folder = SHARED_DATA / "tum_fr1_rpy"
    if not folder.exists():
        pytest.skip("shared/data/tum_fr1_rpy is not here")
    frames = {frame.name: frame for frame in TumSequence(folder).frames() if isinstance(frame, Frame)}
    rows = [line.split() for line in (folder / "frames.txt").read_text().splitlines() if not line.startswith("#")]
    assert len(frames) == len(rows) == 55
    for colour_stamp, _, depth_stamp, _, *numbers in rows:
        frame, reference = frames[colour_stamp], np.array(numbers, float)
        assert f"{frame.depth_stamp_ns / 1e9:.6f}" == depth_stamp
        np.testing.assert_allclose(frame.pose.translation_m, reference[:3], atol=1e-6)
        assert abs(np.dot(frame.pose.quaternion_xyzw, reference[3:])) == pytest.approx(1.0, abs=1e-5)
