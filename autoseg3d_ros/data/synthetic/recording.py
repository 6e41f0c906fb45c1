"""A walk through a world, written as a scene folder with truth."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros.data.pose_file import write_pose
from autoseg3d_ros.data.rgbd_folder import RgbdFolderWriter, stamp_of
from autoseg3d_ros.data.scene_folder import (
    MESH_FILE,
    SPLITS,
    TRUE_POSE,
    SceneChange,
    SceneInfo,
    TruthInstance,
    write_info,
    write_mesh,
)
from autoseg3d_ros.data.synthetic.families import FAMILIES
from autoseg3d_ros.data.synthetic.generate import in_order, room_camera
from autoseg3d_ros.data.synthetic.pose_noise import PoseNoise, disturbed
from autoseg3d_ros.data.synthetic.render import Renderer
from autoseg3d_ros.data.synthetic.scene import Scene, SceneInstance
from autoseg3d_ros.data.synthetic.sensor import DEPTH_UNITS_A_METRE, SensorModel, image_motion_px
from autoseg3d_ros.data.synthetic.surface_scan import SurfacePoints, SurfaceScan, visible_surface
from autoseg3d_ros.data.synthetic.unseen_change import unseen_change
from autoseg3d_ros.data.synthetic.walks import Carrier, walk
from autoseg3d_ros.data.synthetic.world import furnished_world
from autoseg3d_ros.structures import CameraIntrinsics, Frame, OrientedBox, RigidPose

DATASET = "synthetic"
FRAME_RATE_HZ = 10.0
_CHANGING_SHARE = 0.1  # of the scenes
_ON_WHEELS_SHARE = 1 / 3
_SCAN_EVERY, _SCAN_STEP = 4, 2  # every fourth view, every second of its pixels: each surface is seen many times


@dataclass(frozen=True)
class Recording:
    """What to record. Equal recordings give equal bytes."""

    split: str
    seed: int  # from 0
    number: int  # of the scene in its split, from 0
    num_frames: int = 240
    width_px: int = 320
    height_px: int = 240
    exact_poses: bool = False  # the robot knows where it is
    still: bool = False  # nothing changes

    @property
    def name(self) -> str:
        """Name of the scene and of its folder."""
        return f"{self.split}_{self.number:04d}"

    @property
    def origin(self) -> dict[str, Any]:
        """Of what the scene is made, as `scene.json` keeps it."""
        return {**asdict(self), "generator": generator_digest()}

    @property
    def camera(self) -> CameraIntrinsics:
        return room_camera(self.width_px, self.height_px)

    def seeds(self, count: int) -> list[int]:
        """Return seeds for the parts of the scene. Those of different splits are never equal, whatever `seed` is."""
        code = SPLITS.index(self.split)
        state = np.random.SeedSequence([code, self.seed, self.number]).generate_state(count, np.uint64)
        return [int(value) * len(SPLITS) + code for value in state]


@dataclass(frozen=True)
class _Script:
    """Everything that is drawn before the first frame."""

    before: Scene
    after: Scene  # the same where nothing changes
    changes: tuple[SceneChange, ...]
    true_poses: list[RigidPose]
    believed_poses: list[RigidPose]
    sensor: SensorModel
    frame_seed: int

    def is_after(self, number: int) -> bool:
        """Return whether frame `number` shows the new world."""
        return any(number >= change.frame for change in self.changes)


@dataclass(frozen=True)
class _Take:
    """One frame, and what of the exact view the scan keeps."""

    frame: Frame
    surface: SurfacePoints | None


def record(folder: Path, recording: Recording, num_threads: int = 1) -> Iterator[int]:
    """Write a scene folder; yield the number of each frame when it is written.

    The folder appears under its name when it is finished, in the place of a former one; if the iteration stops early,
    everything is as before.
    Equal recordings give equal bytes for any number of threads. Raises ImportError where embreex is missing.
    """
    partial = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        yield from _write(partial, recording, _script(recording), num_threads)
        if folder.exists():
            shutil.rmtree(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _script(recording: Recording) -> _Script:
    world, path, noise, sensor, change, frame = recording.seeds(6)
    scene, path_rng = furnished_world(world), np.random.default_rng(path)
    carrier: Carrier = "wheels" if path_rng.random() < _ON_WHEELS_SHARE else "hand"
    poses = walk(scene, path_rng, recording.num_frames, FRAME_RATE_HZ, carrier)
    change_rng = np.random.default_rng(change)
    changed = None
    if change_rng.random() < _CHANGING_SHARE and not recording.still:
        changed = unseen_change(scene, poses, recording.camera, change_rng)
    return _Script(
        before=scene,
        after=scene if changed is None else changed[0],
        changes=() if changed is None else (changed[1],),
        true_poses=poses,
        believed_poses=poses if recording.exact_poses else disturbed(poses, PoseNoise(), np.random.default_rng(noise)),
        sensor=SensorModel.draw(np.random.default_rng(sensor)),
        frame_seed=frame,
    )


def _write(folder: Path, recording: Recording, script: _Script, num_threads: int) -> Iterator[int]:
    writer = RgbdFolderWriter(folder, recording.camera, depth_scale=DEPTH_UNITS_A_METRE, fps=FRAME_RATE_HZ)
    if not recording.exact_poses:
        (folder / TRUE_POSE).mkdir()
    camera, scan = _Camera(script, recording.camera), SurfaceScan()
    for number, take in enumerate(in_order(camera.take, recording.num_frames, num_threads)):
        for change in script.changes:
            if change.frame == number:
                scan.forget(change.instance_id)
        if take.surface is not None:
            scan.add(take.surface)
        writer.add(take.frame)
        if not recording.exact_poses:
            write_pose(folder / TRUE_POSE / f"{take.frame.name}.txt", script.true_poses[number])
        yield number
    write_mesh(folder / MESH_FILE, scan.mesh())
    write_info(folder, _info(recording, script))


class _Camera:
    """Takes the frames of a script; each has random numbers of its own, so that they may be taken in any order."""

    def __init__(self, script: _Script, intrinsics: CameraIntrinsics) -> None:
        self._script = script
        self._intrinsics = intrinsics
        self._before = Renderer(script.before, intrinsics)
        self._after = Renderer(script.after, intrinsics) if script.changes else self._before

    def take(self, number: int) -> _Take:
        """Return frame `number`."""
        script, pose = self._script, self._script.true_poses[number]
        view = (self._after if script.is_after(number) else self._before).view(pose)
        motion_px = image_motion_px(script.true_poses[max(number - 1, 0)], pose, self._intrinsics)
        rng = np.random.default_rng([script.frame_seed, number])
        rgb, depth_m = script.sensor.sense(view, motion_px, rng)
        frame = Frame(
            stamp_ns=stamp_of(number, FRAME_RATE_HZ),
            rgb=rgb,
            depth_m=depth_m,
            camera=self._intrinsics,
            pose=script.believed_poses[number],
            name=f"{number:06d}",
            truth=view.instance,
        )
        turn, is_left_out = divmod(number, _SCAN_EVERY)
        if is_left_out:
            return _Take(frame, None)
        return _Take(frame, visible_surface(view, self._intrinsics, pose, turn % _SCAN_STEP, _SCAN_STEP))


def _info(recording: Recording, script: _Script) -> SceneInfo:
    at_the_end = {one.id: _truth(one) for one in script.after.instances}
    gone = {one.id: replace(_truth(one), box=None) for one in script.before.instances if one.id not in at_the_end}
    instances = {**at_the_end, **gone}
    return SceneInfo(
        dataset=DATASET,
        scene=recording.name,
        split=recording.split,
        instances=tuple(instances[id] for id in sorted(instances)),
        changes=script.changes,
        origin=recording.origin,
    )


def _truth(instance: SceneInstance) -> TruthInstance:
    return TruthInstance(instance.id, FAMILIES.index(instance.family) + 1, instance.family, amodal_box(instance))


def amodal_box(instance: SceneInstance) -> OrientedBox:
    """Return the tightest upright box in the world about all of an instance, turned as the instance is."""
    rotation = instance.world_from_object[:3, :3]
    yaw_rad = float(np.arctan2(rotation[1, 0], rotation[0, 0]))
    turn = np.array([[np.cos(yaw_rad), -np.sin(yaw_rad), 0], [np.sin(yaw_rad), np.cos(yaw_rad), 0], [0, 0, 1]])
    box_from_object = turn.T @ rotation
    corners_m = np.concatenate([part.mesh.corners_m.reshape(-1, 3) for part in instance.model.parts])
    corners_m = corners_m @ box_from_object.T
    low, high = corners_m.min(axis=0), corners_m.max(axis=0)
    center = turn @ ((low + high) / 2) + instance.world_from_object[:3, 3]
    return OrientedBox(tuple(center.tolist()), tuple((high - low).tolist()), yaw_rad)


@lru_cache
def generator_digest() -> str:
    """Return a digest of the code that makes scenes: after a change of it they are made anew."""
    package = Path(__file__).parent
    digest = hashlib.sha256((package.parent / "mesh_segments.py").read_bytes())
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
