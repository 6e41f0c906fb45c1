"""Clips of lifted frames for training, drawn at random and augmented (`method.md` §8.4)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from autoseg3d_ros.geometry import boxes_of_groups, transform_points
from autoseg3d_ros.structures import NO_INSTANCE, NO_MASK, BorderCues
from autoseg3d_ros.training.augmentation import Augmentation, AugmentationConfig
from autoseg3d_ros.training.cached_scene import CachedScene, LiftedFrame, SceneTruth
from autoseg3d_ros.training.sampling import evenly_drawn
from autoseg3d_ros.training.targets import NOTHING

MIXED_MASKS = {"regions": 3.0, "truth-2": 1.0, "truth-4": 1.0, "truth-8": 1.0}


@dataclass(frozen=True)
class ClipConfig:
    """How clips are drawn."""

    num_frames: int = 8  # 1 for the run on single views
    steps: tuple[int, ...] = (1,)  # from one frame of a clip to the next, in frames of the cache; one is drawn a clip
    num_points: int = 20_000  # of a frame, at most
    masks: Mapping[str, float] = field(default_factory=lambda: dict(MIXED_MASKS))  # kind -> how often a frame has it
    clips_per_scene: int = 1  # in an epoch


@dataclass(frozen=True)
class ClipFrame:
    """One frame of a clip as the network sees it, and its truth. Objects are rows of the clip's."""

    xyz_m: np.ndarray  # (N, 3) float32, augmented world; N = 0 is legal
    rgb: np.ndarray  # (N, 3) uint8
    superpoint: np.ndarray  # (N,) int32 in [0, S)
    num_superpoints: int
    object_row: np.ndarray  # (N,) int32 in [0, G), NOTHING = void
    box_m: np.ndarray  # (G, 6) float32 centre and size of the whole objects, where this frame's pose puts them
    number: int  # in the scene folder
    masks: str  # their kind
    borders: BorderCues = field(default_factory=BorderCues.none)  # between the superpoints


@dataclass(frozen=True)
class Clip:
    """Frames of one scene in the order they are shown, and the objects that any of them sees."""

    scene: str
    frames: tuple[ClipFrame, ...]
    instance: np.ndarray  # (G,) int32 ids in the scene, ascending
    semantic: np.ndarray  # (G,) int32 class, NOTHING where it is none of those that are learned


class ClipSource:
    """Clips by epoch and index: the same seed gives the same clips, in any order and in any process."""

    def __init__(
        self,
        scenes: Sequence[CachedScene],
        class_ids: Sequence[int],
        clips: ClipConfig,
        augmentation: AugmentationConfig,
        seed: int = 0,
    ) -> None:
        """Take scenes, and of the classes 0, 1, ... the data set's ids.

        Raises ValueError where the scenes lack a kind of masks.
        """
        for scene in scenes:
            if missing := sorted(set(clips.masks) - set(scene.masks)):
                raise ValueError(
                    f"{scene.path}: expected masks {missing}, got {list(scene.masks)}; lift the scenes anew"
                )
        self._scenes, self._class_ids = scenes, np.asarray(class_ids, np.int32)
        self.config, self._augmentation, self._seed = clips, augmentation, seed

    def __len__(self) -> int:
        """Return the number of clips of an epoch."""
        return len(self._scenes) * self.config.clips_per_scene

    def clip(self, epoch: int, index: int) -> Clip:
        """Return a clip of consecutive frames from a random one on, the first after the last. Raises SourceError."""
        rng = np.random.default_rng([self._seed, epoch, index])
        scene = self._scenes[index % len(self._scenes)]
        step, start = rng.choice(self.config.steps), rng.integers(len(scene))
        places = ((start + step * np.arange(self.config.num_frames)) % len(scene)).tolist()
        frames = [_DrawnFrame.draw(scene, place, self.config, rng) for place in places]
        augmentation = Augmentation.draw(self._augmentation, [frame.xyz_m for frame in frames], rng)
        return _clip(scene, frames, augmentation, self._class_ids)


