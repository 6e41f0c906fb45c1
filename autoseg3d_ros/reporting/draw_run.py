"""The two pictures of a run folder: `overlay.png` and `topdown.png`."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np

from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.reporting.pictures import Tile, contact_sheet, overlay, spread
from autoseg3d_ros.reporting.run_folder import OVERLAY, TOPDOWN, RunFolder, write_picture
from autoseg3d_ros.reporting.topdown import topdown
from autoseg3d_ros.structures import NO_INSTANCE, Frame, FrameError, InstanceState


class SheetSampler:
    """Draws a few frames, evenly spread over a run, while the frames pass by; none of them is kept."""

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
            self._tiles.append(self._tile(frame, label_image))

    def sheet(self) -> np.ndarray:
        """Return the contact sheet of what was taken, (H, W, 3) uint8."""
        return contact_sheet(self._tiles)

    def _tile(self, frame: Frame, label_image: np.ndarray) -> Tile:
        seconds = (frame.stamp_ns - (self._start_ns or 0)) / 1e9
        num_instances = np.count_nonzero(np.unique(label_image))
        return Tile(overlay(frame.rgb, label_image), f"{frame.name}   {seconds:.2f} s   {num_instances} instances")


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
    tentative = [row["id"] for row in run.instances() if row["state"] == InstanceState.TENTATIVE.name.lower()]
    write_picture(run.path / OVERLAY, sampler.sheet())
    write_picture(run.path / TOPDOWN, plan_of_confirmed(xyz_m, points["instance_id"], tentative, source.name))


def plan_of_confirmed(xyz_m: np.ndarray, ids: np.ndarray, tentative: Sequence[int], title: str) -> np.ndarray:
    """Return `topdown` of a map with tentative instances left unlabelled: they are many, small and soon gone."""
    return topdown(xyz_m, np.where(np.isin(ids, tentative), NO_INSTANCE, ids), title)
