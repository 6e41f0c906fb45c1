"""Packages of a full ROS 2 installation that not every one has: imported when they are asked for."""

from __future__ import annotations

import importlib
from types import ModuleType

from autoseg3d_ros.config import ConfigError


def import_for(setting: str, *names: str) -> list[ModuleType]:
    """Return the modules that `setting`, such as `pose.source: tf`, needs. Raises ConfigError where one is missing."""
    try:
        return [importlib.import_module(name) for name in names]
    except ImportError as error:
        packages = ", ".join(name.split(".")[0] for name in names)
        raise ConfigError(
            f"{setting}: expected the ROS packages {packages} to be installed, got: {error}; install them "
            f"(`apt install ros-$ROS_DISTRO-...`) or choose another value"
        ) from error
