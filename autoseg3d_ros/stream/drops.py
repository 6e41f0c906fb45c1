"""Why something that came in was not used: one list of reasons, counted wherever it happens."""

from __future__ import annotations

import threading
from collections import Counter
from enum import Enum

from autoseg3d_ros.structures import FrameError


class DropReason(Enum):
    """Every way to lose an image, a pair of images or a message; the values are what diagnostics show."""

    # one image, in the synchronizer
    NO_PARTNER = "no_partner"  # the other topic had no image that was free and next to it
    BEYOND_SLOP = "beyond_slop"  # its partner is farther away than sync.slop_s
    DUPLICATE = "duplicate"  # the same stamp twice in a row
    OUT_OF_ORDER = "out_of_order"  # older than the image before it
    TIME_JUMP = "time_jump"  # from before a backward jump of the stamps
    QUEUE_FULL = "queue_full"  # more waited than the queue holds; also pairs and frames
    # a pair, while it waits for its pose
    POSE_TIMEOUT = "pose_timeout"  # no later pose came within pose.timeout_s
    POSE_GAP = "pose_gap"  # its neighbouring poses are more than pose.max_gap_s apart
    POSE_TOO_OLD = "pose_too_old"  # older than every pose kept
    POSE_JUMP = "pose_jump"  # its neighbouring poses are farther apart than pose.max_speed_mps allows
    # a pair, when it becomes a frame
    NO_CAMERA_INFO = "no_camera_info"
    CAMERA_SIZE = "camera_size"  # the intrinsics are of another size than the images
    SIZE_MISMATCH = "size_mismatch"  # colour and depth differ in size
    UNREGISTERED = "unregistered"  # colour and depth are of different frames
    UNDECODABLE = "undecodable"
    # messages that are no image
    BAD_CAMERA_INFO = "bad_camera_info"
    BAD_POSE = "bad_pose"
    NO_STAMP = "no_stamp"  # an image or a pose of time zero
    # a frame, before the worker
    SUPERSEDED = "superseded"  # a newer one came before it was read
    CLOSED = "closed"  # the reader had gone
    PAUSED = "paused"  # the reader takes none for now


class RefusedPairError(FrameError):
    """A pair that gives no frame, and the reason it is counted under."""

    def __init__(self, reason: DropReason, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class DropCounts:
    """Counts by reason; safe to use from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[DropReason] = Counter()

    def add(self, reason: DropReason, count: int = 1) -> int:
        """Count `count` more and return the new total of `reason`."""
        with self._lock:
            self._counts[reason] += count
            return self._counts[reason]

    def by_reason(self) -> dict[DropReason, int]:
        """Return a copy of the counts; reasons that never occurred are absent."""
        with self._lock:
            return {reason: count for reason, count in self._counts.items() if count}
