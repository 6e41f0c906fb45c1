"""From track and shape tables to the `Instance` records that planners see."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy.ndimage import find_objects

from autoseg3d_ros.mapping.shapes import InstanceShapes
from autoseg3d_ros.structures import Instance, InstanceState
from autoseg3d_ros.tracking.tracks import TrackTable

Roi = tuple[int, int, int, int]  # x, y, width, height in pixels


_ROI_STEP_PX = 2  # every second row and column is looked at, which takes a quarter of the time


def rois_of_slots(slot_image: np.ndarray) -> dict[int, Roi]:
    """Return the 2D box of every slot in an image (H, W) int32, to two pixels; 0 is none."""
    boxes = find_objects(np.ascontiguousarray(slot_image[::_ROI_STEP_PX, ::_ROI_STEP_PX]))
    return {
        slot: (
            _ROI_STEP_PX * columns.start,
            _ROI_STEP_PX * rows.start,
            _ROI_STEP_PX * (columns.stop - columns.start),
            _ROI_STEP_PX * (rows.stop - rows.start),
        )
        for slot, (rows, columns) in ((slot, box) for slot, box in enumerate(boxes, start=1) if box is not None)
    }


def instance_records(
    tracks: TrackTable, shapes: InstanceShapes, num_voxels: np.ndarray, slots: np.ndarray, rois: Mapping[int, Roi]
) -> tuple[Instance, ...]:
    """Return one record a slot, in the order given; `num_voxels` (num_slots,)."""
    return tuple(
        _record(tracks, shapes, int(num_voxels[slot]), slot, rois.get(slot, (0, 0, 0, 0))) for slot in slots.tolist()
    )


def _record(tracks: TrackTable, shapes: InstanceShapes, num_points: int, slot: int, roi: Roi) -> Instance:
    x, y, z = shapes.centroid_m[slot].tolist()
    return Instance(
        id=int(tracks.id[slot]),
        state=InstanceState(int(tracks.state[slot])),
        score=float(tracks.score[slot]),
        match_confidence=float(tracks.match_confidence[slot]),
        first_seen_ns=int(tracks.first_seen_ns[slot]),
        last_seen_ns=int(tracks.last_seen_ns[slot]),
        num_observations=int(tracks.num_observations[slot]),
        num_missed=int(tracks.num_missed[slot]),
        centroid_m=(x, y, z),
        box=shapes.oriented[slot],
        footprint_m=shapes.footprint_m[slot],
        num_points=num_points,
        roi_px=roi,
    )
