"""FastSAM by ultralytics: painting, agreement with its ONNX twin, and what it must not do. Weights are random."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import SHARED_DATA
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from mask_model_builders import blobs, random_fastsam

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.fastsam_onnx import FastSamOnnx
from autoseg3d_ros.lifting.masks import compact_masks, paint_masks
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError
from autoseg3d_ros.lifting.yolo_segmentation import suppress
from autoseg3d_ros.mask_config import FastSamConfig
from autoseg3d_ros.structures import NO_MASK

torch = pytest.importorskip("torch")
fastsam = importlib.import_module("autoseg3d_ros.lifting.fastsam")
stand_in = importlib.import_module("autoseg3d_ros.lifting.torchvision_stand_in")

SETTINGS = FastSamConfig(device="cpu", num_threads=1, max_masks=60)
SIZE_PX = 320


@pytest.fixture(scope="session", autouse=True)
def own_ultralytics_settings(tmp_path_factory: pytest.TempPathFactory):
    """Keep ultralytics from writing its settings into the home folder, and torch from waiting for busy cores."""
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("YOLO_CONFIG_DIR", str(tmp_path_factory.mktemp("ultralytics")))
        yield


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_fastsam(tmp_path_factory.mktemp("weights") / "random.pt")


@pytest.fixture(scope="session")
def exported(weights: Path) -> Path:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    fastsam.export_onnx(weights, weights.with_suffix(".onnx"))
    return weights.with_suffix(".onnx")


# --- painting ---


@given(arrays(bool, st.tuples(st.integers(0, 5), st.integers(1, 6), st.integers(1, 6))))
def test_painting_on_the_device_is_painting(masks: np.ndarray) -> None:
    for dtype in (torch.bool, torch.uint8):
        painted = compact_masks(fastsam.paint_on_device(torch.from_numpy(masks).to(dtype)).numpy())
        expected = paint_masks(masks)
        assert painted.num_masks == expected.num_masks
        assert np.array_equal(painted.ids, expected.ids)


# --- the stand-in for torchvision ---


@pytest.mark.parametrize("num_boxes", [0, 1, 40])
def test_the_stand_in_suppresses_like_torchvision(num_boxes: int) -> None:
    random = np.random.default_rng(0)
    first = random.uniform(0, 50, (num_boxes, 2))
    boxes = np.hstack([first, first + random.uniform(5, 40, (num_boxes, 2))]).astype(np.float32)
    scores = random.permutation(num_boxes).astype(np.float32)
    kept = stand_in.nms(torch.from_numpy(boxes), torch.from_numpy(scores), 0.3)
    assert kept.dtype == torch.int64
    best_first = np.argsort(-scores)
    assert kept.tolist() == best_first[suppress(boxes[best_first], 0.3, num_boxes)].tolist()
    assert num_boxes < 2 or 1 < len(kept) < num_boxes


def test_a_version_is_found_only_inside(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import PackageNotFoundError, version

    monkeypatch.setattr(sys, "path", [])  # as where it is not installed
    with stand_in.torchvision_version():
        assert version("torchvision") == "0.0.0"
        with pytest.raises(PackageNotFoundError):
            version("something-else")
    with pytest.raises(PackageNotFoundError):
        version("torchvision")


# --- agreement ---


@pytest.mark.parametrize("shape", [(240, 320), (135, 240), (187, 250)])
def test_both_ways_find_the_same_masks_in_the_same_order(weights: Path, exported: Path, shape: tuple[int, int]) -> None:
    rgb = blobs(*shape)
    ours, theirs = FastSamOnnx(exported, SETTINGS), fastsam.FastSam(weights, SETTINGS)
    agree(ours.masks(rgb, SIZE_PX), theirs.masks(rgb, SIZE_PX).numpy().astype(bool))
    painted, expected = ours.segment(rgb, SIZE_PX), theirs.segment(rgb, SIZE_PX)
    assert painted.ids.shape == expected.ids.shape == shape
    assert np.mean((painted.ids == NO_MASK) == (expected.ids == NO_MASK)) > 0.999
    assert abs(painted.num_masks - expected.num_masks) <= 2


def test_masks_as_the_model_sees_them_lie_where_they_should(weights: Path, exported: Path) -> None:
    """ultralytics cuts such masks at their boxes before it enlarges them, so borders may differ by a few pixels."""
    settings, rgb = replace(SETTINGS, retina=False), blobs(135, 240)  # seen as 180 x 320 and twelve grey rows
    ours, theirs = FastSamOnnx(exported, settings), fastsam.FastSam(weights, settings)
    assert ours.masks(rgb, SIZE_PX).shape[1:] == (180, 320) and theirs.masks(rgb, SIZE_PX).shape[1:] == (192, 320)
    painted, expected = ours.segment(rgb, SIZE_PX), theirs.segment(rgb, SIZE_PX)
    assert painted.ids.shape == expected.ids.shape == (135, 240)
    assert np.mean((painted.ids == NO_MASK) == (expected.ids == NO_MASK)) > 0.97


def test_ultralytics_runs_the_onnx_file_too(weights: Path, exported: Path) -> None:
    rgb = blobs(120, 160)
    one, two = (fastsam.FastSam(path, SETTINGS).masks(rgb, SIZE_PX).numpy() for path in (weights, exported))
    agree(one.astype(bool), two.astype(bool))


def agree(masks: np.ndarray, expected: np.ndarray) -> None:
    """Check that each mask has its like at its place, or next to it: confidences may be equal but for noise."""
    assert len(masks) > 30
    assert abs(len(masks) - len(expected)) <= 1
    matched = np.zeros(len(masks), bool)
    for shift in (-1, 0, 1):
        index = (np.arange(len(masks)) + shift).clip(0, len(expected) - 1)
        union = (masks | expected[index]).sum(axis=(1, 2))
        matched |= (masks & expected[index]).sum(axis=(1, 2)) >= 0.99 * union
    assert matched.mean() >= 0.97


# --- what happens around the network ---


def test_no_masks_after_a_second_try_is_a_legal_result(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastsam.FastSam(weights, replace(SETTINGS, min_confidence=1.0))
    tried = []
    predict = model._predict
    monkeypatch.setattr(model, "_predict", lambda *args: (tried.append(args[2]), predict(*args))[1])
    masks = model.segment(blobs(48, 64), 64)
    assert tried == [0.9, 0.7]
    assert masks.num_masks == 0 and (masks.ids == NO_MASK).all()


def test_a_grey_image_is_an_image(weights: Path) -> None:
    grey = np.repeat(blobs(48, 64)[..., :1], 3, axis=2)
    assert fastsam.FastSam(weights, SETTINGS).segment(grey, 64).ids.shape == (48, 64)


def test_exhausted_memory_has_a_name_of_its_own(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = fastsam.FastSam(weights, SETTINGS)

    def predict(*_):
        raise torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(model, "_predict", predict)
    with pytest.raises(MemoryExhaustedError, match="Tried to allocate 2 GiB"):
        model.segment(blobs(48, 64), 64)


@pytest.mark.parametrize(("half", "precisions"), [(True, [("quantize", 16), ("half", True)]), (False, [])])
def test_half_precision_on_cuda(weights: Path, monkeypatch: pytest.MonkeyPatch, half: bool, precisions: list) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    options = fastsam._options(replace(SETTINGS, device="cuda:1", half=half))
    assert options["device"] == 1
    assert bool(precisions) == any(option in options.items() for option in precisions)


def test_another_number_of_classes(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"expected FastSAM.*got one of 3 classes"):
        fastsam.FastSam(random_fastsam(tmp_path / "three.pt", num_classes=3), SETTINGS)


@pytest.mark.parametrize("name", ["broken.pt", "broken.onnx", "broken.engine"])
def test_a_damaged_file(tmp_path: Path, weights: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not a model")
    with pytest.raises(ConfigError, match=name):
        fastsam.FastSam(tmp_path / name, SETTINGS)


@pytest.mark.parametrize("content", [{}, {"a": 1}, {"model": None}, [1, 2]])
def test_a_torch_file_of_something_else(tmp_path: Path, weights: Path, content: object) -> None:
    torch.save(content, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match=r"other\.pt: expected FastSAM"):
        fastsam.FastSam(tmp_path / "other.pt", SETTINGS)


def test_a_detector_is_no_segmentation_model(tmp_path: Path, weights: Path) -> None:
    from ultralytics.nn.tasks import DetectionModel

    torch.save({"model": DetectionModel("yolov8n.yaml", nc=1, verbose=False).eval()}, tmp_path / "detector.pt")
    with pytest.raises(ConfigError, match=r"detector\.pt: expected FastSAM, a segmentation model, got .*'detect'"):
        fastsam.FastSam(tmp_path / "detector.pt", SETTINGS)


_OFFLINE_SCRIPT = """
import socket, subprocess, sys

