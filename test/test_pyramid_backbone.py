"""The sparse feature pyramid: its sizes, and what each voxel reads."""

from __future__ import annotations

import pytest
import torch

from autoseg3d_ros.model.pyramid_backbone import PyramidBackbone
from autoseg3d_ros.model.sparse import SparseTensor, VoxelGrid


def cloud(num_points, num_samples=1, seed=0):
    rng = torch.Generator().manual_seed(seed)
    xyz_m = torch.rand(num_points, 3, generator=rng)
    batch = torch.arange(num_points) % num_samples
    grid, _ = VoxelGrid.of_points(xyz_m, batch, 0.05)
    return SparseTensor(torch.randn(grid.num_voxels(1), 3, generator=rng), grid, 1)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return PyramidBackbone.of("tiny").eval()


@pytest.mark.parametrize(("size", "num_parameters"), [("edge", 20_643_388), ("tiny", 792_744)])
def test_parameters(size, num_parameters):
    assert sum(p.numel() for p in PyramidBackbone.of(size).parameters()) == num_parameters


@pytest.mark.parametrize("num_points", [0, 1, 300])
@torch.no_grad()
def test_one_row_a_voxel(tiny, num_points):
    x = cloud(num_points)
    out = tiny(x)
    assert out.features.shape == (len(x.features), tiny.num_channels)
    assert out.grid is x.grid and out.stride == 1


@torch.no_grad()
def test_memory_sees_and_replaces_the_skips(tiny):
    x = cloud(300)
    seen = []

    def forget(levels):
        seen.extend((level.stride, level.features.shape[1]) for level in levels)
        return [level.with_features(torch.zeros_like(level.features)) for level in levels]

    assert not torch.equal(tiny(x, forget).features, tiny(x).features)
    assert seen == list(zip((2, 4, 8, 16), tiny.memory_channels, strict=True))


@torch.no_grad()
def test_batch_equals_single(tiny):
    both = cloud(200, num_samples=2)
    together = tiny(both).features
    for sample in range(2):
        chosen = both.coords[:, 0] == sample
        alone = tiny(both.keep(chosen)).features
        torch.testing.assert_close(together[chosen], alone)


def test_trains_on_a_single_voxel():
    model = PyramidBackbone.of("tiny").train()
    model(cloud(1)).features.sum().backward()
    assert model.stem.conv.weight.grad is not None
