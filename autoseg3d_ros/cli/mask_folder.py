"""Masks on disk as `--masks file` and `prepare --superpoints` read them, with pictures to look at.

DIR/masks/000000.png     16-bit mask id + 1, 0 = no mask; DIR may be the recording's own folder
DIR/masks/made.json      of what they were made; without it they are somebody else's and are left alone
DIR/masks.png            a contact sheet of some frames with their masks
DIR/overlays/000000.png  each frame with its masks, where asked for
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.scene_folder import MASKS
from autoseg3d_ros.lifting.regions import RegionMasks
from autoseg3d_ros.reporting.pictures import Tile, contact_sheet, overlay, spread
from autoseg3d_ros.reporting.run_folder import write_picture
from autoseg3d_ros.structures import Frame, FrameError, Masks2D

SHEET, OVERLAYS = "masks.png", "overlays"
ORIGIN = "made.json"
_MOST_MASKS = np.iinfo(np.uint16).max


def origin_of(source: str, config: Config) -> dict[str, Any]:
    """Return all that the masks of a source depend on, as `prepare --masks` keeps it."""
    own = getattr(config, source.removesuffix("-onnx"), None)  # the section of this source, if it has one
    settings = asdict(own) if own is not None else {}
    if source != RegionMasks.name:
        settings = {**asdict(config.masks), **settings}
    return {**settings, "source": source, "seed": config.seed}


class MaskFolder:
    """Writes the masks of one recording; the folder of id images appears when it is finished."""

    def __init__(self, path: Path, num_frames: int, origin: Mapping[str, Any], with_overlays: bool = False) -> None:
        """Take the number of frames to come. Raises CommandError where other masks are in the way."""
        self._path, self._origin, self._with_overlays = path, origin, with_overlays
        self._partial = path / f".{MASKS}.partial"
        self._wanted = set(spread(num_frames))
        self._tiles: list[Tile] = []
        self.num_frames = 0
        if (path / MASKS).exists() and not (path / MASKS / ORIGIN).is_file():
            raise CommandError(
                f"{path / MASKS}: expected {ORIGIN}, found files of another origin; move the folder away or choose "
                "another --out"
            )
        shutil.rmtree(self._partial, ignore_errors=True)
        self._partial.mkdir(parents=True)
        if with_overlays:
            (path / OVERLAYS).mkdir(exist_ok=True)

    def add(self, number: int, frame: Frame, masks: Masks2D) -> None:
        """Write the masks of frame `number`. Raises FrameError where they are more than 16 bits can tell apart."""
        if masks.num_masks > _MOST_MASKS:
            raise FrameError(f"frame {frame.name}: {masks.num_masks} masks do not fit into 16 bits ({_MOST_MASKS})")
        ids = masks.ids + 1
        write_png(self._partial / f"{frame.name or frame.stamp_ns}.png", ids.astype(np.uint16))
        self.num_frames += 1
        if self._with_overlays:
            picture = overlay(frame.rgb, ids, width_px=frame.camera.width)
            write_png(self._path / OVERLAYS / f"{frame.name or frame.stamp_ns}.png", picture)
        if number in self._wanted:
            self._tiles.append(Tile(overlay(frame.rgb, ids), f"{frame.name}   {masks.num_masks} masks"))

    def finish(self) -> None:
        """Put everything in its place, over what a former call left there."""
        (self._partial / ORIGIN).write_text(json.dumps(self._origin, indent=1) + "\n")
        shutil.rmtree(self._path / MASKS, ignore_errors=True)
        self._partial.rename(self._path / MASKS)
        write_picture(self._path / SHEET, contact_sheet(self._tiles))

    def close(self) -> None:
        """Remove what was not finished."""
        shutil.rmtree(self._partial, ignore_errors=True)
