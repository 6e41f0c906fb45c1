"""Recognition without a network: fragments are united by geometry, held against what the map has learned."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.config import TrackingConfig
from autoseg3d_ros.fragment_merging import FragmentJudge, FragmentMerger, FragmentRelations
from autoseg3d_ros.recognition import Naming, Percept, Recognized, claimed, overlap_affinity
from autoseg3d_ros.segmenter_state import SegmenterState
from autoseg3d_ros.stage_clock import StageClock
from autoseg3d_ros.structures import Frame, Superpoints
from autoseg3d_ros.tracking.tracker import Tracker, TrackUpdate


class GeometricRecognition:
    """Objects by surfaces and borders; tracks by overlap in the map."""

    def __init__(self, judge: FragmentJudge, merger: FragmentMerger, tracker: Tracker, config: TrackingConfig) -> None:
        self._judge = judge
        self._merger = merger
        self._tracker = tracker
        self._config = config

    def prepare(self, state: SegmenterState) -> None:
        """Remember nothing beside the map and the tracks."""

    def unite(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> Superpoints:
        """Return them as they are: what unites them looks at the map, too."""
        return superpoints

    def glance(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> FragmentRelations:
        """Return which superpoints touch, and what the geometry across their borders says."""
        with clock.stage("judge"):
            return self._judge(frame, superpoints)

    def recognize(self, percept: Percept, state: SegmenterState) -> Recognized:
        """Unite the fragments of one object: geometry now, held against what the map has learned."""
        relations, superpoints = percept.glance, percept.superpoints
        with percept.clock.stage("merge"):
            evidence = state.evidence(superpoints)
            owner = self._merger.owners(superpoints, evidence)
            together, apart = self._merger.votes(relations, superpoints, evidence, owner, state.tracks)
            merged = self._tracker.merge_duplicates(state.tracks, together, apart, percept.frame.stamp_ns)
            if state.pass_on(merged):
                evidence = state.evidence(superpoints)
                owner = self._merger.owners(superpoints, evidence)
            return Recognized(self._merger.merge(relations, superpoints, owner), evidence, merged)

    def affinity(self, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T): overlap in the map, and a little of the boxes."""
        return overlap_affinity(recognized, state, self._config.box_weight)

    def learn(self, recognized: Recognized, update: TrackUpdate, state: SegmenterState) -> None:
        """Learn nothing: the map is the memory."""

    def name(self, recognized: Recognized, update: TrackUpdate, percept: Percept, state: SegmenterState) -> Naming:
        """Return what the detections claim: the map had its say when they were made."""
        return claimed(recognized, update)
