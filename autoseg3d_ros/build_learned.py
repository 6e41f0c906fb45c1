"""From a configuration to a segmenter with a network. Apart from `build.py`, because it imports torch."""

from __future__ import annotations

import dataclasses
import logging

import torch

from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.fragment_merging import FragmentJudge, NoJudge
from autoseg3d_ros.geometric_cue import GeometricCue
from autoseg3d_ros.learned_association import (
    EmbeddingAssociation,
    LearnedAssociation,
    LongTermAssociation,
    OverlapAssociation,
)
from autoseg3d_ros.learned_recognition import LearnedRecognition, LearnedSettings
from autoseg3d_ros.lifting.masks import MaskSource
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.build import build_network
from autoseg3d_ros.model.filtering import FilterConfig
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.tracking.reference import ReferenceTracker
from autoseg3d_ros.tracking.tracker import Tracker

_logger = logging.getLogger(__name__)


def build_learned_segmenter(
    masks: MaskSource, surfaces: SurfaceEstimator, judge: FragmentJudge, config: Config
) -> OnlineSegmenter:
    """Return a segmenter with the network of the settings, and the tracker that suits it. Raises ConfigError.

    `surfaces` may be shared with `masks`; `judge` is asked where the network was trained on united superpoints.
    """
    network = build_network(config.model, config.feature_memory, config.seed)
    association = _association(network, config)
    tracker = _tracker(association, config)
    min_points = config.detection.min_points or network.config.min_points
    config = _fit_to(network, min_points, config)
    filters = FilterConfig(**{**dataclasses.asdict(config.detection), "min_points": min_points})
    settings = LearnedSettings(
        filters,
        config.model.short_term_frames,
        _precision(network, config.model.precision),
        config.tracking.memory_update,
        config.model.track_merging,
        config.tracking.min_points,
        config.model.map_names,
        config.tracking.owner_share,
    )
    judge = judge if network.config.unites_superpoints else NoJudge()
    recognition = LearnedRecognition(network, surfaces, judge, association, tracker, settings)
    return OnlineSegmenter(masks, recognition, tracker, config)


def _fit_to(network: AutoSeg3D, min_points: int, config: Config) -> Config:
    """Return settings that sample no more points than the network was made for, and let any detection start a track."""
    lifting = dataclasses.replace(config.lifting, num_points=min(config.lifting.num_points, network.config.num_points))
    tracking = dataclasses.replace(config.tracking, min_points=min(config.tracking.min_points, min_points))
    return dataclasses.replace(config, lifting=lifting, tracking=tracking)


def _precision(network: AutoSeg3D, name: str) -> torch.dtype:
    if name == "auto":
        name = "float16" if next(network.parameters()).is_cuda else "float32"
    precision: torch.dtype = getattr(torch, name)
    return precision


def _tracker(association: LearnedAssociation, config: Config) -> Tracker:
    """Return the tracker; learned scores say how sure they are, learned affinities are of another
    size than overlap, and LTM asks the live tracks first.
    """
    tracking = dataclasses.replace(config.tracking, score_prior=0)
    if not isinstance(association, OverlapAssociation):
        tracking = dataclasses.replace(tracking, min_affinity=config.model.min_affinity)
    if isinstance(association, LongTermAssociation):
        tracking = dataclasses.replace(tracking, live_first=True)
    return (ReferenceTracker if tracking.reference else Tracker)(tracking, config.limits)


def _association(network: AutoSeg3D, config: Config) -> LearnedAssociation:
    choice = config.model.association
    if choice == "auto":
        choice = "long_term" if network.long_term else "embedding" if network.merge_head else "geometric"
    cue = GeometricCue(config.model.geometric_cue, config.model.pose_error_m)
    _logger.info("association: %s", choice)
    if choice == "geometric":
        return OverlapAssociation()
    if choice == "long_term" and network.long_term:
        return LongTermAssociation(network.long_term, cue)
    if choice == "embedding" and network.merge_head:
        return EmbeddingAssociation(network.merge_head, cue)
    raise ConfigError(f"model.association: {choice} is no part of this network; expected auto or geometric")
