"""Pictures of a run for the eye: frames with their instances painted over, and the map seen from above."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.structures import Frame

_TILE_WIDTH_PX = 480
_GAP_PX = 6
_CAPTION_PX = 24
PAPER, INK = (250, 250, 250), (30, 30, 30)
_MIN_LABEL_RADIUS_PX = 5.0  # a smaller spot has no room for its number
_OPACITY = 0.55


@dataclass(frozen=True)
class Tile:
    """One picture of a contact sheet."""

    rgb: np.ndarray  # (H, W, 3) uint8
    caption: str


def overlay(rgb: np.ndarray, label_image: np.ndarray, width_px: int = _TILE_WIDTH_PX) -> np.ndarray:
    """Paint instances over an image: colour by id, outlines, and the id where the segment is widest.

    `rgb` is (H, W, 3) uint8, `label_image` (H, W) int32 with 0 = none; returns (h, `width_px`, 3) uint8 of their shape.
    """
    size = (width_px, round(rgb.shape[0] * width_px / rgb.shape[1]))
    shrinks = width_px < rgb.shape[1]
    rgb = cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    labels = cv2.resize(label_image.astype(np.int32), size, interpolation=cv2.INTER_NEAREST)
    colour_of_id = id_colours(np.arange(labels.max(initial=0) + 1))  # a table: ids are few, pixels are many
    tinted = cv2.addWeighted(rgb, 1.0 - _OPACITY, colour_of_id[labels], _OPACITY, 0.0)
    painted = np.where((labels > 0)[..., None], tinted, rgb)
    painted[outlines(labels)] = (255, 255, 255)
    return with_ids(painted, labels)


def frame_tile(frame: Frame, label_image: np.ndarray, start_ns: int) -> Tile:
    """Return the overlay of one frame; `start_ns` is the stamp that its caption counts seconds from."""
    num_instances = len(np.unique(label_image[label_image > 0]))
    seconds = (frame.stamp_ns - start_ns) / 1e9
    return Tile(overlay(frame.rgb, label_image), f"{frame.name}   {seconds:.2f} s   {num_instances} instances")


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
    """Return `rgb` with each id above 0 of `labels` (H, W) written where its segment is widest."""
    canvas = Image.fromarray(rgb)
    draw = ImageDraw.Draw(canvas)
    ids, compact = np.unique(labels, return_inverse=True)
    compact = compact.reshape(labels.shape)
    # find_objects counts from 1 and leaves 0 out, so the compact numbers are moved up by one.
    for index, box in enumerate(ndimage.find_objects(compact + 1)):
        if ids[index] <= 0 or box is None:
            continue
        room = cv2.distanceTransform(np.pad(compact[box] == index, 1).astype(np.uint8), cv2.DIST_L2, 3)
        row, column = np.unravel_index(room.argmax(), room.shape)
        if room[row, column] >= _MIN_LABEL_RADIUS_PX:
            centre = (box[1].start + int(column) - 1, box[0].start + int(row) - 1)
            _text(draw, centre, str(ids[index]), size_px)
    return np.asarray(canvas)


def _text(draw: ImageDraw.ImageDraw, centre: tuple[int, int], text: str, size_px: int) -> None:
    draw.text(
        centre, text, fill=(255, 255, 255), font=font(size_px), anchor="mm", stroke_width=2, stroke_fill=(0, 0, 0)
    )


def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return the font of all pictures."""
    return ImageFont.load_default(size_px)
