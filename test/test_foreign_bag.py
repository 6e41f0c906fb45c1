"""Bags of other recorders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_builders import (
    COLOUR,
    DEPTH,
    INFO,
    POSE,
    TRUTH,
    camera_info,
    compressed,
    good_messages,
    image,
    odometry,
    pose_stamped,
    without,
    write_messages,
)
from builders import recorded_folder, recorded_frame

from autoseg3d_ros.config import Config
from autoseg3d_ros.config import replace as replace_config
from autoseg3d_ros.data.bag_source import BagSource
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.structures import Frame


def test_plain_recording(tmp_path: Path) -> None:
    frames = list(BagSource(write_messages(tmp_path / "bag", good_messages())).frames())
    assert [(frame.name, frame.stamp_ns, frame.pose.translation_m[0]) for frame in frames] == [
        ("000000", 0, 0.0),
        ("000001", 10**8, 1.0),
        ("000002", 2 * 10**8, 2.0),
    ]
    for index, frame in enumerate(frames):
        np.testing.assert_array_equal(frame.rgb, recorded_frame(index).rgb)
        np.testing.assert_array_equal(frame.depth_m, recorded_frame(index).depth_m)
        assert frame.truth is None


def test_other_names_types_and_encodings(tmp_path: Path) -> None:
    """Topics are found by type: BGR as PNG, depth as compressedDepth, Odometry."""
    frame = recorded_frame(0)
    units = np.rint(frame.depth_m * 1000).astype(np.uint16)
    bgr = frame.rgb[..., ::-1]
    path = write_messages(
        tmp_path / "bag",
        [
            ("/kinect/rgb/compressed", 0, compressed(0, "bgr8; png compressed bgr8", bgr, ".png")),
            ("/kinect/d/compressedDepth", 0, compressed(0, "16UC1; compressedDepth png", units, ".png", bytes(12))),
            ("/kinect/info", 0, camera_info(0)),
            ("/odom", 0, odometry(0, 1.5)),
        ],
    )
    (read,) = BagSource(path).frames()
    np.testing.assert_array_equal(read.rgb, frame.rgb)
    np.testing.assert_array_equal(read.depth_m, frame.depth_m)
    assert read.pose.translation_m == (1.5, 0.0, 0.0)


def test_jpeg_keeps_the_order_of_colours(tmp_path: Path) -> None:
    messages = without(good_messages(1), COLOUR)
    blue_green_red = np.full((24, 32, 3), (10, 100, 200), np.uint8)
    path = write_messages(tmp_path / "bag", [("/c", 0, compressed(0, "jpeg", blue_green_red, ".jpg")), *messages])
    (frame,) = BagSource(path).frames()
    np.testing.assert_allclose(frame.rgb.mean(axis=(0, 1)), (200, 100, 10), atol=2)


def test_depth_scale_of_the_configuration(tmp_path: Path) -> None:
    raw = image(0, "16UC1", np.full((24, 32), 5000, np.uint16))
    path = write_messages(tmp_path / "bag", [*without(good_messages(1), DEPTH), (DEPTH, 0, raw)])
    for scale, depth_m in ((0.0, 5.0), (5000.0, 1.0)):
        (frame,) = BagSource(path, replace_config(Config(), {"depth.scale": scale})).frames()
        assert (frame.depth_m == depth_m).all()


def test_distortion_is_taken_out_as_for_a_folder(tmp_path: Path) -> None:
    recorded_folder(tmp_path / "folder", 1)
    camera_file = tmp_path / "folder" / "camera.yaml"
    camera_file.write_text(camera_file.read_text() + "distortion: [0.2, -0.1, 0.01, 0.0]\n")
    info = (INFO, 0, camera_info(0, d=(0.2, -0.1, 0.01, 0.0)))
    truth = (TRUTH, 0, image(0, "32SC1", recorded_frame(0).truth))
    path = write_messages(tmp_path / "bag", [*without(good_messages(1), INFO), info, truth])
    (one,), (other,) = RgbdFolder(tmp_path / "folder").frames(), BagSource(path).frames()
    assert not np.array_equal(other.rgb, recorded_frame(0).rgb)
    for field in ("rgb", "depth_m", "truth"):
        np.testing.assert_array_equal(getattr(one, field), getattr(other, field))


def test_late_pose_is_waited_for(tmp_path: Path) -> None:
    """Poses are recorded half a second after the images they belong to, and lie between their stamps."""
    messages = without(good_messages(4), POSE)
    poses = [
        (POSE, 5 * 10**8 + index * 10**8, pose_stamped(index * 10**8 - 5 * 10**7, float(index))) for index in range(5)
    ]
    frames = list(BagSource(write_messages(tmp_path / "bag", messages + poses)).frames())
    np.testing.assert_allclose([frame.pose.translation_m[0] for frame in frames], [0.5, 1.5, 2.5, 3.5])


def test_missing_partner_and_missing_pose_skip_one_frame(tmp_path: Path) -> None:
    messages = without(without(good_messages(6), DEPTH, 1), COLOUR, 2)
    messages = without(messages, POSE, 5)  # the last: nothing to interpolate with
    source = BagSource(write_messages(tmp_path / "bag", messages))
    assert len(source) == 5
    results = list(source.frames())
    assert [isinstance(result, Frame) for result in results] == [True, False, True, True, False]
    assert f"frame 000001: no image on {DEPTH} of its own within sync.slop_s" in str(results[1])
    assert f"frame 000004: no pose on {POSE} at 0.500000000 (not_yet, 0.100 s)" in str(results[4])
    assert [frame.name for frame in results if isinstance(frame, Frame)] == ["000000", "000002", "000003"]


def test_slop_that_would_do_is_named(tmp_path: Path) -> None:
    messages = without(good_messages(3), DEPTH)
    depth_m = recorded_frame(0).depth_m
    messages += [(DEPTH, 10**8 * i, image(10**8 * i + 30_000_000, "32FC1", depth_m)) for i in range(3)]
    results = list(BagSource(write_messages(tmp_path / "bag", messages)).frames())
    assert len(results) == 3 and "a slop of 0.030 s would pair most" in str(results[0])


@pytest.mark.parametrize("quaternion", [(0.0, 0.0, 0.0, 2.0), (np.nan, 0.0, 0.0, 1.0)])
def test_pose_that_is_not_rigid_is_left_out(tmp_path: Path, quaternion: tuple[float, ...]) -> None:
    messages = without(good_messages(3), POSE, 1)
    messages.append((POSE, 10**8, pose_stamped(10**8, 50.0, quaternion)))
    frames = list(BagSource(write_messages(tmp_path / "bag", messages)).frames())
    np.testing.assert_allclose([frame.pose.translation_m[0] for frame in frames], [0, 1, 2])


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (image(10**8, "rgb8", np.zeros((24, 32, 3), np.uint8)), None),
        (image(10**8, "bayer_rggb8", np.zeros((24, 32), np.uint8)), f"{COLOUR}: expected one of the encodings rgb8"),
        (image(10**8, "rgb8", np.zeros((12, 16, 3), np.uint8)), "expected images of the 32x24 pixels"),
    ],
)
def test_image_that_cannot_be_used_skips_one_frame(tmp_path: Path, message: Any, expected: str | None) -> None:
    messages = [*without(good_messages(3), COLOUR, 1), (COLOUR, 10**8, message)]
    first, second, third = BagSource(write_messages(tmp_path / "bag", messages)).frames()
    assert isinstance(first, Frame) and isinstance(third, Frame)
    assert isinstance(second, Frame) if expected is None else expected in str(second)


def test_compressed_image_that_is_cut_skips_one_frame(tmp_path: Path) -> None:
    cut = compressed(0, "rgb8; png compressed bgr8", recorded_frame(0).rgb, ".png")
    cut.data = cut.data[: len(cut.data) // 2]
    path = write_messages(tmp_path / "bag", [*without(good_messages(1), COLOUR), (COLOUR, 0, cut)])
    (result,) = BagSource(path).frames()
    assert f"frame 000000: {COLOUR}: cut short" in str(result)


def test_recording_that_jumps_back_in_time(tmp_path: Path) -> None:
    again = [(topic, log_ns + 40 * 10**8, message) for topic, log_ns, message in good_messages(30)]
    results = list(BagSource(write_messages(tmp_path / "bag", good_messages(30) + again)).frames())
    assert [isinstance(result, Frame) for result in results] == [True] * 30 + [False] * 30
    assert "jumps back in time" in str(results[45])
