"""Reads a rosbag2 message by message, pairing and decoding with the code that does it for live streams."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg3d_ros.config import Config
from autoseg3d_ros.data.bag import import_rosbags
from autoseg3d_ros.data.bag_assembly import BagAssembly
from autoseg3d_ros.data.bag_messages import COMPRESSED_TYPE, IMAGE_TYPE, encoding_of
from autoseg3d_ros.data.bag_topics import RecordedTopic, choose_topics
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.topics import ANY_TOPICS, Topics
from autoseg3d_ros.stream.messages import camera_of_info
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.structures import Frame, FrameError

if TYPE_CHECKING:
    from rosbags.highlevel import AnyReader

METADATA_FILE = "metadata.yaml"
_STORAGE_SUFFIXES = (".mcap", ".db3")
_ROS1_SUFFIX = ".bag"


def is_bag(path: Path) -> bool:
    """Whether `path` looks like a bag: a storage file, or a folder with `metadata.yaml` or just one storage file."""
    if path.is_dir():
        return (path / METADATA_FILE).exists() or len(_storage_files(path)) == 1
    return path.suffix in (*_STORAGE_SUFFIXES, _ROS1_SUFFIX)


class BagSource:
    """The frames of one bag: one for each colour image, in the order of their stamps."""

    def __init__(self, path: Path | str, config: Config | None = None, topics: Topics = ANY_TOPICS) -> None:
        """Find the topics and read the camera from the first CameraInfo.

        `config` (the defaults if None) gives sync, pose and depth.scale; `topics` names those that are meant. Raises
        SourceError where the bag cannot be read, a topic is missing or not clear, or intrinsics are absent.
        """
        self._path = Path(path)
        self._config = config or Config()
        with self._reader() as reader:
            recorded = self._recorded(reader)
            self._topics = choose_topics(topics, recorded, str(self._path))
            info = self._first_message(reader, self._topics.camera_info)
            duration_s = reader.duration / 1e9
        try:
            calibration = camera_of_info(info, f"{self._path}: {self._topics.camera_info}")
        except FrameError as error:
            raise SourceError(str(error)) from error
        self.camera = calibration.camera
        self._rectifier = Rectifier(*calibration)
        self._num_frames = recorded[self._topics.colour].num_messages
        self.name = self._path.resolve().stem
        self.frame_rate_hz = (self._num_frames - 1) / duration_s if self._num_frames > 1 and duration_s else 1.0

    def __len__(self) -> int:
        return self._num_frames

    def frames(self) -> Iterator[Frame | FrameError]:
        """Yield the frames, numbered by the colour images before them; one without partner or pose is a FrameError.

        A frame waits for a later pose as long as the bag goes on, up to process.queue_size frames. Where the bag is
        broken, what can be read comes first and a FrameError says where it ended.
        """
        assembly = BagAssembly(self._config, self._rectifier, self._topics)
        damage: FrameError | None = None
        try:
            with self._reader() as reader:
                names = self._topics
                for topic, message in self._messages(reader, names.colour, names.depth, names.pose, names.truth):
                    yield from assembly.add(topic, message)
        except SourceError as error:
            damage = FrameError(f"{error}; what was read until then is used")
        yield from assembly.finish()
        if damage:
            yield damage

    @contextmanager
    def _reader(self) -> Iterator[AnyReader]:
        highlevel, typesys = import_rosbags("highlevel", "typesys")
        typestore = typesys.get_typestore(typesys.Stores.ROS2_JAZZY)
        with ExitStack() as stack:
            with _broken_bag_as_source_error(self._path):
                reader = highlevel.AnyReader([_storage_of(self._path)], default_typestore=typestore)
                stack.enter_context(reader)
            yield reader

    def _messages(self, reader: AnyReader, *topics: str) -> Iterator[tuple[str, Any]]:
        """Yield (topic, message) in the order of recording."""
        connections = [connection for connection in reader.connections if connection.topic in topics]
        with _broken_bag_as_source_error(self._path):
            for connection, _, data in reader.messages(connections):
                yield connection.topic, reader.deserialize(data, connection.msgtype)

    def _first_message(self, reader: AnyReader, topic: str) -> Any:
        for _, message in self._messages(reader, topic):
            return message
        raise SourceError(f"{self._path}: no message on {topic}, though its index has some; the recording is damaged")

    def _recorded(self, reader: AnyReader) -> dict[str, RecordedTopic]:
        topics = {}
        for connection in reader.connections:
            name, type = connection.topic, connection.msgtype
            if not connection.msgcount:
                continue
            is_image = type in (IMAGE_TYPE, COMPRESSED_TYPE)
            encoding = encoding_of(self._first_message(reader, name)) if is_image else ""
            topics[name] = RecordedTopic(name, type, connection.msgcount, encoding)
        return topics


@contextmanager
def _broken_bag_as_source_error(path: Path) -> Iterator[None]:
    try:
        yield
    except SourceError:
        raise
    except Exception as error:  # the parsers raise whatever a broken byte leads to
        raise SourceError(
            f"{path}: cannot be read as a bag: {error or type(error).__name__}; `ros2 bag reindex` or `mcap recover` "
            "may repair a recording that was cut off"
        ) from error


def _storage_files(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if file.suffix in _STORAGE_SUFFIXES)


def _storage_of(path: Path) -> Path:
    """Return what the library is to open: the folder, or the one file in a folder without metadata."""
    if not path.exists():
        raise SourceError(f"{path}: no such file or folder")
    if path.suffix == _ROS1_SUFFIX:
        raise SourceError(f"{path}: a bag of ROS 1; convert it with `rosbags-convert --src {path} --dst NAME` first")
    if not path.is_dir() or (path / METADATA_FILE).exists():
        return path
    files = _storage_files(path)
    if len(files) != 1:
        raise SourceError(f"{path}: expected {METADATA_FILE} or one .mcap or .db3 file, got {len(files)} such files")
    return files[0]
