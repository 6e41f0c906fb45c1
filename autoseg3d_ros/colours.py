"""One colour an instance, the same in pictures, clouds and markers."""

from __future__ import annotations

import numpy as np

NO_INSTANCE_RGB = (110, 110, 110)
_GOLDEN_RATIO = 0.6180339887498949
# Six, because ids a Fibonacci number apart (5, 8, 13, 21, 34) have nearly the same hue and none of these is a multiple.
_SATURATION_AND_VALUE = np.array([(0.85, 1.0), (0.5, 0.9), (0.95, 0.7), (0.6, 1.0), (0.95, 0.9), (0.5, 0.72)])


def id_colours(ids: np.ndarray) -> np.ndarray:
    """Return (..., 3) uint8 RGB of (...) integer ids: a function of the id alone; 0 (no instance) is grey."""
    ids = np.asarray(ids, dtype=np.int64)
    # Multiples of the golden ratio spread evenly round the hue circle, however many ids there are.
    hue = (ids * _GOLDEN_RATIO % 1.0)[..., None]
    saturation, value = np.moveaxis(_SATURATION_AND_VALUE[ids % len(_SATURATION_AND_VALUE)], -1, 0)[..., None]
    sector = (np.array([5.0, 3.0, 1.0]) + hue * 6.0) % 6.0
    rgb = value * (1.0 - saturation * np.clip(np.minimum(sector, 4.0 - sector), 0.0, 1.0))
    return np.where(ids[..., None] == 0, NO_INSTANCE_RGB, np.rint(rgb * 255.0)).astype(np.uint8)
