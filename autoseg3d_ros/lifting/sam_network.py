"""The two networks of the promptable SAM: one looks at the image, the other answers prompts about it.

Interface and preprocessing as in the ONNX export of Segment Anything (Kirillov et al. 2023).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Barrier
from typing import TYPE_CHECKING

import cv2
import numpy as np
import torch

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError, cuda_index
from autoseg3d_ros.lifting.onnx_session import Backend, open_session, run
from autoseg3d_ros.lifting.sam_decoder import MaskDecoder
from autoseg3d_ros.lifting.sam_decoder_weights import read_decoder_weights
from autoseg3d_ros.lifting.sam_weights import HOW_TO_FETCH, find_weights
from autoseg3d_ros.mask_config import SamConfig

if TYPE_CHECKING:
    import onnxruntime

SIDE_PX = 1024  # of the square that the encoder sees
STRIDE_PX = 4  # of the logits in that square
_MEAN = np.array([123.675, 116.28, 103.53], np.float32)
_DEVIATION = np.array([58.395, 57.12, 57.375], np.float32)
_MASKS_OF_ONE_POINT = (1, 2, 3)  # the decoder's first mask is for prompts of several points


@dataclass(frozen=True)
class EncodedImage:
    """What the decoder needs to know of an image."""

    features: torch.Tensor  # (4096, 256) float32
    shape: tuple[int, int]  # rows and columns of its logits


@dataclass(frozen=True)
class Answers:
    """Masks around points."""

    logits: np.ndarray  # (n, h, w) float32, above 0 = inside
    iou: np.ndarray  # (n,) float32: what the network thinks of its mask
    point: np.ndarray  # (n,) int64: which of the points it is the answer to

    def take(self, index: np.ndarray) -> Answers:
        """Return the chosen answers; `index` may be indices or (n,) bool."""
        return Answers(self.logits[index], self.iou[index], self.point[index])


class SamNetwork:
    """Encoder and decoder of one folder of weights."""

    def __init__(self, config: SamConfig) -> None:
        """Load both and check that they are what they should be. Raises ConfigError: which file, and how to mend."""
        encoder, decoder = find_weights(config.weights)
        num_threads = config.num_threads or len(os.sched_getaffinity(0))
        self._encoder = open_session(encoder, Backend("sam.device", config.device, num_threads), HOW_TO_FETCH)
        _require_encoder(self._encoder, encoder)
        self._input, self._output = self._encoder.get_inputs()[0].name, self._encoder.get_outputs()[0].name
        index = cuda_index(config.device, torch.cuda.is_available(), "sam.device")
        self._device = torch.device("cpu" if index is None else f"cuda:{index}")
        self._decoder = _load_decoder(decoder).to(self._device)
        self._workers = start_workers(num_threads)

    def encode(self, rgb: np.ndarray, size_px: int = SIDE_PX) -> EncodedImage:
        """Look at an image (H, W, 3) uint8, whose longer side becomes `size_px`. Raises MemoryExhaustedError."""
        shape = logits_shape(rgb.shape[:2], size_px)
        [embedding] = run(self._encoder, [self._output], {self._input: _square(rgb, shape)})
        return EncodedImage(self._decoder.features(torch.from_numpy(embedding).to(self._device)), shape)

    def decode(self, image: EncodedImage, points: np.ndarray, min_iou: float) -> Answers:
        """Return the masks around (n, 2) points (row, column) of the logits: up to three each, part and whole.

        Those of less self-estimated quality than `min_iou` are left out. Raises MemoryExhaustedError.
        """
        try:
            answers = list(self._workers.map(lambda point: self._answer(image, point, min_iou), points))
        except torch.OutOfMemoryError as error:
            raise MemoryExhaustedError(str(error)) from error
        found = [(index, *each) for index, answer in enumerate(answers) for each in zip(*answer, strict=True)]
        return Answers(
            np.array([logits for _, logits, _ in found], np.float32).reshape(-1, *image.shape),
            np.array([iou for _, _, iou in found], np.float32),
            np.array([index for index, _, _ in found], np.int64),
        )

    def _answer(self, image: EncodedImage, point: np.ndarray, min_iou: float) -> tuple[list[np.ndarray], list[float]]:
        """Return logits and quality of the masks around a point (2,) that are good enough to be drawn."""
        x_y_px = torch.tensor((point[::-1] + 0.5) * STRIDE_PX, dtype=torch.float32, device=self._device)
        proposals = self._decoder.propose(image.features, x_y_px)
        iou = proposals.iou.tolist()
        chosen = [index for index in _MASKS_OF_ONE_POINT if iou[index] > min_iou]
        if not chosen:
            return [], []
        return list(self._decoder.draw(proposals, chosen, image.shape).cpu().numpy()), [iou[index] for index in chosen]


def _load_decoder(path: Path) -> MaskDecoder:
    decoder = MaskDecoder()
    try:
        decoder.load(read_decoder_weights(path))
    except ValueError as error:
        raise ConfigError(
            f"{path}: expected the mask decoder of SAM as an ONNX model; {error}; {HOW_TO_FETCH}"
        ) from error
    return decoder


def start_workers(count: int) -> ThreadPoolExecutor:
    """Return threads in which torch works alone: a prompt a thread is faster than all threads on each prompt."""
    num_threads = torch.get_num_threads()
    workers = ThreadPoolExecutor(count, "sam", _work_alone)
    all_are_there = Barrier(count)
    list(workers.map(lambda _: all_are_there.wait(), range(count)))
    torch.set_num_threads(num_threads)  # what threads of others will find
    return workers


def _work_alone() -> None:
    torch.get_num_threads()  # the first use of torch in a thread sets it to what the others have
    torch.set_num_threads(1)


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


def _shapes(arguments: list[onnxruntime.NodeArg]) -> Mapping[str, list[int | str]]:
    return {argument.name: argument.shape for argument in arguments}
