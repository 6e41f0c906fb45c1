"""Tiny scene folders with truth, and their lifted frames, for tests of the data side of training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scenes import CAMERA, frame_of

from autoseg3d_ros.config import Config, LiftingConfig
from autoseg3d_ros.data.pose_file import write_pose
from autoseg3d_ros.data.rgbd_folder import RgbdFolderWriter
from autoseg3d_ros.data.scene_folder import (
    MESH_FILE,
    TRUE_POSE,
    SceneChange,
    SceneFolder,
    SceneInfo,
    TruthInstance,
    TruthMesh,
    write_info,
    write_mesh,
)
from autoseg3d_ros.geometry import backproject
from autoseg3d_ros.structures import Frame, RigidPose
from autoseg3d_ros.training.cached_scene import CachedScene
from autoseg3d_ros.training.frame_cache import CacheConfig, cache_scenes

BLOCKS = ((5, 5, 30, 40, 2.0), (45, 10, 25, 30, 3.0))  # instances 1 and 2, x y width height in pixels, depth
CLASS_IDS = (40, 7)
CACHE = CacheConfig(masks=("regions", "truth-2"), every=1, run=Config(lifting=LiftingConfig(min_region_px=20)))


def a_scene(
    path: Path,
    frames: Sequence[Frame],
    *,
    mesh_of: Frame | None = None,
    changes: tuple[SceneChange, ...] = (),
) -> SceneFolder:
    """Write frames whose poses are believed, while the true camera never moves, and the surface that `mesh_of` sees."""
    writer = RgbdFolderWriter(path, CAMERA, depth_scale=1000.0, fps=10.0)
    (path / TRUE_POSE).mkdir()
    for number, frame in enumerate(frames):
        writer.add(frame)
        write_pose(path / TRUE_POSE / f"{number:06d}.txt", RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0)))
    write_mesh(path / MESH_FILE, surface_of(mesh_of or frames[0]))
    instances = tuple(TruthInstance(id, class_id, f"class {class_id}") for id, class_id in enumerate(CLASS_IDS, 1))
    write_info(path, SceneInfo("test", path.name, "train", instances, changes))
    return SceneFolder(path)


def surface_of(frame: Frame) -> TruthMesh:
    """Return what the frame sees as a mesh in the frame of the camera."""
    pixel = np.flatnonzero(frame.depth_m.ravel())
    vertices_m = backproject(pixel, frame.depth_m.ravel()[pixel], CAMERA)
    nothing = np.zeros(len(pixel), np.int32)
    return TruthMesh(vertices_m, np.zeros(vertices_m.shape, np.uint8), frame.truth.ravel()[pixel], nothing)


def still_frames(count: int, *, drift_m: float = 0.0) -> list[Frame]:
    """Return views of BLOCKS by a camera that drifts along x by so much a frame, as the robot believes."""
    return [frame_of(*BLOCKS, index=index, shift_m=drift_m * index) for index in range(count)]


def without_truth(frame: Frame) -> Frame:
    """Return the frame with all its pixels void."""
    return replace(frame, truth=np.zeros_like(frame.truth))


def cached(cache: Path, *scenes: SceneFolder, config: CacheConfig = CACHE) -> list[CachedScene]:
    """Lift scenes in this process."""
    for report in cache_scenes(scenes, cache, config, num_workers=1):
        assert not report.reason
    return [CachedScene(cache / scene.name) for scene in scenes]