@dataclass(frozen=True)
class _DrawnFrame:
    """The points of a frame before augmentation."""

    lifted: LiftedFrame
    point: np.ndarray  # (N,) rows of the lifted points
    superpoint: np.ndarray  # (N,) int32
    num_superpoints: int
    borders: BorderCues
    number: int
    masks: str

    @classmethod
    def draw(cls, scene: CachedScene, place: int, clips: ClipConfig, rng: np.random.Generator) -> _DrawnFrame:
        """Draw masks, and points that lie in them."""
        frequency = np.array(list(clips.masks.values()))
        masks = list(clips.masks)[rng.choice(len(frequency), p=frequency / frequency.sum())]
        lifted = scene.frame(place, masks)
        ids = lifted.superpoint[masks]
        point = evenly_drawn(np.flatnonzero(ids != NO_MASK), clips.num_points, rng)
        ids = ids[point]
        present, superpoint = np.unique(ids, return_inverse=True)
        borders = lifted.borders[masks]
        num_ids = max(int(borders.pairs.max(initial=-1)), int(present.max(initial=-1))) + 1
        borders = borders.renumbered(rows_of(np.arange(num_ids), present))
        return cls(
            lifted, point, superpoint.astype(np.int32).reshape(-1), len(present), borders, scene.number(place), masks
        )

    @property
    def xyz_m(self) -> np.ndarray:
        """(N, 3)"""
        return self.lifted.xyz_m[self.point]

    @property
    def instance(self) -> np.ndarray:
        """(N,)"""
        return self.lifted.instance[self.point]


def _clip(scene: CachedScene, frames: Sequence[_DrawnFrame], augmentation: Augmentation, class_ids: np.ndarray) -> Clip:
    instance = np.unique(np.concatenate([frame.instance for frame in frames]))
    instance = instance[instance != NO_INSTANCE]
    rows = [rows_of(frame.instance, instance) for frame in frames]
    moved_m = [augmentation.moved(frame.xyz_m) for frame in frames]
    seen_box_m = boxes_of_groups(np.concatenate(moved_m), np.concatenate(rows), len(instance))
    class_id = scene.truth.class_id[rows_of(instance, scene.truth.instance_id)]
    return Clip(
        scene=scene.path.name,
        frames=tuple(
            ClipFrame(
                xyz_m=xyz_m,
                rgb=augmentation.recoloured(frame.lifted.rgb[frame.point]),
                superpoint=frame.superpoint,
                num_superpoints=frame.num_superpoints,
                object_row=row,
                box_m=centre_and_size(_whole_boxes(scene.truth, frame, instance, augmentation, seen_box_m)),
                number=frame.number,
                masks=frame.masks,
                borders=frame.borders,
            )
            for frame, row, xyz_m in zip(frames, rows, moved_m, strict=True)
        ),
        instance=instance,
        semantic=rows_of(class_id, class_ids),
    )


def _whole_boxes(
    truth: SceneTruth, frame: _DrawnFrame, instance: np.ndarray, augmentation: Augmentation, seen_box_m: np.ndarray
) -> np.ndarray:
    """Return (G, 2, 3) corners of the whole instances (G,), or what the clip sees of those without a surface."""
    row = rows_of(truth.instance, instance)
    chosen = (row != NOTHING) & (truth.first_frame <= frame.number) & (frame.number < truth.end_frame)
    vertices_m = transform_points(frame.lifted.world_from_exact, truth.vertices_m[chosen])
    boxes_m = boxes_of_groups(augmentation.moved(vertices_m), row[chosen], len(instance))
    has_surface = np.bincount(row[chosen], minlength=len(instance)) > 0
    return np.where(has_surface[:, None, None], boxes_m, seen_box_m)


def rows_of(values: np.ndarray, table: np.ndarray) -> np.ndarray:
    """Return where each value (N,) stands in a table (G,) without doubles, (N,) int32, NOTHING if it does not."""
    if not len(table):
        return np.full(len(values), NOTHING, np.int32)
    order = np.argsort(table)
    place = order[np.searchsorted(table, values, sorter=order).clip(max=len(table) - 1)]
    return np.where(table[place] == values, place, NOTHING).astype(np.int32)


def centre_and_size(corners_m: np.ndarray) -> np.ndarray:
    """Return boxes (G, 6) of corners (G, 2, 3)."""
    low, high = corners_m[:, 0], corners_m[:, 1]
    return np.concatenate([(low + high) / 2, high - low], axis=1)
