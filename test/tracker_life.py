"""Drives a tracker frame by frame through a few words."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.config import LimitsConfig, TrackingConfig
from autoseg3d_ros.structures import InstanceState
from autoseg3d_ros.tracking.tracker import Tracker

CONFIG = TrackingConfig(min_affinity=0.2, min_observations=3, max_missed=2, lost_after=4, merge_votes=3)


class Life:
    """Drives a tracker by saying which id each detection resembles; 0 = none so far."""

    def __init__(self, max_instances=10, retired_capacity=5, config=CONFIG, kind=Tracker):
        self.tracker = kind(config, LimitsConfig(max_instances=max_instances, retired_capacity=retired_capacity))
        self.tracks = self.tracker.new_table()
        self.stamp_ns = 0
        self.events = []

    def frame(self, *ids, may_be_born=True, score=0.5):
        self.stamp_ns += 1
        slots = self.tracks.occupied()
        affinity = np.array([[0.9 if wanted == self.tracks.id[slot] else 0.0 for slot in slots] for wanted in ids])
        update = self.tracker.update(
            self.tracks,
            affinity.reshape(len(ids), len(slots)),
            np.full(len(ids), score),
            np.full(len(ids), may_be_born),
            self.stamp_ns,
        )
        self.events += update.events
        self.update = update
        return [int(self.tracks.id[slot]) for slot in update.slot_of_detection]

    def state(self, wanted):
        return InstanceState(int(self.tracks.state[self.slot(wanted)]))

    def slot(self, wanted):
        return int(np.flatnonzero(self.tracks.id == wanted)[0])

    def history(self, wanted):
        return [event.type.name for event in self.events if event.instance_id == wanted]


def confirmed(life, num=1):
    """Return a new `life` after three frames that show `num` objects: ids 1 to num."""
    for _ in range(3):
        life.frame(*range(1, num + 1)) if life.tracks.next_id > 1 else life.frame(*[0] * num)
    return life
