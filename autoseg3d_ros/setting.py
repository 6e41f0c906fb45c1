"""One setting: a dataclass field with its default, its meaning and its limits."""

from __future__ import annotations

from dataclasses import field
from typing import Any


class ConfigError(ValueError):
    """A setting that cannot be used; the message names the key, what was expected and what came."""


def setting(
    default: Any,
    help: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
    read_only: bool = False,
) -> Any:
    """Return a field of a settings dataclass; what is put into it is checked against these limits."""
    metadata = {"help": help, "minimum": minimum, "maximum": maximum, "choices": choices, "read_only": read_only}
    return field(default=default, metadata=metadata)
