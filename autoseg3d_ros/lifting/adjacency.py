"""What the surface does between neighbouring pixels, and across the common borders of fragments."""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.lifting.surface import Surface
from autoseg3d_ros.structures import NO_MASK, BorderCues, BorderEvidence, Superpoints

_REACH_PX = 3  # pixels are compared this far apart: the place of a border is uncertain by a pixel
_SURE_STEP = 6.0  # deviations of the noise
_LEAST_FOLD = 0.5  # deviations of the noise; less does not tell concave from convex
_SURE_FOLD_DEG = 45.0  # an inward fold this sharp is the contact of two objects
_SURE_CHROMA = 20.0  # CIE Lab difference that shading cannot explain
_SHADING, _SURE_BRIGHTNESS = 10.0, 40.0  # lightness difference on a flat surface: perhaps a shadow, surely a colour
_BRIGHTNESS_WEIGHT = 0.5
_FLAT_DEG = 20.0
_LONG = 5.0  # the logarithm of the length of a long border, pixels
_SQUARE_DEG = 90.0

Index = tuple[slice, slice] | tuple[np.ndarray, np.ndarray]


def link_ends(shape: tuple[int, ...], row: int, column: int) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return the slices of all pixels p and q = p + (row, column) of an (h, w) image, row >= 0."""
    height, width = shape
    left, right = max(-column, 0), max(column, 0)
    p = slice(0, max(height - row, 0)), slice(left, max(width - right, left))
    q = slice(min(row, height), height), slice(right, max(width - left, right))
    return p, q


def step_and_fold(surface: Surface, p: Index, q: Index, row: int, column: int) -> tuple[np.ndarray, np.ndarray]:
    """Compare the planes of the pixels at p and at q, `row` below and `column` right of them; both known.

    If each pixel lies in front of the other's plane, the surface folds inwards (concave); if each lies behind,
    outwards (convex); one in front and one behind is a depth step.

    Returns:
        step: float32 >= 0, size of a depth step in standard deviations of the noise, 0 at a fold.
        fold: float32, change of slope in standard deviations of the noise, > 0 concave.
    """
    slope = cv2.addWeighted(surface.gradient[0], column, surface.gradient[1], row, 0)  # change of p's plane up to q
    beyond_p = surface.inverse_depth[q] - surface.inverse_depth[p]
    beyond_q = beyond_p - slope[q]  # how far p lies behind the plane of q
    beyond_p -= slope[p]  # how far q lies in front of the plane of p
    precision = np.maximum(surface.precision[p], surface.precision[q])
    fold = beyond_p - beyond_q
    fold *= precision
    step = np.maximum(beyond_p, beyond_q)  # a step only where both have the same sign; the lesser one is its size
    np.negative(step, out=step)
    np.maximum(step, np.minimum(beyond_p, beyond_q, out=beyond_p), out=step)
    np.maximum(step, 0, out=step)
    step *= precision
    return step, fold


def cos_angle(surface: Surface, p: Index, q: Index) -> np.ndarray:
    """Return the cosine between the normals at p and at q."""
    x, y, z = surface.normals
    cosine = x[p] * x[q]
    cosine += y[p] * y[q]
    cosine += z[p] * z[q]
    return cosine


def chroma_and_brightness(surface: Surface, p: Index, q: Index) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared colour difference that shading cannot explain, and the difference that it can; CIE Lab."""
    brightness = surface.brightness[p] - surface.brightness[q]
    chroma2 = -np.square(brightness)
    for channel in surface.colour:
        difference = channel[p] - channel[q]
        chroma2 += np.multiply(difference, difference, out=difference)
    return np.maximum(chroma2, 0, out=chroma2), np.abs(brightness, out=brightness)


def ids_on_grid(id_image: np.ndarray, surface: Surface) -> np.ndarray:
    """Return an (H, W) int32 id image of the frame on the (h, w) grid of its surface; any id wins over NO_MASK."""
    factor = surface.factor
    height, width = id_image.shape
    padding = (0, -height % factor, 0, -width % factor)
    padded = cv2.copyMakeBorder(id_image, *padding, cv2.BORDER_CONSTANT, value=NO_MASK)
    return np.maximum.reduce([padded[r::factor, c::factor] for r in range(factor) for c in range(factor)])


