"""Sparse convolution in MinkowskiEngine's convention from `method.md` §2.1 alone: dictionaries and loops, no sharing.

A sparse tensor is {(batch, x, y, z): feature vector}; coordinates are multiples of the stride.
"""

from __future__ import annotations

from itertools import product

import numpy as np

Voxel = tuple[int, int, int, int]
Slow = dict[Voxel, np.ndarray]


def slow_tensor(coords: np.ndarray, features: np.ndarray) -> Slow:
    """Return rows batch, x, y, z (V, 4) and their features (V, C) as a dictionary."""
    return {tuple(int(c) for c in row): np.asarray(f, np.float64) for row, f in zip(coords, features, strict=True)}


def slow_submanifold(x: Slow, kernel: np.ndarray, stride: int = 1, dilation: int = 1) -> Slow:
    """Convolve with a centred kernel [k^3, Cin, Cout] onto the same voxels."""
    side = round(len(kernel) ** (1 / 3))
    return {
        voxel: _reading(x, voxel, kernel, [(i - side // 2) * dilation * stride for i in range(side)]) for voxel in x
    }


def slow_strided(x: Slow, kernel: np.ndarray, stride: int = 1) -> Slow:
    """Convolve with a kernel [8, Cin, Cout] onto the voxels of twice the stride."""
    parents = {_parent(voxel, stride) for voxel in x}
    return {voxel: _reading(x, voxel, kernel, [0, stride]) for voxel in parents}


def slow_inverse(x: Slow, kernel: np.ndarray, onto: list[Voxel], stride: int) -> Slow:
    """Transposed convolution [8, Cin, Cout] from twice `stride` onto existing voxels of `stride`."""
    out = {}
    for voxel in onto:
        parent = _parent(voxel, stride)
        x_step, y_step, z_step = ((voxel[a] - parent[a]) // stride for a in (1, 2, 3))
        out[voxel] = x[parent] @ kernel[x_step + 2 * y_step + 4 * z_step]
    return out


def in_order_of(x: Slow, coords: np.ndarray) -> np.ndarray:
    """Return the features (V, C) at rows (V, 4); the rows must be exactly the tensor's voxels."""
    rows = [tuple(int(c) for c in row) for row in coords]
    assert len(rows) == len(set(rows)) and set(rows) == set(x)
    return np.array([x[row] for row in rows])


def _reading(x: Slow, voxel: Voxel, kernel: np.ndarray, steps: list[int]) -> np.ndarray:
    total = np.zeros(kernel.shape[2])
    for i, (dz, dy, dx) in enumerate(product(steps, steps, steps)):
        neighbour = (voxel[0], voxel[1] + dx, voxel[2] + dy, voxel[3] + dz)
        if neighbour in x:
            total = total + x[neighbour] @ kernel[i]
    return total


def _parent(voxel: Voxel, stride: int) -> Voxel:
    x, y, z = (int(np.floor(c / (2 * stride))) * 2 * stride for c in voxel[1:])
    return voxel[0], x, y, z
