"""Masks of a 2D model, with the weight-free regions for the frames that the model cannot do."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import numpy as np

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.masks import MaskSource
from autoseg3d_ros.structures import Frame, Masks2D

_logger = logging.getLogger(__name__)
_REPORT_EVERY = 100


class MemoryExhaustedError(RuntimeError):
    """A model needed more memory than its device has left."""


class MaskModel(Protocol):
    """A network that finds masks in a colour image."""

    name: str

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        """Return the masks of an image (H, W, 3) uint8 that the network sees with a longer side of `size_px`.

        None at all is legal. Raises MemoryExhaustedError.
        """
        ...


class ModelMasks:
    """The mask source of a model. Where memory runs out it tries once at half the size, then takes the stand-in.

    Masks that came so say it (`Masks2D.makeshift`).
    """

    def __init__(self, model: MaskModel, stand_in: MaskSource, size_px: int) -> None:
        self.name = model.name
        self.num_retried = 0  # frames that did not fit into memory at full size
        self.num_replaced = 0  # frames that did not fit at half the size either
        self._model = model
        self._stand_in = stand_in
        self._size_px = size_px

    def masks(self, frame: Frame) -> Masks2D:
        """Return the masks of one frame; none at all is legal."""
        try:
            return self._model.segment(frame.rgb, self._size_px)
        except MemoryExhaustedError as error:
            self.num_retried += 1
            self._report(error)
        half_px = self._size_px // 2
        try:
            masks = self._model.segment(frame.rgb, half_px)
            return replace(masks, makeshift=f"{self.name} at {half_px} px: out of memory")
        except MemoryExhaustedError:
            self.num_replaced += 1
        masks = self._stand_in.masks(frame)
        return replace(masks, makeshift=f"{self._stand_in.name} instead of {self.name}: out of memory")

    def _report(self, error: MemoryExhaustedError) -> None:
        if self.num_retried % _REPORT_EVERY == 1:
            _logger.warning(
                "%s: out of memory (%s); trying at %d px, then %s (so far: %d frames smaller, %d of them by %s); "
                "free memory, or let FastSAM see a smaller image (fastsam.size_px)",
                self.name,
                str(error).partition("\n")[0],
                self._size_px // 2,
                self._stand_in.name,
                self.num_retried,
                self.num_replaced,
                self._stand_in.name,
            )


def cuda_index(device: str, cuda_is_there: bool, key: str) -> int | None:
    """Return which CUDA device the setting `key` means by `auto`, `cpu`, `cuda` or `cuda:N`, None = the CPU.

    Raises ConfigError for any other word, and for CUDA where there is none.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (":" in device and not (kind == "cuda" and number.isdecimal())):
        raise ConfigError(f"{key}: expected auto, cpu, cuda or cuda:N, got {device!r}")
    if kind == "cuda" and not cuda_is_there:
        raise ConfigError(
            f"{key}: expected a CUDA device for {device!r}, found none; choose cpu or auto, or install the "
            "CUDA build of what runs the model (torch for ultralytics, onnxruntime-gpu for fastsam-onnx)"
        )
    return None if kind == "cpu" or not cuda_is_there else int(number or 0)


def require_one_class(weights: Path, num_classes: int) -> None:
    """Raise ConfigError for a model that names what it finds: its confidence would mean something else."""
    if num_classes != 1:
        raise ConfigError(
            f"masks.weights: {weights}: expected FastSAM, a segmentation model of 1 class, got one of {num_classes} "
            "classes; give FastSAM-s or FastSAM-x"
        )
