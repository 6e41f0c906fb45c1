"""The two networks of the promptable SAM: one looks at the image, the other answers prompts about it.

Interface and preprocessing as in the ONNX export of Segment Anything (Kirillov et al. 2023), with one mask a prompt.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.onnx_session import Backend, open_session, run
from autoseg3d_ros.lifting.sam_weights import HOW_TO_FETCH, find_weights
from autoseg3d_ros.mask_config import SamConfig

if TYPE_CHECKING:
    import onnxruntime

SIDE_PX = 1024  # of the square that the encoder sees
STRIDE_PX = 4  # of the logits in that square
_SIDE_LOGITS = SIDE_PX // STRIDE_PX
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_INSIDE, _PADDING = 1.0, -1.0  # labels of points
_DECODER_INPUTS = (
    "image_embeddings",
    "point_coords",
    "point_labels",
    "mask_input",
    "has_mask_input",
    "orig_im_size",
)
_DECODER_OUTPUTS = ("iou_predictions", "low_res_masks")


@dataclass(frozen=True)
class EncodedImage:
    """What the decoder needs to know of an image."""

    embedding: np.ndarray  # (1, 256, 64, 64) float32
    shape: tuple[int, int]  # rows and columns of its logits


@dataclass(frozen=True)
class Answers:
    """The decoder's masks, one a prompt."""

    logits: np.ndarray  # (n, h, w) float32, above 0 = inside
    iou: np.ndarray  # (n,) float32: what the network thinks of its mask

    def take(self, index: np.ndarray) -> Answers:
        """Return the chosen answers; `index` may be indices or (n,) bool."""
        return Answers(self.logits[index], self.iou[index])


class SamNetwork:
    """Encoder and decoder of one folder of weights."""

    def __init__(self, config: SamConfig) -> None:
        """Load both and check their inputs and outputs. Raises ConfigError, which names the file and how to mend."""
        encoder, decoder = find_weights(config.weights)
        num_threads = config.num_threads or len(os.sched_getaffinity(0))
        self._encoder = open_session(encoder, Backend("sam.device", config.device, num_threads), HOW_TO_FETCH)
        # A prompt is little work: one a thread is faster than all threads on each.
        self._decoder = open_session(decoder, Backend("sam.device", config.device, 1), HOW_TO_FETCH)
        self._workers = ThreadPoolExecutor(num_threads, thread_name_prefix="sam")
        _require_encoder(self._encoder, encoder)
        _require_decoder(self._decoder, decoder)
        self._input, self._output = self._encoder.get_inputs()[0].name, self._encoder.get_outputs()[0].name

    def encode(self, rgb: np.ndarray, size_px: int = SIDE_PX) -> EncodedImage:
        """Look at an image (H, W, 3) uint8, whose longer side becomes `size_px`. Raises MemoryExhaustedError."""
        shape = logits_shape(rgb.shape[:2], size_px)
        [embedding] = run(self._encoder, [self._output], {self._input: _square(rgb, shape)})
        return EncodedImage(embedding, shape)

    def decode(self, image: EncodedImage, points: np.ndarray) -> Answers:
        """Return the mask around each of (n, 2) points (row, column) of the logits. Raises MemoryExhaustedError."""
        outputs = list(self._workers.map(lambda point: self._answer(image, point), points))
        height, width = image.shape
        return Answers(
            np.array([logits[0, 0, :height, :width] for _, logits in outputs]).reshape(-1, height, width),
            np.array([iou[0, 0] for iou, _ in outputs], np.float32),
        )

    def _answer(self, image: EncodedImage, point: np.ndarray) -> list[np.ndarray]:
        x_y_px = (point[::-1] + 0.5) * STRIDE_PX
        inputs = {
            "image_embeddings": image.embedding,
            "point_coords": np.array([[x_y_px, (0.0, 0.0)]], np.float32),
            "point_labels": np.array([[_INSIDE, _PADDING]], np.float32),
            "mask_input": np.zeros((1, 1, _SIDE_LOGITS, _SIDE_LOGITS), np.float32),
            "has_mask_input": np.zeros(1, np.float32),
            "orig_im_size": np.ones(2, np.float32),  # of an output that is not asked for, but made: so a small one
        }
        return run(self._decoder, _DECODER_OUTPUTS, inputs)


def logits_shape(frame_shape: tuple[int, int], size_px: int) -> tuple[int, int]:
    """Return rows and columns of the logits that an image of (rows, columns) has when its longer side is `size_px`."""
    scale = size_px / STRIDE_PX / max(frame_shape)
    height, width = (max(1, round(side * scale)) for side in frame_shape)
    return height, width


def _square(rgb: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Return (1, 3, 1024, 1024) float32: the normalised image at the top left, zeros elsewhere."""
    height, width = (side * STRIDE_PX for side in shape)
    shrinks = width < rgb.shape[1]
    resized = cv2.resize(rgb, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    square = np.zeros((1, 3, SIDE_PX, SIDE_PX), np.float32)
    square[0, :, :height, :width] = ((resized - _MEAN) / _DEVIATION).transpose(2, 0, 1)
    return square


def _require_encoder(session: onnxruntime.InferenceSession, path: Path) -> None:
    inputs, outputs = _shapes(session.get_inputs()), _shapes(session.get_outputs())
    if [shape[1:] for shape in inputs.values()] != [[3, SIDE_PX, SIDE_PX]] or len(outputs) != 1:
        raise ConfigError(
            f"{path}: expected the image encoder of SAM, one input (1, 3, {SIDE_PX}, {SIDE_PX}) and one output, "
            f"got inputs {inputs} and outputs {outputs}; {HOW_TO_FETCH}"
        )


def _require_decoder(session: onnxruntime.InferenceSession, path: Path) -> None:
    inputs, outputs = _shapes(session.get_inputs()), _shapes(session.get_outputs())
    if set(inputs) != set(_DECODER_INPUTS) or not set(_DECODER_OUTPUTS) <= set(outputs):
        raise ConfigError(
            f"{path}: expected the mask decoder of SAM with inputs {', '.join(_DECODER_INPUTS)} and outputs "
            f"{', '.join(_DECODER_OUTPUTS)}, got inputs {', '.join(inputs)} and outputs {', '.join(outputs)}; "
            f"{HOW_TO_FETCH}"
        )


def _shapes(arguments: list[onnxruntime.NodeArg]) -> Mapping[str, list[int | str]]:
    return {argument.name: argument.shape for argument in arguments}
