"""Segmenters with a little history, and what is held against each other of their maps."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from scenes import BlockMasks, frame_of

from autoseg3d_ros import config
from autoseg3d_ros.config import Config
from autoseg3d_ros.fragment_merging import FragmentMerger, FragmentRelations
from autoseg3d_ros.geometric_recognition import GeometricRecognition
from autoseg3d_ros.persistence.map_file import MAGIC, VERSION
from autoseg3d_ros.persistence.map_snapshot import MapSnapshot, snapshot
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import Frame, SegmentedFrame, Superpoints
from autoseg3d_ros.tracking.tracker import Tracker

LEFT, RIGHT = (5, 5, 30, 40, 1.0), (45, 10, 25, 30, 2.0)
PREFIX = struct.Struct("<8sII")


def sometimes_joined(frame: Frame, superpoints: Superpoints) -> FragmentRelations:
    """Take all blocks for things apart, but in every fourth frame the first two for one: so tracks gather votes."""
    pairs = np.array(list(combinations(range(superpoints.num_superpoints), 2)), np.int32).reshape(-1, 2)
    is_joined = (pairs == [0, 1]).all(axis=1) & (int(frame.name) % 4 == 3)
    return FragmentRelations(pairs[is_joined], np.ones(int(is_joined.sum()), np.float32), pairs[~is_joined])


def geometric_segmenter(**changes: Any) -> OnlineSegmenter:
    settings = config.replace(Config(), {"model.name": "none", "lifting.num_points": 400, **changes})
    tracker = Tracker(settings.tracking, settings.limits)
    recognition = GeometricRecognition(sometimes_joined, FragmentMerger(settings.tracking), tracker, settings.tracking)
    return OnlineSegmenter(BlockMasks(), recognition, tracker, settings)


def walk(num_frames: int) -> list[Frame]:
    """Return frames in which blocks come, go, move and come back."""
    frames = []
    for index in range(num_frames):
        blocks = [LEFT] if index % 5 == 4 else [LEFT, RIGHT]
        if index % 7 > 2:
            blocks.append((5 + 2 * index, 48, 12, 10, 1.5))
        if index == 1:
            blocks.append((40, 50, 12, 10, 3.0))  # is not seen again: leaves a gap among the slots
        if index > 7:
            blocks.append((12, 15, 12, 12, 1.0))  # lies on the first one, and disputes its voxels
        frames.append(frame_of(*blocks, index=index, shift_m=0.02 * index))
    return frames


def grown(num_frames: int = 20, **changes: Any) -> OnlineSegmenter:
    """Return a segmenter that has seen so many frames of the walk; it retires tracks soon."""
    online = geometric_segmenter(**{"tracking.lost_after": 3, **changes})
    steps(online, walk(num_frames))
    return online


def steps(online: OnlineSegmenter, frames: list[Frame]) -> list[SegmentedFrame]:
    return [online.step(frame) for frame in frames]


def content(saved: MapSnapshot) -> dict[str, Any]:
    """Return all that a snapshot holds but the time of day, so that == compares every bit."""
    arrays = {name: (array.dtype.str, array.shape, array.tobytes()) for name, array in saved.arrays.items()}
    return {**vars(saved), "arrays": arrays, "saved_ns": 0}


def state_of(online: OnlineSegmenter, network: str = "") -> dict[str, Any]:
    return content(snapshot(online, network))


def header_of(data: bytes) -> dict[str, Any]:
    (size,) = struct.unpack_from("<I", data, PREFIX.size - 4)
    return json.loads(data[PREFIX.size : PREFIX.size + size])


def forge(
    path: Path, changes: Mapping[str, Any], *, version: int = VERSION, header_bytes: int = -1, header: bytes = b""
) -> None:
    """Give the map file at `path` another header and a checksum that is right."""
    data = path.read_bytes()
    former = header_of(data)
    arrays = data[PREFIX.size + struct.unpack_from("<I", data, PREFIX.size - 4)[0] : -32]
    header = header or json.dumps({**former, **changes}).encode()
    payload = PREFIX.pack(MAGIC, version, len(header) if header_bytes < 0 else header_bytes) + header + arrays
    path.write_bytes(payload + hashlib.sha256(payload).digest())
