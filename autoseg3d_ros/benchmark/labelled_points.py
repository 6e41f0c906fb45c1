"""From label images to masks on the vertices of a mesh (`method.md` §9.2)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.evaluation.mesh_transfer import nearest_point
from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.structures import NO_INSTANCE, Frame


@dataclass(frozen=True)
class FinalInstance:
    """What the evaluation wants to know of an instance in memory after the last frame."""

    id: int
    is_confirmed: bool  # false for tentative ones, which do not count: a planner does not act on them
    score: float
    num_observations: int


@dataclass(frozen=True)
class VertexLabels:
    """The instance that each vertex of a mesh takes from its nearest frame point."""

    id: np.ndarray  # (V,) int32, NO_INSTANCE = none
    distance_m: np.ndarray  # (V,) float32 to that point, infinite where there are no points at all

    def masks(self, ids: np.ndarray, max_distance_m: float = np.inf) -> np.ndarray:
        """Return (I, V) bool, the vertices of each of `ids` (I,) that are at most `max_distance_m` from their point."""
        return (self.id == ids[:, None]) & (self.distance_m <= max_distance_m)


class LabelledPoints:
    """Collects points of all frames with the ids they had in their frame."""

    def __init__(self, protocol: Protocol) -> None:
        self._protocol = protocol
        self._xyz_m: list[np.ndarray] = []
        self._id: list[np.ndarray] = []

    def add(self, frame: Frame, label_image: np.ndarray, world_from_camera: np.ndarray) -> None:
        """Draw pixels of a frame and lift them; `label_image` (H, W) int32, `world_from_camera` (4, 4) of the truth.

        Which pixels are drawn depends on the protocol's seed and the frame's stamp alone.
        """
        depth_m = frame.depth_m.ravel()
        pixel = np.flatnonzero((depth_m >= self._protocol.min_depth_m) & (depth_m <= self._protocol.max_depth_m))
        if len(pixel) > self._protocol.points_per_frame:
            rng = np.random.default_rng([self._protocol.seed, frame.stamp_ns])
            pixel = rng.choice(pixel, self._protocol.points_per_frame, replace=False, shuffle=False)
        points_m = backproject(pixel, depth_m[pixel], frame.camera)
        self._xyz_m.append(transform_points(world_from_camera, points_m))
        self._id.append(label_image.ravel()[pixel].astype(np.int32))

    def on_vertices(self, vertices_m: np.ndarray, heirs: Mapping[int, int]) -> VertexLabels:
        """Return what the vertices (V, 3) take from their nearest points.

        `heirs` says of every id that was merged into which one; points take the last of the line.
        """
        xyz_m = np.concatenate([np.zeros((0, 3), np.float32), *self._xyz_m])
        ids = np.concatenate([np.zeros(0, np.int32), *self._id])
        index, distance_m = nearest_point(xyz_m, vertices_m)
        final_id = _last_heirs(heirs, int(ids.max(initial=NO_INSTANCE)))[ids]
        return VertexLabels(np.append(final_id, np.int32(NO_INSTANCE))[index], distance_m)  # NO_POINT reads the last


def top_instances(instances: Iterable[FinalInstance], count: int) -> list[FinalInstance]:
    """Return the confirmed instances of the highest score; of equal ones the most often seen, then the oldest."""
    confirmed = [one for one in instances if one.is_confirmed]
    return sorted(confirmed, key=lambda one: (-one.score, -one.num_observations, one.id))[:count]


def _last_heirs(heirs: Mapping[int, int], max_id: int) -> np.ndarray:
    """Return a table (max_id + 1,) int32 from every id to the one that it lives on in."""
    table = np.arange(max_id + 1, dtype=np.int32)
    for id in range(NO_INSTANCE + 1, max_id + 1):
        heir = id
        while heir in heirs:
            heir = heirs[heir]
        table[id] = heir
    return table
