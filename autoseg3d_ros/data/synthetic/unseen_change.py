"""A change of the world while nobody looks: when, and what, for a given walk."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from autoseg3d_ros.data.scene_folder import SceneChange
from autoseg3d_ros.data.synthetic.changes import draw_change
from autoseg3d_ros.data.synthetic.raycast import RayCaster
from autoseg3d_ros.data.synthetic.scene import Scene
from autoseg3d_ros.structures import CameraIntrinsics, RigidPose

MARGIN_FRAMES = 10  # before and after the change without a sight of the place
_MIN_VIEWS = 5  # of the former and of the new state: a change that nobody could notice is none
_MAX_DRAWS = 8
_MAX_TIMES = 4  # tried for each drawn change
_COARSE_WIDTH_PX = 80  # of the search; what it finds is checked at full size


def unseen_change(
    scene: Scene, poses: Sequence[RigidPose], camera: CameraIntrinsics, rng: np.random.Generator
) -> tuple[Scene, SceneChange] | None:
    """Return the scene after a change of one object and what changed, None where none of several suits the walk.

    From MARGIN_FRAMES before the change to as long after it no camera pose sees the object where it was or is.
    """
    coarse = _coarse(camera)
    for _ in range(_MAX_DRAWS):
        changed, kind, instance_id = draw_change(scene, rng)
        # (N, 2) whether each frame would see the object in the former and in the new world
        seen = np.stack([_sees(world, instance_id, coarse, poses) for world in (scene, changed)], axis=1)
        times = _times(seen[:, 1 if kind == "added" else 0], seen[:, 0 if kind == "removed" else 1])
        for frame in rng.permutation(times)[:_MAX_TIMES].tolist():
            around = poses[frame - MARGIN_FRAMES : frame + MARGIN_FRAMES]
            if not any(_sees(world, instance_id, camera, around).any() for world in (scene, changed)):
                return changed, SceneChange(kind, instance_id, frame)
    return None


def _times(seen_before: np.ndarray, seen_after: np.ndarray) -> np.ndarray:
    """Return the frames (T,) at which a change may happen.

    `seen_before` and `seen_after` (N,) say whether each frame looks at the place that shows the former state and at the
    one that shows the new.
    """
    num = len(seen_before)
    looks = np.concatenate([[0], np.cumsum(seen_before | seen_after)])
    time = np.arange(MARGIN_FRAMES, num - MARGIN_FRAMES + 1)
    is_calm = looks[time + MARGIN_FRAMES] == looks[time - MARGIN_FRAMES]
    views_before = np.concatenate([[0], np.cumsum(seen_before)])
    views_after = np.concatenate([[0], np.cumsum(seen_after)])
    is_noticed = (views_before[time] >= _MIN_VIEWS) & (views_after[-1] - views_after[time] >= _MIN_VIEWS)
    return time[is_calm & is_noticed]


def _sees(scene: Scene, instance_id: int, camera: CameraIntrinsics, poses: Sequence[RigidPose]) -> np.ndarray:
    """Return whether each pose (N,) sees an instance, which need not be there."""
    if all(solid.id != instance_id for solid in scene.solids):
        return np.zeros(len(poses), bool)
    caster = RayCaster(scene)
    is_instance = np.array([surface.instance_id == instance_id for surface in caster.surfaces])
    column, row = np.meshgrid(np.arange(camera.width), np.arange(camera.height))
    rays = np.stack(
        [(column - camera.cx) / camera.fx, (row - camera.cy) / camera.fy, np.ones_like(row)], dtype=np.float32
    ).reshape(3, -1)

    def sees(pose: RigidPose) -> bool:
        world_from_camera = pose.matrix.astype(np.float32)
        hits = caster.cast(world_from_camera[:3, 3], world_from_camera[:3, :3] @ rays)
        return bool(is_instance[hits.surface].any())

    return np.array([sees(pose) for pose in poses])


def _coarse(camera: CameraIntrinsics) -> CameraIntrinsics:
    """Return a camera of the same view with few pixels."""
    shrink = min(1.0, _COARSE_WIDTH_PX / camera.width)
    width, height = round(camera.width * shrink), round(camera.height * shrink)
    return CameraIntrinsics(width, height, camera.fx * shrink, camera.fy * shrink, (width - 1) / 2, (height - 1) / 2)
