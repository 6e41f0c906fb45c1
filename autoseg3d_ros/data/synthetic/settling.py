"""From a drawn group to one that can stand: nothing inside of anything else, nothing in the air."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.data.synthetic.arrangement import Placed
from autoseg3d_ros.data.synthetic.families import ON_WALLS
from autoseg3d_ros.data.synthetic.placement import Bodies, bodies_of, meet, together

_LEVEL_M = 0.003  # how far below a thing the top of its support may be
_FLOOR_M = 1e-6


def settled(placed: list[Placed]) -> list[Placed]:
    """Return the things of a group that meet none before them and stand on the floor, a wall or one before them."""
    kept: list[Placed] = []
    taken = together([])
    for one in placed:
        bodies = bodies_of(*one)
        stands = one[1][2, 3] <= _FLOOR_M or one[0].family in ON_WALLS or supports(taken, one).any()
        if stands and not meet(bodies, taken):
            kept.append(one)
            taken = together([taken, bodies])
    return kept


def supports(bodies: Bodies, thing: Placed) -> np.ndarray:
    """Return (K,) bool: a box ends where the thing begins, and its middle is above the box."""
    x, y, z = thing[1][:3, 3]
    shift = np.array([x, y]) - bodies.centre_m  # (K, 2)
    first, second = bodies.axes
    inside = np.abs((shift * first).sum(axis=1)) < bodies.half_m[:, 0]
    inside &= np.abs((shift * second).sum(axis=1)) < bodies.half_m[:, 1]
    return inside & (np.abs(bodies.z_m[:, 1] - z) < _LEVEL_M)
