"""Recognition by the network: superpoints become instance queries, and these are tracked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import torch

from autoseg3d_ros.fragment_merging import (
    FragmentJudge,
    MapEvidence,
    Pairs,
    owner_of_superpoint,
    pair_rows,
    track_votes,
    united,
)
from autoseg3d_ros.geometry import boxes_of_groups
from autoseg3d_ros.learned_association import LearnedAssociation, LearnedRecognized
from autoseg3d_ros.learned_memory import LearnedMemory
from autoseg3d_ros.lifting.adjacency import border_cues, superpoint_borders
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.memory.bank import TrackBank
from autoseg3d_ros.memory.short_term import ShortTermState
from autoseg3d_ros.model.autoseg3d import AutoSeg3D, FrameDetections, NetworkInput, NetworkState
from autoseg3d_ros.model.filtering import FilterConfig
from autoseg3d_ros.recognition import Naming, Percept, Recognized, claimed
from autoseg3d_ros.segmenter_state import SegmenterState, learned_memory
from autoseg3d_ros.stage_clock import StageClock
from autoseg3d_ros.structures import Detections, Frame, InstanceState, Superpoints
from autoseg3d_ros.tracking.tracker import Tracker, TrackUpdate

_CONFIRMED = (InstanceState.ACTIVE, InstanceState.LOST)


@dataclass(frozen=True)
class LearnedSettings:
    """What becomes a detection, how much is remembered, and by which rule."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    short_term_frames: int = 1
    precision: torch.dtype = torch.float32  # of the products of the network; what is tracked stays float32
    update_rule: str = "count"  # of stored embeddings and boxes, see `memory.bank.blend`
    merges_tracks: bool = False  # those that one detection covers time and again
    min_points: int = 20  # seen of a track that has a vote in that
    names_by_map: bool = False  # what a confirmed track has owned keeps its name
    owner_share: float = 0.6  # of a superpoint's mapped points, to own it


