"""FastSAM by onnxruntime alone, on small models whose answers are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import SMALL_CAMERA
from mask_model_builders import answer, constant_model

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.fastsam_onnx import FastSamOnnx
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError
from autoseg3d_ros.mask_config import FastSamConfig
from autoseg3d_ros.structures import NO_MASK

pytest.importorskip("onnxruntime")

SHAPE = (SMALL_CAMERA.height, SMALL_CAMERA.width)  # 24 x 32: a letterbox of 32 x 32 has four grey rows above and below
LETTERBOX = (32, 32)
RGB = np.zeros((*SHAPE, 3), np.uint8)
SETTINGS = FastSamConfig(size_px=32, device="cpu", num_threads=1)
LARGE, SMALL, FAINT = (0, 4, 20, 24), (4, 8, 12, 16), (16, 4, 32, 28)
TWO_MASKS = answer(np.array([LARGE, SMALL, FAINT]), np.array([0.5, 0.9, 0.05]), LETTERBOX)


@pytest.mark.parametrize("confidences", [(0.5, 0.9), (0.9, 0.5)])
def test_boxes_become_masks_with_the_small_one_on_top(tmp_path: Path, confidences: tuple[float, float]) -> None:
    outputs = answer(np.array([LARGE, SMALL]), np.array(confidences), LETTERBOX)
    model = FastSamOnnx(constant_model(tmp_path / "model.onnx", outputs), SETTINGS)
    expected = np.full(SHAPE, NO_MASK)
    expected[:20, :20], expected[4:12, 4:12] = 0, 1
    masks = model.segment(RGB, 32)
    assert masks.num_masks == 2
    assert (masks.ids == expected).all()


@pytest.mark.parametrize(
    ("changes", "areas"),
    [
        ({}, [64, 400]),  # by falling confidence
        ({"min_confidence": 0.01}, [64, 400, 384]),
        ({"min_confidence": 0.6}, [64]),
        ({"max_masks": 1}, [64]),
        ({"nms_iou": 0.1}, [64]),  # 64 of 400 pixels are common
        ({"nms_iou": 0.2}, [64, 400]),
    ],
)
def test_settings_decide_which_masks_are_kept(tmp_path: Path, changes: dict[str, float], areas: list[int]) -> None:
    model = FastSamOnnx(constant_model(tmp_path / "model.onnx", TWO_MASKS), replace(SETTINGS, **changes))
    assert model.masks(RGB, 32).sum(axis=(1, 2)).tolist() == areas


@pytest.mark.parametrize("num_masks", [0, 1, 300])
def test_any_number_of_masks_is_legal(tmp_path: Path, num_masks: int) -> None:
    column, row = np.arange(num_masks) % 32, np.arange(num_masks) // 32
    boxes = np.stack([column, row + 4, column + 1, row + 5], axis=1)
    outputs = answer(boxes, np.full(num_masks, 0.5), LETTERBOX)
    masks = FastSamOnnx(constant_model(tmp_path / "model.onnx", outputs), SETTINGS).segment(RGB, 32)
    assert masks.num_masks == num_masks == np.count_nonzero(masks.ids != NO_MASK)


def test_a_second_try_at_another_overlap_where_every_kept_mask_is_empty(tmp_path: Path) -> None:
    """The best box hides another at nms_iou and has no pixel itself; retry_nms_iou lets the other one live."""
    candidates, prototypes = answer(np.array([LARGE, LARGE]), np.array([0.9, 0.5]), LETTERBOX)
    candidates[0, -1, 0] = -1.0  # its logits are below zero
    weights = constant_model(tmp_path / "model.onnx", [candidates, prototypes])
    for retry_nms_iou, num_masks in ((0.7, 0), (1.0, 1)):
        model = FastSamOnnx(weights, replace(SETTINGS, retry_nms_iou=retry_nms_iou))
        assert model.segment(RGB, 32).num_masks == num_masks


def test_masks_as_the_model_sees_them_are_brought_to_the_frame(tmp_path: Path) -> None:
    weights = constant_model(tmp_path / "model.onnx", TWO_MASKS)
    rgb = np.zeros((48, 64, 3), np.uint8)
    coarse, fine = (FastSamOnnx(weights, replace(SETTINGS, retina=retina)) for retina in (False, True))
    assert coarse.masks(rgb, 32).shape == (2, *SHAPE) and fine.masks(rgb, 32).shape == (2, 48, 64)
    assert (coarse.segment(rgb, 32).ids == fine.segment(rgb, 32).ids).all()


@pytest.mark.parametrize(("input_type", "height"), [("FLOAT", 32), ("FLOAT16", 32), ("FLOAT16", "height")])
def test_fixed_inputs_and_half_floats(tmp_path: Path, input_type: str, height: int | str) -> None:
    width = height if height == 32 else "width"
    dtype = np.float16 if input_type == "FLOAT16" else np.float32
    outputs = [output.astype(dtype) for output in TWO_MASKS]
    weights = constant_model(tmp_path / "model.onnx", outputs, input_shape=(1, 3, height, width), input_type=input_type)
    size_px = 640 if height == 32 else 32  # a fixed input has its own size
    assert FastSamOnnx(weights, SETTINGS).segment(RGB, size_px).num_masks == 2


class TestFilesThatAreNoFastSam:
    @pytest.mark.parametrize("content", [b"", b"not a model", None])
    def test_a_damaged_file(self, tmp_path: Path, content: bytes | None) -> None:
        path = constant_model(tmp_path / "model.onnx", TWO_MASKS)
        path.write_bytes(path.read_bytes()[:-40] if content is None else content)
        with pytest.raises(ConfigError, match=r"model\.onnx: expected an ONNX model.*export-masks"):
            FastSamOnnx(path, SETTINGS)

    @pytest.mark.parametrize("num_classes", [0, 80])
    def test_another_number_of_classes(self, tmp_path: Path, num_classes: int) -> None:
        outputs = answer(np.array([LARGE]), np.array([0.5]), LETTERBOX, num_classes)
        with pytest.raises(ConfigError, match=f"expected FastSAM.*got one of {num_classes} classes"):
            FastSamOnnx(constant_model(tmp_path / "model.onnx", outputs), SETTINGS)

    def test_a_detector_without_masks(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"expected a segmentation model of two outputs.*\(1, 6, 3\)"):
            FastSamOnnx(constant_model(tmp_path / "model.onnx", TWO_MASKS[:1]), SETTINGS)

    @pytest.mark.parametrize(
        ("input_type", "input_shape"), [("INT64", (1, 3, "h", "w")), ("FLOAT", (1, 4, "h", "w")), ("FLOAT", ("n",))]
    )
    def test_a_model_of_something_else(self, tmp_path: Path, input_type: str, input_shape: tuple) -> None:
        path = constant_model(tmp_path / "model.onnx", TWO_MASKS, input_type=input_type, input_shape=input_shape)
        with pytest.raises(ConfigError, match="expected a model that takes float images"):
            FastSamOnnx(path, SETTINGS)

    def test_a_batch_that_is_not_one(self, tmp_path: Path) -> None:
        path = constant_model(tmp_path / "model.onnx", TWO_MASKS, input_shape=(4, 3, "h", "w"))
        with pytest.raises(ConfigError, match=r"model\.onnx: cannot be run"):
            FastSamOnnx(path, SETTINGS)


@pytest.mark.parametrize("words", ["CUDA failure 2: out of memory", "Failed to allocate memory for requested buffer"])
def test_exhausted_memory_has_a_name_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str) -> None:
    model = FastSamOnnx(constant_model(tmp_path / "model.onnx", TWO_MASKS), SETTINGS)

    class Session:
        def run(self, *_):
            raise RuntimeError(words)

    monkeypatch.setattr(model, "_session", Session())
    with pytest.raises(MemoryExhaustedError, match=words):
        model.segment(RGB, 32)
