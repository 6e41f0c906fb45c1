"""What is counted frame by frame, in the image: do ids last, and what did the 2D masks hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from autoseg3d_ros.evaluation.hota import HotaAccumulator, HotaCounts
from autoseg3d_ros.evaluation.identity import IdentityAccumulator, IdentityCounts
from autoseg3d_ros.evaluation.label_overlap import frame_overlap
from autoseg3d_ros.evaluation.mask_recall import MaskRecallAccumulator, MaskRecallCounts
from autoseg3d_ros.evaluation.revivals import RevivalAccumulator, RevivalCounts
from autoseg3d_ros.structures import Frame, Masks2D


@dataclass(frozen=True)
class FrameCounts:
    """What the frames of a scene add to the scores."""

    identity: IdentityCounts
    hota: HotaCounts
    revivals: RevivalCounts
    mask_recall: MaskRecallCounts

    @staticmethod
    def from_dict(fields: Mapping[str, Mapping[str, Any]]) -> FrameCounts:
        """Return what `dataclasses.asdict` gave. Raises KeyError or TypeError where it does not fit."""
        return FrameCounts(
            IdentityCounts(**fields["identity"]),
            HotaCounts(**fields["hota"]),
            RevivalCounts(**fields["revivals"]),
            MaskRecallCounts(**fields["mask_recall"]),
        )


class FrameScores:
    """Collects the counts of a scene."""

    def __init__(self, min_truth_px: int) -> None:
        self._min_truth_px = min_truth_px
        self._identity = IdentityAccumulator(min_truth_px)
        self._hota = HotaAccumulator()
        self._revivals = RevivalAccumulator()
        self._mask_recall = MaskRecallAccumulator(min_truth_px)

    def add(self, frame: Frame, label_image: np.ndarray, masks: Masks2D | None) -> None:
        """Count a frame by its label image (H, W) int32 and its 2D masks, if they are at hand.

        Pixels without depth do not count: no instance could be seen there. A frame without truth adds nothing.
        """
        if frame.truth is None:
            return
        valid = frame.depth_m > 0
        overlap = frame_overlap(frame.truth, label_image, valid, self._min_truth_px)
        self._identity.update_overlap(overlap)
        self._hota.update(overlap)
        self._revivals.update(overlap)
        if masks is not None:
            self._mask_recall.update(frame.truth, masks, valid)

    def counts(self) -> FrameCounts:
        """Return the counts of the frames so far."""
        return FrameCounts(
            self._identity.counts(), self._hota.counts(), self._revivals.counts(), self._mask_recall.counts()
        )
