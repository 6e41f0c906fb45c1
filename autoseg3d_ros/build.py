"""From a configuration to a ready segmenter: every component is made here and passed in."""

from __future__ import annotations

import logging

from autoseg3d_ros.config import Config
from autoseg3d_ros.fragment_merging import FragmentMerger, GeometricJudge, NoJudge, WholeMasks
from autoseg3d_ros.lifting.masks import FileMasks, MaskSource, TruthMasks
from autoseg3d_ros.lifting.regions import RegionMasks
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.segmenter import OnlineSegmenter

_logger = logging.getLogger(__name__)


def build_segmenter(config: Config) -> OnlineSegmenter:
    """Return a segmenter with an empty state."""
    # Regions and the judge look at the same surface: one estimator, so that it is computed once a frame.
    surfaces = _surface_estimator(config)
    masks = build_mask_source(config, surfaces)
    if not config.fragments.merge:
        return OnlineSegmenter(masks, NoJudge(), WholeMasks(config.tracking), config)
    judge = GeometricJudge(surfaces, config.fragments)
    return OnlineSegmenter(masks, judge, FragmentMerger(config.tracking), config)


def build_mask_source(config: Config, surfaces: SurfaceEstimator | None = None) -> MaskSource:
    """Return where the 2D masks come from; `surfaces` is shared with whoever else looks at them."""
    surfaces = surfaces or _surface_estimator(config)
    if config.masks.source == "truth":
        return TruthMasks(config.masks.fragments, config.seed)
    if config.masks.source == "file":
        return FileMasks(config.masks.directory)
    if config.masks.source == "auto":
        _logger.info("masks.source auto: no mask model is configured, using regions of the RGB-D image")
    return RegionMasks(config.regions, surfaces)


def _surface_estimator(config: Config) -> SurfaceEstimator:
    return SurfaceEstimator(config.regions.working_width_px, config.regions.noise_scale)
