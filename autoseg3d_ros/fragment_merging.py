"""Fragments of one object become one detection: the weight-free stand-in for spatial consistency learning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Protocol

import numpy as np

from autoseg3d_ros.config import FragmentsConfig, TrackingConfig
from autoseg3d_ros.geometry import boxes_of_groups
from autoseg3d_ros.lifting.adjacency import superpoint_borders
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.structures import NO_MASK, Detections, Frame, Superpoints
from autoseg3d_ros.tracking.association import overlap_counts
from autoseg3d_ros.tracking.consensus import connected, group_fragments, owners
from autoseg3d_ros.tracking.fragments import merge_fragments
from autoseg3d_ros.tracking.tracks import TrackTable

_HOME_SHARE = 0.7  # of what is seen of a track, inside one geometric group, to call that group its home
_PARTED = 0.5  # share of a border with a depth step or an inward fold that holds its sides apart
_OTHER_COLOUR = 0.6  # share of a border with a colour step that does the same
_LEAST_BORDER_PX = 3.0


@dataclass(frozen=True)
class FragmentRelations:
    """What the geometry of one frame says of superpoints that touch."""

    joined: np.ndarray  # (P, 2) int32: one object
    strength: np.ndarray  # (P,) float32: how firmly
    apart: np.ndarray  # (Q, 2) int32: two objects


class FragmentJudge(Protocol):
    """Tells from one frame which superpoints belong together."""

    def __call__(self, frame: Frame, superpoints: Superpoints) -> FragmentRelations:
        """Return the relations of the superpoints that touch; none at all is legal."""
        ...


class GeometricJudge:
    """Judges by the surface across common borders: steps, inward folds, colours."""

    def __init__(self, surfaces: SurfaceEstimator, config: FragmentsConfig) -> None:
        self._surfaces = surfaces
        self._config = config

    def __call__(self, frame: Frame, superpoints: Superpoints) -> FragmentRelations:
        """Return which neighbours are one object, as firmly as their border is long, and which are clearly two."""
        evidence = superpoint_borders(superpoints, self._surfaces.of(frame))
        object_of_fragment = merge_fragments(evidence, self._config)
        joined = object_of_fragment[evidence.pairs[:, 0]] == object_of_fragment[evidence.pairs[:, 1]]
        parted = (evidence.step + evidence.concave > _PARTED) | (evidence.colour > _OTHER_COLOUR)
        apart = ~joined & parted & (evidence.length_px >= _LEAST_BORDER_PX)
        return FragmentRelations(evidence.pairs[joined], evidence.length_px[joined], evidence.pairs[apart])


class NoJudge:
    """Has no opinion: for masks that are whole objects."""

    def __call__(self, frame: Frame, superpoints: Superpoints) -> FragmentRelations:
        """Return no relations."""
        none = np.zeros((0, 2), np.int32)
        return FragmentRelations(none, np.zeros(0, np.float32), none)


def united(superpoints: Superpoints, relations: FragmentRelations) -> Superpoints:
    """Return the superpoints with those that are joined as one, renumbered."""
    group = connected(superpoints.num_superpoints, relations.joined)
    return replace(
        superpoints,
        superpoint=group[superpoints.superpoint],
        id_image=np.append(group, np.int32(NO_MASK))[superpoints.id_image],
        num_superpoints=_num_labels(group),
    )


@dataclass(frozen=True)
class MapEvidence:
    """What the map knows of a frame's points before they are added to it."""

    slot_of_point: np.ndarray  # (N,) int32 owner of the point's voxel, 0 = none, negative = no such voxel
    challenger_of_point: np.ndarray  # (N,) int32 who disputes it, likewise
    num_voxels: np.ndarray  # (num_slots,) int64 voxels of each slot, in view or not

    @property
    def num_slots(self) -> int:
        return len(self.num_voxels)

    @cached_property
    def num_seen(self) -> np.ndarray:
        """(num_slots,) int64, points of the frame in voxels of each slot; 0 for slot 0."""
        return np.bincount(self.slot_of_point[self.slot_of_point > 0], minlength=self.num_slots)

    def counts(self, group_of_point: np.ndarray, num_groups: int) -> np.ndarray:
        """Return (G, num_slots) int64: how many points of each group lie in voxels of each slot."""
        return overlap_counts(group_of_point, num_groups, self.slot_of_point, self.num_slots)

    def disputed_counts(self, group_of_point: np.ndarray, num_groups: int) -> np.ndarray:
        """Return (G, num_slots) int64: how many lie in voxels that each slot disputes; column 0 is 0."""
        disputed = np.where(self.challenger_of_point > 0, self.challenger_of_point, -1)
        return overlap_counts(group_of_point, num_groups, disputed, self.num_slots)


