"""The labelled map as a plan: seen along the world's z axis, x to the right and y up."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import cKDTree

from autoseg3d_ros.colours import id_colours
from autoseg3d_ros.reporting.pictures import INK, PAPER, font, outlines, with_ids

_LONG_SIDE_PX = 1000
_MARGIN_PX = 56
_OUTLIERS_PERCENT = 0.2  # stray points would shrink the rest
_GRID_STEPS_M = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
_MAX_LINES = 12
_CELL_PER_SPACING = 0.5
_SPLAT_CELLS = 5  # a point covers so many cells each way: surfaces have no holes through which others show
_NOTHING = -1
_DARKEST = 0.6
_GRID_RGB = (214, 214, 214)


@dataclass(frozen=True)
class _Plan:
    """Where the plan lies in the world and how large it is drawn."""

    low_m: np.ndarray  # (2,) x and y of the lower left corner
    cell_m: float
    columns: int
    rows: int
    cell_px: int

    def pixel(self, x_m: float, y_m: float) -> tuple[float, float]:
        """Return (column, row) in the picture."""
        column = (x_m - self.low_m[0]) / self.cell_m * self.cell_px
        row = (self.rows - (y_m - self.low_m[1]) / self.cell_m) * self.cell_px
        return _MARGIN_PX + column, _MARGIN_PX + row


def topdown(xyz_m: np.ndarray, ids: np.ndarray, title: str = "") -> np.ndarray:
    """Draw labelled points as a plan with ids, a metre grid and a scale; returns (H, W, 3) uint8.

    `xyz_m` is (M, 3) world metres, `ids` (M,) with 0 = none. Smaller instances are drawn over larger ones, so that
    floor and ceiling do not hide what stands between them; unlabelled points lie beneath all.
    """
    finite = np.isfinite(xyz_m).all(axis=1)
    xyz_m, ids = xyz_m[finite], ids[finite]
    if not len(xyz_m):
        return _blank(f"{title}: the map is empty" if title else "the map is empty")
    plan = _plan(xyz_m)
    labels, brightness = _rasterised(plan, xyz_m, ids)
    picture = np.array(_grid(plan, title))
    inside = picture[_MARGIN_PX:-_MARGIN_PX, _MARGIN_PX:-_MARGIN_PX]
    covered = labels != _NOTHING
    inside[covered] = id_colours(labels[covered]) * brightness[covered, None]
    inside[outlines(np.maximum(labels, 0))] = INK
    return with_ids(picture, np.pad(labels, _MARGIN_PX))


def _blank(text: str) -> np.ndarray:
    canvas = Image.new("RGB", (_LONG_SIDE_PX // 2, 2 * _MARGIN_PX), PAPER)
    ImageDraw.Draw(canvas).text((_MARGIN_PX, _MARGIN_PX), text, fill=INK, font=font(18), anchor="lm")
    return np.asarray(canvas)


def _plan(xyz_m: np.ndarray) -> _Plan:
    xy_m = xyz_m[:, :2]
    low = np.percentile(xy_m, _OUTLIERS_PERCENT, axis=0, method="lower")
    high = np.percentile(xy_m, 100.0 - _OUTLIERS_PERCENT, axis=0, method="higher")
    extent_m = max(float((high - low).max()), 1e-3)
    cell_m = max(extent_m / _LONG_SIDE_PX, _CELL_PER_SPACING * _spacing_m(xyz_m))
    columns, rows = (math.ceil(side / cell_m) + 1 for side in (high - low).tolist())
    return _Plan(low, cell_m, columns, rows, max(1, _LONG_SIDE_PX // max(columns, rows)))


def _spacing_m(xyz_m: np.ndarray) -> float:
    """Median distance between neighbouring points."""
    if len(xyz_m) < 2:
        return 0.0
    sample = xyz_m[:: max(1, len(xyz_m) // 2000)]
    distance, _neighbour = cKDTree(xyz_m).query(sample, k=2)
    return float(np.median(distance[:, 1]))


def _rasterised(plan: _Plan, xyz_m: np.ndarray, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the id that each pixel shows, int32, _NOTHING = no point, and its brightness by height."""
    column, up = np.floor((xyz_m[:, :2] - plan.low_m) / plan.cell_m).astype(np.int64).T
    inside = (column >= 0) & (column < plan.columns) & (up >= 0) & (up < plan.rows)
    column, up, z_m, ids = column[inside], up[inside], xyz_m[inside, 2], ids[inside]
    _id, of_point, count = np.unique(ids, return_inverse=True, return_counts=True)
    # Painter's order: unlabelled, then large before small, then low before high.
    order = np.lexsort((z_m, -count[of_point], ids > 0))
    low, high = np.percentile(z_m, (2.0, 98.0))
    relative = np.clip((z_m - low) / max(high - low, 1e-6), 0.0, 1.0)
    rank = np.full((plan.rows, plan.columns), _NOTHING)
    rank[plan.rows - 1 - up[order], column[order]] = np.arange(len(order))  # the last one wins
    rank = ndimage.maximum_filter(rank, size=_SPLAT_CELLS, mode="constant", cval=_NOTHING)
    painted = rank != _NOTHING
    labels = np.full(rank.shape, _NOTHING, np.int32)
    brightness = np.ones(rank.shape)
    labels[painted] = ids[order][rank[painted]]
    brightness[painted] = _DARKEST + (1.0 - _DARKEST) * relative[order][rank[painted]]
    return _enlarged(labels, plan.cell_px), _enlarged(brightness, plan.cell_px)


def _enlarged(image: np.ndarray, factor: int) -> np.ndarray:
    return image.repeat(factor, axis=0).repeat(factor, axis=1)


def _grid(plan: _Plan, title: str) -> Image.Image:
    """Draw lines at round metres, their coordinates at the lower and left edge, and say how far they are apart."""
    size = (plan.columns * plan.cell_px + 2 * _MARGIN_PX, plan.rows * plan.cell_px + 2 * _MARGIN_PX)
    canvas = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(canvas)
    high_m = plan.low_m + plan.cell_m * np.array([plan.columns, plan.rows])
    step_m = next(
        (step for step in _GRID_STEPS_M if (high_m - plan.low_m).max() / step <= _MAX_LINES), _GRID_STEPS_M[-1]
    )
    left, bottom = plan.pixel(*plan.low_m)
    right, top = plan.pixel(*high_m)
    for x_m in _multiples(step_m, plan.low_m[0], high_m[0]):
        column, _row = plan.pixel(x_m, 0.0)
        draw.line((column, top, column, bottom), fill=_GRID_RGB)
        draw.text((column, bottom + 6), f"{x_m:g}", fill=INK, font=font(13), anchor="mt")
    for y_m in _multiples(step_m, plan.low_m[1], high_m[1]):
        _column, row = plan.pixel(0.0, y_m)
        draw.line((left, row, right, row), fill=_GRID_RGB)
        draw.text((left - 6, row), f"{y_m:g}", fill=INK, font=font(13), anchor="rm")
    draw.rectangle((left, top, right, bottom), outline=INK)
    draw.text((right, bottom + 26), f"x and y in metres, grid {step_m:g} m", fill=INK, font=font(13), anchor="rt")
    draw.text((left, _MARGIN_PX // 2), title, fill=INK, font=font(18), anchor="lm")
    return canvas


def _multiples(step_m: float, low_m: float, high_m: float) -> list[float]:
    return [round(index * step_m, 6) for index in range(math.ceil(low_m / step_m), math.floor(high_m / step_m) + 1)]