def border_evidence(grid_ids: np.ndarray, num_ids: int, surface: Surface) -> BorderEvidence:
    """Compare the two sides of every border between ids of an (h, w) int32 image on the grid of `surface`.

    Two fragments have a border where pixels of theirs lie `_REACH_PX` apart along a row or a column: a narrower gap
    is bridged. Pixels without a known surface do not count.
    """
    directions = ((0, _REACH_PX), (_REACH_PX, 0))
    parts = [_across_borders(grid_ids, num_ids, surface, row, column) for row, column in directions]
    key, values = (np.concatenate(arrays, axis=-1) for arrays in zip(*parts, strict=True))
    borders, border = np.unique(key, return_inverse=True)
    num_links = np.bincount(border, minlength=len(borders))
    step, concave, colour, angle_deg = (
        (np.bincount(border, weights=value, minlength=len(borders)) / num_links).astype(np.float32) for value in values
    )
    of_id = (grid_ids >= 0) & surface.known
    area_m2 = np.bincount(grid_ids[of_id], weights=surface.area_m2[of_id], minlength=num_ids)
    return BorderEvidence(
        pairs=np.stack(np.divmod(borders, max(num_ids, 1)), axis=-1).astype(np.int32),
        length_px=(num_links / _REACH_PX).astype(np.float32),
        step=step,
        concave=concave,
        colour=colour,
        angle_deg=angle_deg,
        area_m2=area_m2.astype(np.float32),
    )


def superpoint_borders(superpoints: Superpoints, surface: Surface) -> BorderEvidence:
    """Return what the surface of their frame does across the borders between superpoints."""
    return border_evidence(ids_on_grid(superpoints.id_image, surface), superpoints.num_superpoints, surface)


def border_cues(evidence: BorderEvidence) -> BorderCues:
    """Return the same as a network takes it."""
    length_px, num = evidence.length_px, len(evidence.area_m2)
    both, twice_px = evidence.pairs.T.ravel(), np.tile(length_px, 2)
    whole_px = np.bincount(both, weights=twice_px, minlength=num)  # (S,)
    values = (
        np.ones_like(length_px),
        np.log1p(length_px) / _LONG,
        length_px / np.minimum(*whole_px[evidence.pairs.T]),
        evidence.step,
        evidence.concave,
        evidence.colour,
        evidence.angle_deg / _SQUARE_DEG,
    )
    return BorderCues(evidence.pairs, np.stack(values, axis=1).astype(np.float32))


def _across_borders(
    grid_ids: np.ndarray, num_ids: int, surface: Surface, row: int, column: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return for each link between two ids the key of the pair, and (4, L) its step, concave fold, colour and angle."""
    all_p, all_q = link_ends(grid_ids.shape, row, column)
    known = surface.known & (grid_ids >= 0)
    rows, columns = np.nonzero(known[all_p] & known[all_q] & (grid_ids[all_p] != grid_ids[all_q]))
    p, q = (rows, columns), (rows + row, columns + column)
    ids = np.sort([grid_ids[p], grid_ids[q]], axis=0).astype(np.int64)
    steps, folds = step_and_fold(surface, p, q, row, column)
    chroma2, brightness = chroma_and_brightness(surface, p, q)
    angle_deg = np.degrees(np.arccos(np.clip(cos_angle(surface, p, q), -1, 1)))
    step = np.minimum(steps / _SURE_STEP, 1)
    concave = np.minimum(angle_deg / _SURE_FOLD_DEG, 1) * (folds > _LEAST_FOLD) * (1 - step)
    beyond_shading = np.clip((brightness - _SHADING) / (_SURE_BRIGHTNESS - _SHADING), 0, 1) * (angle_deg < _FLAT_DEG)
    colour = np.minimum(np.sqrt(chroma2) / _SURE_CHROMA + _BRIGHTNESS_WEIGHT * beyond_shading, 1)
    signed_deg = np.where(folds > 0, -angle_deg, angle_deg)
    return ids[0] * num_ids + ids[1], np.stack([step, concave, colour, signed_deg])
