"""Bags: what comes back is bit for bit what went in, and what is wrong with a bag is said by topic."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from builders import SHARED_DATA, SMALL_CAMERA, ListSource, recorded_folder, recorded_frame

from autoseg3d_ros.config import Config
from autoseg3d_ros.config import replace as replace_config
from autoseg3d_ros.data.bag import write_bag
from autoseg3d_ros.data.bag_source import BagSource
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.topics import WRITTEN_TOPICS, Topics
from autoseg3d_ros.structures import Frame, FrameError

rosbag2 = pytest.importorskip("rosbags.rosbag2")
typesys = pytest.importorskip("rosbags.typesys")

TYPESTORE = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
TYPES = TYPESTORE.types
COLOUR, DEPTH, INFO, POSE, TRUTH = (getattr(WRITTEN_TOPICS, field.name) for field in fields(Topics))
Message = tuple[str, int, Any]  # topic, log time, message


def assert_same_frame(one: Frame | FrameError, other: Frame | FrameError) -> None:
    """Every field is equal, floats to the last bit."""
    assert isinstance(one, Frame) and isinstance(other, Frame)
    for field in fields(Frame):
        expected, got = getattr(one, field.name), getattr(other, field.name)
        if isinstance(expected, np.ndarray):
            assert (expected.dtype, expected.shape) == (got.dtype, got.shape), field.name
            assert np.ascontiguousarray(expected).tobytes() == np.ascontiguousarray(got).tobytes(), field.name
        else:
            assert expected == got, field.name


# --- messages of other recorders


def header(stamp_ns: int, frame_id: str = "camera") -> Any:
    return TYPES["std_msgs/msg/Header"](TYPES["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9)), frame_id)


def image(stamp_ns: int, encoding: str, pixels: np.ndarray) -> Any:
    pixels = np.ascontiguousarray(pixels)
    data = pixels.view(np.uint8).reshape(-1)
    return TYPES["sensor_msgs/msg/Image"](
        header(stamp_ns), pixels.shape[0], pixels.shape[1], encoding, 0, pixels.strides[0], data
    )


def compressed(stamp_ns: int, format: str, pixels: np.ndarray, suffix: str, head: bytes = b"") -> Any:
    data = np.frombuffer(head + cv2.imencode(suffix, pixels)[1].tobytes(), np.uint8)
    return TYPES["sensor_msgs/msg/CompressedImage"](header(stamp_ns), format, data)


def camera_info(stamp_ns: int, *, model: str = "plumb_bob", d: tuple[float, ...] = (), scale: float = 1.0) -> Any:
    return TYPES["sensor_msgs/msg/CameraInfo"](
        header=header(stamp_ns),
        height=SMALL_CAMERA.height,
        width=SMALL_CAMERA.width,
        distortion_model=model,
        d=np.array(d, np.float64),
        k=SMALL_CAMERA.matrix().ravel() * scale,
        r=np.eye(3).ravel(),
        p=np.zeros(12),
        binning_x=0,
        binning_y=0,
        roi=TYPES["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
    )


def pose(x: float = 0.0, quaternion: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> Any:
    return TYPES["geometry_msgs/msg/Pose"](
        TYPES["geometry_msgs/msg/Point"](x, 0.0, 0.0), TYPES["geometry_msgs/msg/Quaternion"](*quaternion)
    )


def pose_stamped(stamp_ns: int, x: float = 0.0, quaternion: tuple[float, ...] = (0.0, 0.0, 0.0, 1.0)) -> Any:
    return TYPES["geometry_msgs/msg/PoseStamped"](header(stamp_ns, "map"), pose(x, quaternion))


def odometry(stamp_ns: int, x: float) -> Any:
    zero = TYPES["geometry_msgs/msg/Vector3"](0.0, 0.0, 0.0)
    twist = TYPES["geometry_msgs/msg/TwistWithCovariance"](TYPES["geometry_msgs/msg/Twist"](zero, zero), np.zeros(36))
    with_covariance = TYPES["geometry_msgs/msg/PoseWithCovariance"](pose(x), np.zeros(36))
    return TYPES["nav_msgs/msg/Odometry"](header(stamp_ns, "odom"), "camera", with_covariance, twist)


def write_messages(path: Path, messages: list[Message]) -> Path:
    """Write a rosbag2 folder of `messages`."""
    with rosbag2.Writer(path, version=8) as writer:
        connections: dict[str, Any] = {}
        for topic, stamp_ns, message in messages:
            if topic not in connections:
                connections[topic] = writer.add_connection(topic, message.__msgtype__, typestore=TYPESTORE)
            data = TYPESTORE.serialize_cdr(message, message.__msgtype__)
            writer.write(connections[topic], stamp_ns, data)
    return path


def good_messages(num_frames: int = 3) -> list[Message]:
    """Return a plain recording at 10 Hz: colour, depth, CameraInfo and pose of one stamp; x is the frame's number."""
    messages: list[Message] = []
    for index in range(num_frames):
        frame, stamp_ns = recorded_frame(index), index * 10**8
        messages += [
            (COLOUR, stamp_ns, image(stamp_ns, "rgb8", frame.rgb)),
            (DEPTH, stamp_ns, image(stamp_ns, "32FC1", frame.depth_m)),
            (INFO, stamp_ns, camera_info(stamp_ns)),
            (POSE, stamp_ns, pose_stamped(stamp_ns, float(index))),
        ]
    return messages


def without(messages: list[Message], topic: str, index: int | None = None) -> list[Message]:
    """Leave out a topic, or its message number `index`."""
    of_topic = [message for message in messages if message[0] == topic]
    dropped = of_topic if index is None else [of_topic[index]]
    return [message for message in messages if not any(message is other for other in dropped)]


# --- bags of ours


