"""Instance truth of the pixels of a frame, taken from the labelled mesh of its scene (method.md §1.3)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from scipy.spatial import cKDTree

from autoseg3d_ros.data.scene_folder import TruthInstance, TruthMesh
from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.structures import NO_INSTANCE, Frame

BOX_MARGIN_M = 0.05
_PROBES = 1000  # pixels that tell how far a frame is from the mesh


class InstancePainter:
    """Labels pixels with the instance of the nearest vertex, however far, unless they lie outside its box."""

    def __init__(self, mesh: TruthMesh, instances: Iterable[TruthInstance]) -> None:
        """Prepare for a mesh of at least one vertex; instances without a box hold their pixels wherever they are."""
        self._tree = cKDTree(mesh.vertices_m)
        self._instance_id = mesh.instance_id
        self._boxes = _BoxTable(instances, int(mesh.instance_id.max(initial=NO_INSTANCE)))

    def image(self, frame: Frame) -> np.ndarray:
        """Return (H, W) int32 instance ids; 0 = void or no depth."""
        image = np.full(frame.depth_m.shape, NO_INSTANCE, np.int32)
        pixel = np.flatnonzero(frame.depth_m)
        points_m = _world_points(frame, pixel)
        if len(pixel):
            ids = self._instance_id[self._tree.query(points_m)[1]]
            image.ravel()[pixel] = np.where(self._boxes.contain(points_m, ids), ids, NO_INSTANCE)
        return image

    def distance_m(self, frame: Frame) -> float:
        """Return the median distance of the frame's points from the mesh, NaN without depth: does it lie on it?"""
        pixel = np.flatnonzero(frame.depth_m)
        if not len(pixel):
            return float("nan")
        return float(np.median(self._tree.query(_world_points(frame, pixel[:: len(pixel) // _PROBES + 1]))[0]))


def _world_points(frame: Frame, pixel: np.ndarray) -> np.ndarray:
    """Return (N, 3) float64 world points of (N,) flat pixels."""
    camera_m = backproject(pixel, frame.depth_m.ravel()[pixel], frame.camera)
    return transform_points(frame.world_from_camera, camera_m.astype(np.float64))


class _BoxTable:
    """Boxes by instance id."""

    def __init__(self, instances: Iterable[TruthInstance], largest_id: int) -> None:
        boxes = {one.id: one.box for one in instances if one.box is not None}
        num_rows = max([largest_id, *boxes]) + 1
        self._center_m = np.zeros((num_rows, 3))
        self._half_m = np.full((num_rows, 3), np.inf)
        self._yaw_rad = np.zeros(num_rows)
        for number, box in boxes.items():
            self._center_m[number] = box.center_m
            self._half_m[number] = np.array(box.size_m) / 2 + BOX_MARGIN_M
            self._yaw_rad[number] = box.yaw_rad

    def contain(self, points_m: np.ndarray, ids: np.ndarray) -> np.ndarray:
        """Return (N,) bool: is each of (N, 3) world points in the grown box of the instance (N,) it has?"""
        offset_m = points_m - self._center_m[ids]
        cosine, sine = np.cos(self._yaw_rad)[ids], np.sin(self._yaw_rad)[ids]
        along_m = np.stack(
            [
                cosine * offset_m[:, 0] + sine * offset_m[:, 1],
                cosine * offset_m[:, 1] - sine * offset_m[:, 0],
                offset_m[:, 2],
            ],
            axis=1,
        )
        return (np.abs(along_m) <= self._half_m[ids]).all(axis=1)
