"""A network whose detections a test says, in the segmenter that robots run."""

from __future__ import annotations

import torch
from scenes import BlockMasks, frame_of

from autoseg3d_ros import config
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.model.autoseg3d import FrameDetections
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import SegmentedFrame

HALVES = ((0, 0, 20, 40, 1.0), (20, 0, 20, 40, 1.0))


class Scripted(torch.nn.Module):
    """A network whose detections are those that the test says: of each frame, the superpoints of each detection."""

    def __init__(self, network, script):
        super().__init__()
        self.partition = None
        self.config, self.part, self._script = network.config, torch.nn.Linear(1, 1), iter(script)

    def forward(self, glance, state, filters, clock):
        groups = next(self._script)
        claims = [torch.isin(glance.superpoint, torch.tensor(group)) for group in groups]
        mask = torch.stack(claims) if claims else torch.zeros(0, len(glance.superpoint), dtype=torch.bool)
        num, width = len(groups), self.config.decoder.width
        labels = torch.zeros(num, dtype=torch.int64)
        return FrameDetections(mask, torch.full((num,), 0.9), labels, torch.zeros(num, width), torch.zeros(num, 6))


def scripted(script, **changes) -> OnlineSegmenter:
    """Return a segmenter that sees two blocks that touch, superpoints 0 and 1, and whose network follows the script."""
    settings = {
        "model.name": "tiny",
        "model.association": "geometric",
        "fragments.merge": False,
        "tracking.merge_votes": 3,
    }
    online = build_segmenter(config.replace(Config(), {**settings, **changes}))
    online._mask_source = BlockMasks()
    online.recognition.network = Scripted(online.recognition.network, script)
    return online


def played(online: OnlineSegmenter, num_frames: int) -> list[SegmentedFrame]:
    """Return the next frames."""
    return [online.step(frame_of(*HALVES, index=online.state.frame_index)) for _ in range(num_frames)]
