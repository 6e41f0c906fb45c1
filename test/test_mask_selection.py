"""Which mask source is taken, what is said about it, and what happens where a model runs out of memory."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from builders import SMALL_CAMERA, recorded_frame

from autoseg3d_ros import config as configuration
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.lifting import mask_selection
from autoseg3d_ros.lifting.mask_selection import select_source
from autoseg3d_ros.lifting.masks import TruthMasks
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError, ModelMasks, cuda_index
from autoseg3d_ros.mask_config import MasksConfig
from autoseg3d_ros.structures import Masks2D

SHAPE = (SMALL_CAMERA.height, SMALL_CAMERA.width)


@pytest.fixture
def weights(tmp_path: Path) -> dict[str, str]:
    files = {kind: tmp_path / f"weights.{kind}" for kind in ("pt", "onnx", "engine", "txt")}
    for file in files.values():
        file.touch()
    return {"": "", **{kind: str(file) for kind, file in files.items()}}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch):
    def install(*modules: str) -> None:
        monkeypatch.setattr(mask_selection, "_is_installed", lambda module: module in modules)

    return install


class TestSelectSource:
    @pytest.mark.parametrize(
        ("source", "kind", "modules", "selected", "reason"),
        [
            ("auto", "", "ultralytics torch onnxruntime", "regions", "names no model"),
            ("auto", "pt", "ultralytics torch", "fastsam", "ultralytics runs"),
            ("auto", "pt", "onnxruntime", "regions", "export-masks"),
            ("auto", "pt", "ultralytics", "regions", "needs ultralytics"),  # which cannot be without torch
            ("auto", "onnx", "onnxruntime", "fastsam-onnx", "onnxruntime runs"),
            ("auto", "onnx", "", "regions", "both are missing"),
            ("auto", "engine", "onnxruntime", "regions", "needs ultralytics"),
            ("fastsam", "pt", "ultralytics torch", "fastsam", "ultralytics runs"),
            ("fastsam", "onnx", "ultralytics torch onnxruntime", "fastsam", "ultralytics runs"),
            ("fastsam", "onnx", "onnxruntime", "fastsam-onnx", "onnxruntime runs"),
            ("fastsam-onnx", "onnx", "ultralytics torch onnxruntime", "fastsam-onnx", "says so"),
            ("truth", "", "", "truth", "says so"),
        ],
    )
    def test_what_is_there_decides(self, weights, installed, source, kind, modules, selected, reason) -> None:
        installed(*modules.split())
        got, why = select_source(MasksConfig(source=source, weights=weights[kind]))
        assert got == selected
        assert reason in why

    @pytest.mark.parametrize(
        ("source", "kind", "modules", "words"),
        [
            ("fastsam", "", "ultralytics torch", r"masks\.weights: fastsam needs a model file.*got none.*regions"),
            ("fastsam-onnx", "", "onnxruntime", r"needs a model file \(\.onnx\), got none"),
            ("fastsam", "pt", "onnxruntime", r"needs ultralytics, which is missing; pip install ultralytics"),
            ("fastsam", "onnx", "", "pip install onnxruntime"),
            ("fastsam-onnx", "onnx", "", "pip install onnxruntime"),
            ("fastsam-onnx", "pt", "onnxruntime", r"takes \.onnx, got \.pt"),
            ("auto", "txt", "ultralytics torch", r"takes \.pt or \.onnx or \.engine, got \.txt"),
        ],
    )
    def test_what_cannot_be_is_a_clear_error(self, weights, installed, source, kind, modules, words) -> None:
        installed(*modules.split())
        with pytest.raises(ConfigError, match=words):
            select_source(MasksConfig(source=source, weights=weights[kind]))

    @pytest.mark.parametrize("source", ["auto", "fastsam"])
    @pytest.mark.parametrize(("name", "words"), [("FastSAM-s.pt", "no such file"), ("", "a folder")])
    def test_named_weights_must_be_a_file(self, tmp_path: Path, source: str, name: str, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            select_source(MasksConfig(source=source, weights=str(tmp_path / name)))


def test_building_says_in_one_line_which_source_and_why(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    build_segmenter(configuration.replace(Config(), {"model.name": "none"}))
    said = [record.message for record in caplog.records]
    assert said == ["masks: regions (masks.weights names no model)", "model: none: geometry alone"]


def test_a_file_that_is_no_model_stops_the_building(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    (tmp_path / "broken.onnx").write_bytes(b"not a model")
    changes = {"masks.source": "fastsam-onnx", "masks.weights": str(tmp_path / "broken.onnx")}
    with pytest.raises(ConfigError, match=r"broken\.onnx: expected an ONNX model"):
        build_segmenter(configuration.replace(Config(), changes))


class FakeModel:
    """Finds the whole image to be one mask, unless it is to see more than it has memory for."""

    name = "fake"

    def __init__(self, memory_px: int) -> None:
        self.memory_px = memory_px
        self.seen_px: list[int] = []

    def segment(self, rgb: np.ndarray, size_px: int) -> Masks2D:
        self.seen_px.append(size_px)
        if size_px > self.memory_px:
            raise MemoryExhaustedError("2 GiB wanted\nlong explanation")
        return Masks2D(np.zeros(rgb.shape[:2], np.int32), 1)


class TestMemory:
    @pytest.mark.parametrize(
        ("memory_px", "seen_px", "num_retried", "num_replaced", "makeshift"),
        [
            (640, [640], 0, 0, ""),
            (639, [640, 320], 1, 0, "fake at 320 px: out of memory"),
            (320, [640, 320], 1, 0, "fake at 320 px: out of memory"),
            (319, [640, 320], 1, 1, "truth instead of fake: out of memory"),
        ],
    )
    def test_one_retry_at_half_the_size_then_the_stand_in(
        self, memory_px, seen_px, num_retried, num_replaced, makeshift
    ) -> None:
        model, frame = FakeModel(memory_px), recorded_frame(0)
        source = ModelMasks(model, TruthMasks(), 640)
        masks = source.masks(frame)
        assert model.seen_px == seen_px
        assert (source.num_retried, source.num_replaced) == (num_retried, num_replaced)
        assert masks.makeshift == makeshift
        assert masks.num_masks == (TruthMasks().masks(frame).num_masks if num_replaced else 1)

    def test_every_frame_begins_at_full_size_and_few_are_reported(self, caplog: pytest.LogCaptureFixture) -> None:
        model = FakeModel(319)
        source = ModelMasks(model, TruthMasks(), 640)
        for _ in range(101):
            source.masks(recorded_frame(0))
        assert model.seen_px == [640, 320] * 101
        assert source.num_retried == source.num_replaced == 101
        assert len(caplog.records) == 2
        assert "fake: out of memory (2 GiB wanted); trying at 320 px, then truth" in caplog.records[0].message
        assert "101 frames smaller, 100 of them by truth" in caplog.records[1].message


@pytest.mark.parametrize(
    ("device", "cuda_is_there", "index"),
    [("auto", False, None), ("auto", True, 0), ("cpu", True, None), ("cuda", True, 0), ("cuda:3", True, 3)],
)
def test_a_device_in_words(device: str, cuda_is_there: bool, index: int | None) -> None:
    assert cuda_index(device, cuda_is_there, "fastsam.device") == index


@pytest.mark.parametrize(
    ("device", "words"),
    [
        *((word, "expected auto, cpu, cuda or cuda:N") for word in ("gpu", "cuda:", "cuda:x", "cpu:0", "auto:1", "")),
        ("cuda:0", "found none"),
    ],
)
def test_a_device_that_is_none(device: str, words: str) -> None:
    with pytest.raises(ConfigError, match=f"fastsam.device: .*{words}"):
        cuda_index(device, False, "fastsam.device")
