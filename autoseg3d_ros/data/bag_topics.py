"""Which topic of a bag is what."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

from autoseg3d_ros.data.bag_messages import (
    CAMERA_INFO_TYPE,
    COMPRESSED_TYPE,
    IMAGE_TYPE,
    ODOMETRY_TYPE,
    POSE_TYPE,
)
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.topics import WRITTEN_TOPICS, Topics
from autoseg3d_ros.stream.depth import UNITS_PER_METRE

_IMAGE_TYPES = (IMAGE_TYPE, COMPRESSED_TYPE)
_POSE_TYPES = (POSE_TYPE, ODOMETRY_TYPE)
_LABEL_ENCODINGS = ("32SC1",)
_ROLES = ("colour", "depth", "camera_info", "pose", "truth")
_OPTIONAL_ROLES = ("truth",)
_EXPECTED = {
    "colour": "an Image or CompressedImage of colour",
    "depth": "an Image or CompressedImage of depth (16UC1, 32FC1 or mono16)",
    "camera_info": "a CameraInfo: without intrinsics there are no points",
    "pose": "a PoseStamped or Odometry; poses that are only in /tf have to be recorded as one of them",
    "truth": "an Image of instance ids (32SC1)",
}


@dataclass(frozen=True)
class RecordedTopic:
    """A topic with at least one message."""

    name: str
    type: str
    num_messages: int
    encoding: str = ""  # of its first image

    @property
    def role(self) -> str:
        """What the topic can be by its type and encoding; empty = nothing of use."""
        if self.type in _IMAGE_TYPES:
            if self.encoding in _LABEL_ENCODINGS:
                return "truth"
            return "depth" if self.encoding in UNITS_PER_METRE else "colour"
        if self.type in _POSE_TYPES:
            return "pose"
        return "camera_info" if self.type == CAMERA_INFO_TYPE else ""


def choose_topics(wanted: Topics, recorded: Mapping[str, RecordedTopic], where: str) -> Topics:
    """Return one topic for each kind of message; `truth` may be empty.

    A name in `wanted` counts first, then the name under which `autoseg3d` itself records, then the only topic of the
    right type. Raises SourceError where a name is not in the bag, none fits or several do.
    """
    return Topics(**{role: _choose(role, asdict(wanted)[role], recorded, where) for role in _ROLES})


def _choose(role: str, wanted: str, recorded: Mapping[str, RecordedTopic], where: str) -> str:
    if wanted and wanted not in recorded:
        raise SourceError(f"{where}: no messages on {wanted}, which was to be the {role} topic; {_list(recorded)}")
    candidates = [topic.name for topic in recorded.values() if topic.role == role]
    candidates = [name for name in candidates if name.rpartition("/")[0] not in candidates]  # raw before /compressed
    usual = asdict(WRITTEN_TOPICS)[role]
    if wanted or usual in candidates:
        return wanted or usual
    if len(candidates) == 1 or (not candidates and role in _OPTIONAL_ROLES):
        return candidates[0] if candidates else ""
    if candidates:
        raise SourceError(
            f"{where}: several topics could be the {role}: {', '.join(candidates)}; name the one that is meant"
        )
    raise SourceError(f"{where}: no {role} topic; expected {_EXPECTED[role]}; {_list(recorded)}")


def _list(recorded: Mapping[str, RecordedTopic]) -> str:
    if not recorded:
        return "the bag holds no messages"
    return "the bag holds " + ", ".join(f"{topic.name} ({topic.type})" for topic in recorded.values())
