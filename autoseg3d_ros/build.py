"""From a configuration to a ready segmenter: every component is made here and passed in."""

from __future__ import annotations

import logging

from autoseg3d_ros.config import Config
from autoseg3d_ros.fragment_merging import FragmentMerger, GeometricJudge, NoJudge, WholeMasks
from autoseg3d_ros.lifting.mask_selection import load_model, load_sam, select_source
from autoseg3d_ros.lifting.masks import FileMasks, MaskSource, TruthMasks
from autoseg3d_ros.lifting.model_masks import ModelMasks
from autoseg3d_ros.lifting.regions import RegionMasks
from autoseg3d_ros.lifting.sam import SIDE_PX
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.segmenter import OnlineSegmenter

_logger = logging.getLogger(__name__)


def build_segmenter(config: Config) -> OnlineSegmenter:
    """Return a segmenter with an empty state. Raises ConfigError for a mask source that cannot be."""
    # Regions and the judge look at the same surface: one estimator, so that it is computed once a frame.
    surfaces = _surface_estimator(config)
    masks = build_mask_source(config, surfaces)
    if not config.fragments.merge:
        return OnlineSegmenter(masks, NoJudge(), WholeMasks(config.tracking), config)
    judge = GeometricJudge(surfaces, config.fragments)
    return OnlineSegmenter(masks, judge, FragmentMerger(config.tracking), config)


def build_mask_source(config: Config, surfaces: SurfaceEstimator | None = None) -> MaskSource:
    """Return the mask source of the settings, and log which one it is and why.

    `surfaces` is shared with whoever else looks at them. Raises ConfigError where the source cannot be: no weights, a
    file that is no model, or nothing to run it with.
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
        return ModelMasks(load_sam(config.sam), regions, SIDE_PX)
    return ModelMasks(load_model(source, config.masks.weights, config.fastsam), regions, config.fastsam.size_px)


def _surface_estimator(config: Config) -> SurfaceEstimator:
    return SurfaceEstimator(config.regions.working_width_px, config.regions.noise_scale)
