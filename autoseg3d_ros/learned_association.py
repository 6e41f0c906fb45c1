"""Three ways to compare the network's detections with the tracks: LTM, ESAM's embeddings, overlap in the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from autoseg3d_ros.geometric_cue import GeometricCue
from autoseg3d_ros.memory.bank import ObjectFeatures, embedding_similarity
from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.memory.merge_head import MergeHead
from autoseg3d_ros.model.autoseg3d import FrameDetections
from autoseg3d_ros.recognition import Percept, Recognized, overlap_affinity
from autoseg3d_ros.segmenter_state import SegmenterState, learned_memory
from autoseg3d_ros.structures import InstanceState


@dataclass(frozen=True)
class Observed:
    """The features of a frame's detections."""

    to_store: ObjectFeatures  # what their tracks will keep
    to_match: ObjectFeatures  # what is held against the tracks


@dataclass(frozen=True)
class LearnedRecognized(Recognized):
    """The objects of one frame with the features that are tracked, and the frame itself."""

    observed: Observed
    percept: Percept


class LearnedAssociation(Protocol):
    """Says which features are tracked, and how they are compared."""

    def observe(self, found: FrameDetections) -> Observed:
        """Return the features of detections."""
        ...

    def affinity(self, recognized: LearnedRecognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T) float32 >= 0, T in the order of `tracks.occupied()`."""
        ...


class LongTermAssociation:
    """Match times gate times the geometric cue (`method.md` §5.2, §5.3)."""

    def __init__(self, memory: LongTermMemory, cue: GeometricCue) -> None:
        self._memory = memory
        self._cue = cue

    def observe(self, found: FrameDetections) -> Observed:
        """Return both faces of the detections."""
        faces = self._memory.embed(found.embedding, found.box_m)
        return Observed(_features(faces.to_store, found), _features(faces.to_match, found))

    def affinity(self, recognized: LearnedRecognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T); the match is a choice among the live tracks, and apart from them among the retired (§5.5)."""
        tracks, bank, seen = state.tracks, learned_memory(state).bank, recognized.observed.to_match
        slots, places = tracks.occupied(), self._cue.places(recognized, recognized.percept, state)
        is_retired = tracks.state[slots] == InstanceState.RETIRED
        affinity = np.zeros((len(seen), len(slots)), np.float32)
        for columns in (np.flatnonzero(~is_retired), np.flatnonzero(is_retired)):
            stored, there = bank.at(slots[columns]), places.of(columns, seen.box_m.device)
            pairs = self._memory.affinity(
                seen.embedding, seen.box_m, stored.embedding, stored.box_m, margin_m=there.margin_m
            )
            affinity[:, columns] = (pairs.product * there.cue(pairs.iou)).cpu().numpy()
        return affinity


class EmbeddingAssociation:
    """ESAM's: product of embeddings times the geometric cue (`method.md` §4)."""

    def __init__(self, head: MergeHead, cue: GeometricCue) -> None:
        self._head = head
        self._cue = cue

    def observe(self, found: FrameDetections) -> Observed:
        """Return the embedding that is both stored and compared."""
        features = _features(self._head(found.embedding), found)
        return Observed(features, features)

    def affinity(self, recognized: LearnedRecognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T)."""
        seen, stored = recognized.observed.to_match, learned_memory(state).bank.at(state.tracks.occupied())
        places = self._cue.places(recognized, recognized.percept, state)
        there = places.of(np.arange(len(stored)), seen.box_m.device)
        cue = there.cue(box_iou(seen.box_m, stored.box_m, there.margin_m))
        return (embedding_similarity(seen, stored) * cue).cpu().numpy()


class OverlapAssociation:
    """Overlap in the map alone: what the learned ones are held against."""

    def observe(self, found: FrameDetections) -> Observed:
        """Return the embedding of the decoder, which nobody compares."""
        features = _features(found.embedding, found)
        return Observed(features, features)

    def affinity(self, recognized: LearnedRecognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T)."""
        return overlap_affinity(recognized, state, box_weight=0.0)


def _features(embedding: Tensor, found: FrameDetections) -> ObjectFeatures:
    return ObjectFeatures(embedding, found.box_m, found.label)
