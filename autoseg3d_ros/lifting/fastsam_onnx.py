"""FastSAM by onnxruntime alone, without torch and ultralytics: the same masks from an exported model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.masks import compact_masks, paint_masks, resize_ids
from autoseg3d_ros.lifting.model_masks import require_one_class
from autoseg3d_ros.lifting.onnx_session import Backend, open_session, run
from autoseg3d_ros.lifting.yolo_segmentation import (
    STRIDE_PX,
    Letterbox,
    decode,
    draw_masks,
    num_classes,
    round_up,
    suppress,
)
from autoseg3d_ros.mask_config import FastSamConfig
from autoseg3d_ros.structures import Masks2D

_FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}
_HOW_TO_EXPORT = "write one with `autoseg3d export-masks WEIGHTS.pt --onnx OUT.onnx`"


class FastSamOnnx:
    """The mask model; its input may be of one fixed size or of any."""

    name = "fastsam-onnx"

    def __init__(self, weights: Path, config: FastSamConfig) -> None:
        """Load the model and try it on a grey image. Raises ConfigError where it is no FastSAM."""
        self._config = config
        self._session = open_session(
            weights, Backend("fastsam.device", config.device, config.num_threads), _HOW_TO_EXPORT
        )
        image = self._session.get_inputs()[0]
        if image.type not in _FLOATS or len(image.shape) != 4 or image.shape[1] != 3:
            raise ConfigError(
                f"masks.weights: {weights}: expected a model that takes float images (1, 3, H, W), "
                f"got {image.type} of shape {image.shape}; {_HOW_TO_EXPORT}"
            )
        self._input_name, self._dtype = image.name, _FLOATS[image.type]
        self._output_names = [output.name for output in self._session.get_outputs()]
        height, width = image.shape[2:]
        self._fixed_shape = (height, width) if isinstance(height, int) and isinstance(width, int) else None
        self._try(weights)

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        """Return the masks of an image (H, W, 3) uint8, the small ones on top. A fixed input overrides the size.

        Raises MemoryExhaustedError.
        """
        painted = paint_masks(self.masks(rgb, size_px))
        return compact_masks(resize_ids(painted.ids, rgb.shape[:2]))

    def masks(self, rgb: np.ndarray, size_px: int) -> np.ndarray:
        """Return the masks by falling confidence, (M, H, W) bool, or (M, h, w) as the model sees them if not retina."""
        config = self._config
        letterbox = Letterbox.fit(
            rgb.shape[:2], self._fixed_shape or (round_up(size_px),) * 2, may_shrink=self._fixed_shape is None
        )
        output, prototypes = self._run(letterbox.apply(rgb))
        candidates = decode(output, config.min_confidence)
        shape = letterbox.frame_shape if config.retina else letterbox.content_shape
        for max_iou in (config.nms_iou, config.retry_nms_iou):
            kept = candidates.take(suppress(candidates.box_px, max_iou, config.max_masks))
            masks = draw_masks(kept, prototypes, letterbox, shape)
            if len(masks):
                break
        return masks

    def _run(self, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return candidates (5 + C, A) and prototypes (C, h, w) of a letterboxed image (1, 3, H, W)."""
        outputs = run(self._session, self._output_names, {self._input_name: image.astype(self._dtype, copy=False)})
        output, prototypes = sorted(outputs, key=np.ndim)
        return output[0], prototypes[0]

    def _try(self, weights: Path) -> None:
        shape = self._fixed_shape or (STRIDE_PX, 2 * STRIDE_PX)
        try:
            image = np.full((1, 3, *shape), 0.5, self._dtype)
            outputs = run(self._session, self._output_names, {self._input_name: image})
        except Exception as error:
            raise ConfigError(f"masks.weights: {weights}: cannot be run: {error}; {_HOW_TO_EXPORT}") from error
        shapes = sorted((output.shape for output in outputs), key=len)
        if [len(shape) for shape in shapes] != [3, 4]:
            raise ConfigError(
                f"masks.weights: {weights}: expected a segmentation model of two outputs, candidates (1, 5 + C, A) "
                f"and prototypes (1, C, h, w), got shapes {shapes}; {_HOW_TO_EXPORT}"
            )
        require_one_class(weights, num_classes(shapes[0][1], shapes[1][1]))
