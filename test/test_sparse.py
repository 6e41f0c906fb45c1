"""Sparse tensors and convolutions against dictionaries and loops in MinkowskiEngine's convention."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from slow_sparse import in_order_of, slow_inverse, slow_strided, slow_submanifold, slow_tensor
from torch import Tensor

from autoseg3d_ros.model import kernel_maps
from autoseg3d_ros.model.group_reduction import mean_by_group
from autoseg3d_ros.model.sparse import (
    InverseConv,
    SparseTensor,
    StridedConv,
    SubmanifoldConv,
    VoxelGrid,
    nearest_parent,
    read_at,
    union,
)

KERNELS = [(3, 1), (5, 1), (3, 2), (3, 3), (5, 2)]  # size, dilation


@pytest.fixture(params=["searched", "inherited"], autouse=True)
def way_to_neighbours(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Small sets of voxels are searched; here also as large ones are, through their parents."""
    if request.param == "inherited":
        monkeypatch.setattr(kernel_maps, "_SEARCHED_DIRECTLY", 1)
    yield


def cloud(seed: int, num_points: int = 300, channels: int = 3, stride: int = 1, num_samples: int = 2) -> SparseTensor:
    """Return random voxels about the origin, about half of the cells taken."""
    rng = np.random.default_rng(seed)
    sample = rng.integers(0, num_samples, (num_points, 1))
    coords = np.concatenate([sample, rng.integers(-4, 5, (num_points, 3)) * stride], 1)
    return tensor_at(torch.from_numpy(coords), torch.from_numpy(rng.normal(size=(num_points, channels))), stride)


def tensor_at(coords: Tensor, features: Tensor, stride: int = 1) -> SparseTensor:
    """Return the voxels with the first of the features given for each."""
    grid, row = VoxelGrid.of_repeated(coords, stride)
    first = torch.full((len(grid.coords),), len(row)).scatter_reduce(0, row, torch.arange(len(row)), "amin")
    return SparseTensor(features[first], grid, stride)


def double(module: torch.nn.Module) -> tuple[torch.nn.Module, np.ndarray]:
    """Return the module in double precision and its kernel."""
    module = module.double()
    return module, module.weight.detach().numpy()


def assert_equal(out: SparseTensor, expected: dict) -> None:
    expected_features = in_order_of(expected, out.coords.numpy())
    np.testing.assert_allclose(out.features.detach().numpy(), expected_features, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("kernel_size", "dilation"), KERNELS)
@pytest.mark.parametrize("stride", [1, 4])
@pytest.mark.parametrize("channels", [3, 9])  # few channels are computed in another way
def test_a_submanifold_convolution(kernel_size: int, dilation: int, stride: int, channels: int) -> None:
    x = cloud(1, channels=channels, stride=stride)
    conv, kernel = double(SubmanifoldConv(channels, 4, kernel_size, dilation))
    slow = slow_tensor(x.coords.numpy(), x.features.numpy())
    assert_equal(conv(x), slow_submanifold(slow, kernel, stride, dilation))


@pytest.mark.parametrize("stride", [1, 2, 8])
@pytest.mark.parametrize("channels", [3, 9])
def test_a_strided_convolution_and_its_inverse_onto_the_existing_voxels(stride: int, channels: int) -> None:
    x = cloud(2, channels=channels, stride=stride)
    down, down_kernel = double(StridedConv(channels, channels))
    up, up_kernel = double(InverseConv(channels, 2))
    slow = slow_tensor(x.coords.numpy(), x.features.numpy())
    coarse = slow_strided(slow, down_kernel, stride)
    assert_equal(down(x), coarse)
    assert down(x).stride == 2 * stride
    assert_equal(up(down(x)), slow_inverse(coarse, up_kernel, list(slow), stride))
    assert up(down(x)).stride == stride


@pytest.mark.parametrize("channels", [2, 9])
@pytest.mark.parametrize("layer", ["submanifold", "dilated", "strided", "inverse"])
def test_the_gradients(layer: str, channels: int) -> None:
    x = cloud(4, num_points=12, channels=channels)
    if layer == "inverse":
        x = SparseTensor(torch.randn(x.grid.num_voxels(2), channels, dtype=torch.float64), x.grid, 2)
    conv = {
        "submanifold": lambda: SubmanifoldConv(channels, 3, 3),
        "dilated": lambda: SubmanifoldConv(channels, 3, 3, 3),
        "strided": lambda: StridedConv(channels, 3),
        "inverse": lambda: InverseConv(channels, 3),
    }[layer]().double()

    def outputs(features: Tensor, weight: Tensor) -> Tensor:
        return torch.func.functional_call(conv, {"weight": weight}, x.with_features(features)).features

    assert torch.autograd.gradcheck(outputs, (x.features.clone().requires_grad_(), conv.weight), fast_mode=True)


@pytest.mark.parametrize("num_voxels", [0, 1])
def test_none_and_one_voxel(num_voxels: int) -> None:
    xyz_m = torch.tensor([[-0.01, 0.5, 0.03]])[:num_voxels]
    grid, row = VoxelGrid.of_points(xyz_m, torch.zeros(num_voxels, dtype=torch.int64), 0.02)
    assert row.tolist() == [0] * num_voxels
    assert grid.coords.tolist() == [[0, -1, 25, 1]][:num_voxels]
    for channels in (3, 9):
        x = SparseTensor(torch.ones(num_voxels, channels), grid)
        conv, down, up = SubmanifoldConv(channels, 9, 5), StridedConv(9, 9), InverseConv(9, 2)
        coarse = down(conv(x))
        out = up(coarse)
        assert coarse.coords.tolist() == [[0, -2, 24, 0]][:num_voxels]
        # Within its parent the voxel is at (1, 1, 1), and it is the centre of its own kernel.
        expected = x.features @ conv.weight[62] @ down.weight[7] @ up.weight[7]
        torch.testing.assert_close(out.features, expected)
        out.features.sum().backward()
        assert conv.weight.grad is not None and up.weight.grad is not None
        assert nearest_parent(coarse, 1).shape == (num_voxels, 9)
        assert read_at(x, torch.tensor([[0, 5, 5, 5]])).tolist() == [[0.0] * channels]
        assert len(union(x, x, "max").features) == num_voxels


