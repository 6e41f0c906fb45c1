"""Superpoints of one object as one, in training: what the decoder meets where masks cut less. Ours.

The published clips have every piece of an object apart; a network that has only seen pieces takes a larger superpoint
for something new.
"""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.structures import NO_INSTANCE
from autoseg3d_ros.tracking.association import overlap_counts
from autoseg3d_ros.training.targets import FRAGMENT_SHARE


def joined(ids: np.ndarray, instance: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the superpoints `ids` (N,) of points with `instance` (N,), of which some pieces of an instance are one.

    How many take part is drawn anew for each frame, from none to all; what is of no instance stays as it is. The ids
    of the others are kept.
    """
    present, superpoint = np.unique(ids, return_inverse=True)
    known, row = np.unique(instance, return_inverse=True)
    counts = overlap_counts(superpoint, len(present), row, len(known))
    most = counts.argmax(axis=1) if len(known) else np.zeros(0, np.int64)
    is_piece = counts[np.arange(len(present)), most] > FRAGMENT_SHARE * counts.sum(axis=1)
    takes_part = is_piece & (known[most] != NO_INSTANCE) & (rng.random(len(present)) < rng.random())
    leader = np.arange(len(present))
    chosen = np.flatnonzero(takes_part)
    _, first_of_object, place = np.unique(most[chosen], return_index=True, return_inverse=True)
    leader[chosen] = chosen[first_of_object][place]
    return present[leader][superpoint]
