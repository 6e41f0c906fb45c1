"""Labelled point clouds as binary PLY, the form every viewer opens."""

from __future__ import annotations

import re

import numpy as np

POINT = np.dtype(
    [("x", "<f4"), ("y", "<f4"), ("z", "<f4"), ("red", "u1"), ("green", "u1"), ("blue", "u1"), ("instance_id", "<u4")]
)
_TYPE_NAMES = {"<f4": "float", "|u1": "uchar", "<u4": "uint"}
_END = b"end_header\n"


def encode(xyz_m: np.ndarray, rgb: np.ndarray, instance_id: np.ndarray) -> bytes:
    """Return a PLY file of `xyz_m` (M, 3) metres, `rgb` (M, 3) uint8 and `instance_id` (M,), 0 = none."""
    points = np.empty(len(xyz_m), POINT)
    points["x"], points["y"], points["z"] = xyz_m.T
    points["red"], points["green"], points["blue"] = rgb.T
    points["instance_id"] = instance_id
    return _header(len(points)) + points.tobytes()


def decode(data: bytes) -> np.ndarray:
    """Return (M,) of POINT from a file that `encode` made. Raises ValueError for any other."""
    header = data[: data.find(_END) + len(_END)]
    counted = re.search(rb"element vertex (\d+)\n", header)
    if counted is None or header != _header(int(counted[1])):
        raise ValueError("expected the binary PLY header of a labelled map, got another")
    expected = len(header) + int(counted[1]) * POINT.itemsize
    if len(data) != expected:
        raise ValueError(f"expected {expected} bytes for {int(counted[1])} points, got {len(data)}")
    return np.frombuffer(data, POINT, offset=len(header))


def _header(num_points: int) -> bytes:
    properties = [f"property {_TYPE_NAMES[POINT[name].str]} {name}" for name in POINT.names or ()]
    lines = ["ply", "format binary_little_endian 1.0", f"element vertex {num_points}", *properties, "end_header", ""]
    return "\n".join(lines).encode()
