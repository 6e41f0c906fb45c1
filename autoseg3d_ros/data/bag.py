"""Writes any source as a rosbag2 that `ros2 bag play`, the node and `BagSource` take, with every bit of the frames."""

from __future__ import annotations

import importlib
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from autoseg3d_ros.data.source import FrameSource, SourceError
from autoseg3d_ros.data.topics import CAMERA_FRAME, MAP_FRAME, WRITTEN_TOPICS, Topics
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

if TYPE_CHECKING:
    from rosbags.rosbag2 import Writer
    from rosbags.typesys.store import Typestore

STORAGES = ("mcap", "sqlite3")
_BAG_VERSION = 8  # read by Iron, Jazzy and later; 9 only by Jazzy and later
_TYPES = {
    "colour": "sensor_msgs/msg/Image",
    "depth": "sensor_msgs/msg/Image",
    "camera_info": "sensor_msgs/msg/CameraInfo",
    "pose": "geometry_msgs/msg/PoseStamped",
    "truth": "sensor_msgs/msg/Image",
}


@dataclass(frozen=True)
class WrittenBag:
    """What `write_bag` wrote."""

    path: Path
    num_frames: int
    skipped: tuple[FrameError, ...]
    depth_encoding: str  # 16UC1 or 32FC1


class _NotWholeMillimetresError(Exception):
    """Depth of this source would lose bits as 16UC1."""


def write_bag(
    source: FrameSource,
    path: Path | str,
    *,
    storage: str = "mcap",
    topics: Topics = WRITTEN_TOPICS,
    progress: Callable[[], object] = lambda: None,
) -> WrittenBag:
    """Write the frames of `source`, each message at its own stamp; unusable frames are skipped and returned.

    A `path` that ends in .mcap becomes one file (storage mcap, zstd); any other a rosbag2 folder of `storage`, one of
    STORAGES. Depth is 16UC1 if that keeps every value of every frame, else 32FC1 metres. The bag appears under its name
    only when it is complete. `progress` is called after each frame; where a later frame shows that depth needs 32FC1,
    the bag is begun anew.

    Raises SourceError where `path` exists, `rosbags` is missing or no frame can be used.
    """
    path = Path(path)
    as_file = path.suffix == ".mcap"
    if storage not in STORAGES or (as_file and storage != "mcap"):
        raise SourceError(f"storage {storage!r}: expected one of {', '.join(STORAGES)}, and mcap for {path.name}")
    if path.exists():
        raise SourceError(f"{path}: exists already; remove it or choose another name")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as temporary:
        try:
            written = _write(source, Path(temporary) / "16UC1" / path.stem, storage, topics, "16UC1", progress)
        except _NotWholeMillimetresError:
            written = _write(source, Path(temporary) / "32FC1" / path.stem, storage, topics, "32FC1", progress)
        complete = written.path / f"{path.stem}.mcap" if as_file else written.path
        shutil.move(complete, path)
    return WrittenBag(path, written.num_frames, written.skipped, written.depth_encoding)


def _write(
    source: FrameSource, folder: Path, storage: str, topics: Topics, encoding: str, progress: Callable[[], object]
) -> WrittenBag:
    rosbag2, typesys = import_rosbags("rosbag2", "typesys")
    num_frames, skipped = 0, []
    writer = rosbag2.Writer(folder, version=_BAG_VERSION, storage_plugin=rosbag2.StoragePlugin[storage.upper()])
    if storage == "mcap":
        writer.set_compression(rosbag2.CompressionMode.STORAGE, rosbag2.CompressionFormat.ZSTD)
    with writer:
        recorder = _Recorder(writer, typesys.get_typestore(typesys.Stores.ROS2_JAZZY), topics)
        for frame in source.frames():
            if isinstance(frame, FrameError):
                skipped.append(frame)
            else:
                recorder.add(frame, encoding)
                num_frames += 1
            progress()
        if not num_frames:
            reason = f"; the first: {skipped[0]}" if skipped else ""
            raise SourceError(f"{source.name}: none of {len(skipped)} frames can be used, no bag is written{reason}")
    return WrittenBag(folder, num_frames, tuple(skipped), encoding)


