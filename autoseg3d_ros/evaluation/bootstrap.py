"""Confidence intervals by resampling whole scenes: frames of one scene are no independent evidence.

Percentile bootstrap (Efron, "Bootstrap Methods: Another Look at the Jackknife", 1979).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

Record = TypeVar("Record")


@dataclass(frozen=True)
class Interval:
    """A score and where it would lie with other scenes of the same kind."""

    value: float
    low: float  # NaN where nothing is known of the spread
    high: float


def interval(
    records: Sequence[Record],
    statistic: Callable[[Sequence[Record]], float],
    num_resamples: int = 1000,
    seed: int = 0,
    confidence: float = 0.95,
) -> Interval:
    """Return the statistic of all records, one a scene, and the limits of its percentile interval.

    Each resample draws as many scenes as there are, with replacement; resamples in which the statistic is NaN are left
    out. One scene says nothing about the spread between scenes: its limits are NaN. Without records all three are NaN.
    """
    nan = float("nan")
    value = float(statistic(records)) if records else nan
    if len(records) < 2:
        return Interval(value, nan, nan)
    draws = np.random.default_rng(seed).integers(len(records), size=(num_resamples, len(records)))
    values = np.array([statistic([records[index] for index in draw]) for draw in draws.tolist()])
    values = values[~np.isnan(values)]
    if not len(values):
        return Interval(value, nan, nan)
    low, high = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(value, float(low), float(high))
