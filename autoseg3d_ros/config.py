"""Every setting and its default, once. ROS parameters, YAML files and `--set key=value` are checked against these.

A key is the dotted path of the field (`tracking.min_observations`), the same in all three places.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import yaml

from autoseg3d_ros.mask_config import FastSamConfig, MasksConfig, RegionsConfig, SamConfig
from autoseg3d_ros.model_config import DetectionConfig, FeatureMemoryConfig, ModelConfig
from autoseg3d_ros.setting import ConfigError as ConfigError  # the error of everything here
from autoseg3d_ros.setting import setting

QOS_NAMES = ("SYSTEM_DEFAULT", "DEFAULT", "PARAMETER_EVENTS", "SERVICES_DEFAULT", "PARAMETERS", "SENSOR_DATA")


@dataclass(frozen=True)
class InputConfig:
    """How images and poses reach the node."""

    qos: str = setting("SENSOR_DATA", "quality of service of the subscriptions", choices=QOS_NAMES, read_only=True)
    qos_depth: int = setting(10, "messages queued per subscription", minimum=1, read_only=True)
    rgb_transport: str = setting(
        "auto",
        "auto = raw, or compressed where nobody publishes raw",
        choices=("auto", "raw", "compressed"),
        read_only=True,
    )
    depth_transport: str = setting(
        "auto",
        "auto = raw, or compressedDepth where nobody publishes raw",
        choices=("auto", "raw", "compressedDepth"),
        read_only=True,
    )


@dataclass(frozen=True)
class SyncConfig:
    """Pairing of colour and depth images."""

    engine: str = setting(
        "auto", "which synchronizer; auto = builtin", choices=("auto", "builtin", "message_filters"), read_only=True
    )
    mode: str = setting("approx", "pair by nearest or by equal stamp", choices=("approx", "exact"), read_only=True)
    slop_s: float = setting(0.02, "largest stamp difference of a pair, seconds", minimum=0.0, read_only=True)
    queue_size: int = setting(10, "images kept per topic while waiting for a partner", minimum=1, read_only=True)


@dataclass(frozen=True)
class PoseConfig:
    """The camera pose at the stamp of the depth image."""

    source: str = setting("pose", "where poses come from", choices=("pose", "odometry", "tf"), read_only=True)
    timeout_s: float = setting(0.2, "a frame waits this long for a later pose, seconds", minimum=0.0, read_only=True)
    max_gap_s: float = setting(0.25, "longest interval that is interpolated, seconds", minimum=0.0, read_only=True)
    max_speed_mps: float = setting(
        10.0, "poses that are farther apart jumped, and are not interpolated, m/s; 0 = any", minimum=0.0, read_only=True
    )
    buffer_s: float = setting(30.0, "poses kept, seconds", minimum=0.1, read_only=True)


@dataclass(frozen=True)
class DepthConfig:
    """Which depth values are used."""

    scale: float = setting(
        0.0, "depth units a metre; 0 = from the encoding: millimetres for integers, metres for floats", minimum=0.0
    )
    register: str = setting(
        "auto",
        "depth of another size or camera is mapped onto colour, of another frame refused; never = taken as it is",
        choices=("auto", "never"),
        read_only=True,
    )
    min_m: float = setting(0.2, "nearer depth is ignored, metres", minimum=0.0)
    max_m: float = setting(6.0, "farther depth is ignored, metres", minimum=0.1)


@dataclass(frozen=True)
class FragmentsConfig:
    """Which fragments of one frame are one object by geometry and colour."""

    merge: bool = setting(True, "unite fragments; false = each mask is a whole object", read_only=True)
    min_agreement: float = setting(
        0.5, "fragments with at least this agreement across their border are joined", minimum=0.0, maximum=1.0
    )
    large_m2: float = setting(0.1, "colour holds surfaces larger than this apart from others, m2", minimum=0.0)


@dataclass(frozen=True)
class LiftingConfig:
    """From pixels to points (`method.md` §1.2)."""

    num_points: int = setting(20_000, "points sampled from a frame", minimum=1)
    min_region_px: int = setting(200, "smaller unmasked regions become no superpoint, pixels", minimum=1)


@dataclass(frozen=True)
class TrackingConfig:
    """From the detections of a frame to ids that last."""

    min_affinity: float = setting(0.2, "a detection joins a track only above this affinity", minimum=0.0, maximum=1.0)
    min_observations: int = setting(3, "matches that confirm a tentative track", minimum=1)
    max_missed: int = setting(5, "frames without a match until a tentative track is removed", minimum=1)
    lost_after: int = setting(50, "frames without a match until a lost track is retired", minimum=1)
    merge_votes: int = setting(8, "frames, net of contrary ones, that prove two tracks to be one object", minimum=1)
    box_weight: float = setting(0.2, "weight of box IoU beside map overlap in the affinity", minimum=0.0, maximum=1.0)
    min_points: int = setting(20, "sampled points a detection needs to start a track", minimum=1)
    score_prior: int = setting(
        5,
        "without a network: seen once, an instance has score 1 / (1 + this), seen often, nearly 1",
        minimum=0,
    )
    owner_share: float = setting(
        0.6, "share of a fragment's mapped points in one track that makes it part of it", minimum=0.5, maximum=1.0
    )
    live_first: bool = setting(False, "retired tracks are matched only with what the live ones leave over")
    memory_update: str = setting(
        "count",
        "stored features of a track: the mean of all observations, or half old and half new",
        choices=("count", "ema"),
        read_only=True,
    )
    reference: bool = setting(
        False, "births, misses and revivals as the published code has them, defects included", read_only=True
    )


@dataclass(frozen=True)
class MapConfig:
    """The labelled voxel map, and the file that it outlives a restart in."""

    voxel_m: float = setting(0.02, "edge of a map voxel, metres", minimum=0.001, read_only=True)
    path: str = setting("", "map file of `autoload`, `save_on_shutdown` and autosave, and where a service names none")
    directory: str = setting("", "map files are confined to it; empty = ~/.ros/autoseg3d_ros", read_only=True)
    allow_any_path: bool = setting(False, "map files may lie anywhere", read_only=True)
    autoload: bool = setting(False, "begin with the map of `map.path` where there is one", read_only=True)
    save_on_shutdown: bool = setting(False, "write the map to `map.path` at the end")
    autosave_period_s: float = setting(0.0, "write the map to `map.path` this often, seconds; 0 = never", minimum=0.0)


@dataclass(frozen=True)
class LimitsConfig:
    """Hard caps: memory and time a frame do not grow with the length of a run."""

    max_instances: int = setting(
        500, "live instances; the least useful is retired beyond", minimum=1, maximum=30_000, read_only=True
    )
    retired_capacity: int = setting(
        500, "retired instances that can be revived", minimum=0, maximum=30_000, read_only=True
    )
    max_points: int = setting(500_000, "map voxels; the longest unseen are forgotten beyond", minimum=1, read_only=True)


@dataclass(frozen=True)
class ProcessConfig:
    """How the node works through its input."""

    mode: str = setting("latest", "newest frame only, or every frame", choices=("latest", "lossless"), read_only=True)
    queue_size: int = setting(100, "lossless: frames that may wait", minimum=1, read_only=True)
    max_rate_hz: float = setting(0.0, "frames processed a second at most; 0 = no limit", minimum=0.0)


@dataclass(frozen=True)
class OutputConfig:
    """What is published and how often."""

    min_state: str = setting(
        "tentative", "least state of an instance that is published", choices=("tentative", "active")
    )
    map_rate_hz: float = setting(1.0, "`map_points` and `instances_full` at most this often", minimum=0.01)
    marker_lifetime_s: float = setting(5.0, "safety net for markers whose DELETE was lost, seconds", minimum=0.0)


@dataclass(frozen=True)
class Config:
    """Everything that can be set."""

    seed: int = setting(0, "same frames, same seed, same bytes out", minimum=0, read_only=True)
    map_frame: str = setting("map", "frame of everything published", read_only=True)
    camera_frame: str = setting("", "optical frame; empty = that of the colour image", read_only=True)
    autostart: bool = setting(
        True, "the node configures and activates itself; false = a lifecycle manager does", read_only=True
    )
    input: InputConfig = field(default_factory=InputConfig)
    sync: SyncConfig = field(default_factory=SyncConfig)
    pose: PoseConfig = field(default_factory=PoseConfig)
    depth: DepthConfig = field(default_factory=DepthConfig)
    masks: MasksConfig = field(default_factory=MasksConfig)
    fastsam: FastSamConfig = field(default_factory=FastSamConfig)
    sam: SamConfig = field(default_factory=SamConfig)
    regions: RegionsConfig = field(default_factory=RegionsConfig)
    fragments: FragmentsConfig = field(default_factory=FragmentsConfig)
    model: ModelConfig = field(default_factory=ModelConfig)
    detection: DetectionConfig = field(default_factory=DetectionConfig)
    feature_memory: FeatureMemoryConfig = field(default_factory=FeatureMemoryConfig)
    lifting: LiftingConfig = field(default_factory=LiftingConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
    map: MapConfig = field(default_factory=MapConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    process: ProcessConfig = field(default_factory=ProcessConfig)
    output: OutputConfig = field(default_factory=OutputConfig)
    on_time_jump: str = setting("reset", "when stamps jump back", choices=("reset", "keep", "shutdown"))


def load(path: Path | str, base: Config | None = None) -> Config:
    """Read a YAML file, plain or in the ROS form (`/**: ros__parameters:`), over `base` or the defaults.

    Raises ConfigError with the file and the key for anything unknown or out of range.
    """
    path = Path(path)
    try:
        document = yaml.safe_load(path.read_text())
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if isinstance(document, Mapping) and "/**" in document:
        document = (document["/**"] or {}).get("ros__parameters")
    if document is None:
        document = {}
    if not isinstance(document, Mapping):
        raise ConfigError(f"{path}: expected a mapping of keys, got {type(document).__name__}")
    try:
        return replace(base or Config(), dict(_flatten(document)))
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def replace(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return `config` with dotted keys changed; values may be strings (`--set`), which are parsed by the field's type.

    Raises ConfigError for an unknown key, a wrong type or a value out of range.
    """
    values = as_flat_dict(config)
    unknown = sorted(set(changes) - set(values))
    if unknown:
        raise ConfigError(f"unknown key {unknown[0]!r}; {_suggestion(unknown[0], values)}")
    for key, value in changes.items():
        values[key] = _checked(key, value)
    return _build(Config, values, "")