def test_a_batch_equals_its_samples() -> None:
    x = cloud(5, channels=9)
    layers = torch.nn.Sequential(
        SubmanifoldConv(9, 9, 3), StridedConv(9, 9), InverseConv(9, 9), SubmanifoldConv(9, 4, 5)
    )
    layers.double()
    together = layers(x).features
    for sample in range(2):
        mine = x.coords[:, 0] == sample
        torch.testing.assert_close(layers(x.keep(mine)).features, together[mine])


def test_voxels_are_floors_and_their_features_means() -> None:
    xyz_m = torch.tensor([[0.019, 0.0, 0.0], [-0.001, 0.0, 0.0], [0.001, 0.0, 0.0], [-0.02, 0.0, 0.0]])
    grid, row = VoxelGrid.of_points(xyz_m, torch.zeros(4, dtype=torch.int64), 0.02)
    assert grid.coords[row].tolist() == [[0, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 0], [0, -1, 0, 0]]
    means = mean_by_group(torch.tensor([[1.0], [5.0], [2.0], [7.0]]), row, 2)
    assert means[row].flatten().tolist() == [1.5, 6.0, 1.5, 6.0]


def test_points_of_two_samples_share_no_voxel() -> None:
    grid, row = VoxelGrid.of_points(torch.zeros(2, 3), torch.tensor([3, 1]), 0.02)
    assert grid.coords.tolist() == [[1, 0, 0, 0], [3, 0, 0, 0]]
    assert row.tolist() == [1, 0]


def test_voxels_far_from_the_origin() -> None:
    far = (1 << 17) - 1
    coords = torch.tensor([[0, -far, far, -far], [0, -far + 1, far, -far], [400, far, far, far]])
    grid, row = VoxelGrid.of_repeated(coords, 1)
    assert torch.equal(grid.coords[row], coords)
    assert torch.equal(grid.find(coords, 1), row)
    assert sorted(torch.unique(grid.at(1).neighbours(3).table[:, row[0]]).tolist()) == sorted({*row[:2].tolist(), 3})


def test_find_and_read_at() -> None:
    x = cloud(6, stride=2)
    shifted = x.coords + torch.tensor([0, 2, 0, 0])
    row = x.grid.find(shifted, 2)
    there = {tuple(voxel): index for index, voxel in enumerate(x.coords.tolist())}
    assert row.tolist() == [there.get(tuple(voxel), -1) for voxel in shifted.tolist()]
    assert (row < 0).any() and (row >= 0).any()
    expected = torch.where((row >= 0)[:, None], x.features[row], 0.0)
    assert torch.equal(read_at(x, shifted), expected)


def test_coordinates_of_another_grid_keep_their_order() -> None:
    x = cloud(7)
    chosen = x.coords[:, 1] > 0
    grid = VoxelGrid.of_coords(x.coords[chosen], 1)
    assert torch.equal(grid.coords, x.keep(chosen).coords)
    for wrong in (x.coords.flip(0), x.coords.repeat_interleave(2, 0)):
        with pytest.raises(ValueError, match="of_repeated"):
            VoxelGrid.of_coords(wrong, 1)


def test_a_grid_has_no_stride_below_its_finest() -> None:
    with pytest.raises(ValueError, match="no stride 2, the finest is 4"):
        cloud(8, stride=4).grid.at(2)


def test_the_nearest_parent_holds_the_voxel() -> None:
    x = cloud(9)
    coarse = SparseTensor(x.grid.at(4).coords.double(), x.grid, 4)
    parent = torch.cat([x.coords[:, :1], x.coords[:, 1:].div(4, rounding_mode="floor") * 4], 1)
    assert torch.equal(nearest_parent(coarse, 1), parent.double())


def test_a_union_by_hand() -> None:
    a = tensor_at(torch.tensor([[0, 0, 0, 0], [0, -2, 0, 0]]), torch.tensor([[1.0, -5.0], [-3.0, 4.0]]), 2)
    b = tensor_at(torch.tensor([[0, 0, 0, 0], [0, 2, 0, 0]]), torch.tensor([[2.0, -7.0], [-1.0, 6.0]]), 2)
    expected = {
        "add": {(-2, 0, 0): [-3.0, 4.0], (0, 0, 0): [3.0, -12.0], (2, 0, 0): [-1.0, 6.0]},
        "max": {(-2, 0, 0): [-3.0, 4.0], (0, 0, 0): [2.0, -5.0], (2, 0, 0): [-1.0, 6.0]},
    }
    for how in ("add", "max"):
        out = union(a, b, how)
        assert out.stride == 2
        got = {tuple(voxel[1:]): row for voxel, row in zip(out.coords.tolist(), out.features.tolist(), strict=True)}
        assert got == expected[how]


def test_the_initial_kernel_is_bounded_by_its_fan_in() -> None:
    bound = 1 / (27 * 4) ** 0.5
    weight = SubmanifoldConv(4, 64, 3).weight
    assert weight.shape == (27, 4, 64)
    assert 0.95 * bound < weight.abs().max() <= bound
