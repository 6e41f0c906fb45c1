"""The page that reads like the paper: one posed RGB-D frame in, persistent instances out."""

from __future__ import annotations

import uuid

import numpy as np

from autoseg3d_ros.config import Config
from autoseg3d_ros.lifting.masks import MaskSource
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.mapping.instance_map import InstanceMap, MapPoints
from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.recognition import Percept, Recognition, lookup
from autoseg3d_ros.records import instance_records, rois_of_slots
from autoseg3d_ros.segmenter_state import SegmenterState
from autoseg3d_ros.stage_clock import StageClock
from autoseg3d_ros.structures import Frame, Instance, SegmentedFrame
from autoseg3d_ros.tracking.tracker import Tracker


class OnlineSegmenter:
    """Masks -> superpoints -> objects -> tracks -> labelled map, one frame at a time."""

    def __init__(self, mask_source: MaskSource, recognition: Recognition, tracker: Tracker, config: Config) -> None:
        self._mask_source = mask_source
        self.recognition = recognition
        self._tracker = tracker
        self.config = config
        self.reset()

    def reset(self) -> None:
        """Forget everything and begin a new map; ids start again at 1 under a new `map_id`."""
        tracks = self._tracker.new_table()
        self.state = SegmenterState(
            map_id=uuid.uuid4(),
            map=InstanceMap(self.config.map, self.config.limits, tracks.num_slots),
            tracks=tracks,
            shapes=InstanceShapes(tracks.num_slots),
        )
        self.recognition.prepare(self.state)

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
            superpoints = lift(frame, masks, self.config.depth, self.config.lifting, self.config.seed)

        # Pieces of one surface become one superpoint, where the network was trained so.
        superpoints = self.recognition.unite(frame, superpoints, clock)

        # What geometry says of the frame alone, or the voxels that the network will see.
        glance = self.recognition.glance(frame, superpoints, clock)
        return Percept(frame, masks, superpoints, glance, clock)

    def remember(self, percept: Percept) -> SegmentedFrame:
        """Fold a percept into the state; percepts come in the order of their frames."""
        state, clock = self.state, percept.clock
        frame, superpoints = percept.frame, percept.superpoints
        num_voxels_before = state.map.num_voxels.copy()

        # Fragments of one object become one detection: by geometry and the map, or by the network and its memories.
        recognized = self.recognition.recognize(percept, state)
        detections, merged = recognized.detections, recognized.merged

        # Detections meet the tracks in long-term memory: matches, births, losses, revivals.
        with clock.stage("track"):
            update = self._tracker.update(
                state.tracks,
                self.recognition.affinity(recognized, state),
                detections.score,
                detections.num_points >= self.config.tracking.min_points,
                frame.stamp_ns,
            )
            state.pass_on(update)
            self.recognition.learn(recognized, update, state)

        # The map takes the points under their owners' names.
        with clock.stage("map"):
            names = self.recognition.name(recognized, update, percept, state)
            slot_image = lookup(names.of_superpoint, superpoints.id_image)
            state.map.integrate(superpoints.xyz_m, superpoints.rgb, names.for_map, state.frame_index)
            changed = np.union1d(merged.changed, update.changed)
            changed = changed[state.tracks.id[changed] > 0]
            state.shapes.update(state.map, changed)
            state.shapes.stand_in(state.map, changed, superpoints.xyz_m, names.for_map)
            # Voxels also come and go out of view: to newcomers, or forgotten.
            resized = np.flatnonzero((state.map.num_voxels != num_voxels_before) & (state.tracks.id > 0))
            state.rois_px = rois_of_slots(slot_image)
            told = np.union1d(changed, resized)
            segmented = SegmentedFrame(
                frame=frame,
                frame_index=state.frame_index,
                label_image=state.tracks.id[slot_image],
                superpoints=superpoints,
                point_ids=state.tracks.id[names.of_point],
                point_scores=state.tracks.score[names.of_point],
                instances=instance_records(state.tracks, state.shapes, state.map.num_voxels, told, state.rois_px),
                events=merged.events + update.events,
                stage_ms=clock.stage_ms,
            )
        state.frame_index += 1
        return segmented

    def instances(self) -> tuple[Instance, ...]:
        """Return every instance in memory, retired ones included, by id; what each last was in `SegmentedFrame`."""
        state, slots = self.state, self.state.tracks.occupied()
        records = instance_records(state.tracks, state.shapes, state.map.num_voxels, slots, state.rois_px)
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