@pytest.mark.parametrize(("units_per_metre", "encoding"), [(1000.0, "16UC1"), (5000.0, "32FC1")])
@pytest.mark.parametrize(("name", "storage"), [("bag", "sqlite3"), ("bag", "mcap"), ("bag.mcap", "mcap")])
def test_bag_gives_the_frames_of_its_folder(
    tmp_path: Path, units_per_metre: float, encoding: str, name: str, storage: str
) -> None:
    recorded_folder(tmp_path / "folder", 5, units_per_metre=units_per_metre)
    folder = RgbdFolder(tmp_path / "folder")
    ticks: list[int] = []
    written = write_bag(folder, tmp_path / name, storage=storage, progress=lambda: ticks.append(1))
    assert (written.num_frames, written.skipped, written.depth_encoding) == (5, (), encoding)
    assert len(ticks) == 5
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["folder", name])
    assert (tmp_path / name).is_file() == name.endswith(".mcap")
    source = open_source(tmp_path / name)
    assert (len(source), source.name, source.camera) == (5, "bag", folder.camera)
    assert source.frame_rate_hz == pytest.approx(10.0)
    for one, other in zip(folder.frames(), source.frames(), strict=True):
        assert_same_frame(one, other)
    for one, other in zip(folder.frames(), source.frames(), strict=True):  # a source can be read again
        assert_same_frame(one, other)


def test_depth_of_another_stamp_and_frames_without_truth(tmp_path: Path) -> None:
    frames = [
        replace(recorded_frame(index, truth=index != 1), depth_stamp_ns=index * 10**8 + offset_ns)
        for index, offset_ns in enumerate((0, 15_000_000, -12_345_678 + 10**8, 7_000_001))
    ]
    frames[2] = replace(frames[2], stamp_ns=3 * 10**8)
    frames[3] = replace(frames[3], stamp_ns=4 * 10**8, depth_stamp_ns=4 * 10**8 + 7_000_001)
    write_bag(ListSource(list(frames)), tmp_path / "bag.mcap")
    for one, other in zip(frames, BagSource(tmp_path / "bag.mcap").frames(), strict=True):
        assert_same_frame(one, other)


def test_depth_becomes_metres_when_a_late_frame_needs_it(tmp_path: Path) -> None:
    late = replace(recorded_frame(1), depth_m=np.full((24, 32), 1.23456, np.float32))
    source = ListSource([recorded_frame(0), late])
    assert write_bag(source, tmp_path / "bag.mcap").depth_encoding == "32FC1"
    for one, other in zip(source.frames(), BagSource(tmp_path / "bag.mcap").frames(), strict=True):
        assert_same_frame(one, other)


def test_unusable_frames_are_skipped_and_returned(tmp_path: Path) -> None:
    errors = [FrameError("rgb/000001.png: no such file"), FrameError("pose/000003.txt: no such file")]
    written = write_bag(ListSource([recorded_frame(0), errors[0], recorded_frame(2), errors[1]]), tmp_path / "bag.mcap")
    assert (written.num_frames, written.skipped) == (2, tuple(errors))
    stamps_ns = [frame.stamp_ns for frame in BagSource(tmp_path / "bag.mcap").frames()]
    assert stamps_ns == [0, 200_000_000]


@pytest.mark.parametrize("frames", [[], [FrameError("rgb/000000.png: no such file")]])
def test_no_usable_frame_leaves_no_bag(tmp_path: Path, frames: list) -> None:
    with pytest.raises(SourceError, match=f"none of {len(frames)} frames can be used"):
        write_bag(ListSource(frames), tmp_path / "bag.mcap")
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_no_bag(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bag(ListSource([recorded_frame(0)]), tmp_path / "bag.mcap", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_bad_target(tmp_path: Path) -> None:
    source = ListSource([recorded_frame(0)])
    (tmp_path / "there.mcap").write_bytes(b"")
    with pytest.raises(SourceError, match="exists already"):
        write_bag(source, tmp_path / "there.mcap")
    for name, storage in (("bag", "zip"), ("bag.mcap", "sqlite3")):
        with pytest.raises(SourceError, match=f"storage '{storage}'"):
            write_bag(source, tmp_path / name, storage=storage)


@pytest.mark.parametrize("folder", ["apc_shelf_scene0000", "tum_fr1_rpy"])
def test_real_recording_survives_every_bit(tmp_path: Path, folder: str) -> None:
    if not (SHARED_DATA / folder).exists():
        pytest.skip(f"shared/data/{folder} is not here")
    frames = list(islice(open_source(SHARED_DATA / folder).frames(), 4))
    write_bag(ListSource(frames), tmp_path / "bag", storage="sqlite3")
    for index, (one, other) in enumerate(zip(frames, BagSource(tmp_path / "bag").frames(), strict=True)):
        assert isinstance(one, Frame)
        assert_same_frame(replace(one, name=f"{index:06d}"), other)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_prefetching_may_stop_early(tmp_path: Path, storage: str) -> None:
    """The bag is opened in the thread that reads ahead, and closed in the one that stops."""
    write_bag(ListSource([recorded_frame(index) for index in range(4)]), tmp_path / "bag", storage=storage)
    iterator = prefetched(BagSource(tmp_path / "bag").frames())
    assert_same_frame(recorded_frame(0), next(iterator))
    iterator.close()


# --- bags of others


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
        (image(10**8, "rgb8", np.zeros((12, 16, 3), np.uint8)), "expected a depth image of the colour image's 16x12"),
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


# --- whole bags that cannot be used


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
        (camera_info(0, scale=0.0), "expected intrinsics, got fx 0, fy 0"),
        (camera_info(0, model="equidistant", d=(0.1, 0.1, 0.1, 0.1)), "distortion model"),
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
