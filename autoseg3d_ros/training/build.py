"""From a training configuration to a trainer: network, clips, stages."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Literal

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.checkpoint import load_network, with_random_weights
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training.augmentation import NO_AUGMENTATION, AugmentationConfig
from autoseg3d_ros.training.cached_scene import CachedScene
from autoseg3d_ros.training.clips import ClipConfig, ClipSource
from autoseg3d_ros.training.criterion import CriterionConfig
from autoseg3d_ros.training.loop import TrainedStage, Trainer
from autoseg3d_ros.training.loss_weights import LossWeights
from autoseg3d_ros.training.matcher import MatchingConfig
from autoseg3d_ros.training.processes import ALONE, Processes
from autoseg3d_ros.training.stages import ClipStage, Stage, TrackStage, ViewStage
from autoseg3d_ros.training.synchronised_norm import synchronise
from autoseg3d_ros.training.train_config import StageConfig, TrainConfig

# What `initial` may lack, because the stage `tracks` trains it from its first weights: LTM's dustbin, another LMI.
_MAY_BE_NEW = ("long_term.none_logit.", "fragment_merging.", "partition.")


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
    network = initial_network(config).to(processes.device)
    if processes.count > 1:
        synchronise(network)
    scenes = cached_scenes(Path(config.cache))
    class_ids = _class_ids(scenes, network.config.decoder.num_semantics)
    stages = [TrainedStage(one, _stage(one, config), _source(one, config, scenes, class_ids)) for one in config.stages]
    # Without them nobody could say which class a value of the semantic head is.
    return Trainer(network, stages, config, out, processes, {"class_ids": json.dumps(class_ids)})


def initial_network(config: TrainConfig) -> AutoSeg3D:
    """Return the network that a run begins with: random, with the weights of `initial` where it has such modules.

    Raises ConfigError where `initial` is no network, or has other modules or sizes than the configuration asks for.
    """
    embedding_norm: Literal["", "layer"] = "layer" if config.embedding else ""
    sizes = replace(
        PRESETS[config.preset],
        short_term=config.short_term,
        dustbin=config.dustbin,
        embedding_norm=embedding_norm,
    )
    network = with_random_weights(sizes, config.seed)
    if config.initial:
        tensors, expected = load_network(Path(config.initial)).state_dict(), network.state_dict()
        for key, tensor in expected.items():
            if key.startswith(_MAY_BE_NEW):
                tensors.setdefault(key, tensor)
            if key not in tensors or tensors[key].shape != tensor.shape:
                raise ConfigError(f"initial: expected {config.initial} to have {key} as {tuple(tensor.shape)}")
        network.load_state_dict({key: tensors[key] for key in expected})
    return network


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
    augmentation = AugmentationConfig() if config.augment else NO_AUGMENTATION
    try:
        return ClipSource(scenes, class_ids, clips, augmentation, config.seed)
    except ValueError as error:
        raise ConfigError(f"masks: {error}") from error


def _stage(stage: StageConfig, config: TrainConfig) -> Stage:
    # Our mends: of equally good queries one is matched, and so is the only one of a frame; the weight of the dice term
    # after the earlier layers does not depend on the batch.
    weights = LossWeights(background=config.background)
    criterion = CriterionConfig(weights=weights, matching=MatchingConfig(exact=True), earlier_dice_factor=1.0)
    if stage.kind == "view":
        return ViewStage(criterion)
    if stage.kind == "clips":
        return ClipStage(criterion, config.one_to_many, config.short_term_frames)
    return TrackStage(criterion, config.update_rule, config.short_term_frames)
