"""Small clips, a small network and trainers of both, for tests of the training loop."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.checkpoint import with_random_weights
from autoseg3d_ros.model.decoder import DecoderConfig
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.training.clips import Clip, ClipFrame
from autoseg3d_ros.training.criterion import CriterionConfig
from autoseg3d_ros.training.loop import TrainedStage, Trainer
from autoseg3d_ros.training.matcher import MatchingConfig
from autoseg3d_ros.training.processes import ALONE, Processes
from autoseg3d_ros.training.stages import ClipStage, Stage, TrackStage, ViewStage
from autoseg3d_ros.training.train_config import StageConfig, TrainConfig

CRITERION = CriterionConfig(matching=MatchingConfig(exact=True))
STAGES: dict[str, Stage] = {
    "view": ViewStage(CRITERION),
    "clips": ClipStage(CRITERION),
    "tracks": TrackStage(CRITERION),
}
SMALL = NetworkConfig(
    backbone="tiny",
    voxel_m=0.1,
    decoder=DecoderConfig(
        in_channels=64, width=32, num_layers=2, num_point_predictions=1, num_heads=4, hidden=64, num_semantics=3
    ),
    memory_heads=4,
    embedding_norm="layer",
)

_PIECES = 3  # superpoints of an object
_POINTS = 40  # of a superpoint


@dataclass(frozen=True)
class FewClips:
    """A source of so many random clips, the same in each epoch: cubes of different colours that stand side by side."""

    num_clips: int = 2
    num_frames: int = 1
    num_objects: int = 2
    empty_clip: int = -1  # the index of one without a point

    def __len__(self) -> int:
        return self.num_clips

    def clip(self, epoch: int, index: int) -> Clip:
        rng = np.random.default_rng(index)
        rows = np.arange(self.num_objects, dtype=np.int32)
        num_points = 0 if index == self.empty_clip else _POINTS
        frames = tuple(_frame(self.num_objects, number, num_points, rng) for number in range(self.num_frames))
        return Clip(scene=f"room_{index}", frames=frames, instance=rows + 1, semantic=rows % 3)


def _frame(num_objects: int, number: int, num_points: int, rng: np.random.Generator) -> ClipFrame:
    """Return cubes of one metre, each cut into slices of so many points, and beside them one of void."""
    superpoint = np.repeat(np.arange(_PIECES * (num_objects + 1), dtype=np.int32), num_points)
    group = superpoint // _PIECES
    corner = np.stack((1.5 * group, 0 * group, 0 * group + (superpoint % _PIECES) / _PIECES), axis=1)
    xyz_m = corner + rng.random((len(superpoint), 3)) * [1, 1, 1 / _PIECES]
    row = np.where(group < num_objects, group, -1).astype(np.int32)
    box_m = [[1.5 * one + 0.5, 0.5, 0.5, 1, 1, 1] for one in range(num_objects)]
    return ClipFrame(
        xyz_m=xyz_m.astype(np.float32),
        rgb=(40 + 60 * np.stack((group, group % 2, 0 * group), axis=1)).astype(np.uint8),
        superpoint=superpoint,
        num_superpoints=_PIECES * (num_objects + 1) * (num_points > 0),
        object_row=row,
        box_m=np.array(box_m, np.float32).reshape(-1, 6),
        number=number,
        masks="regions",
    )


def a_stage(kind: str, iterations: int = 3, **changes: object) -> StageConfig:
    """Return a stage of two short clips a batch."""
    config = StageConfig(kind, iterations, batch=2, num_frames=1 if kind == "view" else 2, learning_rate=1e-3)
    return replace(config, **changes)


def a_trainer(
    out: Path,
    stages: Sequence[StageConfig],
    *,
    processes: Processes = ALONE,
    network: AutoSeg3D | None = None,
    clips: FewClips = FewClips(),
) -> Trainer:
    """Return a trainer of the small network with few clips."""
    config = TrainConfig("tiny", "nowhere", tuple(stages))
    sources = [replace(clips, num_frames=one.num_frames) for one in stages]
    trained = [TrainedStage(one, STAGES[one.kind], source) for one, source in zip(stages, sources, strict=True)]
    return Trainer(network or with_random_weights(SMALL, 0), trained, config, out, processes)


def stop_after(num_calls: int) -> Callable[[], bool]:
    """Return a question that is answered with no so many times, and with yes from then on."""
    count = iter(range(10**9))
    return lambda: next(count) >= num_calls
