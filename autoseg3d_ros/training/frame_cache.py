"""Scene folders lifted once for training, with several kinds of masks (`method.md` §1.2, §8.4)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import MASKS, SceneFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.fragment_merging import FragmentJudge, GeometricJudge, united
from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.lifting.adjacency import border_cues, superpoint_borders
from autoseg3d_ros.lifting.masks import FileMasks, MaskSource, TruthMasks
from autoseg3d_ros.lifting.regions import RegionMasks
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.structures import NO_MASK, Frame, FrameError
from autoseg3d_ros.training.cached_scene import ORIGIN_FILE, LiftedFrame, read_origin, write_frame, write_truth
from autoseg3d_ros.training.sampling import evenly_drawn
from autoseg3d_ros.training.scene_surfaces import SurfaceRecorder
from autoseg3d_ros.worker_pool import Worker, run_each

_VERSION = 2  # of the files
_PLAIN, _UNITED = ("regions", "truth-2", "truth-4", "truth-8"), "united-"


@dataclass(frozen=True)
class CacheConfig:
    """What is lifted."""

    # `regions`, `file` (those in the scene folder), or `truth-K`: the instances, each in K pieces. `united-...`: the
    # same, of which geometry unites what it holds for one object.
    masks: tuple[str, ...] = (*_PLAIN, *(_UNITED + name for name in _PLAIN))
    every: int = 5  # keep every so many-th frame
    num_points: int = 20_000  # kept of a frame; training draws of them
    run: Config = field(default_factory=Config)  # how a run lifts: depth, lifting, regions, seed

    def origin(self, scene: SceneFolder) -> dict[str, Any]:
        """Return all that a cached scene depends on, as JSON keeps it."""
        parts = {name: asdict(getattr(self.run, name)) for name in ("depth", "lifting", "regions")}
        numbers = {"every": self.every, "num_points": self.num_points, "seed": self.run.seed, "version": _VERSION}
        if any(_kind_of(name)[0] for name in self.masks):
            parts["fragments"] = asdict(self.run.fragments)
        origin = {"masks": self.masks, **parts, **numbers, "scene": dict(scene.info.origin)}
        return dict(json.loads(json.dumps(origin)))

    def mask_source(self, name: str, scene: SceneFolder, surfaces: SurfaceEstimator | None = None) -> MaskSource:
        """Return the source of a kind of masks, united or not. Raises ValueError where there is none of that name."""
        _, name = _kind_of(name)
        if name == "regions":
            return RegionMasks(self.run.regions, surfaces)
        if name == "file":
            return FileMasks(scene.path / MASKS)
        kind, _, num_pieces = name.partition("-")
        if kind != "truth" or not num_pieces.isdecimal() or int(num_pieces) < 1:
            raise ValueError(
                f"masks {name!r}: expected regions, file or truth-K with K pieces an instance, or united- before one"
            )
        return TruthMasks(int(num_pieces), self.run.seed)


@dataclass(frozen=True)
class CacheReport:
    """What became of one scene."""

    scene: str
    num_frames: int = 0
    skipped: tuple[str, ...] = ()  # why frames were left out
    reason: str = ""  # why the whole scene was left out


def not_cached(scenes: Sequence[SceneFolder], cache: Path, config: CacheConfig) -> list[SceneFolder]:
    """Return the scenes that the cache lacks, or has from other settings."""
    return [scene for scene in scenes if read_origin(cache / scene.name) != config.origin(scene)]


def num_kept_frames(scene: SceneFolder, config: CacheConfig) -> int:
    """Return how many frames of a scene are kept, unreadable ones included."""
    return len(range(0, len(scene.source()), config.every))


def cache_scenes(
    scenes: Sequence[SceneFolder],
    cache: Path,
    config: CacheConfig,
    num_workers: int,
    stopped: Callable[[], bool] = lambda: False,
    on_count: Callable[[int], None] = lambda num_frames: None,
) -> Iterator[CacheReport]:
    """Lift scenes, each in a process; yield the report of each as it ends, and count frames.

    A scene appears in the cache when it is finished, in the place of a former one; after a stop the same call goes on
    with those that `not_cached` names. Raises WorkerDiedError.
    """
    cache.mkdir(parents=True, exist_ok=True)
    paths = [scene.path for scene in scenes]
    for report in run_each(partial(_cache_one, cache, config), paths, num_workers, stopped, on_count):
        if report is not None:
            yield report


def _cache_one(cache: Path, config: CacheConfig, path: Path, worker: Worker) -> CacheReport | None:
    """Write one scene; None = stopped before its end."""
    partial_folder = cache / f".{path.name}.partial"
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir()
    try:
        scene = SceneFolder(path)
        report = _write_scene(partial_folder, scene, config, worker)
        if report is None:
            return None
        (partial_folder / ORIGIN_FILE).write_text(json.dumps(config.origin(scene), indent=1) + "\n")
        shutil.rmtree(cache / path.name, ignore_errors=True)
        partial_folder.rename(cache / path.name)
        return report
    except (SourceError, OSError) as error:
        return CacheReport(path.name, reason=str(error))
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


def _write_scene(folder: Path, scene: SceneFolder, config: CacheConfig, worker: Worker) -> CacheReport | None:
    surfaces_of = SurfaceEstimator(config.run.regions.working_width_px, config.run.regions.noise_scale)
    sources = {name: config.mask_source(name, scene, surfaces_of) for name in config.masks}
    judge = GeometricJudge(surfaces_of, config.run.fragments)
    surfaces, num_frames, skipped = SurfaceRecorder(scene.info.changes), 0, []
    for frame in islice(scene.source().frames(), 0, None, config.every):
        if worker.stopped():
            return None
        try:
            if isinstance(frame, FrameError):
                raise frame
            lifted = lift_frame(frame, scene, sources, judge, surfaces_of, config)
            write_frame(folder / f"{frame.name}.npz", lifted)
            surfaces.add(int(frame.name), lifted)
            num_frames += 1
        except FrameError as error:
            skipped.append(str(error))
        worker.count()
    write_truth(folder, surfaces.truth(scene.mesh, scene.info.instances))
    if not num_frames:
        raise SourceError(f"{scene.path}: no frame can be used: {skipped[0] if skipped else 'there is none'}")
    return CacheReport(scene.name, num_frames, tuple(skipped))


def lift_frame(
    frame: Frame,
    scene: SceneFolder,
    sources: dict[str, MaskSource],
    judge: FragmentJudge,
    surfaces: SurfaceEstimator,
    config: CacheConfig,
) -> LiftedFrame:
    """Return points of a frame with their superpoints as a run would lift them. Raises FrameError without truth."""
    if frame.truth is None:
        raise FrameError(f"{scene.path}, frame {frame.name}: training needs an instance image, got none")
    # All pixels go through `lift`, and the same points are then kept for all kinds of masks.
    everything = replace(config.run.lifting, num_points=frame.depth_m.size)
    superpoint, borders = {}, {}
    for name, source in sources.items():
        lifted = lift(frame, source.masks(frame), config.run.depth, everything, config.run.seed)
        is_united, _ = _kind_of(name)
        lifted = united(lifted, judge(frame, lifted)) if is_united else lifted
        superpoint[name] = lifted.id_image.ravel()
        borders[name] = border_cues(superpoint_borders(lifted, surfaces.of(frame)))
    depth_m = frame.depth_m.ravel()
    usable = (depth_m >= config.run.depth.min_m) & (depth_m <= config.run.depth.max_m)
    usable &= np.any([ids != NO_MASK for ids in superpoint.values()], axis=0)
    rng = np.random.default_rng([config.run.seed, frame.stamp_ns])
    pixel = evenly_drawn(np.flatnonzero(usable), config.num_points, rng)
    points_m = backproject(pixel, depth_m[pixel], frame.camera)
    return LiftedFrame(
        xyz_m=transform_points(frame.world_from_camera, points_m),
        rgb=frame.rgb.reshape(-1, 3)[pixel],
        instance=frame.truth.ravel()[pixel],
        superpoint={name: ids[pixel] for name, ids in superpoint.items()},
        borders=borders,
        world_from_exact=frame.world_from_camera @ np.linalg.inv(scene.true_pose(frame.name).matrix),
    )


def _kind_of(name: str) -> tuple[bool, str]:
    """Return whether superpoints of this kind are united, and of which masks they are."""
    masks = name.removeprefix(_UNITED)
    return masks != name, masks
