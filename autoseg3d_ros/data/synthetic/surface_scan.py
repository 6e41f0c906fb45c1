"""The scanned surface of a scene: what the camera saw of it, as vertices; as in ScanNet, there is nothing else."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from autoseg3d_ros.data.mesh_segments import neighbours, segment
from autoseg3d_ros.data.scene_folder import TruthMesh
from autoseg3d_ros.data.synthetic.render import GAMMA, View
from autoseg3d_ros.data.synthetic.sensor import MAX_DEPTH_M
from autoseg3d_ros.geometry import backproject, transform_points, voxel_keys
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

VOXEL_M = 0.02
_MAX_WAITING = 1_000_000  # points kept before they are thinned: bounds the memory
_REACH_VOXELS = 2.5  # vertices farther apart are no neighbours


@dataclass(frozen=True)
class SurfacePoints:
    """Points on surfaces, in the world."""

    xyz_m: np.ndarray  # (N, 3) float32
    normal: np.ndarray  # (N, 3) float32, unit, towards the camera that saw the point
    rgb: np.ndarray  # (N, 3) uint8
    instance_id: np.ndarray  # (N,) int32, 0 = void

    def __len__(self) -> int:
        return len(self.xyz_m)

    def of(self, chosen: np.ndarray) -> SurfacePoints:
        """Return the points of a mask or of an array of indices."""
        return SurfacePoints(*(getattr(self, one.name)[chosen] for one in fields(self)))


def visible_surface(
    view: View, camera: CameraIntrinsics, pose: RigidPose, first: int = 0, step: int = 1
) -> SurfacePoints:
    """Return every `step`-th pixel of an exact view, from pixel `first`, where the depth camera reaches."""
    pixel = np.arange(first, view.depth_m.size, step)
    pixel = pixel[view.depth_m.ravel()[pixel] <= MAX_DEPTH_M]
    camera_m = backproject(pixel, view.depth_m.ravel()[pixel], camera)
    shown = np.clip(view.radiance.reshape(-1, 3)[pixel], 0, 1) ** np.float32(1 / GAMMA)
    return SurfacePoints(
        xyz_m=transform_points(pose.matrix, camera_m),
        normal=view.normal.reshape(-1, 3)[pixel],
        rgb=np.rint(shown * 255).astype(np.uint8),
        instance_id=view.instance.ravel()[pixel],
    )


class SurfaceScan:
    """Gathers what views show: of each voxel, instance and side of it, the point nearest to the middle of the voxel."""

    def __init__(self, voxel_m: float = VOXEL_M) -> None:
        self._voxel_m = voxel_m
        self._waiting: list[SurfacePoints] = []

    def add(self, points: SurfacePoints) -> None:
        """Add points. The result does not depend on how they are spread over calls."""
        self._waiting.append(points)
        if sum(map(len, self._waiting[1:])) > _MAX_WAITING:
            self.points()

    def forget(self, instance_id: int) -> None:
        """Drop the points of an instance that is no longer where it was."""
        self._waiting = [points.of(points.instance_id != instance_id) for points in self._waiting]

    def points(self) -> SurfacePoints:
        """Return the points that are kept."""
        self._waiting = [_thinned(_joined(self._waiting), self._voxel_m)]
        return self._waiting[0]

    def mesh(self) -> TruthMesh:
        """Return the points as vertices, with segments and without faces.

        No segment reaches from one instance into another: ScanNet's annotators painted whole segments, so that its
        truth is a union of segments, and the segment vote of the evaluation counts on it.
        """
        points = self.points()
        edges = neighbours(points.xyz_m, _REACH_VOXELS * self._voxel_m)
        return TruthMesh(
            vertices_m=points.xyz_m,
            rgb=points.rgb,
            instance_id=points.instance_id,
            segment_id=_split(segment(points.xyz_m, points.normal, edges), points.instance_id),
        )


def _split(segment_id: np.ndarray, instance_id: np.ndarray) -> np.ndarray:
    """Return (V,) int32 segments, numbered from 0, none of which holds vertices of two instances."""
    pair = np.stack([segment_id, instance_id], axis=1)
    return np.unique(pair, axis=0, return_inverse=True)[1].astype(np.int32).reshape(-1)


def _joined(parts: list[SurfacePoints]) -> SurfacePoints:
    if not parts:
        return SurfacePoints(
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.float32),
            np.zeros((0, 3), np.uint8),
            np.zeros(0, np.int32),
        )
    return SurfacePoints(
        *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(SurfacePoints))
    )


def _thinned(points: SurfacePoints, voxel_m: float) -> SurfacePoints:
    """Keep one point of each voxel, instance and side, in the order of these."""
    voxel = voxel_keys(points.xyz_m, voxel_m)
    layer = 6 * points.instance_id.astype(np.int64) + _side(points.normal)
    cell = np.floor(points.xyz_m / voxel_m).astype(np.float32)
    off_centre = ((points.xyz_m / voxel_m - cell - 0.5) ** 2).sum(axis=1)
    # The coordinates decide between points equally near, not the order in which they came.
    order = np.lexsort((*points.xyz_m.T, off_centre, layer, voxel))
    voxel, layer = voxel[order], layer[order]
    is_first = np.ones(len(order), bool)
    is_first[1:] = (voxel[1:] != voxel[:-1]) | (layer[1:] != layer[:-1])
    return points.of(order[is_first])


def _side(normal: np.ndarray) -> np.ndarray:
    """Return which of six ways (N,) each normal points most: the two faces of a board are two surfaces."""
    axis = np.abs(normal).argmax(axis=1)
    return 2 * axis + (normal[np.arange(len(normal)), axis] < 0)