class _Recorder:
    """Turns frames into messages of one open bag."""

    def __init__(self, writer: Writer, typestore: Typestore, topics: Topics) -> None:
        self._writer, self._typestore, self._topics = writer, typestore, topics
        self._connections: dict[str, Any] = {}

    def add(self, frame: Frame, depth_encoding: str) -> None:
        """Write the messages of one frame in the order of their stamps."""
        depth = frame.depth_m if depth_encoding == "32FC1" else _whole_millimetres(frame.depth_m)
        messages = [
            ("colour", frame.stamp_ns, self._image(frame.stamp_ns, "rgb8", frame.rgb)),
            ("camera_info", frame.stamp_ns, self._camera_info(frame.stamp_ns, frame.camera)),
            ("depth", frame.depth_stamp_ns, self._image(frame.depth_stamp_ns, depth_encoding, depth)),
            ("pose", frame.depth_stamp_ns, self._pose(frame)),
        ]
        if frame.truth is not None:
            messages.append(("truth", frame.stamp_ns, self._image(frame.stamp_ns, "32SC1", frame.truth)))
        for role, stamp_ns, message in sorted(messages, key=lambda item: item[1]):
            self._writer.write(
                self._connection(role), stamp_ns, self._typestore.serialize_cdr(message, message.__msgtype__)
            )

    def _connection(self, role: str) -> Any:
        if role not in self._connections:
            topic = getattr(self._topics, role)
            self._connections[role] = self._writer.add_connection(topic, _TYPES[role], typestore=self._typestore)
        return self._connections[role]

    def _header(self, stamp_ns: int, frame_id: str) -> Any:
        types = self._typestore.types
        stamp = types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
        return types["std_msgs/msg/Header"](stamp, frame_id)

    def _image(self, stamp_ns: int, encoding: str, image: np.ndarray) -> Any:
        image = np.ascontiguousarray(image, dtype=image.dtype.newbyteorder("<"))
        return self._typestore.types["sensor_msgs/msg/Image"](
            header=self._header(stamp_ns, CAMERA_FRAME),
            height=image.shape[0],
            width=image.shape[1],
            encoding=encoding,
            is_bigendian=0,
            step=image.strides[0],
            data=image.view(np.uint8).reshape(-1),
        )

    def _camera_info(self, stamp_ns: int, camera: CameraIntrinsics) -> Any:
        types = self._typestore.types
        projection = np.hstack([camera.matrix(), np.zeros((3, 1))])
        return types["sensor_msgs/msg/CameraInfo"](
            header=self._header(stamp_ns, CAMERA_FRAME),
            height=camera.height,
            width=camera.width,
            distortion_model="plumb_bob",
            d=np.zeros(5),
            k=camera.matrix().ravel(),
            r=np.eye(3).ravel(),
            p=projection.ravel(),
            binning_x=0,
            binning_y=0,
            roi=types["sensor_msgs/msg/RegionOfInterest"](0, 0, 0, 0, False),
        )

    def _pose(self, frame: Frame) -> Any:
        types = self._typestore.types
        position = types["geometry_msgs/msg/Point"](*frame.pose.translation_m)
        orientation = types["geometry_msgs/msg/Quaternion"](*frame.pose.quaternion_xyzw)
        return types["geometry_msgs/msg/PoseStamped"](
            self._header(frame.depth_stamp_ns, MAP_FRAME), types["geometry_msgs/msg/Pose"](position, orientation)
        )


def _whole_millimetres(depth_m: np.ndarray) -> np.ndarray:
    millimetres = np.rint(depth_m * np.float32(1000))
    units = millimetres.clip(0, 65535).astype(np.uint16)
    if not np.array_equal(decode_depth(units, "16UC1", where="depth"), depth_m):
        raise _NotWholeMillimetresError
    return units


def import_rosbags(*names: str) -> list[Any]:
    """Return modules of `rosbags` by name. Raises SourceError where it is not installed."""
    try:
        return [importlib.import_module(f"rosbags.{name}") for name in names]
    except ImportError as error:
        raise SourceError(f"bags need the package rosbags ({error}): pip install rosbags") from error
