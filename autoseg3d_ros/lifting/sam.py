"""Masks of everything by a promptable SAM: it is asked about points that no mask covers yet.

The filters are those of "Segment Anything" (Kirillov et al. 2023): the network's own estimate of a mask's quality, the
stability of its outline, and suppression of masks that are found twice.
"""

from __future__ import annotations

import math
from typing import Protocol

import cv2
import numpy as np

from autoseg3d_ros.lifting.masks import paint_masks
from autoseg3d_ros.lifting.sam_network import SIDE_PX, Answers, EncodedImage
from autoseg3d_ros.lifting.sam_prompts import GridPrompts, grid_points
from autoseg3d_ros.mask_config import SamConfig
from autoseg3d_ros.structures import Masks2D

_STABILITY_MARGIN = 1.0  # logits
_LARGE_SHARE = 0.3  # of the image; larger masks are often backgrounds: what stands before them is asked about too
_ROUND = 4  # prompts asked at a time; fixed, so that the masks do not depend on the number of cores


class PromptableNetwork(Protocol):
    """What finds the mask around a point: `sam_network.SamNetwork`."""

    def encode(self, rgb: np.ndarray, size_px: int) -> EncodedImage:
        """Look at an image (H, W, 3) uint8."""
        ...

    def decode(self, image: EncodedImage, points: np.ndarray, min_iou: float) -> Answers:
        """Return the masks around (n, 2) points that the network does not doubt."""
        ...


class Sam:
    """The mask model."""

    name = "sam"

    def __init__(self, network: PromptableNetwork, config: SamConfig) -> None:
        self._network = network
        self._config = config

    def segment(self, rgb: np.ndarray, size_px: int = SIDE_PX) -> Masks2D:
        """Return the masks of an image (H, W, 3) uint8, the small ones on top. Raises MemoryExhaustedError."""
        return paint_masks(self.masks(rgb, size_px))

    def masks(self, rgb: np.ndarray, size_px: int = SIDE_PX) -> np.ndarray:
        """Return the accepted masks, the best first, (M, H, W) bool. Raises MemoryExhaustedError."""
        image = self._network.encode(rgb, size_px)
        found = self._ask_uncovered(image) if self._config.skip_covered else self._ask_all(image)
        logits = found.take(np.argsort(-found.iou, kind="stable")).logits
        logits = logits[suppress_masks(logits > 0, self._config.nms_iou)]
        height, width = rgb.shape[:2]
        enlarged = [cv2.resize(mask, (width, height), interpolation=cv2.INTER_LINEAR) > 0 for mask in logits]
        return np.array(enlarged, bool).reshape(-1, height, width)

    def _ask_uncovered(self, image: EncodedImage) -> Answers:
        """Ask about points that no mask covers yet, from coarse to fine. Return the answers that pass the filters."""
        config = self._config
        prompts = GridPrompts(image.shape, config.grid_rows, config.grid_columns)
        accepted = [_no_answers(image)]
        for start in range(0, config.max_prompts, _ROUND):
            points = prompts.next(min(_ROUND, config.max_prompts - start))
            if len(points) == 0:
                break
            accepted.append(self._ask(image, points))
            for mask in accepted[-1].logits > 0:
                if mask.mean() <= _LARGE_SHARE:
                    prompts.cover(mask)
            for point in np.delete(points, accepted[-1].point, axis=0):
                prompts.put_off_around(point)
        return _joined(accepted)

    def _ask_all(self, image: EncodedImage) -> Answers:
        points = grid_points(image.shape, self._config.grid_rows, self._config.grid_columns)
        return self._ask(image, points[: self._config.max_prompts])

    def _ask(self, image: EncodedImage, points: np.ndarray) -> Answers:
        """Return the answers about (n, 2) points that pass the filters."""
        answers = self._network.decode(image, points, self._config.min_iou)
        return answers.take(stability(answers.logits) > self._config.min_stability)


def stability(logits: np.ndarray) -> np.ndarray:
    """Return how little masks (n, h, w) change when the threshold moves, (n,): IoU of the masks above and below 0.

    An empty mask has 0.
    """
    above, below = (
        np.count_nonzero(logits > margin, axis=(1, 2)) for margin in (_STABILITY_MARGIN, -_STABILITY_MARGIN)
    )
    return above / np.maximum(below, 1)


def suppress_masks(masks: np.ndarray, max_iou: float) -> np.ndarray:
    """Return the indices of the masks (n, h, w) bool that overlap no kept one before them by more than `max_iou`."""
    flat = masks.reshape(len(masks), math.prod(masks.shape[1:])).astype(np.float32)  # (n, h * w)
    shared_px = flat @ flat.T
    area_px = shared_px.diagonal()
    iou = shared_px / np.maximum(area_px[:, None] + area_px[None, :] - shared_px, 1)
    kept: list[int] = []
    for index in range(len(masks)):
        if (iou[index, kept] <= max_iou).all():
            kept.append(index)
    return np.array(kept, np.int64)


def _joined(parts: list[Answers]) -> Answers:
    return Answers(
        np.concatenate([part.logits for part in parts]),
        np.concatenate([part.iou for part in parts]),
        np.concatenate([part.point for part in parts]),
    )


def _no_answers(image: EncodedImage) -> Answers:
    return Answers(np.zeros((0, *image.shape), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64))
