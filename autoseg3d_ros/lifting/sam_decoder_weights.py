"""The weights of SAM's mask decoder, out of its ONNX export.

onnxruntime runs a graph but does not hand out its weights, so the file is read here. ONNX is a message of Protocol
Buffers (onnx.proto3 in https://github.com/onnx/onnx); the numbers below are those of its fields.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

_VARINT, _BYTES = 0, 2  # how a field is stored
_FIXED_BYTES = {1: 8, 5: 4}  # bytes of the others
_MODEL_GRAPH = 7
_GRAPH_NODE, _GRAPH_INITIALIZER = 1, 5
_NODE_INPUT, _NODE_OUTPUT, _NODE_OPERATOR = 1, 2, 4
_TENSOR_DIMENSIONS, _TENSOR_TYPE, _TENSOR_NAME, _TENSOR_DATA = 1, 2, 8, 9
_FLOAT32 = 1

# The exporter keeps the names of most weights, but not of those that it transposes, reshapes or joins. Of a linear
# layer the bias tells the name; these are known by the operator that takes them and by their shape.
_RENAMED = {
    ("Expand", (1, 5, 256)): "output_tokens",  # of the quality, then of the masks
    ("Mul", (1, 256, 1, 1)): "no_mask_embed",
    ("Mul", (64, 1, 1)): "output_upscaling.1.weight",
    ("Add", (64, 1, 1)): "output_upscaling.1.bias",
}


@dataclass(frozen=True)
class Node:
    """One operation of a graph, by the names of what goes in and comes out."""

    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_decoder_weights(path: Path) -> dict[str, np.ndarray]:
    """Return float32 weights by their names in SAM, those of linear layers as (outputs, inputs).

    Some are missing where the file is no export of the decoder. Raises ValueError for a file that is no ONNX model.
    """
    nodes, constants = read_graph(path)
    weights = {_name_in_sam(name): array for name, array in constants.items()}
    matrix_of = {node.outputs[0]: node.inputs[1] for node in nodes if node.operator == "MatMul"}
    for node in nodes:
        for name in set(node.inputs) & set(constants):
            renamed = _RENAMED.get((node.operator, constants[name].shape))
            if renamed:
                weights[renamed] = constants[name].squeeze()
            products = [matrix_of[other] for other in node.inputs if matrix_of.get(other) in constants]
            if node.operator == "Add" and products:
                weights[_name_in_sam(name).replace(".bias", ".weight")] = constants[products[0]].T
    return weights


def _name_in_sam(name: str) -> str:
    return name.removeprefix("mask_decoder.").removeprefix("model.")


def read_graph(path: Path) -> tuple[list[Node], dict[str, np.ndarray]]:
    """Return the operations of an ONNX model and its float32 constants by name. Raises ValueError for another file."""
    try:
        [graph] = _all(memoryview(path.read_bytes()), _MODEL_GRAPH)
        nodes = [_node(message) for message in _all(graph, _GRAPH_NODE)]
        tensors = [_tensor(message) for message in _all(graph, _GRAPH_INITIALIZER)]
    except (ValueError, IndexError) as error:
        raise ValueError(f"not an ONNX model ({error})") from error
    return nodes, {name: array for name, array in tensors if array is not None}


def _node(message: memoryview) -> Node:
    [operator] = _all(message, _NODE_OPERATOR)
    inputs, outputs = (tuple(str(name, "utf-8") for name in _all(message, n)) for n in (_NODE_INPUT, _NODE_OUTPUT))
    return Node(str(operator, "utf-8"), inputs, outputs)


def _tensor(message: memoryview) -> tuple[str, np.ndarray | None]:
    """Return name and values; None for those that are no float32, or not stored as bytes."""
    [name] = _all(message, _TENSOR_NAME)
    data = _all(message, _TENSOR_DATA)
    if (_TENSOR_TYPE, _FLOAT32) not in _fields(message) or not data:
        return str(name, "utf-8"), None
    return str(name, "utf-8"), np.frombuffer(data[0], np.dtype("<f4")).reshape(_dimensions(message))


def _dimensions(message: memoryview) -> list[int]:
    """Return the shape of a tensor, which is stored as one field a number or, packed, as one of all."""
    sizes: list[int] = []
    for field, value in _fields(message):
        if field != _TENSOR_DIMENSIONS:
            continue
        if isinstance(value, int):
            sizes.append(value)
            continue
        position = 0
        while position < len(value):
            size, position = _varint(value, position)
            sizes.append(size)
    return sizes


def _all(message: memoryview, number: int) -> list[memoryview]:
    return [value for field, value in _fields(message) if field == number and isinstance(value, memoryview)]


def _fields(message: memoryview) -> Iterator[tuple[int, int | memoryview]]:
    """Yield number and value of each field of a message. Raises ValueError or IndexError where there is none."""
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        field, storage = tag >> 3, tag & 7
        if storage == _VARINT:
            value, position = _varint(message, position)
            yield field, value
            continue
        if storage == _BYTES:
            size, position = _varint(message, position)
        elif storage in _FIXED_BYTES:
            size = _FIXED_BYTES[storage]
        else:
            raise ValueError(f"no field is stored as {storage}")
        if position + size > len(message):
            raise ValueError("cut short")
        yield field, message[position : position + size]
        position += size


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """Return the number at a position, seven bits a byte, the low ones first, and the position after it."""
    number = shift = 0
    while True:
        byte = message[position]
        position += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, position