class LearnedRecognition:
    """Objects by the network; tracks by what the association compares."""

    def __init__(
        self,
        network: AutoSeg3D,
        surfaces: SurfaceEstimator,
        judge: FragmentJudge,
        association: LearnedAssociation,
        tracker: Tracker,
        settings: LearnedSettings,
    ) -> None:
        self.network = network
        self._surfaces = surfaces
        self._judge = judge
        self.association = association
        self._tracker = tracker
        self._settings = settings
        self._device = next(network.parameters()).device

    def prepare(self, state: SegmenterState) -> None:
        """Begin with empty memories."""
        bank = TrackBank(state.tracks.num_slots, self.network.config.decoder.width, self._device)
        state.learned = LearnedMemory(NetworkState(ShortTermState(self._settings.short_term_frames)), bank)

    def unite(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> Superpoints:
        """Return superpoints of which geometry joins none any more; LMI has the rest to do."""
        with clock.stage("judge"):
            return united(superpoints, self._judge(frame, superpoints))

    def glance(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> NetworkInput:
        """Return the voxels of the frame, and what lies across the borders of superpoints if the network asks."""
        borders = self._borders(frame, superpoints, clock) if self.network.partition is not None else None
        with clock.stage("voxelize"), torch.inference_mode():
            return NetworkInput.of_points(
                torch.from_numpy(superpoints.xyz_m).to(self._device),
                torch.from_numpy(superpoints.rgb).to(self._device),
                torch.from_numpy(superpoints.superpoint).to(self._device, torch.int64),
                superpoints.num_superpoints,
                self.network.config.voxel_m,
                borders,
            )

    def _borders(self, frame: Frame, superpoints: Superpoints, clock: StageClock) -> torch.Tensor:
        with clock.stage("judge"):
            cues = border_cues(superpoint_borders(superpoints, self._surfaces.of(frame)))
            return torch.from_numpy(cues.matrix(superpoints.num_superpoints)).to(self._device)

    def recognize(self, percept: Percept, state: SegmenterState) -> Recognized:
        """Return the detections of the network, each point with the best one that claims it."""
        with torch.inference_mode(), self._precision():
            found = self.network(percept.glance, learned_memory(state).network, self._settings.filters, percept.clock)
        with torch.inference_mode(), percept.clock.stage("embed"):
            observed = self.association.observe(found)
        with percept.clock.stage("share"):
            detections, evidence = exclusive(found, percept.superpoints), state.evidence(percept.superpoints)
            merged = self._merge_tracks(detections, evidence, percept.frame.stamp_ns, state)
            if state.pass_on(merged):
                evidence = state.evidence(percept.superpoints)
            return LearnedRecognized(detections, evidence, merged, observed, percept)

    def _merge_tracks(
        self, detections: Detections, evidence: MapEvidence, stamp_ns: int, state: SegmenterState
    ) -> TrackUpdate:
        """Let tracks of one object become one; the detections vote, as geometric groups do without a network."""
        together: Pairs = set()
        parted: Pairs = set()
        if self._settings.merges_tracks:
            together, parted = track_votes(detections.of_point, evidence, state.tracks, self._settings.min_points)
        return self._tracker.merge_duplicates(state.tracks, pair_rows(together), pair_rows(parted - together), stamp_ns)

    def affinity(self, recognized: Recognized, state: SegmenterState) -> np.ndarray:
        """Return (D, T) by the association."""
        with torch.inference_mode():
            return self.association.affinity(_learned(recognized), state)

    def _precision(self) -> torch.autocast:
        dtype = self._settings.precision
        return torch.autocast(self._device.type, dtype, enabled=dtype != torch.float32)

    def learn(self, recognized: Recognized, update: TrackUpdate, state: SegmenterState) -> None:
        """Put the features of the detections into the bank, under the slots that they got."""
        stored = _learned(recognized).observed.to_store
        with torch.inference_mode():
            learned_memory(state).bank.update(update.slot_of_detection, update.age, stored, self._settings.update_rule)

    def name(self, recognized: Recognized, update: TrackUpdate, percept: Percept, state: SegmenterState) -> Naming:
        """Return what the detections claim; but what the map knows to be of a confirmed track has that track's name."""
        names = claimed(recognized, update)
        if not self._settings.names_by_map:
            return names
        superpoints = percept.superpoints
        owner = owner_of_superpoint(superpoints, state.evidence(superpoints), self._settings.owner_share)
        return named_by_owner(names, np.where(np.isin(state.tracks.state[owner], _CONFIRMED), owner, 0), superpoints)


def named_by_owner(names: Naming, owner: np.ndarray, superpoints: Superpoints) -> Naming:
    """Show superpoints by their `owner` (S,) int32, 0 = none; the map is told what the network claims, as ever.

    So what a network misses in a frame, or takes for something else, keeps its name; but a claim that is made again and
    again wins the voxels over, and with them the name. The map does not hear its own names: a piece of the floor that
    was once taken for an object would have the whole floor.
    """
    owner_of_point = owner[superpoints.superpoint]
    return replace(
        names,
        of_superpoint=np.where(owner > 0, owner, names.of_superpoint),
        of_point=np.where(owner_of_point > 0, owner_of_point, names.of_point),
    )


def exclusive(found: FrameDetections, superpoints: Superpoints) -> Detections:
    """Give each point to the best detection that claims it, and each superpoint to the one that has most of it."""
    mask = found.mask.cpu().numpy()
    claims = np.concatenate([~mask.any(axis=0, keepdims=True), mask])  # nobody's comes first
    of_point = claims.argmax(axis=0).astype(np.int32) - 1  # the first True is the best detection
    num_choices = len(found) + 1  # none of them comes first
    cell = superpoints.superpoint.astype(np.int64) * num_choices + of_point + 1
    counts = np.bincount(cell, minlength=superpoints.num_superpoints * num_choices)
    is_object = of_point >= 0
    return Detections(
        of_point=of_point,
        of_superpoint=(counts.reshape(-1, num_choices).argmax(axis=1) - 1).astype(np.int32),
        score=found.score.cpu().numpy().astype(np.float32),
        num_points=np.bincount(of_point[is_object], minlength=len(found)),
        box_m=boxes_of_groups(superpoints.xyz_m[is_object], of_point[is_object], len(found)),
    )


def _learned(recognized: Recognized) -> LearnedRecognized:
    assert isinstance(recognized, LearnedRecognized)
    return recognized
