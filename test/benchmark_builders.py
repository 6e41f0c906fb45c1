"""Tiny scene folders for tests of the evaluation: two upright blocks before a wall."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from scenes import CAMERA, frame_of

from autoseg3d_ros.data.pose_file import write_pose
from autoseg3d_ros.data.rgbd_folder import RgbdFolderWriter
from autoseg3d_ros.data.scene_folder import (
    MESH_FILE,
    TRUE_POSE,
    SceneFolder,
    SceneInfo,
    TruthInstance,
    TruthMesh,
    write_info,
    write_mesh,
)
from autoseg3d_ros.geometry import backproject
from autoseg3d_ros.structures import Frame, RigidPose

LEFT, RIGHT = (5, 5, 30, 40, 1.0), (45, 10, 25, 30, 2.0)
WALL_M = 3.0
BELIEVED_OFFSET_M = (1.0, 0.0, 0.0)  # the robot's map lies a metre beside the truth's


def scene_frame(index: int = 0) -> Frame:
    """Return one frame of the scene, seen from the true origin."""
    frame = frame_of(LEFT, RIGHT, index=index)
    return replace(frame, depth_m=np.where(frame.depth_m > 0, frame.depth_m, np.float32(WALL_M)))


def scene_mesh() -> TruthMesh:
    """Return what a frame of the scene sees."""
    return mesh_of(scene_frame())


def mesh_of(frame: Frame) -> TruthMesh:
    """Return one vertex for each pixel; a segment is what one instance has in a tile of 10 x 10 pixels."""
    assert frame.truth is not None
    pixel = np.arange(CAMERA.width * CAMERA.height)
    row, column = np.divmod(pixel, CAMERA.width)
    instance_id = frame.truth.ravel()
    tile = (row // 10) * 10 + column // 10
    return TruthMesh(
        vertices_m=backproject(pixel, frame.depth_m.ravel(), CAMERA),
        rgb=frame.rgb.reshape(-1, 3),
        instance_id=instance_id,
        segment_id=(1000 * instance_id + tile).astype(np.int32),
    )


def write_scene(
    folder: Path,
    *,
    split: str = "test",
    num_frames: int = 4,
    mesh: TruthMesh | None = None,
    view: Callable[[int], Frame] = scene_frame,
) -> SceneFolder:
    """Write a finished scene of the frames that `view` gives by their index, and open it."""
    writer = RgbdFolderWriter(folder, CAMERA, depth_scale=1000.0, fps=10.0)
    (folder / TRUE_POSE).mkdir()
    for index in range(num_frames):
        frame = view(index)
        writer.add(replace(frame, pose=RigidPose(BELIEVED_OFFSET_M, (0.0, 0.0, 0.0, 1.0))))
        write_pose(folder / TRUE_POSE / f"{index:06d}.txt", frame.pose)
    write_mesh(folder / MESH_FILE, mesh or mesh_of(view(0)))
    instances = tuple(TruthInstance(id, 1, "block") for id in (1, 2))
    write_info(folder, SceneInfo("tiny", folder.name, split, instances, origin={"seed": 0}))
    return SceneFolder(folder)
