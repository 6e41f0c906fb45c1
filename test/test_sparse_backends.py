"""The compiled CPU kernels and spconv against plain torch, which is tested against brute force."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from slow_sparse import in_order_of, slow_submanifold, slow_tensor
from torch import Tensor

from autoseg3d_ros.model import kernel_maps, sparse_native, sparse_spconv, sparse_torch
from autoseg3d_ros.model.kernel_maps import KernelMap
from autoseg3d_ros.model.sparse import NormReLU, SparseTensor, SubmanifoldConv, VoxelGrid

MAPS = ["3", "5", "dilated", "children", "parent"]
CHANNELS = [(1, 4), (3, 12), (9, 24), (16, 36), (5, 48), (33, 32), (20, 16), (8, 68), (128, 96), (64, 128), (4, 256)]

needs_native = pytest.mark.skipif(sparse_native.library() is None, reason="the compiled kernels were not built")
needs_spconv = pytest.mark.skipif(not sparse_spconv.is_available(), reason="spconv is not installed")


@pytest.fixture
def no_native(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse_native, "library", lambda: None)


def grid_of(num_points: int) -> VoxelGrid:
    """Return voxels of two samples, a third of the cells taken."""
    rng = np.random.default_rng(num_points)
    coords = np.concatenate([rng.integers(0, 2, (num_points, 1)), rng.integers(-8, 8, (num_points, 3))], 1)
    return VoxelGrid.of_repeated(torch.from_numpy(coords), 1)[0]


def map_of(grid: VoxelGrid, kind: str) -> KernelMap:
    level = grid.at(1)
    if kind == "children":
        return level.from_children
    if kind == "parent":
        return level.from_parent
    return level.neighbours(3, 3) if kind == "dilated" else level.neighbours(int(kind))


def layer(kernel_map: KernelMap, cin: int, cout: int) -> tuple[Tensor, Tensor]:
    """Return random float32 features and a kernel that gives outputs of about 1."""
    generator = torch.Generator().manual_seed(cin)
    scale = (cin * len(kernel_map.table)) ** -0.5
    features = torch.randn(kernel_map.num_in, cin, generator=generator)
    return features, torch.randn(len(kernel_map.table), cin, cout, generator=generator) * scale


def expected(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
    return sparse_torch.convolve(features.double(), weight.double(), kernel_map).float()


@pytest.mark.parametrize("kind", MAPS)
def test_plain_torch_in_single_precision(kind: str, no_native: None) -> None:
    kernel_map = map_of(grid_of(3000), kind)
    assert kernel_map.num_out > kernel_maps._BLOCK_ROWS or kind == "children"
    features, weight = layer(kernel_map, 9, 20)
    out = sparse_torch.convolve(features, weight, kernel_map)
    torch.testing.assert_close(out, expected(features, weight, kernel_map), rtol=0, atol=1e-5)


@needs_native
@pytest.mark.parametrize("num_points", [1, 40, 3000])
@pytest.mark.parametrize("kind", MAPS)
@pytest.mark.parametrize(("cin", "cout"), CHANNELS)
def test_the_compiled_convolution(cin: int, cout: int, kind: str, num_points: int) -> None:
    kernel_map = map_of(grid_of(num_points), kind)
    features, weight = layer(kernel_map, cin, cout)
    assert sparse_native.can_convolve(features, weight)
    out = sparse_native.convolve(features, weight, kernel_map.table)
    torch.testing.assert_close(out, expected(features, weight, kernel_map), rtol=0, atol=1e-5)


@needs_native
def test_the_compiled_convolution_by_brute_force() -> None:
    grid = grid_of(200)
    features, weight = layer(grid.at(1).neighbours(3), 6, 8)
    out = sparse_native.convolve(features, weight, grid.at(1).neighbours(3).table)
    slow = slow_submanifold(slow_tensor(grid.coords.numpy(), features.numpy()), weight.double().numpy())
    np.testing.assert_allclose(out.numpy(), in_order_of(slow, grid.coords.numpy()), rtol=0, atol=1e-5)


@needs_native
def test_the_compiled_convolution_takes_views_and_nothing() -> None:
    kernel_map = map_of(grid_of(100), "3")
    features, weight = layer(kernel_map, 8, 8)
    out = sparse_native.convolve(features.T.contiguous().T, weight.transpose(1, 2), kernel_map.table)
    torch.testing.assert_close(out, expected(features, weight.transpose(1, 2), kernel_map), rtol=0, atol=1e-5)
    empty = map_of(grid_of(0), "3")
    assert sparse_native.convolve(*layer(empty, 8, 8), empty.table).shape == (0, 8)


@needs_native
def test_the_compiled_kernel_leaves_what_it_cannot_do() -> None:
    features, weight = torch.zeros(3, 4), torch.zeros(27, 4, 6)
    assert not sparse_native.can_convolve(features, weight)
    assert not sparse_native.can_convolve(features.double(), weight[..., :4].double())
    assert sparse_native.can_convolve(features, weight[..., :4])


@needs_native
@pytest.mark.parametrize("kind", ["3", "5", "dilated"])
def test_the_compiled_kernel_maps(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_maps, "_SEARCHED_DIRECTLY", 1)
    compiled = map_of(grid_of(2000), kind).table
    monkeypatch.setattr(sparse_native, "library", lambda: None)
    assert torch.equal(compiled, map_of(grid_of(2000), kind).table)


@needs_spconv
@pytest.mark.parametrize("kind", MAPS)
def test_spconv(kind: str, one_thread: None) -> None:  # 2.3.8 sums wrongly at times with more than one on the CPU
    kernel_map = map_of(grid_of(2000), kind)
    features, weight = layer(kernel_map, 16, 32)
    out = sparse_spconv.convolve(features, weight, kernel_map)
    torch.testing.assert_close(out, expected(features, weight, kernel_map), rtol=0, atol=1e-5)


@needs_native
@pytest.mark.parametrize("has_skip", [False, True])
@torch.no_grad()
def test_normalisation_inside_the_compiled_kernel(has_skip: bool) -> None:
    torch.manual_seed(0)
    grid, conv, norm = grid_of(500), SubmanifoldConv(9, 24, 3), torch.nn.BatchNorm1d(24)
    x = SparseTensor(torch.randn(grid.num_voxels(1), 9), grid, 1)
    norm(10 * torch.randn(100, 24) + 3)  # statistics that matter
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    skip = torch.randn(len(x.features), 24) if has_skip else None
    following = NormReLU(norm.eval(), skip)
    compiled = conv(x, following).features
    with sparse_native.plain_torch():
        plain = conv(x, following).features
    assert compiled.min() == 0 and (compiled > 0).any()
    torch.testing.assert_close(compiled, plain, rtol=1e-5, atol=1e-5)
