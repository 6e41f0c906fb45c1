"""A worker between a real mailbox and fake ends, for tests of the worker alone."""

from __future__ import annotations

import logging
import threading
import types

import numpy as np
from ros_harness import wait_until

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.ros.worker import Feed, Worker
from autoseg3d_ros.stream.frame_assembler import FrameAssembler
from autoseg3d_ros.stream.mailbox import Mailbox
from autoseg3d_ros.stream.posed_pair import PosedPair
from autoseg3d_ros.stream.rectification import Rectifier
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

EVERY_FRAME = settings.replace(Config(), {"process.mode": "lossless"})
CAMERA = CameraIntrinsics(4, 3, 4.0, 4.0, 1.5, 1.0)
POSE = RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))


def a_pair(stamp_ns: int, *, epoch: int = 0, depth_shape: tuple[int, int] = (3, 4)) -> PosedPair:
    return PosedPair(
        colour_stamp_ns=stamp_ns,
        depth_stamp_ns=stamp_ns,
        decode_colour=lambda: np.zeros((3, 4, 3), np.uint8),
        decode_depth=lambda: np.ones(depth_shape, np.float32),
        pose=POSE,
        rectifier=Rectifier(CAMERA),
        epoch=epoch,
        sync_wait_ns=2_000_000,
        pose_wait_ns=3_000_000,
    )


class Segmenter:
    """Notes the stamps; raises what it is told to."""

    def __init__(self, errors: dict[int, Exception]) -> None:
        self.errors = errors
        self.reset()

    def reset(self) -> None:
        self.state = types.SimpleNamespace(map_id=object(), stamps=[], learned=None)

    def step(self, frame):
        if frame.stamp_ns in self.errors:
            raise self.errors[frame.stamp_ns]
        self.state.stamps.append(frame.stamp_ns)
        return types.SimpleNamespace(stamp_ns=frame.stamp_ns, stage_ms={"masks": 7.0})


class Outputs:
    """Notes what would be published."""

    def __init__(self) -> None:
        self.frames: list[int] = []
        self.waits_ms: list[dict[str, float]] = []
        self.camera_frames: list[str] = []
        self.num_states = self.num_forgotten = 0
        self.config: Config | None = None
        self.last_state: object = None

    def publish_frame(self, segmented, map_id, camera_frame, waits_ms) -> None:
        self.frames.append(segmented.stamp_ns)
        self.camera_frames.append(camera_frame)
        self.waits_ms.append(waits_ms)

    def publish_state(self, segmenter, now_s) -> None:
        self.num_states += 1

    def publish_last_state(self, segmenter) -> None:
        self.last_state = segmenter.state

    def forget(self) -> None:
        self.num_forgotten += 1

    def configure(self, config) -> None:
        self.config = config


class Bench:
    """A worker between a real mailbox and fake ends."""

    def __init__(self, config: Config = EVERY_FRAME, errors: dict[int, Exception] | None = None) -> None:
        self.segmenters: list[Segmenter] = []
        self.errors = errors or {}
        self.outputs = Outputs()
        self.mailbox: Mailbox[PosedPair] = Mailbox(config.process)
        self.stop_requested = threading.Event()
        self.configs: list[Config] = []
        self.assembler = FrameAssembler(config)
        self.worker = Worker(config, self.build, self.assembler, self.outputs)
        self.worker.start(self.stop_requested.set)
        self.worker.activate(self.feed())

    def feed(self) -> Feed:
        return Feed(self.mailbox, lambda: "optical", lambda: 5_000_000_000)

    def build(self, config: Config) -> Segmenter:
        if config.masks.fragments == 13:
            raise ConfigError("thirteen")
        logging.getLogger("autoseg3d_ros.build").info("model: %s", config.model.name)
        self.configs.append(config)
        self.segmenters.append(Segmenter(self.errors))
        return self.segmenters[-1]

    def jump_back(self) -> None:
        """Let the poses, and nothing else, begin a new time line."""
        for stamp_s in (100, 10):
            self.assembler.add_pose(stamp_s * 10**9, POSE)

    def work(self, *pairs: PosedPair) -> None:
        for pair in pairs:
            self.mailbox.put(pair)
        assert wait_until(lambda: not len(self.mailbox))