def as_flat_dict(config: Config) -> dict[str, Any]:
    """Return all settings by dotted key, in the order of the dataclasses."""
    return dict(_flatten(dataclasses.asdict(config)))


def dump(config: Config, *, ros: bool = False) -> str:
    """Return YAML with the help of each key, which `load` reads back to an equal config.

    `ros` gives the form of a ROS parameter file, `/**: ros__parameters:`.
    """
    head = ["/**:", "  ros__parameters:"] if ros else []
    return "\n".join([*head, *_commented_lines(config, "    " if ros else "")]) + "\n"


def _commented_lines(section: Any, indent: str) -> Iterator[str]:
    for item in fields(section):
        value = getattr(section, item.name)
        if is_dataclass(value):
            yield f"{indent}{item.name}:"
            yield from _commented_lines(value, indent + "  ")
        else:
            scalar = yaml.safe_dump(value).splitlines()[0]
            choices = ", ".join(item.metadata["choices"])
            yield f"{indent}{item.name}: {scalar}  # {item.metadata['help']}" + (f": {choices}" if choices else "")


def settings() -> Iterator[tuple[str, dataclasses.Field]]:
    """Yield (dotted key, dataclass field) of every leaf; `field.metadata` has help, limits, choices and read_only."""
    yield from _leaves(Config, "")


