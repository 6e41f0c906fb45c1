"""Three ways to compare the network's detections with the tracks: LTM, ESAM's embeddings, overlap in the map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from torch import Tensor

from autoseg3d_ros.memory.bank import ObjectFeatures, embedding_affinity
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.memory.merge_head import MergeHead
from autoseg3d_ros.model.autoseg3d import FrameDetections
from autoseg3d_ros.recognition import Recognized, overlap_affinity
from autoseg3d_ros.segmenter_state import SegmenterState, learned_memory
from autoseg3d_ros.structures import InstanceState


@dataclass(frozen=True)
class Observed:
    """The features of a frame's detections."""

    to_store: ObjectFeatures  # what their tracks will keep
    to_match: ObjectFeatures  # what is held against the tracks


class LearnedAssociation(Protocol):
    """Says which features are tracked, and how they are compared."""

    def observe(self, found: FrameDetections) -> Observed:
        """Return the features of detections."""
        ...

    def affinity(self, observed: Observed, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T) float32 >= 0, T in the order of `tracks.occupied()`."""
        ...


class LongTermAssociation:
    """Match times gate times IoU of the boxes (`method.md` §5.2, §5.3)."""

    def __init__(self, memory: LongTermMemory) -> None:
        self._memory = memory

    def observe(self, found: FrameDetections) -> Observed:
        """Return both faces of the detections."""
        faces = self._memory.embed(found.embedding, found.box_m)
        return Observed(_features(faces.to_store, found), _features(faces.to_match, found))

    def affinity(self, observed: Observed, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T); the match is a choice among the live tracks, and apart from them among the retired (§5.5)."""
        tracks, bank = state.tracks, learned_memory(state).bank
        slots = tracks.occupied()
        is_retired = tracks.state[slots] == InstanceState.RETIRED
        affinity = np.zeros((len(observed.to_match), len(slots)), np.float32)
        for columns in (np.flatnonzero(~is_retired), np.flatnonzero(is_retired)):
            stored, seen = bank.at(slots[columns]), observed.to_match
            score = self._memory.affinity(seen.embedding, seen.box_m, stored.embedding, stored.box_m).score
            affinity[:, columns] = score.cpu().numpy()
        return affinity


class EmbeddingAssociation:
    """ESAM's: product of embeddings times IoU of the boxes (`method.md` §4)."""

    def __init__(self, head: MergeHead) -> None:
        self._head = head

    def observe(self, found: FrameDetections) -> Observed:
        """Return the embedding that is both stored and compared."""
        features = _features(self._head(found.embedding), found)
        return Observed(features, features)

    def affinity(self, observed: Observed, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T)."""
        stored = learned_memory(state).bank.at(state.tracks.occupied())
        return embedding_affinity(observed.to_match, stored).cpu().numpy()


class OverlapAssociation:
    """Overlap in the map alone: what the learned ones are held against."""

    def observe(self, found: FrameDetections) -> Observed:
        """Return the embedding of the decoder, which nobody compares."""
        features = _features(found.embedding, found)
        return Observed(features, features)

    def affinity(self, observed: Observed, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T)."""
        return overlap_affinity(recognized, state, box_weight=0.0)


def _features(embedding: Tensor, found: FrameDetections) -> ObjectFeatures:
    return ObjectFeatures(embedding, found.box_m, found.label)
