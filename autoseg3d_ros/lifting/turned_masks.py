"""Masks of a camera that was held upright, so that its images lie on their side (`method.md` §9.4: 3RScan)."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.lifting.model_masks import MaskModel
from autoseg3d_ros.structures import Masks2D


class TurnedModel:
    """Shows a model the images turned by 90 degrees clockwise, and turns its masks back."""

    def __init__(self, model: MaskModel) -> None:
        self.name = model.name
        self._model = model

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        """Return the masks of an image (H, W, 3) uint8 as it lies. Raises MemoryExhaustedError."""
        turned = self._model.segment(np.ascontiguousarray(np.rot90(rgb, -1)), size_px)
        return Masks2D(np.ascontiguousarray(np.rot90(turned.ids)), turned.num_masks)