def owner_of_superpoint(superpoints: Superpoints, evidence: MapEvidence, owner_share: float) -> np.ndarray:
    """Return the slot (S,) int32 that has `owner_share` of the mapped points of each superpoint, 0 = none."""
    size = np.bincount(superpoints.superpoint, minlength=superpoints.num_superpoints)
    counts = evidence.counts(superpoints.superpoint, superpoints.num_superpoints)
    return owners(counts, size, evidence.num_voxels, owner_share)


Pairs = set[tuple[int, int]]


def track_votes(
    group_of_point: np.ndarray, evidence: MapEvidence, tracks: TrackTable, min_points: int
) -> tuple[Pairs, Pairs]:
    """Return pairs of slots whose visible parts lie in one group, and those once voted together that do not now.

    `group_of_point` (N,) int, -1 = none; a track of which fewer than `min_points` points are seen has no vote.
    """
    counts = evidence.counts(group_of_point, max(_num_labels(group_of_point), 1))
    is_home = (counts.max(axis=0) >= _HOME_SHARE * evidence.num_seen) & (evidence.num_seen >= min_points)
    home = np.where(is_home, counts.argmax(axis=0), -1)
    together = {pair for members in _members(home) for pair in combinations(members, 2)}
    voted = tracks.same_object_votes
    parted = {pair for pair in voted if min(home[list(pair)]) >= 0 and len(set(home[list(pair)])) > 1}
    return together, parted


class FragmentMerger:
    """Groups superpoints into detections, and finds tracks that are fragments of one object. Has no memory."""

    def __init__(self, config: TrackingConfig) -> None:
        self._config = config

    def owners(self, superpoints: Superpoints, evidence: MapEvidence) -> np.ndarray:
        """Return the slot (S,) int32 that each superpoint is part of, 0 = none."""
        return owner_of_superpoint(superpoints, evidence, self._config.owner_share)

    def merge(self, relations: FragmentRelations, superpoints: Superpoints, owner: np.ndarray) -> Detections:
        """Return the objects of a frame: geometry now, held against what the map has learned, `owner` (S,)."""
        size = np.bincount(superpoints.superpoint, minlength=superpoints.num_superpoints)
        group = group_fragments(size, owner, relations.joined, relations.strength, relations.apart)
        num_groups = _num_labels(group)
        group_of_point = group[superpoints.superpoint]
        return Detections(
            of_point=group_of_point,
            of_superpoint=group,
            score=np.ones(num_groups, np.float32),
            num_points=np.bincount(group_of_point, minlength=num_groups),
            box_m=boxes_of_groups(superpoints.xyz_m, group_of_point, num_groups),
        )

    def votes(
        self,
        relations: FragmentRelations,
        superpoints: Superpoints,
        evidence: MapEvidence,
        owner: np.ndarray,
        tracks: TrackTable,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return pairs of slots that this frame takes for one object and for two, each (P, 2) int64.

        Tracks whose visible parts lie in one geometric group are together. Apart are those whose parts touch across a
        gap or a concave edge, and those once voted together that lie in different groups.
        """
        group = connected(superpoints.num_superpoints, relations.joined)[superpoints.superpoint]
        together, parted = track_votes(group, evidence, tracks, self._config.min_points)
        owner_pairs = owner[relations.apart]
        touching = {(min(pair), max(pair)) for pair in owner_pairs.tolist() if pair[0] != pair[1] and min(pair) > 0}
        return pair_rows(together), pair_rows((touching | parted) - together)


class WholeMasks(FragmentMerger):
    """Leaves every superpoint a detection of its own: for masks that are whole objects.

    Tracks are still found to be one object where their visible parts lie in one superpoint.
    """

    def owners(self, superpoints: Superpoints, evidence: MapEvidence) -> np.ndarray:
        """Return 0, none, for each superpoint (S,) int32: what the map holds does not make it a part of anything."""
        return np.zeros(superpoints.num_superpoints, np.int32)


def _members(home: np.ndarray) -> Iterator[list[int]]:
    for group in np.unique(home[home >= 0]):
        yield np.flatnonzero(home == group).tolist()


def _num_labels(labels: np.ndarray) -> int:
    return int(labels.max(initial=-1)) + 1


def pair_rows(pairs: Iterable[tuple[int, int]]) -> np.ndarray:
    """Return pairs as (P, 2) int64, ascending."""
    return np.array(sorted(pairs), np.int64).reshape(-1, 2)