calls = []

def refuse(*args, **kwargs):
    calls.append(args)
    raise OSError("no network in this test")

socket.getaddrinfo = socket.create_connection = socket.socket.connect = subprocess.check_output = refuse
import cv2
import numpy as np
import torch
from pathlib import Path
from autoseg3d_ros.mask_config import FastSamConfig
from autoseg3d_ros.lifting.fastsam import FastSam

cv2.setNumThreads(2)
torch.set_num_threads(11)
model = FastSam(Path(sys.argv[1]), FastSamConfig(device="cpu"))
model.segment(np.zeros((48, 64, 3), np.uint8), 64)
assert not calls, calls
assert cv2.getNumThreads() == 2, "ultralytics sets one thread for the whole process"
assert torch.get_num_threads() == 11, "ultralytics sets the threads of the whole process"
"""


def test_nothing_is_asked_of_the_network_and_the_process_stays_as_it_was(weights: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("YOLO_OFFLINE", "YOLO_AUTOINSTALL")}
    command = [sys.executable, "-c", _OFFLINE_SCRIPT, str(weights)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# --- the command line ---


def test_export_says_how_to_use_what_it_wrote(
    weights: Path, exported: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "model.onnx"
    assert main(["export-masks", str(weights), "--onnx", str(out)]) == 0
    assert f"--masks fastsam-onnx --set masks.weights={out}" in capsys.readouterr().out
    assert not weights.with_name("model.onnx").exists()


@pytest.mark.parametrize(
    ("name", "onnx", "words"),
    [
        ("absent.pt", "out.onnx", "no such file"),
        ("broken.pt", "out.onnx", "broken.pt: expected FastSAM weights"),
        ("random.onnx", "out.onnx", "takes .pt, got .onnx"),
        ("random.pt", "out.txt", "ends in .onnx"),
    ],
)
def test_export_of_what_cannot_be(
    weights: Path, exported: Path, capsys: pytest.CaptureFixture[str], name: str, onnx: str, words: str
) -> None:
    weights.with_name("broken.pt").write_bytes(b"not a model")
    out = weights.with_name(onnx)
    assert main(["export-masks", str(weights.with_name(name)), "--onnx", str(out)]) == 1
    assert words in capsys.readouterr().err
    assert not out.exists()


@pytest.mark.parametrize("source", ["fastsam", "fastsam-onnx"])
def test_a_recording_runs_both_ways(weights: Path, exported: Path, tmp_path: Path, source: str) -> None:
    recording = SHARED_DATA / "tum_fr1_rpy"
    if not recording.is_dir():
        pytest.skip(f"no {recording}")
    model = exported if source == "fastsam-onnx" else weights
    settings = [f"masks.weights={model}", f"fastsam.size_px={SIZE_PX}", "fastsam.device=cpu", "fastsam.max_masks=60"]
    options = ["--model", "none", *(word for setting in settings for word in ("--set", setting))]
    arguments = ["run", str(recording), "--out", str(tmp_path / "run"), "--masks", source, "--limit", "2", *options]
    assert main(arguments) == 0
