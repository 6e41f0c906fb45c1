"""From settings to a network that is ready to run: weights, device, and the parts that take part."""

from __future__ import annotations

import logging
from pathlib import Path

import torch

from autoseg3d_ros.memory.short_term import NoShortTermMemory
from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.checkpoint import load_network, with_random_weights
from autoseg3d_ros.model.manifest import Manifest
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.model.voxel_memory import MemoryBounds, NoVoxelMemory
from autoseg3d_ros.model_config import FeatureMemoryConfig, ModelConfig
from autoseg3d_ros.setting import ConfigError

_logger = logging.getLogger(__name__)


def build_network(model: ModelConfig, memory: FeatureMemoryConfig, seed: int) -> AutoSeg3D:
    """Return the network of the settings in evaluation mode on its device; logs which one it is.

    Raises ConfigError for an unknown name, a file that is no network, and a device that is not there.
    """
    device = _device(model.device)
    network = _network(model, seed)
    if not model.voxel_memory:
        network.voxel_memory = NoVoxelMemory()
    if not model.fragment_merging:
        network.fragment_merging = network.partition = None
    if not model.short_term:
        network.short_term = NoShortTermMemory()
    network.bounds = MemoryBounds(network.config.voxel_m, memory.max_distance_m, memory.max_voxels)
    return network.eval().to(device)


def _network(model: ModelConfig, seed: int) -> AutoSeg3D:
    if model.path:
        _logger.info("model: %s", model.path)
        return load_network(Path(model.path))
    manifest = Manifest.installed()
    path = manifest.weights_of(model.name)
    if path is not None:
        _logger.info("model: %s (%s)", model.name, path)
        return load_network(path)
    if model.name not in PRESETS:
        known = ", ".join(sorted({*PRESETS, *manifest.names}))
        raise ConfigError(f"model.name: expected auto, none, {known} or --model FILE.safetensors, got {model.name!r}")
    _logger.warning("model: %s has no trained weights yet; with random ones its objects mean nothing", model.name)
    return with_random_weights(PRESETS[model.name], seed)


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise ConfigError(f"model.device: {name!r} cannot be used: {str(error).splitlines()[0]}") from error
    return device