def _leaves(cls: type, prefix: str) -> Iterator[tuple[str, dataclasses.Field]]:
    hints = typing.get_type_hints(cls)
    for item in fields(cls):
        if is_dataclass(hints[item.name]):
            yield from _leaves(hints[item.name], f"{prefix}{item.name}.")
        else:
            yield f"{prefix}{item.name}", item


def _flatten(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in document.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _build(cls: type, values: Mapping[str, Any], prefix: str) -> Any:
    hints = typing.get_type_hints(cls)
    return cls(
        **{
            item.name: _build(hints[item.name], values, f"{prefix}{item.name}.")
            if is_dataclass(hints[item.name])
            else values[f"{prefix}{item.name}"]
            for item in fields(cls)
        }
    )


def _checked(key: str, value: Any) -> Any:
    leaf = dict(settings())[key]
    kind = {"int": int, "float": float, "str": str, "bool": bool}[str(leaf.type)]
    value = _converted(key, kind, value)
    low, high, choices = (leaf.metadata[name] for name in ("minimum", "maximum", "choices"))
    if choices and value not in choices:
        raise ConfigError(f"{key}: expected one of {', '.join(choices)}, got {value!r}")
    if (low is not None and value < low) or (high is not None and value > high):
        limits = " and ".join(f"{word} {bound:g}" for word, bound in (("≥", low), ("≤", high)) if bound is not None)
        raise ConfigError(f"{key}: expected a value {limits}, got {value}")
    return value


def _converted(key: str, kind: type, value: Any) -> Any:
    if isinstance(value, str) and kind is not str:
        value = yaml.safe_load(value)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind or value != value:
        raise ConfigError(f"{key}: expected {kind.__name__}, got {value!r}")
    return value


def _suggestion(key: str, known: Mapping[str, Any]) -> str:
    import difflib

    close = difflib.get_close_matches(key, known, n=1)
    return f"did you mean {close[0]!r}?" if close else "`autoseg3d doctor --settings` lists all keys"
