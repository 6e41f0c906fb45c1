"""Where on the floor of a scene something that carries a camera may be."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from scipy.ndimage import label

from autoseg3d_ros.data.synthetic.scene import Scene

CELL_M = 0.05
_SAMPLE_M = 0.02  # between points on a surface; well below a cell, so that no wall has gaps


@dataclass(frozen=True)
class FreeSpace:
    """A grid over the floor; cell [row, column] is the square of `CELL_M` about origin + `CELL_M` (column, row)."""

    origin_m: np.ndarray  # (2,) x, y of the centre of cell [0, 0]
    inside: np.ndarray  # (H, W) bool: within the outline of the room
    clearance_m: np.ndarray  # (H, W) float32: from the centre to what is in the way, at the height of the carrier
    free: np.ndarray  # (H, W) bool: the carrier may be here, and gets here from the room's walk area

    def cell_of(self, places_m: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the rows and columns (N,) of places (N, 2) x, y, the nearest on the grid for those beside it."""
        column, row = np.rint((places_m - self.origin_m) / CELL_M).astype(np.int64).T
        return np.clip(row, 0, self.free.shape[0] - 1), np.clip(column, 0, self.free.shape[1] - 1)

    def clearance_at(self, places_m: np.ndarray) -> np.ndarray:
        """Return the clearance (N,) in metres at places (N, 2), between the cells' centres as well."""
        column, row = ((places_m - self.origin_m) / CELL_M).astype(np.float32).T
        return cv2.remap(self.clearance_m, column[None], row[None], cv2.INTER_LINEAR)[0]

    def sees(self, place_m: np.ndarray, targets_m: np.ndarray) -> np.ndarray:
        """Return (N,) bool: no wall of the outline is between a place (2,) and the targets (N, 2)."""
        share = np.linspace(0.0, 0.9, 25)[:, None, None]  # a target may hang on a wall
        between = place_m + share * (targets_m - place_m)  # (25, N, 2)
        return self.inside[self.cell_of(between.reshape(-1, 2))].reshape(between.shape[:2]).all(axis=0)


def free_space(scene: Scene, radius_m: float, heights_m: tuple[float, float]) -> FreeSpace:
    """Return where a carrier of a radius may be that reaches from one height above the floor to another.

    Raises ValueError where the room has no such place.
    """
    outline = np.asarray(scene.outline_m)
    origin = outline.min(axis=0) - 2 * CELL_M
    columns, rows = np.ceil((outline.max(axis=0) - origin) / CELL_M).astype(int) + 3
    inside = np.zeros((rows, columns), np.uint8)
    cv2.fillPoly(inside, [np.rint((outline - origin) / CELL_M).astype(np.int32)], 1)
    column, row = np.rint((_surface_m(scene, *heights_m) - origin) / CELL_M).astype(int).T
    on_grid = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    passable = inside.copy()
    passable[row[on_grid], column[on_grid]] = 0
    # What is in the way is somewhere in its cell: at worst half a cell nearer than the cell's centre.
    clearance = CELL_M * cv2.distanceTransform(passable, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) - CELL_M / 2
    free = _reached(clearance >= radius_m, scene, origin)
    if not free.any():
        raise ValueError(
            f"the scene has no free floor for a carrier of {radius_m} m radius; expected some in and about its walk "
            f"area {scene.walk_area_m}; leave more room between the furniture"
        )
    return FreeSpace(origin, inside > 0, clearance, free)


def _reached(free: np.ndarray, scene: Scene, origin_m: np.ndarray) -> np.ndarray:
    """Keep the piece of the free cells that has most of the walk area: the others are inside or behind furniture."""
    pieces, count = label(free)
    corners_m = np.array(scene.walk_area_m).reshape(2, 2)
    (left, low), (right, high) = np.maximum(np.rint((corners_m - origin_m) / CELL_M).astype(int), 0)
    in_area = np.bincount(pieces[low : high + 1, left : right + 1].ravel(), minlength=count + 1)
    in_area[0] = 0
    return (pieces == in_area.argmax()) & (in_area.max() > 0)


def _surface_m(scene: Scene, low_m: float, high_m: float) -> np.ndarray:
    """Return points (N, 2) x, y, thickly strewn over all surfaces between two heights."""
    meshes = [part.mesh.moved(solid.world_from_object) for solid in scene.solids for part in solid.model.parts]
    corners = np.concatenate([mesh.corners_m for mesh in meshes])
    height = corners[..., 2]
    corners = corners[(height.max(axis=1) > low_m) & (height.min(axis=1) < high_m)]
    a, b, c = corners.transpose(1, 0, 2)
    area = np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2
    triangle = np.repeat(np.arange(len(corners)), np.ceil(area / _SAMPLE_M**2).astype(int) + 1)
    u, v = np.random.default_rng(0).random((2, len(triangle), 1))
    u, v = np.where(u + v > 1, 1 - u, u), np.where(u + v > 1, 1 - v, v)
    points = a[triangle] + u * (b - a)[triangle] + v * (c - a)[triangle]
    return points[(points[:, 2] > low_m) & (points[:, 2] < high_m), :2]
