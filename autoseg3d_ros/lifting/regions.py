"""Masks without a model: the RGB-D image falls apart at depth steps, inward folds and colour steps.

A segment that spans two objects can never be mended later, many segments of one object can: so where in doubt, split.
"""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.lifting.adjacency import chroma_and_brightness, cos_angle, link_ends, step_and_fold
from autoseg3d_ros.lifting.masks import compact_masks
from autoseg3d_ros.lifting.surface import Surface, SurfaceEstimator
from autoseg3d_ros.mask_config import RegionsConfig
from autoseg3d_ros.structures import NO_MASK, Frame, Masks2D

_SPAN_PX = 2  # an edge pixel lies between the two pixels that are compared
_DIRECTIONS = ((0, _SPAN_PX), (_SPAN_PX, 0), (_SPAN_PX, _SPAN_PX), (_SPAN_PX, -_SPAN_PX))  # (row, column)
_FOLD_IN_NOISE = 1.5
_FLAT_DEG = 20.0  # colour counts on smooth surfaces only: at folds shading changes it
_BRIGHTNESS_WEIGHT = 0.5  # shadows change brightness, not chroma
_LEAST_LINE_PX = 10  # shorter edges are noise
_WIDE_CORE_PX, _NARROW_CORE_PX = 5.0, 0.5  # radii; gaps in an edge narrower than twice that do not let a region leak
_LEAST_CORE_PX = 12
_REST_REACH_PX = 3.0  # edge pixels go to a region this near
_SAME_PLANE = 4.0  # deviations of the noise
_NEIGHBOURS = np.ones((3, 3), np.uint8)


class RegionMasks:
    """The weight-free mask source: each mask is one smooth surface of about one colour."""

    name = "regions"

    def __init__(self, config: RegionsConfig, surfaces: SurfaceEstimator | None = None) -> None:
        """Take the estimator of surfaces from whoever shares it, or make one."""
        self._config = config
        self._surfaces = surfaces or SurfaceEstimator(config.working_width_px, config.noise_scale)

    def masks(self, frame: Frame) -> Masks2D:
        """Return the regions of one frame; none where no depth is valid."""
        surface = self._surfaces.of(frame)
        regions = compact_masks(segment_surface(surface, self._config))
        return Masks2D(_ids_of_pixels(regions.ids, surface, frame.depth_m), regions.num_masks)


def segment_surface(surface: Surface, config: RegionsConfig) -> np.ndarray:
    """Return the segment of each pixel of the surface's grid, (h, w) int32 >= 0, NO_MASK = none.

    Pixels far from edges are the cores of segments, the wide ones first, so that a gap in an edge does not join what
    it parts. Edge pixels go to the segment whose plane they lie on. What is left over are thin and small things, which
    consist of edges: each connected part is a segment.
    """
    free = surface.known & ~_edges(surface, config)
    distance_px = cv2.distanceTransform(free.view(np.uint8), cv2.DIST_L2, 3)
    ids = np.full(free.shape, NO_MASK, np.int32)
    ids = _with_new_cores(ids, distance_px > _WIDE_CORE_PX)
    ids = _grown(ids, surface, free, 1.5 * _WIDE_CORE_PX)
    ids = _with_new_cores(ids, (distance_px > _NARROW_CORE_PX) & (ids == NO_MASK))
    ids = _grown(ids, surface, surface.known, _REST_REACH_PX)
    ids = _with_new_cores(ids, (ids == NO_MASK) & surface.known)
    ids = _grown(ids, surface, surface.known, _REST_REACH_PX)
    return _without_small(ids, config.min_region_px / surface.factor**2)


