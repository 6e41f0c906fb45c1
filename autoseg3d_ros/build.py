"""From a configuration to a ready segmenter: every component is made here and passed in."""

from __future__ import annotations

import dataclasses
import logging

from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.fragment_merging import FragmentJudge, FragmentMerger, GeometricJudge, NoJudge, WholeMasks
from autoseg3d_ros.geometric_recognition import GeometricRecognition
from autoseg3d_ros.lifting.mask_selection import load_model, load_sam, select_source
from autoseg3d_ros.lifting.masks import FileMasks, MaskSource, TruthMasks
from autoseg3d_ros.lifting.model_masks import ModelMasks
from autoseg3d_ros.lifting.regions import RegionMasks
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.lifting.turned_masks import TurnedModel
from autoseg3d_ros.model.selection import describe_model, select_model
from autoseg3d_ros.model_config import NO_MODEL
from autoseg3d_ros.recognition import Recognition
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.tracking.tracker import Tracker

_logger = logging.getLogger(__name__)


def build_segmenter(config: Config, *, is_turned: bool = False) -> OnlineSegmenter:
    """Return a segmenter with an empty state; for `is_turned` see `build_mask_source`, and for what it raises."""
    # Regions and the judge look at the same surface: one estimator, so that it is computed once a frame.
    surfaces = _surface_estimator(config)
    masks = build_mask_source(config, surfaces, is_turned=is_turned)
    config = with_model(config)
    if config.model.path or config.model.name != NO_MODEL:
        return _learned_segmenter(masks, surfaces, config)
    _logger.info("model: %s", describe_model(config.model))
    recognition, tracker = _geometric(config, surfaces)
    return OnlineSegmenter(masks, recognition, tracker, config)


def with_model(config: Config) -> Config:
    """Return the settings with the model that `auto` stands for, see `select_model`."""
    return dataclasses.replace(config, model=select_model(config.model))


def _geometric(config: Config, surfaces: SurfaceEstimator) -> tuple[Recognition, Tracker]:
    tracker = Tracker(config.tracking, config.limits)
    merger = FragmentMerger if config.fragments.merge else WholeMasks
    judge = _judge(config, surfaces)
    return GeometricRecognition(judge, merger(config.tracking), tracker, config.tracking), tracker


def _judge(config: Config, surfaces: SurfaceEstimator) -> FragmentJudge:
    return GeometricJudge(surfaces, config.fragments) if config.fragments.merge else NoJudge()


def _learned_segmenter(masks: MaskSource, surfaces: SurfaceEstimator, config: Config) -> OnlineSegmenter:
    try:
        # torch takes a second to import, and is an extra.
        from autoseg3d_ros.build_learned import build_learned_segmenter
    except ImportError as error:
        raise ConfigError(
            f"model.name: {config.model.path or config.model.name!r} needs torch and safetensors ({error}); "
            "`pip install torch safetensors`, or `--model none` for geometry alone"
        ) from error
    return build_learned_segmenter(masks, surfaces, _judge(config, surfaces), config)


def build_mask_source(
    config: Config, surfaces: SurfaceEstimator | None = None, *, is_turned: bool = False
) -> MaskSource:
    """Return the mask source of the settings, and log which one it is and why.

    `surfaces` is shared with whoever else looks at them. `is_turned` says that the camera was held upright, so that
    its images lie on their side: models then see them turned clockwise, as they know the world. Raises ConfigError
    where the source cannot be: no weights, a file that is no model, or nothing to run it with.
    """
    surfaces = surfaces or _surface_estimator(config)
    source, reason = select_source(config.masks)
    _logger.info("masks: %s (%s)", source, reason)
    if source == "truth":
        return TruthMasks(config.masks.fragments, config.seed)
    if source == "file":
        return FileMasks(config.masks.directory)
    regions = RegionMasks(config.regions, surfaces)
    if source == "regions":
        return regions
    if source == "sam":
        model = load_sam(config.sam)
        from autoseg3d_ros.lifting.sam import SIDE_PX  # imports torch, which `load_sam` has found

        size_px = SIDE_PX
    else:
        model, size_px = load_model(source, config.masks.weights, config.fastsam), config.fastsam.size_px
    return ModelMasks(TurnedModel(model) if is_turned else model, regions, size_px)


def _surface_estimator(config: Config) -> SurfaceEstimator:
    return SurfaceEstimator(config.regions.working_width_px, config.regions.noise_scale)
