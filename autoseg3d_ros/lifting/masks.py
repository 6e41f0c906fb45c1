"""Where 2D masks come from: one protocol, one source a class. The source that needs no input but the frame is
`regions.RegionMasks`."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import cv2
import numpy as np

from autoseg3d_ros.structures import NO_INSTANCE, NO_MASK, Frame, FrameError, Masks2D


class MaskSource(Protocol):
    """Anything that splits a frame into 2D masks."""

    name: str

    def masks(self, frame: Frame) -> Masks2D:
        """Return the masks of one frame; none at all is legal. Raises FrameError where there can be no masks."""
        ...


class FileMasks:
    """Masks computed beforehand: one id image a frame, `<frame name>.png`, 8 or 16 bit, 0 = none."""

    name = "file"

    def __init__(self, directory: Path | str) -> None:
        self._directory = Path(directory)

    def masks(self, frame: Frame) -> Masks2D:
        """Return the masks of the id image named like the frame. Raises FrameError if it is missing or does not fit."""
        path = self._directory / f"{frame.name or frame.stamp_ns}.png"
        if not path.is_file():
            raise FrameError(
                f"{path}: no mask image for this frame; expected an 8 or 16 bit PNG named like the frame "
                "(set masks.directory, or choose another masks.source)"
            )
        ids = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
        if ids is None:
            raise FrameError(f"{path}: expected a mask image, got a file that cannot be decoded; write it again")
        if ids.shape != frame.depth_m.shape or ids.dtype not in (np.uint8, np.uint16):
            raise FrameError(
                f"{path}: expected a mask image of one channel, 8 or 16 bit, rows x columns {frame.depth_m.shape}, "
                f"got {ids.dtype.name} of shape {ids.shape}; resize masks with nearest neighbour"
            )
        return compact_masks(ids.astype(np.int32) - 1)


class TruthMasks:
    """The instance image of the frame as masks, whole or broken into fragments to imitate over-segmentation."""

    name = "truth"

    def __init__(self, fragments: int = 1, seed: int = 0) -> None:
        self._fragments = fragments
        self._seed = seed

    def masks(self, frame: Frame) -> Masks2D:
        """Return one mask an instance, or `fragments` of them. Raises FrameError if the frame has no instance image.

        The same seed, frame and instance always give the same fragments.
        """
        if frame.truth is None:
            raise FrameError(
                f"frame {frame.name or frame.stamp_ns}: masks.source truth needs an instance image, got none; "
                "choose a sequence that has them, or masks.source regions"
            )
        if self._fragments == 1:
            return compact_masks(np.where(frame.truth == NO_INSTANCE, NO_MASK, frame.truth))
        ids = np.full(frame.truth.shape, NO_MASK, np.int32)
        for rank, instance in enumerate(np.unique(frame.truth[frame.truth != NO_INSTANCE]).tolist()):
            pixels = np.argwhere(frame.truth == instance)  # (n, 2)
            pieces = _nearest_of_random_pixels(pixels, self._fragments, self._random(frame, instance))
            ids[tuple(pixels.T)] = rank * self._fragments + pieces
        return compact_masks(ids)

    def _random(self, frame: Frame, instance: int) -> np.random.Generator:
        return np.random.default_rng((self._seed, frame.stamp_ns, instance))


def paint_masks(masks: np.ndarray, areas: np.ndarray | None = None) -> Masks2D:
    """Paint overlapping masks into one id image, the largest first, so that small masks lie on top of large ones.

    Args:
        masks: (M, H, W) bool.
        areas: (M,) sizes to sort by; counted from the masks if None. Equal ones keep their order.

    Returns:
        ids in the order of painting; a mask that is wholly covered has none.
    """
    if areas is None:
        areas = np.count_nonzero(masks, axis=(1, 2))
    ids = np.full(masks.shape[1:], NO_MASK, np.int32)
    for rank, index in enumerate(np.argsort(-np.asarray(areas, np.float64), kind="stable")):
        ids[masks[index]] = rank
    return compact_masks(ids)


def resize_ids(ids: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return an image of ids (h, w) int32 at another height and width: each pixel takes the id under its centre."""
    if ids.shape == shape:
        return ids
    row, column = (
        ((np.arange(new) + 0.5) * (old / new)).astype(np.int64) for new, old in zip(shape, ids.shape, strict=True)
    )
    return ids[row[:, None], column]


def compact_masks(ids: np.ndarray) -> Masks2D:
    """Number the ids that occur in an (H, W) image of ids >= 0 and NO_MASK from 0 on, in their order."""
    occurs = np.bincount(ids.ravel() + 1, minlength=1) > 0
    occurs[0] = False  # NO_MASK
    number = np.where(occurs, np.cumsum(occurs) - 1, NO_MASK).astype(np.int32)
    return Masks2D(number[ids + 1], int(np.count_nonzero(occurs)))


def _nearest_of_random_pixels(pixels: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """Return for each of (n, 2) pixels which of `count` randomly chosen ones is nearest, (n,) int32."""
    chosen = pixels[random.choice(len(pixels), size=min(count, len(pixels)), replace=False)]
    square_distance = np.square(pixels[:, None, :] - chosen[None, :, :]).sum(axis=-1)  # (n, count)
    return square_distance.argmin(axis=1).astype(np.int32)
