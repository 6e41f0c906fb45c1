"""Publishes a recording as if it were a camera: colour, depth, intrinsics and pose at the pace of their stamps."""

from __future__ import annotations

import argparse
import math
import sys
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from pathlib import Path

import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from sensor_msgs.msg import CameraInfo, Image

from autoseg3d_ros.data.open import FORMAT_NAMES, open_source
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.source import FrameSource, SourceError
from autoseg3d_ros.data.topics import CAMERA_FRAME, MAP_FRAME, WRITTEN_TOPICS
from autoseg3d_ros.msg import InstanceArray
from autoseg3d_ros.ros import conversions
from autoseg3d_ros.ros.fastdds import allow_large_messages
from autoseg3d_ros.ros.stop_signals import StopSignals
from autoseg3d_ros.structures import Frame, FrameError

_QUEUE = 30  # images a reliable subscriber may be behind before it loses one
_PROGRESS_S = 2.0
_ARRIVAL_S = 5.0
_LOOK_S = 0.02
_ANSWER_S = 30.0
_SETTLE_S = 0.2  # subscribers know of a match a moment after the publisher does


class Player(Node):
    """The publishers of a recording. They are reliable, so that reliable and best-effort subscribers both connect."""

    def __init__(self) -> None:
        super().__init__("player", start_parameter_services=False)
        qos = QoSProfile(depth=_QUEUE, reliability=ReliabilityPolicy.RELIABLE)
        self._colour = self.create_publisher(Image, WRITTEN_TOPICS.colour, qos)
        self._depth = self.create_publisher(Image, WRITTEN_TOPICS.depth, qos)
        self._camera_info = self.create_publisher(CameraInfo, WRITTEN_TOPICS.camera_info, qos)
        self._pose = self.create_publisher(PoseStamped, WRITTEN_TOPICS.pose, qos)
        self._all = (self._colour, self._depth, self._camera_info, self._pose)

    def unheard(self) -> list[str]:
        """Return the topics that nobody subscribes to."""
        return [publisher.topic_name for publisher in self._all if not publisher.get_subscription_count()]

    def publish(self, frame: Frame) -> None:
        """Publish the messages of one frame: depth as 32FC1, which keeps every bit."""
        colour_head = conversions.header(frame.stamp_ns, CAMERA_FRAME)
        depth_head = conversions.header(frame.depth_stamp_ns, CAMERA_FRAME)
        pose_head = conversions.header(frame.depth_stamp_ns, MAP_FRAME)
        self._camera_info.publish(conversions.camera_info_msg(colour_head, frame.camera))
        self._pose.publish(PoseStamped(header=pose_head, pose=conversions.pose_msg(frame.pose)))
        self._colour.publish(conversions.image_msg(colour_head, frame.rgb, "rgb8"))
        self._depth.publish(conversions.image_msg(depth_head, frame.depth_m, "32FC1"))

    def wait_for_arrival(self) -> bool:
        """Return whether all reliable subscribers have everything, waiting for a bounded time."""
        return all(publisher.wait_for_all_acked(Duration(seconds=_ARRIVAL_S)) for publisher in self._all)


class Pace:
    """Tells when a frame is due, from its stamp."""

    def __init__(self, rate: float, frame_interval_s: float) -> None:
        self._rate, self._interval_s = rate, frame_interval_s
        self._first_ns = self._last_ns = 0
        self._start_s = -math.inf

    def due_s(self, stamp_ns: int, now_s: float) -> float:
        """Return when to publish the frame of `stamp_ns`, on the clock of `now_s`. Stamps that fall begin anew."""
        if self._start_s == -math.inf or stamp_ns < self._last_ns:
            pause_s = 0.0 if self._start_s == -math.inf else self._interval_s / self._rate
            self._first_ns, self._start_s = stamp_ns, now_s + pause_s
        self._last_ns = stamp_ns
        return self._start_s + (stamp_ns - self._first_ns) / 1e9 / self._rate


class Backlog:
    """The frames that were sent and not yet answered on `instances`; those before an answered one were dropped."""

    def __init__(self, player: Player) -> None:
        self._player = player
        self._sent_ns: deque[int] = deque()
        player.create_subscription(InstanceArray, "instances", self._on_instances, _QUEUE)

    def add(self, stamp_ns: int) -> None:
        """Note a frame that was sent."""
        self._sent_ns.append(stamp_ns)

    def wait_until_below(self, limit: int, stop: threading.Event) -> None:
        """Wait until fewer than `limit` frames are without an answer; give them up where none comes any more."""
        size, changed_s = len(self._sent_ns), time.monotonic()
        while len(self._sent_ns) >= limit and not stop.is_set():
            rclpy.spin_once(self._player, timeout_sec=_LOOK_S)
            if len(self._sent_ns) != size:
                size, changed_s = len(self._sent_ns), time.monotonic()
            elif time.monotonic() - changed_s > _ANSWER_S:
                self._player.get_logger().warning(f"no instances for {size} frames within {_ANSWER_S:g} s: going on")
                self._sent_ns.clear()

    def _on_instances(self, msg: InstanceArray) -> None:
        answered_ns = conversions.stamp_ns(msg.header.stamp)
        if answered_ns in self._sent_ns:
            while self._sent_ns.popleft() != answered_ns:
                pass


