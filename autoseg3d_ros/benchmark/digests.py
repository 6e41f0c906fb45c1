"""What an outcome was computed from, as a digest: it is used again only where nothing of that has changed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path
from typing import Any

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import MASKS, MESH_FILE, SCENE_FILE, SceneFolder
from autoseg3d_ros.model.manifest import Manifest
from autoseg3d_ros.model.selection import select_model
from autoseg3d_ros.model_config import NO_MODEL

_NO_PART = (  # of the package: they cannot change an outcome, but for the settings, which count by themselves
    "cli/",
    "client/",
    "persistence/",
    "reporting/",
    "ros/",
    "training/",
    "data/synthetic/",
    "benchmark/ablation.py",
    "benchmark/rows.py",
    "benchmark/scores.py",
    "evaluation/bootstrap.py",
)


def outcome_digest(scene: SceneFolder, config: Config, protocol: Protocol) -> str:
    """Return a digest of the settings, the protocol, the scene, the weights and the code.

    Of the scene `scene.json` and the mesh are read; of its images only name and size, and of computed masks the time
    of change too. Weights count by what is in their file, not by where it lies. Raises ConfigError where a model by
    name is damaged.
    """
    document = {
        "config": _by_content(config),
        "protocol": dataclasses.asdict(protocol),
        "code": _code_digest(),
        "scene": [file_digest(scene.path / name) for name in (SCENE_FILE, MESH_FILE)],
        "images": [_listing(scene.path / name) for name in ("rgb", "depth", "pose", "instance", "true_pose")],
        "masks": _listing(scene.path / MASKS, with_time=True) if config.masks.source == "file" else [],
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


def _by_content(config: Config) -> dict[str, Any]:
    """Return all settings, with the digest of each file of weights in place of its path or name."""
    values = configuration.as_flat_dict(dataclasses.replace(config, model=select_model(config.model)))
    for key in ("model.path", "masks.weights"):
        if digest := file_digest(Path(values[key])):
            values[key] = digest
    if values["model.path"] or values["model.name"] == NO_MODEL:
        return values
    installed = Manifest.installed().weights_of(values["model.name"])
    return values | {"model.path": file_digest(installed)} if installed else values


@functools.cache
def _code_digest() -> str:
    """Return a digest of the source of every module that takes part in an evaluation."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        if not path.startswith(_NO_PART):
            digest.update(path.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def file_digest(file: Path) -> str:
    """Return the sha256 of a file in hexadecimal digits, empty where there is none."""
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _listing(folder: Path, *, with_time: bool = False) -> str:
    stats = [(file.name, file.stat()) for file in sorted(folder.glob("*"))]
    rows = [f"{name} {stat.st_size} {stat.st_mtime_ns if with_time else ''}" for name, stat in stats]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
