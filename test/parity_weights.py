"""Stand-in weights for every key of the published state dict: those behind the parity cases, made from seed and key."""

from __future__ import annotations

import ast
import zlib
from pathlib import Path
from typing import Any

import numpy as np

STATE_DICT_TSV = Path(__file__).parent / "data" / "statedict.tsv"


def array(key: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray:
    """Return the array of one key, float32 but for the int64 counters; it depends on (seed, key) alone."""
    if key.endswith("num_batches_tracked"):
        return np.array(1, np.int64)
    noise = np.random.default_rng([seed, zlib.crc32(key.encode())]).standard_normal(shape).astype(np.float32)
    if key.endswith("running_var"):
        return (0.5 + 0.5 * np.abs(noise)).astype(np.float32)
    if key.endswith("running_mean"):
        return 0.1 * noise
    if key.endswith("bias"):
        return 0.05 * noise
    if len(shape) == 1:  # the weight of a normalisation layer
        return 1 + 0.1 * noise
    # Sparse kernels are [K, in, out] or [in, out], linear weights [out, in].
    fan_in = int(np.prod(shape[:-1])) if key.endswith("kernel") else shape[-1]
    return noise / np.float32(np.sqrt(fan_in))


def shapes() -> dict[str, tuple[int, ...]]:
    """Return the shape of every published key."""
    lines = STATE_DICT_TSV.read_text().splitlines()
    rows = (line.split("\t") for line in lines if line and not line.startswith("#"))
    return {key: tuple(ast.literal_eval(shape)) for key, shape, *_ in rows}


def weights(
    prefix: str | tuple[str, ...] = "", seed: int = 0, overrides: dict[str, Any] | None = None
) -> dict[str, np.ndarray]:
    """Return the arrays of all keys that begin with `prefix`; `overrides` is the `weight_overrides` of a case."""
    arrays = {key: array(key, shape, seed) for key, shape in shapes().items() if key.startswith(prefix)}
    for key, factor in ((overrides or {}).get("scale") or {}).items():
        if key in arrays:
            arrays[key] = arrays[key] * np.float32(factor)
    for key, term in ((overrides or {}).get("add") or {}).items():
        if key in arrays:
            arrays[key] = arrays[key] + np.asarray(term, np.float32)
    return arrays
