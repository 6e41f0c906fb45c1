"""Masks without a model: the RGB-D image falls apart at depth steps, inward folds and colour steps.

A segment that spans two objects can never be mended later, many segments of one object can: so where in doubt, split.
"""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.lifting.adjacency import chroma_and_brightness, link_ends, step_and_fold
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
        ids = _without_small(segment_surface(surface, self._config), self._config.min_region_px / surface.factor**2)
        return Masks2D(_ids_of_pixels(ids, surface, frame.depth_m), int(ids.max()) + 1)


def segment_surface(surface: Surface, config: RegionsConfig) -> np.ndarray:
    """Return the segment of each pixel of the surface's grid, (h, w) int32 >= 0, NO_MASK = none; some are tiny.

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
    return ids


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
        geometric[middle] |= known & (step > config.step_sigma)
        folded = _flat_index(known & (fold > _FOLD_IN_NOISE), p, shape[1])
        to_q = row * shape[1] + column
        geometric.ravel()[folded + to_q // 2] |= _cosines(surface, folded, folded + to_q) < cos_concave
        if 0 in (row, column):  # the diagonals only close the outlines of thin things
            chroma2, brightness = chroma_and_brightness(surface, p, q)
            colour2 = chroma2 + brightness * brightness * np.float32(_BRIGHTNESS_WEIGHT**2)
            recoloured = _flat_index(known & (colour2 > config.colour_step**2), p, shape[1])
            coloured.ravel()[recoloured + to_q // 2] |= _cosines(surface, recoloured, recoloured + to_q) > cos_flat
    return _long_lines(geometric) | _long_lines(coloured)


def _flat_index(links: np.ndarray, p: tuple[slice, slice], width: int) -> np.ndarray:
    """Return the flat indices, in an image of that width, of the pixels p from which the links that are set start."""
    at = np.flatnonzero(links)
    row = at // max(links.shape[1], 1)
    return at + row * (width - links.shape[1]) + (p[0].start * width + p[1].start)


def _cosines(surface: Surface, p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Return the cosines between the normals at flat indices: only few links need them."""
    normals = surface.normals.reshape(3, -1)
    return np.einsum("kn,kn->n", normals.take(p, axis=1), normals.take(q, axis=1))


def _long_lines(edges: np.ndarray) -> np.ndarray:
    labels, is_long = _connected_parts(edges, 8, _LEAST_LINE_PX)
    return is_long.take(labels)


def _with_new_cores(ids: np.ndarray, cores: np.ndarray) -> np.ndarray:
    """Give each connected part of `cores` that is large enough the next id."""
    labels, is_large = _connected_parts(cores, 4, _LEAST_CORE_PX)
    new_id = np.where(is_large, ids.max(initial=NO_MASK) + np.cumsum(is_large), NO_MASK).astype(np.int32)
    return np.maximum(ids, new_id.take(labels))


def _connected_parts(pixels: np.ndarray, connectivity: int, least_px: int) -> tuple[np.ndarray, np.ndarray]:
    """Return labels (h, w) int32, 0 = none, and for each label whether it has at least `least_px` pixels."""
    _, labels = cv2.connectedComponents(pixels.view(np.uint8), connectivity=connectivity, ltype=cv2.CV_32S)
    is_large = np.bincount(labels.ravel()) >= least_px  # half the time of connectedComponentsWithStats
    is_large[0] = False
    return labels, is_large


def _grown(ids: np.ndarray, surface: Surface, allowed: np.ndarray, reach_px: float) -> np.ndarray:
    """Give allowed pixels the id of the nearest pixel that has one, if it is in reach and they lie on its plane."""
    if not (ids >= 0).any():
        return ids
    pixel, seed = _nearest_with_id(ids, allowed, reach_px)
    row, seed_row = pixel // ids.shape[1], seed // ids.shape[1]  # a remainder by np.divmod takes ten times as long
    below = row - seed_row
    right = pixel - seed - below * ids.shape[1]
    along_columns, along_rows = (slope.take(seed) for slope in surface.gradient)
    expected = surface.inverse_depth.take(seed) + along_columns * right + along_rows * below
    noise = np.maximum(surface.noise.take(pixel), surface.noise.take(seed))
    joins = np.abs(expected - surface.inverse_depth.take(pixel)) < _SAME_PLANE * noise
    grown = ids.copy()
    grown.ravel()[pixel[joins]] = ids.take(seed[joins])
    return grown


def _nearest_with_id(ids: np.ndarray, allowed: np.ndarray, reach_px: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the allowed pixels without an id but with one in reach, and the nearest that have one; flat indices."""
    empty = (ids == NO_MASK).view(np.uint8)
    distance_px, label = cv2.distanceTransformWithLabels(empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    border = np.flatnonzero(cv2.dilate(empty, _NEIGHBOURS) > empty)  # those with an id that may be the nearest
    index_of_label = np.zeros(ids.size + 1, np.int32)
    index_of_label[label.take(border)] = border
    pixel = np.flatnonzero((distance_px > 0) & (distance_px <= reach_px) & allowed).astype(np.int32)
    return pixel, index_of_label.take(label.take(pixel))


def _without_small(ids: np.ndarray, least_px: float) -> np.ndarray:
    """Number the ids that have enough pixels from 0 on, in their order; the others become NO_MASK."""
    size_px = np.bincount(ids.ravel() + 1, minlength=1)
    kept = size_px >= least_px
    kept[0] = False  # NO_MASK
    return np.where(kept, np.cumsum(kept) - 1, NO_MASK).astype(np.int32).take(ids + 1)


def _ids_of_pixels(grid_ids: np.ndarray, surface: Surface, depth_m: np.ndarray) -> np.ndarray:
    """Return the ids (H, W) at the frame's resolution; depth that lies off its segment next to a border has none.

    Such pixels lie on the other side of the border, or between two surfaces, where sensors invent depth.
    """
    factor, (height, width), (rows, columns) = surface.factor, depth_m.shape, grid_ids.shape
    cut_off = 0, rows * factor - height, 0, columns * factor - width  # of the last row and column of cells
    depth_m = cv2.copyMakeBorder(depth_m, *cut_off, cv2.BORDER_CONSTANT, value=0)
    comparable = grid_ids.astype(np.float32)
    cell = np.flatnonzero(cv2.dilate(comparable, _NEIGHBOURS) != cv2.erode(comparable, _NEIGHBOURS))
    first_pixel = (cell // columns * (factor - 1) * columns + cell) * factor
    inverse_depth, along_columns, along_rows, noise = (
        values.take(cell) for values in (surface.inverse_depth, *surface.gradient, _SAME_PLANE * surface.noise)
    )
    ids = np.repeat(np.repeat(grid_ids, factor, axis=1), factor, axis=0)
    for row, column in np.ndindex(factor, factor):  # one pixel of each cell
        pixel = first_pixel + row * columns * factor + column
        below, right = (np.float32((place - (factor - 1) / 2) / factor) for place in (row, column))
        expected = inverse_depth + along_columns * right + along_rows * below
        pixel_m = depth_m.take(pixel)
        off_plane = (np.abs(expected * pixel_m - 1) > noise * pixel_m) & (pixel_m > 0)
        ids.ravel()[pixel[off_plane]] = NO_MASK
    return np.ascontiguousarray(ids[:height, :width])
