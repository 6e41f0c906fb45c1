"""What stands around a YOLOv8-seg network of one class: letterbox before it; decoding, suppression and masks after it.

The network sees a letterbox: the frame, scaled to fit and centred, with grey bars where it does not fill the input.
It answers with candidates (a box, a confidence and coefficients each) and with prototypes, low-resolution images whose
sum weighted by the coefficients is positive inside the mask. Written from the published description of the network
(`method.md` §1.2 for the settings); numpy and OpenCV alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np

STRIDE_PX = 32  # of the network: sides of its input are multiples
_GREY = 114
_BLOCK = 256  # boxes compared at a time
_NUM_BEFORE_COEFFICIENTS = 5  # box centre, width, height, and the confidence of the only class


@dataclass(frozen=True)
class Letterbox:
    """Where a frame lies in the network's input."""

    frame_shape: tuple[int, int]  # height, width, pixels; so are the others
    content_shape: tuple[int, int]  # of the scaled frame
    shape: tuple[int, int]  # of the input

    @classmethod
    def fit(cls, frame_shape: tuple[int, int], shape: tuple[int, int], *, may_shrink: bool) -> Letterbox:
        """Return the largest letterbox of a frame in `shape`; one that may shrink loses whole strides of grey."""
        scale = min(shape[0] / frame_shape[0], shape[1] / frame_shape[1])
        height, width = (max(round(side * scale), 1) for side in frame_shape)
        if may_shrink:
            shape = (round_up(height), round_up(width))
        return cls(frame_shape, (height, width), shape)

    @property
    def corner(self) -> tuple[int, int]:
        """Row and column of the content's first pixel; of an odd bar the larger half lies behind the content."""
        return (self.shape[0] - self.content_shape[0]) // 2, (self.shape[1] - self.content_shape[1]) // 2

    def apply(self, rgb: np.ndarray) -> np.ndarray:
        """Return the network's input, (1, 3, *shape) float32 in [0, 1], of a frame (H, W, 3) uint8."""
        (height, width), (top, left) = self.content_shape, self.corner
        content = rgb if rgb.shape[:2] == (height, width) else cv2.resize(rgb, (width, height))
        image = np.full((*self.shape, 3), _GREY, np.uint8)
        image[top : top + height, left : left + width] = content
        return np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / np.float32(255)


@dataclass(frozen=True)
class Candidates:
    """What may be masks, the most confident first."""

    box_px: np.ndarray  # (N, 4) float32 x and y of the first and the last corner, in the letterbox
    confidence: np.ndarray  # (N,) float32
    coefficients: np.ndarray  # (N, C) float32

    def __len__(self) -> int:
        return len(self.confidence)

    def take(self, index: np.ndarray) -> Candidates:
        """Return some of the candidates, in the order of `index`."""
        return Candidates(self.box_px[index], self.confidence[index], self.coefficients[index])


