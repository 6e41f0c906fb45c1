"""2D masks lifted to 3D superpoints (`method.md` §1.2): valid pixels, sampled with a seed, in the world frame."""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.config import DepthConfig, LiftingConfig
from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.structures import NO_MASK, Frame, Masks2D, Superpoints

_STEP_SHARE = 0.05  # neighbouring depths that differ by more than this share lie on different surfaces


def lift(frame: Frame, masks: Masks2D, depth: DepthConfig, lifting: LiftingConfig, seed: int) -> Superpoints:
    """Return up to `lifting.num_points` points of the frame, drawn without replacement; 0 points is legal.

    The draw depends on the seed and the frame's stamp only, so that a frame gives the same points in any run; it is
    stratified along the image rows, which covers small objects better than the plain draw of the reference. Pixels
    without a mask form superpoints of their own, one a connected surface. Where fewer pixels are valid than points are
    asked for, all are taken: repeating points, as the reference does, would add nothing. A mask keeps its pixels
    without depth in the id image, but gives no points there.
    """
    valid = (frame.depth_m >= depth.min_m) & (frame.depth_m <= depth.max_m)
    ids = _with_unmasked_regions(masks, frame.depth_m, valid, lifting.min_region_px)
    candidates = np.flatnonzero((valid & (ids != NO_MASK)).ravel())
    pixel = _sample(candidates, lifting.num_points, seed, frame.stamp_ns)
    present, superpoint = np.unique(ids.ravel()[pixel], return_inverse=True)
    points_m = backproject(pixel, frame.depth_m.ravel()[pixel], frame.camera)
    return Superpoints(
        xyz_m=transform_points(frame.world_from_camera, points_m),
        rgb=frame.rgb.reshape(-1, 3)[pixel],
        pixel=pixel,
        superpoint=superpoint.astype(np.int32).reshape(-1),
        id_image=_renumbered(ids, present),
        num_superpoints=len(present),
    )


def _with_unmasked_regions(masks: Masks2D, depth_m: np.ndarray, valid: np.ndarray, min_region_px: int) -> np.ndarray:
    """Return the mask ids, and beyond them an id for each connected surface of unmasked pixels that is large enough."""
    unmasked = valid & (masks.ids == NO_MASK)
    if np.count_nonzero(unmasked) < min_region_px:
        return masks.ids
    unmasked[:, 1:] &= np.abs(depth_m[:, 1:] - depth_m[:, :-1]) < _STEP_SHARE * depth_m[:, 1:]
    unmasked[1:] &= np.abs(depth_m[1:] - depth_m[:-1]) < _STEP_SHARE * depth_m[1:]
    num_regions, regions = cv2.connectedComponents(unmasked.view(np.uint8), connectivity=4)
    pixel = np.flatnonzero(unmasked)
    region = regions.ravel()[pixel]
    large = np.flatnonzero(np.bincount(region, minlength=num_regions) >= min_region_px)
    new_id = np.full(num_regions, NO_MASK, np.int32)
    new_id[large] = masks.num_masks + np.arange(len(large), dtype=np.int32)
    ids = masks.ids.copy()
    ids.ravel()[pixel] = new_id[region]
    return ids


def _sample(candidates: np.ndarray, num_points: int, seed: int, stamp_ns: int) -> np.ndarray:
    """Draw one candidate from each of `num_points` equal runs: without replacement, and evenly over the image."""
    if len(candidates) <= num_points:
        return candidates
    bounds = np.arange(num_points + 1) * len(candidates) // num_points
    within = np.random.default_rng([seed, stamp_ns]).random(num_points)
    return candidates[bounds[:-1] + (within * np.diff(bounds)).astype(np.int64)]


def _renumbered(ids: np.ndarray, present: np.ndarray) -> np.ndarray:
    """Map the ids in `present` to 0..S-1 and all others to NO_MASK."""
    table = np.full(int(ids.max(initial=NO_MASK)) + 2, NO_MASK, np.int32)
    table[present] = np.arange(len(present), dtype=np.int32)
    return table[ids]  # NO_MASK = -1 reads the table's last entry, which stays NO_MASK
