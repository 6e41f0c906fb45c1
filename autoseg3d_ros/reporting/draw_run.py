"""The two pictures of a run folder: `overlay.png` and `topdown.png`."""

from __future__ import annotations

from collections import deque

import numpy as np

from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.reporting.pictures import Tile, contact_sheet, frame_tile, spread
from autoseg3d_ros.reporting.run_folder import OVERLAY, TOPDOWN, RunFolder, write_picture
from autoseg3d_ros.reporting.topdown import topdown
from autoseg3d_ros.structures import Frame, FrameError


class SheetSampler:
    """Keeps the overlays of a few frames, evenly spread over a run, while the frames pass by."""

    def __init__(self, num_frames: int) -> None:
        self._wanted = deque(spread(num_frames))
        self._start_ns: int | None = None
        self._tiles: list[Tile] = []

    def offer(self, number: int, frame: Frame, label_image: np.ndarray) -> None:
        """Take frame `number` if its turn has come; an unusable frame is thus replaced by the next one."""
        self._start_ns = frame.stamp_ns if self._start_ns is None else self._start_ns
        if self._wanted and number >= self._wanted[0]:
            while self._wanted and self._wanted[0] <= number:
                self._wanted.popleft()
            self._tiles.append(frame_tile(frame, label_image, self._start_ns))

    def sheet(self) -> np.ndarray:
        """Return the contact sheet of what was taken, (H, W, 3) uint8."""
        return contact_sheet(self._tiles)


def draw_run(run: RunFolder, source: FrameSource) -> None:
    """Write both pictures into the run folder; the colour images come from `source`, matched by their stamps."""
    processed = {frame.stamp_ns: (order, frame) for order, frame in enumerate(run.processed())}
    sampler = SheetSampler(len(processed))
    for item in source.frames():
        if not isinstance(item, FrameError) and item.stamp_ns in processed:
            order, frame = processed[item.stamp_ns]
            sampler.offer(order, item, run.label_image(frame))
    points = run.map_points()
    xyz_m = np.stack([points["x"], points["y"], points["z"]], axis=1)
    write_picture(run.path / OVERLAY, sampler.sheet())
    write_picture(run.path / TOPDOWN, topdown(xyz_m, points["instance_id"], source.name))
