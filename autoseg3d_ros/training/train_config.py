"""What a training run is: the network, the data, and its stages. Read from YAML; written into every checkpoint."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training.clips import MIXED_MASKS

STAGES = ("view", "clips", "tracks")
UPDATE_RULES = ("count", "ema")

_KINDS: dict[str, type] = {"int": int, "int | None": int, "float": float, "str": str, "bool": bool}
_MAY_BE_ZERO = ("seed", "warm_up", "weight_decay", "power", "checkpoint_every_s")


@dataclass(frozen=True)
class StageConfig:
    """One of the three runs of the paper (`method.md` §8.5): single views, clips, tracking."""

    kind: str  # one of STAGES
    iterations: int
    batch: int = 4  # clips, of all processes together
    num_frames: int = 8  # of a clip; 1 for single views
    num_points: int = 20_000  # of a frame
    learning_rate: float = 1e-4
    warm_up: int = 0  # iterations
    weight_decay: float = 0.05
    max_gradient: float = 10.0  # norm
    power: float = 0.9  # of the polynomial decay
    decay_iterations: int | None = None  # after so many the rate would be 0; None = after all of the stage

    def rate(self, iteration: int) -> float:
        """Return the learning rate of an iteration, from 0."""
        warm = min(1.0, (iteration + 1) / (self.warm_up + 1))
        return self.learning_rate * warm * (1 - iteration / (self.decay_iterations or self.iterations)) ** self.power


@dataclass(frozen=True)
class TrainConfig:
    """The whole run."""

    preset: str
    cache: str  # folder of lifted scenes, see training/frame_cache.py
    stages: tuple[StageConfig, ...]
    seed: int = 0
    initial: str = ""  # a network of the same sizes to begin with, in place of random weights
    short_term: bool = True  # the network has STM
    short_term_frames: int = 1  # that STM looks back; as `model.short_term_frames` when it runs
    dustbin: bool = False  # LTM may choose none of the tracks
    one_to_many: bool = True  # clips have the second branch (ICMS)
    background: float = 0.1  # weight of a query without an object in the classification
    embedding: bool = True  # ESAM's, trained beside: the association that LTM is held against
    augment: bool = True  # clips are turned, scaled, bent; off where a network shall learn a few by heart
    steps: tuple[int, ...] = (1, 2)  # from one frame of a clip to the next, in frames of the cache
    update_rule: str = "count"  # of tracks in training: what the tracker does
    checkpoint_every_s: float = 120.0
    masks: dict[str, float] = field(default_factory=lambda: dict(MIXED_MASKS))


def load(path: Path) -> TrainConfig:
    """Read a training configuration. Raises ConfigError with the file and the key for anything wrong."""
    try:
        document = yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from error
    try:
        return from_document(document)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def from_document(document: Any) -> TrainConfig:
    """Return the configuration of plain values, as `dataclasses.asdict` gives them. Raises ConfigError."""
    values = _checked(TrainConfig, document, "training")
    stages = tuple(StageConfig(**_checked(StageConfig, one, "stages")) for one in _listed(values, "stages", []))
    steps = tuple(_listed(values, "steps", [1, 2]))
    config = TrainConfig(**{**values, "stages": stages, "steps": steps})
    _expect_one_of(PRESETS, config.preset, "preset")
    _expect_one_of(UPDATE_RULES, config.update_rule, "update_rule")
    if not steps or not all(type(step) is int and step > 0 for step in steps):
        raise ConfigError(f"steps: expected whole numbers above 0, got {list(steps)}")
    if not isinstance(config.masks, Mapping) or not _are_shares(config.masks):
        raise ConfigError(f"masks: expected numbers above 0 by kind of masks, got {config.masks!r}")
    _check_stages(stages)
    return config


def _check_stages(stages: tuple[StageConfig, ...]) -> None:
    kinds = [stage.kind for stage in stages]
    if not kinds or len(set(kinds)) < len(kinds) or not set(kinds) <= set(STAGES):
        raise ConfigError(
            f"stages: expected some of {', '.join(STAGES)} by `kind`, each once; got {', '.join(kinds) or 'none'}"
        )
    for stage in stages:
        if (stage.num_frames == 1) != (stage.kind == "view"):
            raise ConfigError(
                f"stages: {stage.kind}: num_frames: a view is 1 frame, a clip more; got {stage.num_frames}"
            )
        if (stage.decay_iterations or stage.iterations) < stage.iterations:
            raise ConfigError(
                f"stages: {stage.kind}: decay_iterations: expected at least the {stage.iterations} iterations of the "
                f"stage, got {stage.decay_iterations}"
            )


def _are_shares(masks: Mapping[str, Any]) -> bool:
    return len(masks) > 0 and all(type(share) in (int, float) and 0 < share < math.inf for share in masks.values())


def _listed(values: Mapping[str, Any], key: str, default: list[Any]) -> list[Any]:
    listed = values.get(key, default)
    if not isinstance(listed, list | tuple):
        raise ConfigError(f"{key}: expected a list, got {listed!r}")
    return list(listed)


def _checked(cls: type, values: Any, what: str) -> dict[str, Any]:
    """Return the values of a dataclass by key, none unknown, none missing, plain ones of the right type and above 0."""
    if not isinstance(values, Mapping):
        raise ConfigError(f"{what}: expected a mapping of keys, got {values!r}")
    fields = {one.name: one for one in dataclasses.fields(cls)}
    if unknown := sorted(map(str, set(values) - set(fields))):
        raise ConfigError(f"{what}: unknown key {unknown[0]!r}; expected some of {', '.join(sorted(fields))}")
    is_needed = [
        name
        for name, one in fields.items()
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    if missing := [name for name in is_needed if name not in values]:
        raise ConfigError(f"{what}: the key {missing[0]!r} is missing")
    return {key: _value(f"{what}: {key}", fields[key], value) for key, value in values.items()}


def _value(key: str, declared: dataclasses.Field, value: Any) -> Any:
    kind: Any = _KINDS.get(str(declared.type))
    if kind is None or (value is None and declared.default is None):
        return value
    if kind is float and type(value) is int:
        value = float(value)
    if type(value) is not kind:
        mend = "; YAML reads 1e-4 as text, 1.0e-4 as a number" if kind is float and isinstance(value, str) else ""
        raise ConfigError(f"{key}: expected {kind.__name__}, got {value!r}{mend}")
    if kind in (int, float):
        _check_limit(key, value, may_be_zero=declared.name in _MAY_BE_ZERO)
    return value


def _check_limit(key: str, value: Any, may_be_zero: bool) -> None:
    if not (math.isfinite(value) and (value > 0 or (may_be_zero and value == 0))):
        raise ConfigError(f"{key}: expected {'at least' if may_be_zero else 'above'} 0, got {value!r}")


def _expect_one_of(known: Any, value: str, key: str) -> None:
    if value not in known:
        raise ConfigError(f"{key}: expected one of {', '.join(known)}, got {value!r}")