def round_up(side_px: int) -> int:
    """Return the least multiple of the network's stride that is not smaller."""
    return -(-side_px // STRIDE_PX) * STRIDE_PX


def num_classes(num_channels: int, num_prototypes: int) -> int:
    """Return the number of classes of a head whose candidates have `num_channels` numbers each."""
    return num_channels - num_prototypes - (_NUM_BEFORE_COEFFICIENTS - 1)


def decode(output: np.ndarray, min_confidence: float) -> Candidates:
    """Return the candidates above a confidence in the network's first output, (5 + C, A) of any float type."""
    output = output[:, output[4] > min_confidence].astype(np.float32)
    centre, half_size = output[0:2].T, output[2:4].T / 2
    candidates = Candidates(
        np.hstack([centre - half_size, centre + half_size]), output[4], output[_NUM_BEFORE_COEFFICIENTS:].T
    )
    return candidates.take(np.argsort(-candidates.confidence, kind="stable"))


def suppress(box: np.ndarray, max_iou: float, max_kept: int) -> np.ndarray:
    """Return which of the boxes to keep, (K,) int64 ascending: those that overlap no better kept one too much.

    Args:
        box: (N, 4) x and y of the first and the last corner, the best box first.
        max_iou: largest intersection over union of two kept boxes.
        max_kept: the search ends with so many.
    """
    kept = np.zeros(0, np.int64)
    for start in range(0, len(box), _BLOCK):
        block = np.arange(start, min(start + _BLOCK, len(box)))
        block = block[~_overlap(box[block], box[kept], max_iou).any(axis=1)]
        overlap = _overlap(box[block], box[block], max_iou)
        alive = np.ones(len(block), bool)
        for best in range(len(block)):
            if alive[best]:
                alive[best + 1 :] &= ~overlap[best, best + 1 :]
        kept = np.concatenate([kept, block[alive]])
        if len(kept) >= max_kept:
            break
    return kept[:max_kept]


def _overlap(one: np.ndarray, other: np.ndarray, max_iou: float) -> np.ndarray:
    """Return which of boxes (N, 4) and (M, 4) overlap by more than an intersection over union, (N, M) bool."""
    one, other = one.T[:, :, None], np.ascontiguousarray(other.T)[:, None]  # planes: several times as fast as (..., 4)
    width = (np.minimum(one[2], other[2]) - np.maximum(one[0], other[0])).clip(min=0)
    height = (np.minimum(one[3], other[3]) - np.maximum(one[1], other[1])).clip(min=0)
    intersection = width * height
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return intersection > max_iou * (areas[0] + areas[1] - intersection)


def draw_masks(
    candidates: Candidates, prototypes: np.ndarray, letterbox: Letterbox, shape: tuple[int, int]
) -> np.ndarray:
    """Return the masks (M, *shape) bool of those candidates that have any pixel, in their order.

    Args:
        candidates: N of them.
        prototypes: (C, h, w) the network's second output: the letterbox at lower resolution.
        letterbox: that of the frame.
        shape: height and width to draw the frame at.
    """
    logits = np.tensordot(candidates.coefficients, prototypes.astype(np.float32), 1)  # (N, h, w)
    masks = np.zeros((len(candidates), *shape), bool)
    has_pixels = np.zeros(len(candidates), bool)
    full = np.empty(shape, np.float32)  # one for all: new pages cost ten times the resizing
    for index, box in enumerate(_boxes_at(candidates.box_px, letterbox, shape)):
        inside = np.s_[box[1] : box[3], box[0] : box[2]]
        cv2.resize(_content(logits[index], letterbox), shape[::-1], dst=full)
        np.greater(full[inside], 0, out=masks[index][inside])
        has_pixels[index] = masks[index][inside].any()
    return masks if has_pixels.all() else masks[has_pixels]


def _boxes_at(box_px: np.ndarray, letterbox: Letterbox, shape: tuple[int, int]) -> np.ndarray:
    """Return first and end pixel, x before y, (N, 4) int64, of boxes in the letterbox as slices of `shape`."""
    size = np.array(shape[::-1], np.float64)
    scale = size / letterbox.content_shape[::-1]
    corners = (box_px.reshape(-1, 2, 2) - np.array(letterbox.corner[::-1])) * scale
    return np.ceil(corners.clip(0, size)).astype(np.int64).reshape(-1, 4)


def _content(logit: np.ndarray, letterbox: Letterbox) -> np.ndarray:
    """Cut the grey bars off an image (h, w) of the letterbox, enlarged first where they end inside a pixel of it."""
    (top, left), (height, width) = letterbox.corner, letterbox.content_shape
    reduction = letterbox.shape[0] // logit.shape[0]
    enlargement = reduction // math.gcd(reduction, top, left, height, width)
    if enlargement > 1:
        logit = cv2.resize(logit, None, fx=enlargement, fy=enlargement)
    begin_row, begin_column, rows, columns = (side * enlargement // reduction for side in (top, left, height, width))
    return logit[begin_row : begin_row + rows, begin_column : begin_column + columns]
