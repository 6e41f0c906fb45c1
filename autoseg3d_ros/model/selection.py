"""Which model the settings mean, and whether what it needs is there. Imports no torch."""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import replace

from autoseg3d_ros.model.manifest import Manifest
from autoseg3d_ros.model_config import DEFAULT_MODEL, NO_MODEL, ModelConfig

_NEEDED = ("torch", "safetensors")

_logger = logging.getLogger(__name__)


def select_model(model: ModelConfig) -> ModelConfig:
    """Return the settings with the name that `auto` stands for; all others as they are.

    `auto` is the default of the manifest where there is one and what it needs is installed, else geometry alone; warns
    where something is missing. Raises ConfigError for a manifest that is not what it should be.
    """
    if model.path or model.name != DEFAULT_MODEL:
        return model
    name = Manifest.installed().default
    missing = missing_packages()
    if name and missing:
        _logger.warning(
            "model: the network %s cannot run, %s missing; geometry alone takes its place: things that touch and look "
            "alike become one instance, a thing of many colours becomes several; `pip install %s`, or set model.name "
            "to none where geometry is meant",
            name,
            " and ".join(missing) + (" is" if len(missing) == 1 else " are"),
            " ".join(missing),
        )
    return replace(model, name=NO_MODEL if missing or not name else name)


def describe_model(model: ModelConfig) -> str:
    """Return in words which model settings mean that `select_model` gave."""
    if model.path:
        return model.path
    return "none: geometry alone" if model.name == NO_MODEL else model.name


def missing_packages() -> tuple[str, ...]:
    """Return what a network needs and is not installed; nothing is imported."""
    return tuple(name for name in _NEEDED if importlib.util.find_spec(name) is None)
