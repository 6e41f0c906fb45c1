"""What an outcome was computed from, as a digest: it is used again only where nothing of that has changed."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
from pathlib import Path

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import MASKS, MESH_FILE, SCENE_FILE, SceneFolder

_NO_PART = ("cli", "ros", "reporting", "training")  # of the package: they cannot change an outcome


def outcome_digest(scene: SceneFolder, config: Config, protocol: Protocol) -> str:
    """Return a digest of the settings, the protocol, the scene and the code.

    Of the scene `scene.json` and the mesh are read; of its images only name and size, and of computed masks the time
    of change too.
    """
    document = {
        "config": configuration.as_flat_dict(config),
        "protocol": dataclasses.asdict(protocol),
        "code": _code_digest(),
        "scene": [_file_digest(scene.path / name) for name in (SCENE_FILE, MESH_FILE)],
        "images": [_listing(scene.path / name) for name in ("rgb", "depth", "pose", "instance", "true_pose")],
        "masks": _listing(scene.path / MASKS, with_time=True) if config.masks.source == "file" else [],
    }
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:32]


@functools.cache
def _code_digest() -> str:
    """Return a digest of the source of every module that takes part in an evaluation."""
    root = Path(__file__).resolve().parents[1]
    digest = hashlib.sha256()
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root)
        if path.parts[0] not in _NO_PART and path.parts[:2] != ("data", "synthetic"):
            digest.update(str(path).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _file_digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""


def _listing(folder: Path, *, with_time: bool = False) -> str:
    stats = [(file.name, file.stat()) for file in sorted(folder.glob("*"))]
    rows = [f"{name} {stat.st_size} {stat.st_mtime_ns if with_time else ''}" for name, stat in stats]
    return hashlib.sha256("\n".join(rows).encode()).hexdigest()
