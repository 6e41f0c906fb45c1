"""From a seed to a folder of frames."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

import numpy as np

from autoseg3d_ros.data.rgbd_folder import RgbdFolderWriter, stamp_of
from autoseg3d_ros.data.synthetic.camera_path import HandHeldPath
from autoseg3d_ros.data.synthetic.render import Renderer
from autoseg3d_ros.data.synthetic.room import FurnitureKind, furnished_room
from autoseg3d_ros.data.synthetic.scene import Scene
from autoseg3d_ros.data.synthetic.sensor import DEPTH_UNITS_A_METRE, sense_color, sense_depth
from autoseg3d_ros.structures import CameraIntrinsics, Frame

Made = TypeVar("Made")
_FOCAL_LENGTH_WIDTHS = 525.0 / 640.0  # the field of view of the usual structured-light cameras, 63 degrees


def generate_room(
    out: Path,
    *,
    num_frames: int = 120,
    seed: int = 7,
    width: int = 640,
    height: int = 480,
    furniture_kind: FurnitureKind = "closed",
    frame_rate_hz: float = 10.0,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Write a recording of `furnished_room(seed, furniture_kind)` as an RGB-D folder with exact poses and instances.

    The camera comes back to what it saw first after 73 frames at 10 Hz; beyond 146 it walks the same loop again.
    `progress` is called with the frames written and the frames wanted. Equal arguments give equal bytes.
    Raises SourceError where `out` holds frames already, ImportError where embreex is missing.
    """
    camera = room_camera(width, height)
    writer = RgbdFolderWriter(out, camera, depth_scale=DEPTH_UNITS_A_METRE, fps=frame_rate_hz)
    frames = room_frames(furnished_room(seed, furniture_kind), seed, num_frames, camera, frame_rate_hz)
    for count, frame in enumerate(frames, start=1):
        writer.add(frame)
        if progress is not None:
            progress(count, num_frames)


def room_camera(width: int, height: int) -> CameraIntrinsics:
    """Return the intrinsics of the demo camera at an image size in pixels."""
    focal = _FOCAL_LENGTH_WIDTHS * width
    return CameraIntrinsics(width, height, focal, focal, (width - 1) / 2, (height - 1) / 2)


def room_frames(
    scene: Scene, seed: int, num_frames: int, camera: CameraIntrinsics, frame_rate_hz: float
) -> Iterator[Frame]:
    """Yield the frames of a walk through a room, with sensor noise and the instances as truth; `seed` draws both."""
    renderer, path = Renderer(scene, camera), HandHeldPath(scene, seed)

    def frame(number: int) -> Frame:
        rng = np.random.default_rng([seed, 2, number])  # of its own, so that the order of work does not matter
        pose = path.pose(number / frame_rate_hz)
        view = renderer.view(pose)
        return Frame(
            stamp_ns=stamp_of(number, frame_rate_hz),
            rgb=sense_color(view, rng),
            depth_m=sense_depth(view, rng),
            camera=camera,
            pose=pose,
            name=f"{number:06d}",
            truth=view.instance,
        )

    yield from in_order(frame, num_frames)


def in_order(make: Callable[[int], Made], count: int, num_threads: int | None = None) -> Iterator[Made]:
    """Yield make(0), make(1), ... made by `num_threads`, all cores by default.

    It pays because numpy and Embree work without the interpreter lock.
    """
    workers = num_threads or os.cpu_count() or 1
    if workers == 1:
        yield from map(make, range(count))
        return
    with ThreadPoolExecutor(workers) as pool:
        waiting: deque[Future[Made]] = deque()
        for number in range(count):
            waiting.append(pool.submit(make, number))
            if len(waiting) > workers + 1:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
