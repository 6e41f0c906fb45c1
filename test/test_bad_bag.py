"""Bags that cannot be used say so in one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from bag_builders import (
    COLOUR,
    DEPTH,
    INFO,
    POSE,
    TYPESTORE,
    Message,
    camera_info,
    compressed,
    good_messages,
    image,
    pose_stamped,
    rosbag2,
    without,
    write_messages,
)
from builders import ListSource, recorded_frame

from autoseg3d_ros.data.bag import write_bag
from autoseg3d_ros.data.bag_source import BagSource
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.topics import Topics
from autoseg3d_ros.structures import Frame


def test_empty_bag(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no colour topic; .*the bag holds no messages"):
        BagSource(write_messages(tmp_path / "bag", []))


@pytest.mark.parametrize(
    ("topic", "message"),
    [
        (COLOUR, "no colour topic; expected an Image"),
        (DEPTH, "no depth topic; expected an Image or CompressedImage of depth"),
        (INFO, "no camera_info topic; expected a CameraInfo: without intrinsics"),
        (
            POSE,
            r"no pose topic; expected a PoseStamped or Odometry; .*the bag holds /camera/camera/color/image_raw \(s",
        ),
    ],
)
def test_missing_topic(tmp_path: Path, topic: str, message: str) -> None:
    with pytest.raises(SourceError, match=message):
        BagSource(write_messages(tmp_path / "bag", without(good_messages(), topic)))


@pytest.mark.parametrize(
    ("info", "message"),
    [
        (camera_info(0, scale=0.0), "expected intrinsics, got a CameraInfo whose K is all zeros"),
        (camera_info(0, model="thin_prism", d=(0.1, 0.1, 0.1, 0.1)), "distortion model"),
    ],
)
def test_unusable_camera_info(tmp_path: Path, info: Any, message: str) -> None:
    messages = [*without(good_messages(), INFO), (INFO, 0, info)]
    with pytest.raises(SourceError, match=f"{INFO}.*{message}"):
        BagSource(write_messages(tmp_path / "bag", messages))


def test_topic_that_is_not_clear(tmp_path: Path) -> None:
    def renamed(message: Message) -> list[Message]:
        topic, stamp_ns, content = message
        return [("/left", stamp_ns, content), ("/right", stamp_ns, content)] if topic == COLOUR else [message]

    messages = [copy for message in good_messages() for copy in renamed(message)]
    path = write_messages(tmp_path / "bag", messages)
    with pytest.raises(SourceError, match="several topics could be the colour: /left, /right; name the one"):
        BagSource(path)
    named = Topics(colour="/right", depth="", camera_info="", pose="", truth="")
    assert all(isinstance(frame, Frame) for frame in BagSource(path, topics=named).frames())
    with pytest.raises(SourceError, match="no messages on /middle, which was to be the colour topic"):
        BagSource(path, topics=replace(named, colour="/middle"))


def test_usual_name_and_raw_images_are_preferred(tmp_path: Path) -> None:
    frame = recorded_frame(0)
    more = [
        ("/camera/camera/infra1/image_rect_raw", 0, image(0, "mono8", frame.rgb[..., 0])),
        ("/my/depth", 0, image(0, "32FC1", frame.depth_m)),
        ("/my/depth/compressedDepth", 0, compressed(0, "16UC1; compressedDepth png", np.zeros((24, 32)), ".png")),
    ]
    path = write_messages(tmp_path / "bag", [*without(good_messages(1), DEPTH), *more])
    (read,) = BagSource(path).frames()
    np.testing.assert_array_equal(read.rgb, frame.rgb)
    np.testing.assert_array_equal(read.depth_m, frame.depth_m)


@pytest.mark.parametrize("name", ["bag.mcap", "bag.db3"])
@pytest.mark.parametrize("data", [b"", b"not a bag at all", b"\x89MCAP0\r\n" + bytes(100)])
def test_file_that_is_no_bag(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError, match=rf"{name}: cannot be read as a bag: .+; `ros2 bag reindex`"):
        BagSource(tmp_path / name)


@pytest.mark.parametrize("text", ["", "]", "rosbag2_bagfile_information: {version: 8}"])
def test_broken_metadata(tmp_path: Path, text: str) -> None:
    path = write_messages(tmp_path / "bag", good_messages())
    (path / "metadata.yaml").write_text(text)
    with pytest.raises(SourceError, match="cannot be read as a bag"):
        BagSource(path)


def test_recording_that_was_cut_off(tmp_path: Path) -> None:
    write_bag(ListSource([recorded_frame(index) for index in range(4)]), tmp_path / "bag.mcap")
    data = (tmp_path / "bag.mcap").read_bytes()
    (tmp_path / "bag.mcap").write_bytes(data[: len(data) // 2])
    with pytest.raises(SourceError, match="may repair a recording that was cut off"):
        BagSource(tmp_path / "bag.mcap")


def test_damage_in_the_middle_ends_the_frames_with_an_error(tmp_path: Path) -> None:
    large = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)  # each fills a chunk
    info = camera_info(0)
    info.width, info.height = 640, 480
    path = tmp_path / "bag"
    with rosbag2.Writer(path, version=8, storage_plugin=rosbag2.StoragePlugin.MCAP) as writer:
        for index in range(12):
            stamp_ns = index * 10**8
            messages = [
                (COLOUR, image(stamp_ns, "rgb8", large)),
                (DEPTH, image(stamp_ns, "32FC1", np.ones((480, 640), np.float32))),
                (POSE, pose_stamped(stamp_ns)),
                *([(INFO, info)] if index == 0 else []),
            ]
            for topic, message in messages:
                known = {connection.topic: connection for connection in writer.connections}
                connection = known.get(topic) or writer.add_connection(topic, message.__msgtype__, typestore=TYPESTORE)
                writer.write(connection, stamp_ns, TYPESTORE.serialize_cdr(message, message.__msgtype__))
    file = path / "bag.mcap"
    data = bytearray(file.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 2_500_000] = bytes(2_500_000)
    file.write_bytes(data)
    results = list(BagSource(path).frames())
    usable = [isinstance(result, Frame) for result in results]
    assert 0 < sum(usable) < 12 and usable == sorted(usable, reverse=True)
    assert "cannot be read as a bag" in str(results[-1])


def test_folder_without_metadata_and_ros1_bag(tmp_path: Path) -> None:
    path = write_messages(tmp_path / "bag", good_messages())
    (path / "metadata.yaml").unlink()
    assert len(list(open_source(path).frames())) == 3
    (tmp_path / "old.bag").write_bytes(b"#ROSBAG V2.0\n")
    with pytest.raises(SourceError, match="a bag of ROS 1; convert it with `rosbags-convert"):
        open_source(tmp_path / "old.bag")
    (path / "second.db3").write_bytes(b"")
    with pytest.raises(SourceError, match="got 2 such files"):
        BagSource(path)
