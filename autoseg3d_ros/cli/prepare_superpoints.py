"""2D masks and superpoints of the frames of scene folders, computed once for training and evaluation.

masks/000000.png        16-bit mask id + 1, 0 = no mask
superpoints/000000.npz  xyz_m (N, 3) float32, rgb (N, 3) uint8, superpoint (N,) int32, instance (N,) int32
*/made.json             of what they were made; without it they are somebody else's and are left alone
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros import config as configuration
from autoseg3d_ros.build import build_mask_source
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.mask_folder import ORIGIN, origin_of
from autoseg3d_ros.cli.run import lies_on_its_side
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.scene_folder import MASKS, SUPERPOINTS, SceneFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.lifting.masks import FileMasks, MaskSource
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.structures import Frame, FrameError, Masks2D
from autoseg3d_ros.worker_pool import Worker, run_each

MASK_SOURCES = ("regions", "fastsam", "fastsam-onnx", "sam", "truth")
_MOST_REASONS = 3


class _StoppedError(Exception):
    """The user has had enough."""


@dataclass(frozen=True)
class LiftingTask:
    """What to compute for each frame."""

    masks: str | None  # one of MASK_SOURCES; None = those that are there
    superpoints: bool
    config: Config = field(default_factory=Config)

    def mask_source(self, scene: Path) -> MaskSource:
        """Return where the masks of a scene come from. Raises CommandError where they are to be there and are not."""
        if self.masks is not None:
            config = configuration.replace(self.config, {"masks.source": self.masks})
            return build_mask_source(config, is_turned=lies_on_its_side(scene))
        if not (scene / MASKS).is_dir():
            raise CommandError(
                f"{scene / MASKS}: no masks to lift; compute them with --masks regions, or put them there"
            )
        return FileMasks(scene / MASKS)

    def origin_of(self, product: str, scene: Path) -> dict[str, Any]:
        """Return all that MASKS or SUPERPOINTS of a scene depend on."""
        if self.masks is None:
            file = scene / MASKS / ORIGIN
            masks = json.loads(file.read_text()) if file.exists() else {"source": "file"}
        else:
            masks = origin_of(self.masks, self.config)
        if product == MASKS:
            return masks
        lifting = {**asdict(self.config.depth), **asdict(self.config.lifting), "seed": self.config.seed}
        return {"masks": masks, "lifting": lifting}


@dataclass(frozen=True)
class LiftingReport:
    """What became of one scene."""

    scene: str
    num_frames: int = 0
    skipped: tuple[str, ...] = ()  # why frames have neither masks nor superpoints
    is_kept: bool = False  # all was there already
    reason: str = ""  # why the scene was left out


def lift_scenes(root: Path, scenes: Sequence[str], task: LiftingTask, num_workers: int) -> int:
    """Compute for each scene below `root` what is not there yet; return an exit code as `prepare` does."""
    reports: list[LiftingReport] = []
    with Interruption() as interruption:
        for report in run_each(partial(_lift_one, root, task), scenes, num_workers, interruption.__bool__):
            if report is not None:
                reports.append(report)
                _print_report(report, f"{len(reports)} of {len(scenes)}")
    left_out = [report for report in reports if report.reason]
    num_open = len(scenes) - len(reports)
    print(
        f"{root}: masks or superpoints for {len(reports) - len(left_out)} scenes, {len(left_out)} left out"
        + f", {num_open} not done: run the same command again" * bool(num_open)
    )
    return interruption.exit_code or int(bool(left_out))


def _lift_one(root: Path, task: LiftingTask, scene: str, worker: Worker) -> LiftingReport | None:
    return lift_scene(root, task, scene, worker.stopped)


def lift_scene(root: Path, task: LiftingTask, scene: str, stopped: Callable[[], bool]) -> LiftingReport | None:
    """Write masks and superpoints of one scene; each folder appears when it is finished. None = stopped before that."""
    folder = root / scene
    try:
        wanted = [MASKS] * (task.masks is not None) + [SUPERPOINTS] * task.superpoints
        products = [name for name in wanted if not _is_there(folder / name, task.origin_of(name, folder))]
        if not products:
            return LiftingReport(scene, is_kept=True)
        num_frames, skipped = _lift_frames(folder, task, products, stopped)
        for name in products:
            (_partial(folder, name) / ORIGIN).write_text(json.dumps(task.origin_of(name, folder), indent=1) + "\n")
            shutil.rmtree(folder / name, ignore_errors=True)
            _partial(folder, name).rename(folder / name)
        return LiftingReport(scene, num_frames, tuple(skipped))
    except (CommandError, SourceError, OSError) as error:
        return LiftingReport(scene, reason=str(error))
    except _StoppedError:
        return None
    finally:
        for name in (MASKS, SUPERPOINTS):
            shutil.rmtree(_partial(folder, name), ignore_errors=True)


def _partial(folder: Path, name: str) -> Path:
    return folder / f".{name}.partial"


def _is_there(product: Path, origin: dict[str, Any]) -> bool:
    """Say whether a product of this origin is there. Raises CommandError where what is there was not made here."""
    if not product.exists():
        return False
    file = product / ORIGIN
    if not file.exists():
        raise CommandError(f"{product}: expected {ORIGIN}, found files of another origin; move the folder away")
    return bool(json.loads(file.read_text()) == origin)


def _lift_frames(
    folder: Path, task: LiftingTask, products: list[str], stopped: Callable[[], bool]
) -> tuple[int, list[str]]:
    """Write the products of all frames; return how many there are and what is wrong with the others."""
    source = task.mask_source(folder)
    for name in products:
        shutil.rmtree(_partial(folder, name), ignore_errors=True)
        _partial(folder, name).mkdir()
    num_frames, skipped = 0, []
    for frame in SceneFolder(folder).source().frames():
        if stopped():
            raise _StoppedError
        try:
            if isinstance(frame, FrameError):
                raise frame
            _write_products(folder, frame, source.masks(frame), task.config, products)
            num_frames += 1
        except FrameError as error:
            skipped.append(str(error))
    return num_frames, skipped


def _write_products(folder: Path, frame: Frame, masks: Masks2D, config: Config, products: list[str]) -> None:
    if MASKS in products:
        write_png(_partial(folder, MASKS) / f"{frame.name}.png", (masks.ids + 1).astype(np.uint16))
    if SUPERPOINTS in products:
        points = lift(frame, masks, config.depth, config.lifting, config.seed)
        truth = np.zeros(frame.depth_m.size, np.int32) if frame.truth is None else frame.truth.ravel()
        np.savez(
            _partial(folder, SUPERPOINTS) / f"{frame.name}.npz",
            xyz_m=points.xyz_m,
            rgb=points.rgb,
            superpoint=points.superpoint,
            instance=truth[points.pixel],
        )


def _print_report(report: LiftingReport, progress: str) -> None:
    if report.reason:
        print(f"{report.scene}: LEFT OUT: {report.reason} ({progress})", file=sys.stderr, flush=True)
        return
    what = "kept" if report.is_kept else f"{report.num_frames} frames lifted"
    print(f"{report.scene}: {what}{f', {len(report.skipped)} skipped' * bool(report.skipped)} ({progress})", flush=True)
    for line in report.skipped[:_MOST_REASONS]:
        print(f"  {line}", file=sys.stderr, flush=True)
