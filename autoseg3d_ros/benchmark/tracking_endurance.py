"""Does a frame cost the same after ten thousand others? Long-term memory and map on a walk past ever new objects."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from autoseg3d_ros.config import Config, LimitsConfig
from autoseg3d_ros.mapping.instance_map import InstanceMap
from autoseg3d_ros.memory.bank import ObjectFeatures, TrackBank
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.structures import InstanceState
from autoseg3d_ros.tracking.tracker import Tracker

_SPACING_M, _VIEW_M, _SPEED_M = 0.5, 4.0, 0.02  # along a corridor: between objects, in view, a frame
_POINTS_AN_OBJECT = 200
_LIMITS = LimitsConfig(max_instances=100, retired_capacity=100, max_points=50_000)
_EARLY, _WINDOW = (500, 1500), 1000


@dataclass(frozen=True)
class Endurance:
    """The same figures early and late."""

    num_frames: int
    num_ids: int
    p95_early_ms: float  # of the frames 500 to 1500
    p95_late_ms: float  # of the last 1000
    rss_early_mib: float  # after frame 1500
    rss_late_mib: float


def walk_on(num_frames: int, progress: Callable[[int], None]) -> Endurance:
    """Track objects for `num_frames` (at least 2500); all limits are reached on the way. `progress` is told frames."""
    walk, frame_ms, rss_early_mib = _Corridor(), np.zeros(num_frames), 0.0
    with torch.inference_mode():
        for number in range(num_frames):
            start_s = time.perf_counter()
            walk.step(number)
            frame_ms[number] = (time.perf_counter() - start_s) * 1e3
            if number == _EARLY[1]:
                rss_early_mib = _rss_mib()
            progress(1)
    return Endurance(
        num_frames,
        walk.tracks.next_id - 1,
        float(np.percentile(frame_ms[slice(*_EARLY)], 95)),
        float(np.percentile(frame_ms[-_WINDOW:], 95)),
        rss_early_mib,
        _rss_mib(),
    )


class _Corridor:
    """An endless row of objects, each with a look of its own, and a camera that walks along it."""

    def __init__(self) -> None:
        config = Config()
        self._tracker = Tracker(config.tracking, _LIMITS)
        self._memory = LongTermMemory().eval()
        self.tracks = self._tracker.new_table()
        self._bank = TrackBank(self.tracks.num_slots, 256)
        self._map = InstanceMap(config.map, _LIMITS, self.tracks.num_slots)

    def step(self, number: int) -> None:
        first = int(number * _SPEED_M / _SPACING_M)
        objects = np.arange(first, first + int(_VIEW_M / _SPACING_M))
        seen, xyz_m = self._observe(objects, np.random.default_rng(number))
        faces = self._memory.embed(seen.embedding, seen.box_m)
        update = self._tracker.update(
            self.tracks,
            self._affinity(faces.to_match, seen.box_m),
            np.ones(len(objects), np.float32),
            np.ones(len(objects), bool),
            number,
        )
        if not np.array_equal(update.heir_of_slot, np.arange(self.tracks.num_slots)):
            self._map.relabel(update.heir_of_slot)
        stored = ObjectFeatures(faces.to_store, seen.box_m, seen.label)
        self._bank.update(update.slot_of_detection, update.age, stored, "count")
        slot_of_point = np.repeat(update.slot_of_detection, _POINTS_AN_OBJECT)
        self._map.integrate(xyz_m, np.zeros((len(xyz_m), 3), np.uint8), slot_of_point, number)

    def _observe(self, objects: np.ndarray, rng: np.random.Generator) -> tuple[ObjectFeatures, np.ndarray]:
        """Return the features of objects (D,) and their points (D * _POINTS_AN_OBJECT, 3), with noise."""
        centre_m = np.stack([objects * _SPACING_M, np.zeros(len(objects)), np.zeros(len(objects))], axis=1)
        centre_m = centre_m + rng.normal(0, 0.01, centre_m.shape)
        looks = np.stack([np.random.default_rng([1, one]).normal(size=256) for one in objects.tolist()])
        points_m = centre_m[:, None] + rng.uniform(-0.2, 0.2, (len(objects), _POINTS_AN_OBJECT, 3))
        box_m = np.concatenate([centre_m, np.full_like(centre_m, 0.4)], axis=1)
        features = ObjectFeatures(
            torch.from_numpy(looks.astype(np.float32)),
            torch.from_numpy(box_m.astype(np.float32)),
            torch.zeros(len(objects), dtype=torch.int64),
        )
        return features, points_m.reshape(-1, 3).astype(np.float32)

    def _affinity(self, to_match: torch.Tensor, box_m: torch.Tensor) -> np.ndarray:
        slots = self.tracks.occupied()
        stored = self._bank.at(slots)
        is_live = self.tracks.state[slots] != InstanceState.RETIRED
        # Random weights choose at random: overlap of the boxes decides, the learned part costs what it costs.
        affinity = self._memory.affinity(to_match, box_m, stored.embedding, stored.box_m)
        assert affinity.score.shape == (len(to_match), len(is_live))
        return affinity.iou.numpy()


def _rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
