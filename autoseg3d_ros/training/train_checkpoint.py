"""The state of a training run in one file, from which it goes on exactly where it was."""

from __future__ import annotations

import dataclasses
import pickle
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training.train_config import TrainConfig, from_document


@dataclass(frozen=True)
class Progress:
    """Where a run is: the next iteration of a stage, and the seconds spent before."""

    stage: int
    iteration: int
    seconds: float


def save_checkpoint(
    path: Path, network: AutoSeg3D, optimizer: torch.optim.Optimizer, progress: Progress, config: TrainConfig
) -> None:
    """Write everything a resumed run needs; the file of before is replaced in one step."""
    document = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": dataclasses.asdict(progress),
        "config": dataclasses.asdict(config),
        "commit": commit(),
    }
    partial = path.with_name(path.name + ".partial")
    torch.save(document, partial)
    partial.replace(path)


def load_checkpoint(path: Path, config: TrainConfig) -> dict[str, Any]:
    """Return a checkpoint of this very configuration. Raises ConfigError for another one, or a damaged file."""
    try:
        document = torch.load(path, map_location="cpu", weights_only=True)
        before = from_document(document["config"])
    except (RuntimeError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        raise ConfigError(f"{path}: expected a checkpoint of `autoseg3d train`, got one that cannot be read") from error
    if before != config:
        names = [
            one.name for one in dataclasses.fields(config) if getattr(before, one.name) != getattr(config, one.name)
        ]
        raise ConfigError(
            f"{path}: was made with another {' and '.join(names)}; give the same configuration or another --out"
        )
    return dict(document)


def commit() -> str:
    """Return the commit of the checkout that runs, empty outside of one."""
    here = Path(__file__).resolve().parent
    done = subprocess.run(["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.strip()
