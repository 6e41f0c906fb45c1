"""The page that reads like the paper: one posed RGB-D frame in, persistent instances out."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

import numpy as np

from autoseg3d_ros.config import Config
from autoseg3d_ros.fragment_merging import FragmentJudge, FragmentMerger, FragmentRelations, MapEvidence
from autoseg3d_ros.geometry import box_iou
from autoseg3d_ros.lifting.masks import MaskSource
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.mapping.instance_map import InstanceMap, MapPoints
from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.records import instance_records, rois_of_slots
from autoseg3d_ros.stage_clock import StageClock
from autoseg3d_ros.structures import Detections, Frame, Instance, Masks2D, SegmentedFrame, Superpoints
from autoseg3d_ros.tracking.association import geometric_affinity
from autoseg3d_ros.tracking.tracker import Tracker, TrackUpdate
from autoseg3d_ros.tracking.tracks import TrackTable


@dataclass
class SegmenterState:
    """All that lasts from one frame to the next; components have no memory of their own."""

    map_id: uuid.UUID
    map: InstanceMap
    tracks: TrackTable
    shapes: InstanceShapes
    frame_index: int = 0  # of the next frame


@dataclass(frozen=True)
class Percept:
    """What one frame shows by itself."""

    frame: Frame
    masks: Masks2D
    superpoints: Superpoints
    relations: FragmentRelations
    clock: StageClock


class OnlineSegmenter:
    """Masks -> superpoints -> objects -> tracks -> labelled map, one frame at a time."""

    def __init__(self, mask_source: MaskSource, judge: FragmentJudge, merger: FragmentMerger, config: Config) -> None:
        self._mask_source = mask_source
        self._judge = judge
        self._merger = merger
        self._tracker = Tracker(config.tracking, config.limits)
        self._config = config
        self.reset()

    def reset(self) -> None:
        """Forget everything and begin a new map; ids start again at 1 under a new `map_id`."""
        tracks = self._tracker.new_table()
        self.state = SegmenterState(
            map_id=uuid.uuid4(),
            map=InstanceMap(self._config.map, self._config.limits, tracks.num_slots),
            tracks=tracks,
            shapes=InstanceShapes(tracks.num_slots),
        )

    def step(self, frame: Frame) -> SegmentedFrame:
        """Segment one frame and fold it into the state. Raises FrameError, before the state is touched."""
        return self.remember(self.perceive(frame))

    def perceive(self, frame: Frame) -> Percept:
        """Do what depends on the frame alone; so it may run ahead, in one other thread. Raises FrameError."""
        clock = StageClock()

        # 2D masks of a foundation model, or of the RGB-D image itself.
        with clock.stage("masks"):
            masks = self._mask_source.masks(frame)

        # Masks become superpoints: world points sampled with a seed.
        with clock.stage("lift"):
            superpoints = lift(frame, masks, self._config.depth, self._config.lifting, self._config.seed)

        # Which superpoints touch, and what the geometry across their borders says.
        with clock.stage("judge"):
            relations = self._judge(frame, superpoints)
        return Percept(frame, masks, superpoints, relations, clock)

    def remember(self, percept: Percept) -> SegmentedFrame:
        """Fold a percept into the state; percepts come in the order of their frames."""
        state, clock = self.state, percept.clock
        frame, superpoints, relations = percept.frame, percept.superpoints, percept.relations

        # Fragments of one object become one detection: geometry now, held against what the map has learned.
        with clock.stage("merge"):
            evidence = MapEvidence(*state.map.slots_at(superpoints.xyz_m), state.map.num_voxels)
            owner = self._merger.owners(superpoints, evidence)
            together, apart = self._merger.votes(relations, superpoints, evidence, owner, state.tracks)
            merged = self._tracker.merge_duplicates(state.tracks, together, apart, frame.stamp_ns)
            if self._pass_on(merged):
                evidence = MapEvidence(*state.map.slots_at(superpoints.xyz_m), state.map.num_voxels)
                owner = self._merger.owners(superpoints, evidence)
            detections = self._merger.merge(relations, superpoints, owner)

        # Detections meet the tracks in long-term memory: matches, births, losses, revivals.
        with clock.stage("track"):
            update = self._tracker.update(
                state.tracks,
                self._affinity(detections, superpoints, evidence),
                detections.score,
                detections.num_points >= self._config.tracking.min_points,
                frame.stamp_ns,
            )
            self._pass_on(update)

        # The map takes the points under their owners' names.
        with clock.stage("map"):
            slot_of_superpoint = update.slot_of_detection[detections.of_superpoint]
            slot_of_point = slot_of_superpoint[superpoints.superpoint]
            slot_image = _lookup(slot_of_superpoint, superpoints.id_image)
            state.map.integrate(superpoints.xyz_m, superpoints.rgb, slot_of_point, state.frame_index)
            changed = np.union1d(merged.changed, update.changed)
            changed = changed[state.tracks.id[changed] > 0]
            state.shapes.update(state.map, changed)
            state.shapes.stand_in(state.map, changed, superpoints.xyz_m, slot_of_point)
            segmented = SegmentedFrame(
                frame=frame,
                frame_index=state.frame_index,
                label_image=state.tracks.id[slot_image],
                superpoints=superpoints,
                point_ids=state.tracks.id[slot_of_point],
                point_scores=state.tracks.score[slot_of_point],
                instances=instance_records(
                    state.tracks, state.shapes, state.map.num_voxels, changed, rois_of_slots(slot_image)
                ),
                events=merged.events + update.events,
                stage_ms=clock.stage_ms,
            )
        state.frame_index += 1
        return segmented

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance in memory, retired ones included, by id."""
        slots = self.state.tracks.occupied()
        self.state.shapes.update(self.state.map, slots)
        records = instance_records(self.state.tracks, self.state.shapes, self.state.map.num_voxels, slots, {})
        return tuple(sorted(records, key=lambda record: record.id))

    def map_points(self) -> MapPoints:
        """Return the whole map as a cloud; proportional to its size, so not for every frame."""
        slot = self.state.map.slot
        return MapPoints(
            xyz_m=self.state.map.xyz_m.copy(),
            rgb=self.state.map.rgb,
            instance_id=self.state.tracks.id[slot],
            score=self.state.tracks.score[slot],
        )

    def _affinity(self, detections: Detections, superpoints: Superpoints, evidence: MapEvidence) -> np.ndarray:
        """Return (D, T) between detections and occupied slots."""
        slots = self.state.tracks.occupied()
        detection_of_point = detections.of_superpoint[superpoints.superpoint]
        counts = evidence.counts(detection_of_point, len(detections))
        disputed = evidence.disputed_counts(detection_of_point, len(detections))
        return geometric_affinity(
            (counts + disputed)[:, slots],
            counts[:, 1:].sum(axis=1),
            evidence.num_seen[slots] + disputed.sum(axis=0)[slots],
            detections.num_points,
            evidence.num_voxels[slots],
            box_iou(detections.box_m, self.state.shapes.box_m[slots]),
            self._config.tracking.box_weight,
        )

    def _pass_on(self, update: TrackUpdate) -> bool:
        """Give the voxels of merged and removed tracks to their heirs; return whether there were any."""
        if np.array_equal(update.heir_of_slot, np.arange(len(update.heir_of_slot))):
            return False
        self.state.map.relabel(update.heir_of_slot)
        return True


def _lookup(table: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Return `table[index]` with 0 wherever the index is negative."""
    return np.append(table, np.int32(0))[index]
