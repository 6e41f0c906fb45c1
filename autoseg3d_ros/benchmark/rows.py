"""The rows of the table: named changes of the configuration that are evaluated side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from autoseg3d_ros import config as configuration
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.model.selection import select_model
from autoseg3d_ros.model_config import NO_MODEL


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str  # also the name of the folder of its outcomes
    changes: Mapping[str, Any] = field(default_factory=dict)  # dotted key -> value, over the common configuration
    needs_network: str = ""  # why it cannot be evaluated without one; empty = it can


_ROWS = (
    Row("truth", {"masks.source": "truth", "masks.fragments": 1, "fragments.merge": False}),
    Row("truth-merged", {"masks.source": "truth", "masks.fragments": 1, "fragments.merge": True}),
    Row("fragmented", {"masks.source": "truth", "masks.fragments": 4, "fragments.merge": True}),
    Row("regions", {"masks.source": "regions", "fragments.merge": True}),
    Row("file", {"masks.source": "file"}),
    Row("esam", {"model.association": "embedding"}, "ESAM's association compares embeddings of a network"),
)
ROWS = {row.name: row for row in _ROWS}
DEFAULT_ROWS = ("truth", "fragmented", "regions")


def row_configs(names: Sequence[str], base: Config) -> dict[str, Config]:
    """Return the configuration of each named row: `base` with the row's changes.

    Raises ConfigError for an unknown row, for none at all, and for one that needs a network.
    """
    if not names:
        raise ConfigError(f"no row to evaluate; expected some of {', '.join(ROWS)}")
    has_network = bool(base.model.path) or select_model(base.model).name != NO_MODEL
    return {name: configuration.replace(base, _row(name, has_network).changes) for name in names}


def _row(name: str, has_network: bool) -> Row:
    if name not in ROWS:
        raise ConfigError(f"unknown row {name!r}; expected some of {', '.join(ROWS)}, separated by commas")
    row = ROWS[name]
    if row.needs_network and not has_network:
        raise ConfigError(f"row {name}: {row.needs_network}; it comes with the network of --model: name one")
    return row
