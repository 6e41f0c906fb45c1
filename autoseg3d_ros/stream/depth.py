"""Depth images of any source as float32 metres."""

from __future__ import annotations

import logging

import numpy as np

from autoseg3d_ros.stream.image_buffer import expect_layout

logger = logging.getLogger(__name__)

UNITS_PER_METRE = {"16UC1": 1000.0, "mono16": 1000.0, "32FC1": 1.0}
PLAUSIBLE_MEDIAN_M = (0.05, 50.0)

_SAMPLE_STEP_PX = 8
_warned_of: set[tuple[str, float]] = set()  # (encoding, units): a wrong unit is wrong in every frame, but is said once


def decode_depth(raw: np.ndarray, encoding: str, *, units_per_metre: float = 0.0, where: str) -> np.ndarray:
    """Return depth as (H, W) float32 metres along the optical axis, 0 = invalid.

    `raw` is (H, W) uint16 for `16UC1` and `mono16` (millimetres unless `units_per_metre` says otherwise) or (H, W)
    float32 for `32FC1` (metres, likewise). Zero, negative and non-finite values become 0. `where` names the file or
    topic in messages. Raises FrameError for another encoding, data type or number of channels.
    """
    expect_layout(raw, encoding, UNITS_PER_METRE, where)
    units = units_per_metre or UNITS_PER_METRE[encoding]
    depth_m = _valid_m(raw, units) if raw.dtype == np.float32 else np.divide(raw, np.float32(units), dtype=np.float32)
    _warn_of_implausible_unit(depth_m, encoding, units, where)
    return depth_m


def _valid_m(raw: np.ndarray, units: float) -> np.ndarray:
    # What takes time are new arrays: this makes one, and a mask only where there is an infinite value.
    metres = raw if units == 1 else raw / np.float32(units)
    depth_m: np.ndarray = np.fmax(metres, np.float32(0), out=None if metres is raw else metres)  # NaN becomes 0, too
    if depth_m.size and depth_m.max() == np.inf:
        depth_m[depth_m == np.inf] = 0
    return depth_m


def _warn_of_implausible_unit(depth_m: np.ndarray, encoding: str, units: float, where: str) -> None:
    sample = depth_m[::_SAMPLE_STEP_PX, ::_SAMPLE_STEP_PX]
    valid = sample[sample > 0]
    nearest, farthest = PLAUSIBLE_MEDIAN_M
    if not valid.size or (encoding, units) in _warned_of:
        return
    middle = len(valid) // 2
    median = float(np.partition(valid, middle)[middle])
    if nearest <= median <= farthest:
        return
    _warned_of.add((encoding, units))
    logger.warning(
        "%s: expected a median depth of %g-%g m, got %.3g m with %g units a metre (%s): "
        "the unit is probably wrong; set depth.scale to the units a metre of this camera",
        where,
        nearest,
        farthest,
        median,
        units,
        encoding,
    )
