"""Builders of stream input: stamps written as text, and an assembler that is fed in milliseconds."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.config import Config, PoseConfig, ProcessConfig, SyncConfig
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.synchronizer import RgbdSynchronizer
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

MS = 1_000_000
SECOND = 1000 * MS
CAMERA = CameraIntrinsics(width=4, height=3, fx=4.0, fy=4.0, cx=1.5, cy=1.0)
CONFIG = Config(
    sync=SyncConfig(mode="approx", slop_s=0.02),
    pose=PoseConfig(timeout_s=0.2, max_gap_s=0.25, max_speed_mps=0.0, buffer_s=30.0),
    process=ProcessConfig(queue_size=5),
)
NO_TURN = (0.0, 0.0, 0.0, 1.0)


def pose_at(x):
    return RigidPose((float(x), 0.0, 0.0), NO_TURN)


def rgb_image():
    return np.zeros((3, 4, 3), np.uint8)


def depth_image():
    return np.ones((3, 4), np.float32)


def never():
    raise AssertionError("decoded in vain")


class Bench:
    """An assembler with a camera, and short ways to feed it; stamps are milliseconds, the clock is `now_ms`."""

    def __init__(self, config=CONFIG, *, camera=True):
        self.assembler = FrameAssembler(config)
        self.now_ms = 50_000
        if camera:
            self.assembler.add_camera(CAMERA)

    def pose(self, stamp_ms, x=None):
        self.assembler.add_pose(stamp_ms * MS, pose_at(stamp_ms if x is None else x))
        return self

    def colour(self, stamp_ms, decode=rgb_image):
        self.assembler.add_colour(stamp_ms * MS, decode, self.now_ms * MS)
        return self

    def depth(self, stamp_ms, decode=depth_image):
        self.assembler.add_depth(stamp_ms * MS, decode, self.now_ms * MS)
        return self

    def images(self, stamp_ms, colour=rgb_image, depth=depth_image):
        return self.colour(stamp_ms, colour).depth(stamp_ms, depth)

    def poll(self):
        return self.assembler.poll(self.now_ms * MS)

    def after(self, ms):
        self.now_ms += ms
        return self

    def stamps(self):
        return [pair.colour_stamp_ns // MS for pair in self.poll()]

    def frame(self):
        (pair,) = self.poll()
        return self.assembler.assemble(pair)

    def drops(self):
        return self.assembler.stats().drops


def synchronizer(*, slop_ms=20.0, mode="approx", queue_size=10):
    return RgbdSynchronizer(SyncConfig(mode=mode, slop_s=slop_ms / 1e3, queue_size=queue_size))


def feed(sync, arrivals):
    """Add ("c" or "d", milliseconds) one after the other; return the stamps of the pairs in milliseconds."""
    pairs = []
    for topic, stamp_ms in arrivals:
        add = sync.add_depth if topic == "d" else sync.add_colour
        pairs += add(round(stamp_ms * MS), (topic, stamp_ms))
    return stamps_ms(pairs)


def stamps_ms(pairs):
    for pair in pairs:  # an item must never come out under another stamp
        assert pair.colour == ("c", pair.colour_stamp_ns / MS)
        assert pair.depth == ("d", pair.depth_stamp_ns / MS)
    return [(pair.colour[1], pair.depth[1]) for pair in pairs]


def line(text):
    """Return the arrivals written as "c0 d5 c33"."""
    return [(word[0], float(word[1:])) for word in text.split()]
