"""Points of an image, drawn as `lifting.superpoints` draws them."""

from __future__ import annotations

import numpy as np


def evenly_drawn(candidates: np.ndarray, num_points: int, rng: np.random.Generator) -> np.ndarray:
    """Return `num_points` of (N,) candidates in their order, one of each of equal runs, or all where they are fewer."""
    if len(candidates) <= num_points:
        return candidates
    bounds = np.arange(num_points + 1) * len(candidates) // num_points
    return candidates[bounds[:-1] + (rng.random(num_points) * np.diff(bounds)).astype(np.int64)]
