"""The rows of the ablation: which trained network, with which of its parts at work; and which rows are compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.rows import ROWS
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.model_config import NO_MODEL

WEIGHTS = ".safetensors"


@dataclass(frozen=True)
class AblationRow:
    """One line of the ablation."""

    name: str  # also of the folder of its outcomes
    network: str  # NETWORK.safetensors in the folder of networks; empty = none
    changes: Mapping[str, Any] = field(default_factory=dict)  # dotted key -> value, over what is the paper's


@dataclass(frozen=True)
class Difference:
    """Two rows that differ in what is asked about."""

    what: str
    row: str
    minus: str


# What the rows of the paper have in common: switches beyond the paper are off, whatever the defaults are by now.
_PAPER = {
    "model.voxel_memory": True,
    "model.short_term": True,
    "model.short_term_frames": 1,
    "model.geometric_cue": "box",
    "model.track_merging": False,
    "model.map_names": False,
    "model.pose_error_m": 0.0,
}
_EMBEDDING = {"model.association": "embedding", "model.fragment_merging": False}
_LTM = {"model.association": "long_term", "model.fragment_merging": False}
_LTM_LMI = {"model.association": "long_term", "model.fragment_merging": True}
_OURS = {"model.geometric_cue": "overlap", "model.map_names": True}

ABLATION = (
    AblationRow("geometric", "", {"model.name": NO_MODEL}),
    AblationRow("baseline", "baseline", _EMBEDDING),
    AblationRow("+LTM", "baseline", _LTM),
    AblationRow("+STM", "short_term", _EMBEDDING),
    AblationRow("+LTM+STM", "short_term", _LTM),
    AblationRow("+LMI", "short_term", _LTM_LMI),
    AblationRow("+ICMS", "full", _LTM),
    AblationRow("full", "full", _LTM_LMI),
    AblationRow("esam", "full", {"model.association": "embedding", "model.fragment_merging": True}),
    # Beyond the paper, one at a time; `ours` has those that gain.
    AblationRow("+overlap", "full", {**_LTM_LMI, "model.geometric_cue": "overlap"}),
    AblationRow("+merging", "full", {**_LTM_LMI, "model.track_merging": True}),
    AblationRow("+names", "full", {**_LTM_LMI, "model.map_names": True}),
    AblationRow("+frames", "full", {**_LTM_LMI, "model.short_term_frames": 3}),
    AblationRow("+drift", "full", {**_LTM_LMI, "model.pose_error_m": 0.05}),
    AblationRow("+dustbin", "dustbin", _LTM_LMI),
    AblationRow("ours", "full", {**_LTM_LMI, **_OURS}),
)
DIFFERENCES = (
    Difference("all of the paper", "full", "baseline"),
    Difference("LTM", "+LTM", "baseline"),
    Difference("STM", "+STM", "baseline"),
    Difference("LMI", "+LMI", "+LTM+STM"),
    Difference("ICMS", "+ICMS", "+LTM+STM"),
    Difference("LTM in place of ESAM's association", "full", "esam"),
    Difference("the network", "full", "geometric"),
    Difference("overlap in the map", "+overlap", "full"),
    Difference("tracks that detections unite", "+merging", "full"),
    Difference("names by the map", "+names", "full"),
    Difference("STM over three frames", "+frames", "full"),
    Difference("poses that drift", "+drift", "full"),
    Difference("none of the tracks", "+dustbin", "full"),
    Difference("beyond the paper", "ours", "full"),
    Difference("all that is shipped", "ours", "geometric"),
)
_MASKS = tuple(name for name, row in ROWS.items() if not row.needs_network)  # the rows of `eval` are mask sources


def ablation_rows(names: Sequence[str] | None) -> list[AblationRow]:
    """Return the rows of these names in the order of the table; None = all. Raises ConfigError."""
    _expect_known("row", names or [], [row.name for row in ABLATION])
    return [row for row in ABLATION if names is None or row.name in names]


def mask_changes(masks: str) -> dict[str, Any]:
    """Return the settings of a mask source. Raises ConfigError for an unknown one."""
    _expect_known("mask source", [masks], _MASKS)
    return dict(ROWS[masks].changes)


def ablation_config(row: AblationRow, masks: str, networks: Path, base: Config) -> Config:
    """Return `base` with what a row and a mask source change; `networks` is the folder of the trained networks.

    Raises ConfigError for an unknown mask source.
    """
    path = str(weights_of(row, networks)) if row.network else ""
    model = {"model.name": NO_MODEL, "model.path": path}
    return configuration.replace(base, {**mask_changes(masks), **_PAPER, **row.changes, **model})


def weights_of(row: AblationRow, networks: Path) -> Path:
    """Return the file of a row's network in their folder."""
    return networks / f"{row.network}{WEIGHTS}"


def _expect_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"unknown {what} {unknown[0]!r}; expected some of {', '.join(known)}, separated by commas")
