"""Pictures of a run for the eye: frames with their instances painted over, and the map seen from above."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from autoseg3d_ros.colours import id_colours

_TILE_WIDTH_PX = 480
_GAP_PX = 6
_CAPTION_PX = 24
PAPER, INK = (250, 250, 250), (30, 30, 30)
_MIN_LABEL_RADIUS_PX = 5.0  # a smaller spot has no room for its number
_HOLE_PX = 3.0
_OPACITY = 0.55


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet."""

    rgb: np.ndarray  # (H, W, 3) uint8
    caption: str


def overlay(rgb: np.ndarray, label_image: np.ndarray, width_px: int = _TILE_WIDTH_PX) -> np.ndarray:
    """Paint instances over an image: colour by id, outlines, and the id where the segment is widest.

    Holes a few pixels wide are painted over: the depth of some cameras is full of them.
    `rgb` is (H, W, 3) uint8, `label_image` (H, W) int32 with 0 = none; returns (h, `width_px`, 3) uint8 of their shape.
    """
    size = (width_px, round(rgb.shape[0] * width_px / rgb.shape[1]))
    shrinks = width_px < rgb.shape[1]
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    labels = _without_holes(cv2.resize(label_image.astype(np.int32), size, interpolation=cv2.INTER_NEAREST))
    tinted = cv2.addWeighted(rgb, 1.0 - _OPACITY, _colours(labels), _OPACITY, 0.0)
    painted = cv2.copyTo(tinted, (labels > 0).astype(np.uint8), rgb.copy())
    painted = cv2.copyTo(np.full_like(painted, 255), outlines(labels).astype(np.uint8), painted)
    return with_ids(painted, labels)


def _colours(labels: np.ndarray) -> np.ndarray:
    """Return (H, W, 3) uint8 colours of (H, W) int32 ids, by a table with one number a colour: gathered at once."""
    ids = np.flatnonzero(np.bincount(labels.ravel()))
    table = np.zeros((ids.max(initial=0) + 1, 4), np.uint8)
    table[ids, :3] = id_colours(ids)
    return np.take(table.view(np.uint32)[:, 0], labels).view(np.uint8).reshape(*labels.shape, 4)[..., :3]


def contact_sheet(tiles: Sequence[Tile], columns: int = 4) -> np.ndarray:
    """Lay tiles of one size out in rows, each over its caption; returns (H, W, 3) uint8, blank without tiles."""
    if not tiles:
        return np.full((_CAPTION_PX, _TILE_WIDTH_PX, 3), PAPER, np.uint8)
    height, width = tiles[0].rgb.shape[:2]
    columns = min(columns, len(tiles))
    rows = math.ceil(len(tiles) / columns)
    cell = (width + _GAP_PX, height + _CAPTION_PX)
    sheet = Image.new("RGB", (cell[0] * columns + _GAP_PX, cell[1] * rows + _GAP_PX), PAPER)
    draw = ImageDraw.Draw(sheet)
    for index, tile in enumerate(tiles):
        left, top = index % columns * cell[0] + _GAP_PX, index // columns * cell[1] + _GAP_PX
        sheet.paste(Image.fromarray(tile.rgb), (left, top))
        draw.text((left + 2, top + height + 2), tile.caption, fill=INK, font=font(14))
    return np.asarray(sheet)


def spread(count: int, num_wanted: int = 12) -> list[int]:
    """Return at most `num_wanted` indices spread evenly over `range(count)`, first and last included."""
    if count <= 0:
        return []
    return sorted({round(index) for index in np.linspace(0, count - 1, min(num_wanted, count))})


def outlines(labels: np.ndarray) -> np.ndarray:
    """Return (H, W) bool: pixels whose right or lower neighbour has another label."""
    edge = np.zeros(labels.shape, bool)
    edge[:, :-1] |= labels[:, :-1] != labels[:, 1:]
    edge[:-1] |= labels[:-1] != labels[1:]
    return edge


def with_ids(rgb: np.ndarray, labels: np.ndarray, size_px: int = 15) -> np.ndarray:
    """Return `rgb` with each id above 0 of `labels` (H, W) written where its segment is widest.

    Numbers do not cover each other: the roomier segment has precedence, and the other goes without.
    """
    canvas = Image.fromarray(rgb)
    draw = ImageDraw.Draw(canvas)
    taken = np.zeros(labels.shape, bool)
    for _room, number, centre in sorted(_places(labels), reverse=True):
        left, top, right, bottom = map(int, draw.textbbox(centre, str(number), font=font(size_px), anchor="mm"))
        space = np.s_[max(top, 0) : bottom + 1, max(left, 0) : right + 1]
        if not taken[space].any():
            taken[space] = True
            draw.text(centre, str(number), "white", font(size_px), anchor="mm", stroke_width=2, stroke_fill="black")
    return np.asarray(canvas)


def _places(labels: np.ndarray) -> Iterator[tuple[float, int, tuple[int, int]]]:
    """Yield (radius of the widest place in pixels, id, (column, row) of its centre) of every instance with room."""
    # Below 0 find_objects finds nothing; it lists all numbers up to the largest.
    for number, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        room = cv2.distanceTransform(np.pad(labels[box] == number, 1).astype(np.uint8), cv2.DIST_L2, 3)
        row, column = np.unravel_index(room.argmax(), room.shape)
        if room[row, column] >= _MIN_LABEL_RADIUS_PX:
            yield (
                float(room[row, column]),
                number,
                (box[1].start + int(column) - 1, box[0].start + int(row) - 1),
            )


def _without_holes(labels: np.ndarray) -> np.ndarray:
    """Return `labels` (H, W) int32 with unlabelled holes up to twice _HOLE_PX wide closed by the nearest label."""
    is_empty = (labels == 0).astype(np.uint8)
    if is_empty.all():
        return labels
    to_label, nearest = cv2.distanceTransformWithLabels(is_empty, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    label_of_index = np.zeros(nearest.max() + 1, labels.dtype)
    label_of_index[nearest[is_empty == 0]] = labels[is_empty == 0]
    # What is wider than a hole stays empty up to its rim: a morphological closing.
    to_wide_gap = cv2.distanceTransform((to_label <= _HOLE_PX).astype(np.uint8), cv2.DIST_L2, 5)
    return np.where(to_wide_gap > _HOLE_PX, label_of_index[nearest], labels)


@lru_cache
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all pictures."""
    return ImageFont.load_default(size_px)