def _edges(surface: Surface, config: RegionsConfig) -> np.ndarray:
    """Pixels (h, w) bool at a depth step, in an inward fold or, on a flat surface, at a colour step."""
    shape = surface.known.shape
    geometric, coloured = np.zeros((2, *shape), bool)
    cos_concave, cos_flat = np.cos(np.radians([config.concave_deg, _FLAT_DEG]))
    for row, column in _DIRECTIONS:
        p, q = link_ends(shape, row, column)
        middle = tuple(slice((a.start + b.start) // 2, (a.stop + b.stop) // 2) for a, b in zip(p, q, strict=True))
        known = surface.known[p] & surface.known[q]
        step, fold = step_and_fold(surface, p, q, row, column)
        cosine = cos_angle(surface, p, q)
        geometric[middle] |= known & ((step > config.step_sigma) | ((fold > _FOLD_IN_NOISE) & (cosine < cos_concave)))
        if 0 in (row, column):  # the diagonals only close the outlines of thin things
            chroma2, brightness = chroma_and_brightness(surface, p, q)
            colour2 = chroma2 + brightness * brightness * np.float32(_BRIGHTNESS_WEIGHT**2)
            coloured[middle] |= known & (colour2 > config.colour_step**2) & (cosine > cos_flat)
    return _long_lines(geometric) | _long_lines(coloured)


def _long_lines(edges: np.ndarray) -> np.ndarray:
    _, labels, stats, _ = cv2.connectedComponentsWithStats(edges.view(np.uint8), connectivity=8)
    is_long = stats[:, cv2.CC_STAT_AREA] >= _LEAST_LINE_PX
    is_long[0] = False  # the background
    return is_long[labels]


def _with_new_cores(ids: np.ndarray, cores: np.ndarray) -> np.ndarray:
    """Give each connected part of `cores` that is large enough the next id."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(cores.view(np.uint8), connectivity=4, ltype=cv2.CV_32S)
    is_large = stats[:, cv2.CC_STAT_AREA] >= _LEAST_CORE_PX
    is_large[0] = False  # the background
    new_id = np.where(is_large, ids.max(initial=NO_MASK) + np.cumsum(is_large), NO_MASK).astype(np.int32)
    return np.maximum(ids, new_id[labels])


def _grown(ids: np.ndarray, surface: Surface, allowed: np.ndarray, reach_px: float) -> np.ndarray:
    """Give allowed pixels the id of the nearest pixel that has one, if it is in reach and they lie on its plane."""
    if not (ids >= 0).any():
        return ids
    distance_px, nearest = _nearest_with_id(ids)
    pixel = np.flatnonzero(allowed & (ids == NO_MASK) & (distance_px <= reach_px))
    seed = nearest.take(pixel)
    row, column = np.divmod(pixel, ids.shape[1])
    seed_row, seed_column = np.divmod(seed, ids.shape[1])
    below, right = row - seed_row, column - seed_column
    along_columns, along_rows = surface.gradient
    expected = surface.inverse_depth.take(seed) + along_columns.take(seed) * right + along_rows.take(seed) * below
    noise = np.maximum(surface.noise.take(pixel), surface.noise.take(seed))
    joins = np.abs(expected - surface.inverse_depth.take(pixel)) < _SAME_PLANE * noise
    grown = ids.copy()
    grown.ravel()[pixel[joins]] = ids.take(seed[joins])
    return grown


def _nearest_with_id(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return each pixel's distance to the nearest one that has an id, and the flat index of that; both (h, w)."""
    empty = (ids == NO_MASK).view(np.uint8)
    distance_px, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    with_id = np.flatnonzero(ids >= 0)
    index_of_label = np.zeros(len(with_id) + 1, np.int32)
    index_of_label[label.take(with_id)] = with_id
    return distance_px, index_of_label[label]


def _without_small(ids: np.ndarray, least_px: float) -> np.ndarray:
    size_px = np.bincount(ids.ravel() + 1, minlength=1)
    return np.where((size_px >= least_px)[ids + 1], ids, NO_MASK)


def _ids_of_pixels(grid_ids: np.ndarray, surface: Surface, depth_m: np.ndarray) -> np.ndarray:
    """Return the ids (H, W) at the frame's resolution; depth that lies off its segment next to a border has none.

    Such pixels lie on the other side of the border, or between two surfaces, where sensors invent depth.
    """
    factor, (height, width) = surface.factor, depth_m.shape
    ids = np.repeat(np.repeat(grid_ids, factor, axis=0), factor, axis=1)
    comparable = grid_ids.astype(np.float32)
    at_border = cv2.dilate(comparable, _NEIGHBOURS) != cv2.erode(comparable, _NEIGHBOURS)
    along_columns, along_rows = surface.gradient
    for row, column in np.ndindex(factor, factor):
        part_m = depth_m[row::factor, column::factor]  # one pixel of each cell of the grid
        cells = np.s_[: part_m.shape[0], : part_m.shape[1]]  # a row or a column of cells may be cut off
        below, right = (np.float32((place - (factor - 1) / 2) / factor) for place in (row, column))
        expected = surface.inverse_depth[cells] + along_columns[cells] * right + along_rows[cells] * below
        off_plane = np.abs(expected * part_m - 1) > _SAME_PLANE * surface.noise[cells] * part_m
        ids[row::factor, column::factor][cells][at_border[cells] & off_plane & (part_m > 0)] = NO_MASK
    return np.ascontiguousarray(ids[:height, :width])
