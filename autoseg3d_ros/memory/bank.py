"""What the network remembers of tracks: one row a slot of the track table, of fixed size, on the device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg3d_ros.memory.boxes import box_iou

_NO_SLOT = 0  # as in tracking.tracks
_EMA_SHARE = 0.5  # of the new observation


@dataclass(frozen=True)
class ObjectFeatures:
    """Detections of a frame, or what is stored of tracks."""

    embedding: Tensor  # (D, w)
    box_m: Tensor  # (D, 6) centre and full size, world
    label: Tensor  # (D,) int64 class; 0 for all where there is one class

    def __len__(self) -> int:
        return len(self.label)


class TrackBank:
    """Embedding, box, class and age of the object in each slot; row 0 is never read. Rows of free slots mean nothing.

    Which slots are in use is said by `tracking.tracks.TrackTable` alone.
    """

    def __init__(self, num_slots: int, width: int, device: torch.device | str = "cpu") -> None:
        self.embedding = torch.zeros(num_slots, width, device=device)
        self.box_m = torch.zeros(num_slots, 6, device=device)
        self.label = torch.zeros(num_slots, dtype=torch.int64, device=device)
        self.age = torch.zeros(num_slots, dtype=torch.int64, device=device)  # observations before the latest

    def at(self, slots: np.ndarray) -> ObjectFeatures:
        """Return what is stored in `slots` (T,)."""
        rows = self._on_device(slots)
        return ObjectFeatures(self.embedding[rows], self.box_m[rows], self.label[rows])

    def update(self, slot_of_detection: np.ndarray, age: np.ndarray, observed: ObjectFeatures, rule: str) -> None:
        """Store detections in their slots (D,), each at most once; slot 0 leaves one out (`method.md` §5.4).

        `age` (D,) observations that a slot's memory holds already; at 0 whatever was in the slot is overwritten.
        `rule` is that of `blend`. The class stays that of the first observation.
        """
        kept = np.flatnonzero(slot_of_detection != _NO_SLOT)
        slots, rows = self._on_device(slot_of_detection[kept]), self._on_device(kept)
        ages = self._on_device(age[kept])
        self.embedding[slots] = blend(self.embedding[slots], observed.embedding[rows], ages, rule)
        self.box_m[slots] = blend(self.box_m[slots], observed.box_m[rows], ages, rule)
        self.label[slots] = torch.where(ages == 0, observed.label[rows], self.label[slots])
        self.age[slots] = ages

    def pass_on(self, heir_of_slot: np.ndarray) -> None:
        """Give what is stored of absorbed tracks to their heirs (num_slots,), as the mean of all their observations.

        A removed track's heir is slot 0; what was stored of it is void.
        """
        absorbed = (heir_of_slot != np.arange(len(heir_of_slot))) & (heir_of_slot != _NO_SLOT)
        for heir in np.unique(heir_of_slot[absorbed]).tolist():
            rows = self._on_device(np.append(heir, np.flatnonzero(absorbed & (heir_of_slot == heir))))
            num_observations = (self.age[rows] + 1)[:, None]
            for stored in (self.embedding, self.box_m):
                stored[heir] = (num_observations * stored[rows]).sum(dim=0) / num_observations.sum()
            self.age[heir] = self.age[rows].amax()

    def _on_device(self, indices: np.ndarray) -> Tensor:
        return torch.from_numpy(indices.astype(np.int64)).to(self.embedding.device, non_blocking=True)


def blend(stored: Tensor, observed: Tensor, age: Tensor, rule: str) -> Tensor:
    """Return what to store (D, w) of `stored` and `observed` (D, w), where `stored` holds `age` (D,) observations.

    `rule` "count" gives the mean of all observations, "ema" that of the two; the first observation is taken as it is.
    """
    share = 1 / (age + 1.0) if rule == "count" else torch.full_like(age, _EMA_SHARE, dtype=stored.dtype)
    return torch.where(age[:, None] == 0, observed, torch.lerp(stored, observed, share[:, None]))


def embedding_affinity(detections: ObjectFeatures, tracks: ObjectFeatures) -> Tensor:
    """Return ESAM's similarity (D, T) >= 0: product of embeddings times IoU of boxes, 0 across classes (§4)."""
    return embedding_similarity(detections, tracks) * box_iou(detections.box_m, tracks.box_m)


def embedding_similarity(detections: ObjectFeatures, tracks: ObjectFeatures) -> Tensor:
    """Return the part (D, T) >= 0 of `embedding_affinity` that is not geometry."""
    similarity = detections.embedding @ tracks.embedding.T
    return similarity.clamp(min=0) * (detections.label[:, None] == tracks.label)
