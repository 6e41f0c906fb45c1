"""FastSAM by ultralytics (AGPL-3.0), which only this file imports, and only when FastSAM is asked for.

ultralytics is kept from the network: it neither downloads, nor installs, nor reports its use.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import torch

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.masks import compact_masks, resize_ids
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError, cuda_index, require_one_class
from autoseg3d_ros.lifting.torchvision_stand_in import provide_torchvision, torchvision_version
from autoseg3d_ros.lifting.yolo_segmentation import STRIDE_PX, Letterbox, round_up
from autoseg3d_ros.mask_config import FastSamConfig
from autoseg3d_ros.structures import NO_MASK, Masks2D

_NO_NETWORK = {"YOLO_OFFLINE": "True", "YOLO_AUTOINSTALL": "False", "YOLO_VERBOSE": "False"}


class FastSam:
    """The mask model, from a .pt, .onnx or .engine file."""

    name = "fastsam"

    def __init__(self, weights: Path, config: FastSamConfig) -> None:
        """Load the model and try it on a grey image. Raises ConfigError where it is no FastSAM."""
        self._config = config
        self._options = _options(config)
        self._model = _load(weights)
        side_px = STRIDE_PX if weights.suffix == ".pt" else config.size_px
        try:
            with _global_settings_kept():
                self._predict(np.full((side_px, side_px, 3), 127, np.uint8), side_px, config.nms_iou)
        except Exception as error:  # whatever the backends raise for a file that is not theirs
            raise ConfigError(f"masks.weights: {weights}: ultralytics cannot run it: {error}") from error
        require_one_class(weights, len(self._model.predictor.model.names))

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        """Return the masks of an image (H, W, 3) uint8, the small ones on top. A fixed input overrides the size.

        Raises MemoryExhaustedError.
        """
        try:
            ids = paint_on_device(self.masks(rgb, size_px)).cpu().numpy()  # the masks never leave the device
        except torch.cuda.OutOfMemoryError as error:
            raise MemoryExhaustedError(str(error)) from error
        if ids.shape != rgb.shape[:2]:
            ids = _ids_of_frame(ids, rgb.shape[:2], round_up(size_px))
        return compact_masks(ids)

    def masks(self, rgb: np.ndarray, size_px: int) -> torch.Tensor:
        """Return the masks by falling confidence, (M, H, W) uint8 on the device; if not retina, of the letterbox."""
        bgr = np.ascontiguousarray(rgb[..., ::-1])
        for max_iou in (self._config.nms_iou, self._config.retry_nms_iou):
            masks = self._predict(bgr, round_up(size_px), max_iou)
            if masks is not None and len(masks):
                return masks.data
        return torch.zeros((0, *rgb.shape[:2]), dtype=torch.uint8)

    def _predict(self, bgr: np.ndarray, size_px: int, max_iou: float) -> Any:
        [result] = self._model.predict(bgr, imgsz=size_px, iou=max_iou, **self._options)
        return result.masks


def paint_on_device(masks: torch.Tensor) -> torch.Tensor:
    """Paint masks (M, H, W) bool or uint8 into one image of ids (H, W) int32, the largest first.

    The same as `masks.paint_masks`, where the masks are; ids of masks that are wholly covered do not occur.
    """
    area_px = masks.flatten(1).sum(1, dtype=torch.int32)
    order = area_px.argsort(descending=True, stable=True)
    ids = torch.full(masks.shape[1:], NO_MASK, dtype=torch.int32, device=masks.device)
    for rank, mask in enumerate(masks[order].bool()):
        ids.masked_fill_(mask, rank)
    return ids


def export_onnx(weights: Path, out: Path) -> None:
    """Write a FastSAM .pt file as an ONNX model that takes images of any size, for `fastsam-onnx`.

    Raises ConfigError for a file that is no FastSAM, OSError where `out` cannot be written.
    """
    require_one_class(weights, len(_load(weights).names))
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / weights.name  # ultralytics writes beside the weights
        shutil.copyfile(weights, copy)
        written = _load(copy).export(format="onnx", dynamic=True, simplify=False, device="cpu", verbose=False)
        shutil.move(written, out)


def _options(config: FastSamConfig) -> dict[str, Any]:
    """Return what is the same for all frames. Raises ConfigError for a device that is not there."""
    index = cuda_index(config.device, torch.cuda.is_available(), "fastsam.device")
    options = {
        "conf": config.min_confidence,
        "max_det": config.max_masks,
        "retina_masks": config.retina,
        "device": "cpu" if index is None else index,
        "verbose": False,
        "save": False,
    }
    if index is not None and config.half:
        import_ultralytics()
        from ultralytics.utils import DEFAULT_CFG_DICT

        options |= {"quantize": 16} if "quantize" in DEFAULT_CFG_DICT else {"half": True}  # renamed in 8.4
    return options


def _load(weights: Path) -> Any:
    """Return ultralytics' model of a file. Raises ConfigError unless it is a segmentation model."""
    fastsam = import_ultralytics().FastSAM
    try:
        model = fastsam(str(weights.resolve()))  # a bare name of a known model would be downloaded
    except Exception as error:  # unpickling raises anything
        raise ConfigError(
            f"masks.weights: {weights}: expected FastSAM weights, got a file that ultralytics cannot load ({error})"
        ) from error
    if model.task != "segment":
        raise ConfigError(
            f"masks.weights: {weights}: expected FastSAM, a segmentation model, got a model for {model.task!r}"
        )
    return model


def import_ultralytics() -> ModuleType:
    """Return ultralytics, kept from the network, with or without a torchvision, its global settings undone."""
    os.environ.update(_NO_NETWORK)
    with torchvision_version(), _global_settings_kept():
        import ultralytics
    provide_torchvision()
    return ultralytics


@contextmanager
def _global_settings_kept() -> Iterator[None]:
    """Restore what ultralytics sets for the whole process: threads of OpenCV, OpenMP and torch, how arrays are printed.

    It sets some when it is imported, others when it first predicts.
    """
    num_threads, num_torch_threads, print_options = cv2.getNumThreads(), torch.get_num_threads(), np.get_printoptions()
    openmp = os.environ.get("OMP_NUM_THREADS")
    try:
        yield
    finally:
        cv2.setNumThreads(num_threads)
        torch.set_num_threads(num_torch_threads)
        np.set_printoptions(**print_options)
        if openmp is None:
            os.environ.pop("OMP_NUM_THREADS", None)


def _ids_of_frame(ids: np.ndarray, frame_shape: tuple[int, int], size_px: int) -> np.ndarray:
    """Return an id image of a letterbox (h, w) as one of the frame (H, W)."""
    letterbox = Letterbox.fit(frame_shape, (size_px, size_px), may_shrink=True)
    if letterbox.shape != ids.shape:
        letterbox = Letterbox.fit(frame_shape, ids.shape, may_shrink=False)
    (top, left), (height, width) = letterbox.corner, letterbox.content_shape
    return resize_ids(ids[top : top + height, left : left + width], frame_shape)
