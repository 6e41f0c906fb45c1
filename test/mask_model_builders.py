"""Mask models for tests: one that always answers the same, and FastSAM's network with random weights."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
import pytest


def constant_model(
    path: Path,
    outputs: list[np.ndarray],
    *,
    input_shape: tuple[int | str, ...] = (1, 3, "height", "width"),
    input_type: str = "FLOAT",
) -> Path:
    """Write an ONNX model with the given outputs, whatever it sees."""
    onnx = pytest.importorskip("onnx")
    helper, types = onnx.helper, onnx.TensorProto
    names = [f"output{index}" for index in range(len(outputs))]
    nodes = [
        helper.make_node("Constant", [], [name], value=onnx.numpy_helper.from_array(array))
        for name, array in zip(names, outputs, strict=True)
    ]
    image = helper.make_tensor_value_info("images", getattr(types, input_type), input_shape)
    results = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape)
        for name, array in zip(names, outputs, strict=True)
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "constant", [image], results), opset_imports=[helper.make_opsetid("", 17)]
    )
    model.ir_version = 8  # what an old onnxruntime reads
    onnx.save(model, path)
    return path


def answer(
    boxes: np.ndarray, confidences: np.ndarray, shape: tuple[int, int], num_classes: int = 1
) -> list[np.ndarray]:
    """Return the outputs of a network that finds filled boxes (N, 4) in a letterbox of `shape`.

    The boxes are x and y of the first and the last corner.
    """
    first, last = boxes[:, :2], boxes[:, 2:]
    scores = np.tile(confidences[:, None], (1, num_classes))
    rows = np.hstack([(first + last) / 2, last - first, scores, np.ones((len(boxes), 1))])  # one prototype, all ones
    return [rows.T[None].astype(np.float32), np.ones((1, 1, shape[0] // 4, shape[1] // 4), np.float32)]


def random_fastsam(path: Path, *, num_classes: int = 1) -> Path:
    """Write the network of FastSAM, YOLOv8n-seg, with random weights that find hundreds of different masks."""
    torch = pytest.importorskip("torch")
    if importlib.util.find_spec("ultralytics") is None:
        pytest.skip("ultralytics is not installed (requirements/fastsam.txt)")
    from autoseg3d_ros.lifting.fastsam import import_ultralytics

    import_ultralytics()
    from ultralytics.nn.tasks import SegmentationModel

    torch.manual_seed(0)
    network = SegmentationModel("yolov8n-seg.yaml", nc=num_classes, verbose=False).train()
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # plain averages: without them all activations fade
    with torch.no_grad():
        network(torch.from_numpy(blobs(320, 320)).permute(2, 0, 1)[None] / 255)
        for branch in network.model[-1].cv3:  # confidences
            branch[-1].weight.mul_(0.02)
            branch[-1].bias.fill_(-1.0)
        for branch in network.model[-1].cv2:  # boxes
            branch[-1].weight.mul_(2.0)
    torch.save({"model": network.eval(), "train_args": {"task": "segment"}}, path)
    return path


def blobs(height: int, width: int) -> np.ndarray:
    """Return a colourful picture, (H, W, 3) uint8."""
    coarse = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
