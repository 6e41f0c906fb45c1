"""What `~/get_instances` finds: filters combine by AND, and an empty one does not restrict."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import Instance, RigidPose


@dataclass(frozen=True)
class Region:
    """A box in the map frame."""

    map_from_region: RigidPose  # the region's axes begin at its centre
    size_m: tuple[float, float, float]

    def has(self, xyz_m: np.ndarray) -> np.ndarray:
        """Return which of (N, 3) points lie in it, (N,) bool."""
        matrix = self.map_from_region.matrix
        in_region = (xyz_m - matrix[:3, 3]) @ matrix[:3, :3]
        return (np.abs(in_region) <= np.asarray(self.size_m) / 2).all(axis=1)


@dataclass(frozen=True)
class Query:
    """Which instances are asked for."""

    ids: Collection[int] = ()
    states: Collection[int] = ()
    region: Region | None = None

    @property
    def is_everything(self) -> bool:
        """Whether nothing is filtered."""
        return not self.ids and not self.states and self.region is None

    def chosen(self, instances: tuple[Instance, ...]) -> list[Instance]:
        """Return the instances that pass all filters; of the region by their centroid."""
        centroids_m = np.array([one.centroid_m for one in instances], np.float64).reshape(-1, 3)
        inside = np.ones(len(instances), bool) if self.region is None else self.region.has(centroids_m)
        return [
            one
            for one, is_inside in zip(instances, inside.tolist(), strict=True)
            if is_inside and (not self.ids or one.id in self.ids) and (not self.states or one.state in self.states)
        ]


def rows_of(instances: list[Instance], instance_id: np.ndarray) -> list[np.ndarray]:
    """Return which of the points with owners `instance_id` (N,) belong to each instance, (P,) rows each."""
    order = np.argsort(instance_id, kind="stable")
    ids = [one.id for one in instances]
    starts, ends = (np.searchsorted(instance_id[order], ids, side=side).tolist() for side in ("left", "right"))
    return [order[start:end] for start, end in zip(starts, ends, strict=True)]


def features_of(segmenter: OnlineSegmenter, instances: list[Instance]) -> np.ndarray | None:
    """Return (K, w) float32, what the network remembers of each instance; None where there is no network."""
    state = segmenter.state
    if state.learned is None:
        return None
    slot_of_id = {int(state.tracks.id[slot]): slot for slot in state.tracks.occupied().tolist()}
    stored = state.learned.bank.embedding[[slot_of_id[one.id] for one in instances]]
    return stored.cpu().numpy().astype(np.float32)
