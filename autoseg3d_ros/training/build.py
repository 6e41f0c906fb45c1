"""From a training configuration to a trainer: network, clips, stages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from autoseg3d_ros.model.checkpoint import with_random_weights
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training.augmentation import AugmentationConfig
from autoseg3d_ros.training.cached_scene import CachedScene
from autoseg3d_ros.training.clips import ClipConfig, ClipSource
from autoseg3d_ros.training.criterion import CriterionConfig
from autoseg3d_ros.training.loop import TrainedStage, Trainer
from autoseg3d_ros.training.matcher import MatchingConfig
from autoseg3d_ros.training.processes import ALONE, Processes
from autoseg3d_ros.training.stages import ClipStage, Stage, TrackStage, ViewStage
from autoseg3d_ros.training.synchronised_norm import synchronise
from autoseg3d_ros.training.train_config import StageConfig, TrainConfig


def build_trainer(config: TrainConfig, out: Path, processes: Processes = ALONE) -> Trainer:
    """Return a trainer of a fresh network, on the device of this process.

    Raises ConfigError where there are no clips, where they do not fit the configuration, or where a batch cannot be
    shared out evenly.
    """
    for stage in config.stages:
        if stage.batch % processes.count:
            raise ConfigError(
                f"stages: {stage.kind}: batch: expected a multiple of the number of processes, {processes.count}, "
                f"got {stage.batch}"
            )
    sizes = replace(PRESETS[config.preset], embedding_norm="layer" if config.embedding else "")
    network = with_random_weights(sizes, config.seed).to(processes.device)
    if processes.count > 1:
        synchronise(network)
    scenes = cached_scenes(Path(config.cache))
    class_ids = _class_ids(scenes, sizes.decoder.num_semantics)
    stages = [TrainedStage(one, _stage(one, config), _source(one, config, scenes, class_ids)) for one in config.stages]
    return Trainer(network, stages, config, out, processes)


def cached_scenes(cache: Path) -> list[CachedScene]:
    """Return the finished scenes of a cache, by name. Raises ConfigError where there is none."""
    scenes = [CachedScene(path) for path in sorted(cache.glob("[!.]*")) if path.is_dir()]
    if not scenes:
        raise ConfigError(
            f"cache: expected lifted scenes in {cache.absolute()}, found none; `autoseg3d lift` makes them"
        )
    return scenes


def _class_ids(scenes: list[CachedScene], num_semantics: int) -> list[int]:
    """Return the data set's ids of the classes 0, 1, ... of the semantic head."""
    class_ids = sorted({int(one) for scene in scenes for one in scene.truth.class_id})
    if len(class_ids) > num_semantics:
        raise ConfigError(
            f"cache: the scenes have {len(class_ids)} classes, the network can tell {num_semantics}; "
            "give a preset whose decoder has more `num_semantics`"
        )
    return class_ids


def _source(stage: StageConfig, config: TrainConfig, scenes: list[CachedScene], class_ids: list[int]) -> ClipSource:
    clips = ClipConfig(
        num_frames=stage.num_frames,
        steps=config.steps if stage.num_frames > 1 else (1,),
        num_points=min(stage.num_points, PRESETS[config.preset].num_points),
        masks=config.masks,
    )
    try:
        return ClipSource(scenes, class_ids, clips, AugmentationConfig(), config.seed)
    except ValueError as error:
        raise ConfigError(f"masks: {error}") from error


def _stage(stage: StageConfig, config: TrainConfig) -> Stage:
    # Our mends: of equally good queries one is matched, and so is the only one of a frame; the weight of the dice term
    # after the earlier layers does not depend on the batch.
    criterion = CriterionConfig(matching=MatchingConfig(exact=True), earlier_dice_factor=1.0)
    if stage.kind == "view":
        return ViewStage(criterion)
    if stage.kind == "clips":
        return ClipStage(criterion)
    return TrackStage(criterion, config.update_rule)
