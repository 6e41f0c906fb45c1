"""Inputs and outputs of the published functions: one file a case, found by the prefix of its name.

The cases lie in test/data/parity or in the folder that AUTOSEG3D_PARITY_DIR names. A file of a family that this
package does not have yet is skipped by name; a file of no known family is an error.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

FOLDER = Path(os.environ.get("AUTOSEG3D_PARITY_DIR") or Path(__file__).parent / "data" / "parity")

IMPLEMENTED = (
    "ap",
    "backbone",
    "decoder",
    "frames",
    "lmi",
    "loss",
    "ltm",
    "match",
    "merge",
    "mergehead",
    "nms",
    "pool",
    "sequence",
    "stm",
    "track",
    "transfer",
    "util",
)
LATER: dict[str, str] = {}  # a family that comes with another issue, and which


@dataclass(frozen=True)
class ParityCase:
    """One `.npz` file."""

    path: Path

    @property
    def name(self) -> str:
        return self.path.stem

    @property
    def family(self) -> str:
        return self.name.partition("_")[0]

    @cached_property
    def _arrays(self) -> dict[str, np.ndarray]:
        with np.load(self.path) as file:
            return dict(file)

    @cached_property
    def meta(self) -> dict[str, Any]:
        return json.loads(str(self._arrays["meta"]))

    def given(self, name: str) -> np.ndarray:
        return self._arrays[f"in__{name}"]

    def expected(self, name: str) -> np.ndarray:
        return self._arrays[f"out__{name}"]


def all_cases() -> list[ParityCase]:
    """Return every case of the folder, in order of their names."""
    return [ParityCase(path) for path in sorted(FOLDER.glob("*.npz"))]


def cases_of(prefix: str) -> list[ParityCase]:
    """Return the cases whose name begins with `prefix`."""
    return [case for case in all_cases() if case.name.startswith(prefix)]


def parametrize(prefix: str) -> pytest.MarkDecorator:
    """Run a test with the argument `case` once for each case whose name begins with `prefix`."""
    return pytest.mark.parametrize("case", cases_of(prefix), ids=lambda case: case.name)