def play(source: FrameSource, *, rate: float = 1.0, loop: bool = False, wait_s: float = 30.0, ahead: int = 0) -> int:
    """Publish `source` at `rate` times the recorded speed on the topics of `data/topics.py`; return the frames sent.

    Waits up to `wait_s` for somebody to subscribe to every topic. With `ahead` it is never more than so many frames
    ahead of the `instances` it gets back, so that a slow node loses none; at least 3, as the node may wait for the next
    image before it pairs one. Ends with the source, or with `loop` never; SIGINT and SIGTERM end it early.
    """
    stop = threading.Event()
    allow_large_messages()
    with StopSignals(stop):
        rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
        player = Player()
        _wait_for_subscribers(player, wait_s, stop)
        frames = prefetched(_repeated(source) if loop else source.frames())
        progress = _Progress(player, source)
        with closing(frames):
            _play_frames(player, frames, Pace(rate, 1.0 / source.frame_rate_hz), ahead, progress, stop)
        progress.finish()
        if progress.num_sent and not stop.is_set() and not player.wait_for_arrival():
            player.get_logger().warning(f"a subscriber did not take the last messages within {_ARRIVAL_S:g} s")
        player.destroy_node()
        rclpy.shutdown()
    return progress.num_sent


def _wait_for_subscribers(player: Player, wait_s: float, stop: threading.Event) -> None:
    deadline_s = time.monotonic() + wait_s
    while player.unheard() and time.monotonic() < deadline_s and not stop.wait(_LOOK_S):
        pass
    if player.unheard():
        topics = ", ".join(player.unheard())
        player.get_logger().warning(f"nobody subscribed to {topics} within {wait_s:g} s: playing all the same")
    stop.wait(_SETTLE_S)


def _play_frames(
    player: Player,
    frames: Iterable[Frame | FrameError],
    pace: Pace,
    ahead: int,
    progress: _Progress,
    stop: threading.Event,
) -> None:
    backlog = Backlog(player) if ahead else None
    for frame in frames:
        if isinstance(frame, FrameError):
            progress.skipped(frame)
            continue
        due_s = pace.due_s(frame.stamp_ns, time.monotonic())
        if backlog:
            backlog.wait_until_below(ahead, stop)
        if stop.wait(due_s - time.monotonic()):
            break
        player.publish(frame)
        if backlog:
            backlog.add(frame.stamp_ns)
        progress.sent(time.monotonic() - due_s)


def _repeated(source: FrameSource) -> Iterator[Frame | FrameError]:
    is_usable = True
    while is_usable:
        is_usable = False
        for frame in source.frames():
            is_usable = is_usable or isinstance(frame, Frame)
            yield frame


class _Progress:
    """Says how far the player is."""

    def __init__(self, player: Player, source: FrameSource) -> None:
        self.num_sent = 0
        self._num_skipped = 0
        self._logger = player.get_logger()
        self._source = source
        self._start_s = self._told_s = time.monotonic()
        self._most_late_s = 0.0
        self._logger.info(f"playing {source.name}: {len(source)} frames at {source.frame_rate_hz:g} Hz")

    def sent(self, late_s: float) -> None:
        self.num_sent += 1
        self._most_late_s = max(self._most_late_s, late_s)
        if time.monotonic() - self._told_s > _PROGRESS_S:
            self._told_s = time.monotonic()
            self._logger.info(f"frame {self.num_sent} of {len(self._source)}, {self._rate():.1f} frames/s")

    def skipped(self, error: FrameError) -> None:
        self._num_skipped += 1
        self._logger.warning(str(error))

    def finish(self) -> None:
        self._logger.info(
            f"sent {self.num_sent} frames at {self._rate():.1f} frames/s, skipped {self._num_skipped} that cannot be "
            f"read, at most {self._most_late_s:.2f} s late"
        )

    def _rate(self) -> float:
        return self.num_sent / (time.monotonic() - self._start_s)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the executable `player`; return the exit code."""
    parser = argparse.ArgumentParser(prog="player", description=__doc__)
    parser.add_argument("source", type=Path, help="RGB-D folder or bag")
    parser.add_argument("--format", choices=FORMAT_NAMES, default="auto", help="default: %(default)s")
    parser.add_argument("--rate", type=float, default=1.0, help="speed; 1 = as recorded")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until Ctrl-C")
    parser.add_argument(
        "--wait-s", type=float, default=30.0, help="wait so long for subscribers (default: %(default)s)"
    )
    parser.add_argument("--ahead", type=int, default=0, help="frames ahead of `instances` at most; 0 = any number")
    args = parser.parse_args(remove_ros_args(sys.argv if argv is None else argv)[1:])
    if not args.rate > 0:
        parser.error(f"--rate: expected a number above 0, got {args.rate}")
    try:
        source = open_source(args.source, args.format)
    except SourceError as error:
        parser.error(str(error))
    play(source, rate=args.rate, loop=args.loop, wait_s=args.wait_s, ahead=args.ahead)
    return 0
