"""How many pixels 2D masks take from the wrong object: what no merging of fragments can mend."""

from __future__ import annotations

import numpy as np

from autoseg3d_ros.evaluation.label_overlap import label_overlap
from autoseg3d_ros.structures import Masks2D


def num_leaked_px(truth: np.ndarray, masks: Masks2D, valid: np.ndarray | None = None) -> int:
    """Return how many pixels lie in a mask and not in the label that has most of it.

    Over the number of valid pixels this is the corrected under-segmentation error (van den Bergh et al., "SEEDS",
    ECCV 2012), for masks that need not cover the image. `truth` is (H, W) of integer labels in which 0, the
    background, is a label as any; `valid` (H, W) bool, all by default. Raises ValueError as `label_overlap` does.
    """
    overlap = label_overlap(truth, masks.ids + 1, valid)  # NO_MASK, -1, becomes 0 = none
    of_mask = overlap.common_px[:, overlap.predicted_ids != 0]  # (T, M)
    return int((of_mask.sum(axis=0) - of_mask.max(axis=0, initial=0)).sum())
