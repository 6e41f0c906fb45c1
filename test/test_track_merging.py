"""Tracks that one detection of the network covers time and again become one."""

from __future__ import annotations

import pytest
import torch
from scenes import BlockMasks, frame_of

from autoseg3d_ros import config
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.model.autoseg3d import FrameDetections
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import EventType

HALVES = ((0, 0, 20, 40, 1.0), (20, 0, 20, 40, 1.0))
APART, ONE = ((0,), (1,)), ((0, 1),)


class Scripted(torch.nn.Module):
    """A network whose detections are those that the test says: of each frame, the superpoints of each detection."""

    def __init__(self, network, script):
        super().__init__()
        self.config, self.part, self._script = network.config, torch.nn.Linear(1, 1), iter(script)

    def forward(self, glance, state, filters, clock):
        groups = next(self._script)
        mask = torch.stack([torch.isin(glance.superpoint, torch.tensor(group)) for group in groups])
        num, width = len(groups), self.config.decoder.width
        labels = torch.zeros(num, dtype=torch.int64)
        return FrameDetections(mask, torch.full((num,), 0.9), labels, torch.zeros(num, width), torch.zeros(num, 6))


def played(script, **changes) -> tuple[OnlineSegmenter, list]:
    """Return the segmenter after the frames of the script, and the events of each."""
    settings = {
        "model.name": "tiny",
        "model.association": "geometric",
        "fragments.merge": False,
        "tracking.merge_votes": 3,
    }
    online = build_segmenter(config.replace(Config(), {**settings, **changes}))
    online._mask_source = BlockMasks()
    online.recognition.network = Scripted(online.recognition.network, script)
    events = [online.step(frame_of(*HALVES, index=index)).events for index in range(len(script))]
    return online, [[(event.type, event.instance_id) for event in of_frame] for of_frame in events]


@pytest.mark.parametrize("merging", [True, False])
def test_one_detection_over_two_tracks_merges_them_after_enough_votes(merging):
    script = [APART] * 3 + [ONE] * 3
    online, events = played(script, **{"model.track_merging": merging})
    assert events[0] == [(EventType.CREATED, 1), (EventType.CREATED, 2)]
    merged = [[event for event in of_frame if event[0] == EventType.MERGED] for of_frame in events]
    assert merged == [[], [], [], [], [], [(EventType.MERGED, 2)] if merging else []]
    left = [instance.id for instance in online.instances()]
    assert left == ([1] if merging else [1, 2])
    if merging:
        assert set(online.map_points().instance_id.tolist()) == {1}


def test_what_is_seen_apart_again_takes_its_votes_back():
    online, _ = played([APART] * 3 + [ONE, APART] * 4, **{"model.track_merging": True})
    assert [instance.id for instance in online.instances()] == [1, 2]
