"""Drives our tracker and track memories as the published online merging does, and shows them as it shows its own."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from parity_cases import ParityCase
from published_modules import load

from autoseg3d_ros.config import LimitsConfig, TrackingConfig
from autoseg3d_ros.memory.bank import ObjectFeatures, TrackBank
from autoseg3d_ros.memory.boxes import corners_of
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.structures import InstanceState
from autoseg3d_ros.tracking.reference import REFERENCE, ReferenceTracker
from autoseg3d_ros.tracking.tracker import Tracker

LIMITS = LimitsConfig(max_instances=100, retired_capacity=100)
# ESAM keeps everything for ever and compares with all of it.
ESAM = TrackingConfig(min_affinity=0.0, min_observations=1, lost_after=1000, score_prior=0)


def close(got, expected: np.ndarray, tolerance: float = 2e-5) -> None:
    """Expect equal numbers, to a tolerance relative to the largest, but at least 1."""
    scale = max(1.0, float(np.abs(expected).max(initial=0)))
    np.testing.assert_allclose(np.asarray(got), expected, rtol=0, atol=tolerance * scale)


def names_in(case: ParityCase) -> set[str]:
    """Return the names of the arrays of a case, `in__` and `out__` included."""
    with np.load(case.path) as file:
        return set(file.files)


def unpacked(packed: np.ndarray, num_points: int) -> np.ndarray:
    """Return masks (I, num_points) bool of packed bits."""
    return np.unpackbits(packed, axis=1, count=num_points).astype(bool)


def absolute_boxes(case: ParityCase, frame: int) -> np.ndarray:
    """Return (D, 6) centre and size of boxes that a case has as offset from a centroid and size."""
    offset, size = np.split(case.given(f"boxes_{frame}").astype(np.float32), 2, axis=1)
    return np.concatenate([case.given(f"centroids_{frame}") + offset, size], axis=1)


def best(scores: np.ndarray, num: int) -> np.ndarray:
    """Return which instances an online merge shows: all of them, or the best `num` by falling score (§4)."""
    return np.arange(len(scores)) if len(scores) <= num else np.argsort(-scores, kind="stable")[:num]


def features(embedding, box_m, label=None) -> ObjectFeatures:
    """Return detections of float arrays (D, w), (D, 6) and int classes (D,), by default all 0."""
    label = np.zeros(len(embedding), int) if label is None else label
    return ObjectFeatures(
        torch.as_tensor(embedding, dtype=torch.float32),
        torch.as_tensor(box_m, dtype=torch.float32),
        torch.as_tensor(label, dtype=torch.int64),
    )


@dataclass
class OnlineTracks:
    """A tracker with the memory that it matches by and, beside it, the published bank of instances.

    Published ids begin at 0, ours at 1; what is told here is told by published ids.
    """

    config: TrackingConfig
    width: int
    rule: str = "count"
    tracker: Tracker = field(init=False)
    ids_of_frame: list[np.ndarray] = field(default_factory=list)  # published id of each detection, -1 for none

    def __post_init__(self) -> None:
        self.tracker = (ReferenceTracker if self.config.reference else Tracker)(self.config, LIMITS)
        self.table = self.tracker.new_table()
        self.memory = TrackBank(self.table.num_slots, self.width)
        self.instances = TrackBank(self.table.num_slots, self.width)

    def observe(self, affinity: np.ndarray, scores: np.ndarray, seen: ObjectFeatures, instance: ObjectFeatures) -> None:
        """Take in one frame: affinity (D, T) to the occupied slots, scores (D,), and what each bank stores."""
        update = self.tracker.update(self.table, affinity, scores, np.ones(len(scores), bool), len(self.ids_of_frame))
        for bank in (self.memory, self.instances):
            bank.pass_on(update.heir_of_slot)
        age = np.maximum(self.table.num_observations[update.slot_of_detection] - 1, 0)
        self.memory.update(update.slot_of_detection, update.age, seen, self.rule)
        self.instances.update(update.slot_of_detection, age, instance, "count")
        self.ids_of_frame.append(self.table.id[update.slot_of_detection] - 1)

    def groups(self) -> list[np.ndarray]:
        """Return which of the occupied slots are live and which are retired, as columns of an affinity matrix."""
        is_retired = self.table.state[self.table.occupied()] == InstanceState.RETIRED
        return [np.flatnonzero(~is_retired), np.flatnonzero(is_retired)]

    def occupied_ids(self) -> np.ndarray:
        return self.table.id[self.table.occupied()] - 1

    def slots_of(self, ids: np.ndarray) -> np.ndarray:
        return np.array([np.flatnonzero(self.table.id == id + 1)[0] for id in ids], int)

    def live_ids(self) -> list[int]:
        return sorted((self.table.id[self.table.live()] - 1).tolist())

    def retired_ids(self) -> list[int]:
        return sorted((self.table.id[self.table.retired()] - 1).tolist())

    def columns_of(self, ids: np.ndarray) -> list[int]:
        """Return the columns of an affinity matrix that belong to published ids."""
        occupied = self.occupied_ids().tolist()
        return [occupied.index(id) for id in ids]

    def masks(self, mask_of_frame: list[np.ndarray], first_frame: int = 0) -> np.ndarray:
        """Return the published bank of masks (ids, points of these frames) bool from those of detections (D, P)."""
        masks = [np.zeros((self.table.next_id - 1, mask.shape[1]), bool) for mask in mask_of_frame]
        for of_id, ids, of_detection in zip(masks, self.ids_of_frame[first_frame:], mask_of_frame, strict=True):
            of_id[ids] = of_detection
        return np.concatenate(masks, axis=1)

    def instance_corners(self, slots: np.ndarray) -> np.ndarray:
        return corners_of(self.instances.at(slots).box_m).numpy()


class LongTermTracks(OnlineTracks):
    """Tracks matched by the learned affinity, times IoU (§5.1 to §5.3)."""

    def __init__(self, seed: int, rule: str = "count") -> None:
        super().__init__(REFERENCE, 256, rule)
        self.network = load(LongTermMemory(), "long_term.", seed)

    def affinity(self, to_match: torch.Tensor, box_m: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        """Return match times gate, and that times IoU, (D, T): live and retired tracks each among themselves."""
        stored = self.memory.at(self.table.occupied())
        product, score = torch.zeros(2, len(box_m), len(stored))
        for columns in self.groups():
            affinity = self.network.affinity(to_match, box_m, stored.embedding[columns], stored.box_m[columns])
            product[:, columns], score[:, columns] = affinity.product, affinity.score
        return product.numpy(), score.numpy()
