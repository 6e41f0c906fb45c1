"""What the segmenter asks of whoever finds the objects of a frame: geometry, or the network."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from autoseg3d_ros.fragment_merging import MapEvidence
from autoseg3d_ros.geometry import box_iou
from autoseg3d_ros.segmenter_state import SegmenterState
from autoseg3d_ros.stage_clock import StageClock
from autoseg3d_ros.structures import Detections, Frame, Masks2D, Superpoints
from autoseg3d_ros.tracking.association import geometric_affinity
from autoseg3d_ros.tracking.tracker import TrackUpdate


@dataclass(frozen=True)
class Percept:
    """What one frame shows by itself."""

    frame: Frame
    masks: Masks2D
    superpoints: Superpoints
    glance: Any  # what the recognition makes of the frame alone
    clock: StageClock


@dataclass(frozen=True)
class Recognized:
    """The objects of one frame, and what the map knows of their points."""

    detections: Detections
    evidence: MapEvidence
    merged: TrackUpdate  # tracks that turned out to be one object


@dataclass(frozen=True)
class Naming:
    """Which slot what is seen belongs to, 0 = none."""

    of_superpoint: np.ndarray  # (S,) int32, for the label image
    of_point: np.ndarray  # (N,) int32, for the cloud of this frame
    for_map: np.ndarray  # (N,) int32, what the map is told of each point


class Recognition(Protocol):
    """Finds the objects of a frame and compares them with the tracks. What it remembers is part of the state."""

    def prepare(self, state: SegmenterState) -> None:
        """Put what this recognition remembers into a new state."""
        ...

    def unite(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> Superpoints:
        """Return the superpoints to work on: those of the masks, or larger ones."""
        ...

    def glance(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> Any:
        """Return what can be said of the frame alone; so it may run ahead, in one other thread."""
        ...

    def recognize(self, percept: Percept, state: SegmenterState) -> Recognized:
        """Return the objects of the frame; merges tracks of the state where they turn out to be one object."""
        ...

    def affinity(self, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T) float32 >= 0 between detections and tracks, T in the order of `tracks.occupied()`."""
        ...

    def learn(self, recognized: Recognized, update: TrackUpdate, state: SegmenterState) -> None:
        """Remember the features of what was matched and of what was born."""
        ...

    def name(self, recognized: Recognized, update: TrackUpdate, percept: Percept, state: SegmenterState) -> Naming:
        """Return whose name superpoints and points get; `update` has been passed on."""
        ...


def claimed(recognized: Recognized, update: TrackUpdate) -> Naming:
    """Return what the detections claim for the slots that they got."""
    of_superpoint = lookup(update.slot_of_detection, recognized.detections.of_superpoint)
    of_point = lookup(update.slot_of_detection, recognized.detections.of_point)
    return Naming(of_superpoint, of_point, of_point)


def lookup(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return `table[index]` with 0 wherever the index is negative."""
    return np.append(table, np.int32(0))[index]


def overlap_affinity(recognized: Recognized, state: SegmenterState, box_weight: float) -> np.ndarray:
    """Return (D, T) float32 in [0, 1]: how well the points of detections cover the voxels of the tracks."""
    detections, evidence, slots = recognized.detections, recognized.evidence, state.tracks.occupied()
    counts = evidence.counts(detections.of_point, len(detections))
    disputed = evidence.disputed_counts(detections.of_point, len(detections))
    return geometric_affinity(
        (counts + disputed)[:, slots],
        counts[:, 1:].sum(axis=1),
        evidence.num_seen[slots] + disputed.sum(axis=0)[slots],
        detections.num_points,
        evidence.num_voxels[slots],
        box_iou(detections.box_m, state.shapes.box_m[slots]),
        box_weight,
    )
