"""The sparse U-Net: as the published one computes it, with its parameters."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity_cases import parametrize
from published_modules import load
from slow_sparse import in_order_of, slow_inverse, slow_strided, slow_submanifold, slow_tensor

from autoseg3d_ros.model.backbone import BasicBlock, ConvNormReLU, Res16UNet34C, VoxelNorm
from autoseg3d_ros.model.group_reduction import mean_by_group
from autoseg3d_ros.model.sparse import InverseConv, SparseTensor, StridedConv, VoxelGrid
from autoseg3d_ros.model.voxel_memory import MemoryBounds, VoxelMemory, VoxelMemoryState

TOLERANCE = 2e-5


def voxels_of(case, frame):
    xyz_m = torch.from_numpy(case.given(f"points_m_{frame}"))
    colours = torch.from_numpy(case.given(f"colours_{frame}"))
    grid, voxel_of_point = VoxelGrid.of_points(xyz_m, torch.zeros(len(xyz_m), dtype=torch.int64), case.meta["voxel_m"])
    num_voxels = grid.num_voxels(1)
    assert num_voxels == case.expected(f"num_voxels_{frame}")
    return SparseTensor(mean_by_group(colours, voxel_of_point, num_voxels), grid, 1), voxel_of_point


@parametrize("backbone")
@torch.no_grad()
def test_as_published(case):
    backbone = load(Res16UNet34C(), "backbone.", case.meta["seed"])
    memory = load(VoxelMemory(backbone.memory_channels), "voxel_memory.", case.meta["seed"])
    has_memory = "memory." in case.meta["key_prefix"]
    state, bounds = VoxelMemoryState(), MemoryBounds(case.meta["voxel_m"])
    for frame in range(3 if has_memory else 1):
        x, voxel_of_point = voxels_of(case, frame)
        out = backbone(x, lambda levels: memory(levels, state, bounds)) if has_memory else backbone(x)
        expected = torch.from_numpy(case.expected(f"point_features_{frame}"))
        torch.testing.assert_close(out.features[voxel_of_point][::4], expected, rtol=0, atol=TOLERANCE)


def cloud(num_points, num_channels=3):
    rng = torch.Generator().manual_seed(0)
    xyz_m = torch.rand(num_points, 3, generator=rng)
    grid, _ = VoxelGrid.of_points(xyz_m, torch.zeros(num_points, dtype=torch.int64), 0.1)
    return SparseTensor(torch.randn(grid.num_voxels(1), num_channels, generator=rng), grid, 1)


def lively(module):
    """Give every normalisation layer statistics of its own."""
    torch.manual_seed(0)
    for norm in (layer for layer in module.modules() if isinstance(layer, VoxelNorm)):
        for values in (norm.running_mean, norm.running_var, norm.weight.data, norm.bias.data):
            values.uniform_(0.5, 1.5)
    return module.eval()


def normalised(slow, norm):
    mean, var, weight, bias = (
        values.detach().double().numpy() for values in (norm.running_mean, norm.running_var, norm.weight, norm.bias)
    )
    return {voxel: (f - mean) / np.sqrt(var + norm.eps) * weight + bias for voxel, f in slow.items()}


def relu(slow):
    return {voxel: np.maximum(f, 0) for voxel, f in slow.items()}


def array(weight):
    return weight.detach().double().numpy()


@pytest.mark.parametrize("channels", [3, 5])
@torch.no_grad()
def test_block_as_brute_force(channels):
    x, block = cloud(60), lively(BasicBlock(3, channels))
    slow = slow_tensor(x.coords.numpy(), x.features.numpy())
    hidden = relu(normalised(slow_submanifold(slow, array(block.conv1.weight)), block.norm1))
    out = normalised(slow_submanifold(hidden, array(block.conv2.weight)), block.norm2)
    if channels != 3:
        linear, norm = block.skip
        slow = normalised({voxel: array(linear.weight) @ f for voxel, f in slow.items()}, norm)
    out = relu({voxel: f + slow[voxel] for voxel, f in out.items()})
    expected = torch.from_numpy(in_order_of(out, x.coords.numpy())).float()
    torch.testing.assert_close(block(x).features, expected, rtol=0, atol=1e-5)


@torch.no_grad()
def test_down_and_up_as_brute_force():
    x = cloud(60)
    down, up = lively(ConvNormReLU(StridedConv(3, 4), 4)), lively(ConvNormReLU(InverseConv(4, 5), 5))
    slow = slow_tensor(x.coords.numpy(), x.features.numpy())
    coarse = relu(normalised(slow_strided(slow, array(down.conv.weight)), down.norm))
    fine = relu(normalised(slow_inverse(coarse, array(up.conv.weight), list(slow), 1), up.norm))
    expected = torch.from_numpy(in_order_of(fine, x.coords.numpy())).float()
    torch.testing.assert_close(up(down(x)).features, expected, rtol=0, atol=1e-5)


def test_parameters_and_momenta():
    backbone = Res16UNet34C()
    assert sum(p.numel() for p in backbone.parameters()) == 37_854_112  # method.md §10
    norms = {name: layer.momentum for name, layer in backbone.named_modules() if isinstance(layer, VoxelNorm)}
    within_blocks = {name for name, momentum in norms.items() if momentum == 0.1}
    assert within_blocks == {name for name in norms if name.endswith((".norm1", ".norm2"))}
    assert set(norms.values()) == {0.1, 0.02}


@pytest.mark.parametrize("num_points", [0, 1])
@torch.no_grad()
def test_hardly_any_voxels(num_points):
    backbone = Res16UNet34C()
    for training in (False, True):
        assert backbone.train(training)(cloud(num_points)).features.shape == (num_points, 96)


def test_norm_of_one_voxel_in_training_uses_the_running_statistics():
    norm = lively(VoxelNorm(4))
    x = torch.randn(1, 4)
    torch.testing.assert_close(norm.train()(x), norm.eval()(x))
