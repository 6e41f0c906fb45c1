"""The surfaces of a scene's instances, from which boxes are computed after augmentation (`method.md` §8.4)."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from autoseg3d_ros.data.scene_folder import SceneChange, TruthInstance, TruthMesh
from autoseg3d_ros.geometry import transform_points, voxel_keys
from autoseg3d_ros.structures import NO_INSTANCE
from autoseg3d_ros.training.cached_scene import LiftedFrame, SceneTruth

_THINNED_M = 0.08  # fine enough for the elastic distortions
_ALWAYS = np.iinfo(np.int32).max


class SurfaceRecorder:
    """Collects what the mesh does not have: instances as they were before they were moved or removed."""

    def __init__(self, changes: Sequence[SceneChange]) -> None:
        self._changes = {change.instance_id: change for change in changes}
        self._seen_before: dict[int, list[np.ndarray]] = {id: [] for id in self._changes}

    def add(self, number: int, frame: LiftedFrame) -> None:
        """Take in frame `number`."""
        for id, change in self._changes.items():
            if number < change.frame:
                seen_m = frame.xyz_m[frame.instance == id]
                self._seen_before[id].append(transform_points(np.linalg.inv(frame.world_from_exact), seen_m))

    def truth(self, mesh: TruthMesh, instances: Sequence[TruthInstance]) -> SceneTruth:
        """Return the surfaces of all instances, thinned, with the frames for which they hold."""
        nothing = np.zeros((0, 3), np.float32)
        parts = []  # vertices, instance, first frame, end frame
        for id in np.unique(mesh.instance_id[mesh.instance_id != NO_INSTANCE]).tolist():
            first = self._changes[id].frame if id in self._changes else 0
            parts.append((thinned(mesh.vertices_m[mesh.instance_id == id]), id, first, _ALWAYS))
        for id, seen_m in self._seen_before.items():
            parts.append((thinned(np.concatenate([nothing, *seen_m])), id, 0, self._changes[id].frame))
        lengths = [len(part[0]) for part in parts]
        instance, first_frame, end_frame = (
            np.repeat(np.array([part[k] for part in parts], np.int32), lengths) for k in (1, 2, 3)
        )
        return SceneTruth(
            vertices_m=np.concatenate([nothing, *(part[0] for part in parts)]),
            instance=instance,
            first_frame=first_frame,
            end_frame=end_frame,
            instance_id=np.array([one.id for one in instances], np.int32),
            class_id=np.array([one.class_id for one in instances], np.int32),
        )


def thinned(vertices_m: np.ndarray) -> np.ndarray:
    """Return those of (V, 3) points that say how far the set reaches, however it is turned about z, and a few more."""
    if not len(vertices_m):
        return vertices_m
    outline = cv2.convexHull(np.ascontiguousarray(vertices_m[:, :2], np.float32), returnPoints=False)
    height = vertices_m[:, 2]
    _, spread = np.unique(voxel_keys(vertices_m, _THINNED_M), return_index=True)
    kept = np.unique(np.concatenate([outline.ravel(), [height.argmin(), height.argmax()], spread]))
    return vertices_m[kept]
