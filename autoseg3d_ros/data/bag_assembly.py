"""Joins the messages of a bag to frames: the offline counterpart of `stream.frame_assembler`, which never times out."""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from autoseg3d_ros.config import Config
from autoseg3d_ros.data.bag_messages import instance_image
from autoseg3d_ros.data.topics import Topics
from autoseg3d_ros.stream.messages import colour_image, depth_image, header_stamp_ns, pose_of
from autoseg3d_ros.stream.pose_buffer import PoseBuffer, PoseMiss, PoseMissReason
from autoseg3d_ros.stream.posed_pair import PosedPair, seconds
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.stream.registration import Registration
from autoseg3d_ros.stream.synchronizer import Pair, RgbdSynchronizer
from autoseg3d_ros.structures import Frame, FrameError

logger = logging.getLogger(__name__)


class BagAssembly:
    """Joins the messages of a bag to frames and accounts for each colour image."""

    def __init__(self, config: Config, rectifier: Rectifier, topics: Topics) -> None:
        self._config, self._rectifier, self._topics = config, rectifier, topics
        self._registration = Registration(rectifier, register=config.depth.register == "auto")
        self._synchronizer: RgbdSynchronizer[Any, Any] = RgbdSynchronizer(config.sync)
        self._poses = PoseBuffer(config.pose.buffer_s, config.pose.max_gap_s, config.pose.max_speed_mps)
        self._colour_stamps_ns: deque[int] = deque()  # in the order of arrival, not accounted for yet
        self._pairs: deque[Pair[Any, Any]] = deque()
        self._truth: dict[int, Any] = {}  # by stamp
        self._num_done = 0
        self._newest_ns = -1
        self._needed_slop_s = math.nan
        self._ended = False

    def add(self, topic: str, message: Any) -> Iterator[Frame | FrameError]:
        """Take in one message and yield what it completes."""
        stamp_ns, topics = header_stamp_ns(message), self._topics
        if topic == topics.colour:
            self._colour_stamps_ns.append(stamp_ns)
            self._pairs += self._synchronizer.add_colour(stamp_ns, message)
        elif topic == topics.depth:
            self._pairs += self._synchronizer.add_depth(stamp_ns, message)
        elif topic == topics.truth:
            self._truth[stamp_ns] = message
        elif topic == topics.pose:
            self._add_pose(stamp_ns, message)
        yield from self._complete()

    def finish(self) -> Iterator[Frame | FrameError]:
        """Yield what is left when nothing more comes."""
        self._needed_slop_s = self._synchronizer.stats().needed_slop_s  # flushing forgets it
        self._ended = True
        self._pairs += self._synchronizer.flush()
        yield from self._complete()
        while self._colour_stamps_ns:
            yield self._unpaired(self._colour_stamps_ns.popleft())

    def _add_pose(self, stamp_ns: int, message: Any) -> None:
        try:
            self._poses.add(stamp_ns, pose_of(message))
        except FrameError as error:
            logger.warning("%s at %s left out: %s", self._topics.pose, seconds(stamp_ns), error)

    def _complete(self) -> Iterator[Frame | FrameError]:
        while self._pairs and not self._must_wait(self._pairs[0]):
            pair = self._pairs.popleft()
            while self._colour_stamps_ns[0] != pair.colour_stamp_ns:
                yield self._unpaired(self._colour_stamps_ns.popleft())
            self._colour_stamps_ns.popleft()
            yield self._frame(pair)

    def _must_wait(self, pair: Pair[Any, Any]) -> bool:
        if self._ended or len(self._pairs) > self._config.process.queue_size:
            return False
        if self._topics.truth and max(self._truth, default=-1) < pair.colour_stamp_ns:
            return True
        pose = self._poses.lookup(pair.depth_stamp_ns)
        return isinstance(pose, PoseMiss) and pose.reason in (PoseMissReason.EMPTY, PoseMissReason.NOT_YET)

    def _frame(self, pair: Pair[Any, Any]) -> Frame | FrameError:
        name = self._next_name()
        if pair.colour_stamp_ns <= self._newest_ns:
            return FrameError(
                f"frame {name}: expected a stamp after {seconds(self._newest_ns)}, got "
                f"{seconds(pair.colour_stamp_ns)}; the recording jumps back in time: cut it there"
            )
        self._newest_ns = pair.colour_stamp_ns
        truth = self._truth_at(pair.colour_stamp_ns)
        pose = self._poses.lookup(pair.depth_stamp_ns)
        if isinstance(pose, PoseMiss):
            return FrameError(
                f"frame {name}: no pose on {self._topics.pose} at {seconds(pair.depth_stamp_ns)} "
                f"({pose.reason.name.lower()}, {pose.gap_ns / 1e9:.3f} s)"
            )
        posed = PosedPair(
            colour_stamp_ns=pair.colour_stamp_ns,
            depth_stamp_ns=pair.depth_stamp_ns,
            decode_colour=partial(colour_image, pair.colour, f"frame {name}: {self._topics.colour}"),
            decode_depth=partial(
                depth_image, pair.depth, self._config.depth.scale, f"frame {name}: {self._topics.depth}"
            ),
            pose=pose,
            rectifier=self._rectifier,
            epoch=0,
            sync_wait_ns=0,
            pose_wait_ns=0,
            registration=self._registration,
            colour_frame=pair.colour.header.frame_id,
            depth_frame=pair.depth.header.frame_id,
        )
        try:
            ids = None if truth is None else instance_image(truth, f"frame {name}: {self._topics.truth}")
            rectified = None if ids is None else self._rectifier.rectify_labels(ids)
            return replace(posed.frame(), name=name, truth=rectified)
        except FrameError as error:
            return error

    def _truth_at(self, stamp_ns: int) -> Any | None:
        message = self._truth.get(stamp_ns)
        self._truth = {stamp: one for stamp, one in self._truth.items() if stamp > stamp_ns}
        return message

    def _unpaired(self, stamp_ns: int) -> FrameError:
        needed_slop_s = self._needed_slop_s if self._ended else self._synchronizer.stats().needed_slop_s
        advice = f"; a slop of {needed_slop_s:.3f} s would pair most" if math.isfinite(needed_slop_s) else ""
        return FrameError(
            f"frame {self._next_name()}: no image on {self._topics.depth} of its own within sync.slop_s = "
            f"{self._config.sync.slop_s:g} s of {seconds(stamp_ns)}{advice}"
        )

    def _next_name(self) -> str:
        name = f"{self._num_done:06d}"
        self._num_done += 1
        return name
