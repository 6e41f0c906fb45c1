"""Points, boxes and voxel keys as pure functions of arrays. Transforms are named `target_from_source`."""

from __future__ import annotations

import cv2
import numpy as np

from autoseg3d_ros.structures import CameraIntrinsics, OrientedBox

_KEY_BITS = 21  # per axis: ±2^20 voxels, that is ±20 km at 2 cm
_KEY_OFFSET = 1 << (_KEY_BITS - 1)


def backproject(pixel: np.ndarray, depth_m: np.ndarray, camera: CameraIntrinsics) -> np.ndarray:
    """Return the camera-frame points (N, 3) float32, metres, of pixels (N,) row * W + column with depths (N,)."""
    row, column = np.divmod(pixel, camera.width)
    points = np.empty((len(pixel), 3), np.float32)
    points[:, 0] = (column - camera.cx) / camera.fx * depth_m
    points[:, 1] = (row - camera.cy) / camera.fy * depth_m
    points[:, 2] = depth_m
    return points


def transform_points(target_from_source: np.ndarray, points_m: np.ndarray) -> np.ndarray:
    """Return (..., 3) points of the same dtype, moved by a (4, 4) rigid transform."""
    rotation = target_from_source[:3, :3].astype(points_m.dtype)
    return points_m @ rotation.T + target_from_source[:3, 3].astype(points_m.dtype)


def voxel_keys(xyz_m: np.ndarray, voxel_m: float) -> np.ndarray:
    """Return one int64 key for the voxel of each of (N, 3) points: floor(xyz / voxel) per axis (`method.md` §1.4)."""
    cell = np.floor(xyz_m.astype(np.float64) / voxel_m).astype(np.int64)
    return pack_cells(cell)


def pack_cells(cell: np.ndarray) -> np.ndarray:
    """Return the int64 key of each (N, 3) int64 voxel cell; cells beyond ±2^20 are clamped to the rim."""
    cell = np.clip(cell + _KEY_OFFSET, 0, (1 << _KEY_BITS) - 1)
    return (cell[..., 0] << (2 * _KEY_BITS)) | (cell[..., 1] << _KEY_BITS) | cell[..., 2]


def box_iou(boxes_a_m: np.ndarray, boxes_b_m: np.ndarray) -> np.ndarray:
    """Return the (A, B) float32 intersection over union of axis-aligned boxes (A, 2, 3) and (B, 2, 3)."""
    low = np.maximum(boxes_a_m[:, None, 0], boxes_b_m[None, :, 0])
    high = np.minimum(boxes_a_m[:, None, 1], boxes_b_m[None, :, 1])
    intersection = np.prod(np.clip(high - low, 0.0, None), axis=-1)
    volume_a = np.prod(boxes_a_m[:, 1] - boxes_a_m[:, 0], axis=-1)
    volume_b = np.prod(boxes_b_m[:, 1] - boxes_b_m[:, 0], axis=-1)
    union = volume_a[:, None] + volume_b[None, :] - intersection
    return (intersection / np.maximum(union, 1e-12)).astype(np.float32)


def boxes_of_groups(xyz_m: np.ndarray, group: np.ndarray, num_groups: int) -> np.ndarray:
    """Return axis-aligned boxes (G, 2, 3) float32 of points (N, 3) by group (N,); an empty group gives zeros.

    Points of group -1 belong to none.
    """
    boxes = np.zeros((num_groups, 2, 3), np.float32)
    group = (
        group.astype(np.int16) if num_groups < 2**15 else group
    )  # numpy sorts 16 bits by radix, several times faster
    order = np.argsort(group, kind="stable")
    order = order[np.searchsorted(group[order], 0) :]
    if len(order) == 0:
        return boxes
    sorted_group = group[order]
    starts = np.flatnonzero(np.r_[True, sorted_group[1:] != sorted_group[:-1]])
    present = sorted_group[starts]
    boxes[present, 0] = np.minimum.reduceat(xyz_m[order], starts)
    boxes[present, 1] = np.maximum.reduceat(xyz_m[order], starts)
    return boxes


def oriented_box(xyz_m: np.ndarray) -> tuple[OrientedBox, np.ndarray]:
    """Return the smallest-area gravity-aligned box of (N ≥ 1, 3) points and its footprint.

    The footprint is the convex hull in x and y, (K, 2) float32, counter-clockwise seen from above.
    """
    ground = np.ascontiguousarray(xyz_m[:, :2], dtype=np.float32)
    hull = cv2.convexHull(ground, clockwise=False).reshape(-1, 2)
    (x, y), (width, length), angle_deg = cv2.minAreaRect(hull)
    low, high = float(xyz_m[:, 2].min()), float(xyz_m[:, 2].max())
    box = OrientedBox(
        center_m=(float(x), float(y), (low + high) / 2),
        size_m=(float(width), float(length), high - low),
        yaw_rad=float(np.deg2rad(angle_deg)),
    )
    return box, hull
