from __future__ import annotations

import pytest
import torch
from parity_cases import ParityCase, parametrize
from published_modules import load

from autoseg3d_ros.model.pooling import GeometricPooling


@parametrize("pool_")
def test_pooled_as_published(case: ParityCase):
    pooling = load(GeometricPooling(), "pooling.", case.meta["weights_seed"], case.meta.get("weight_overrides"))
    xyz_m, features, superpoint = (torch.from_numpy(case.given(name)) for name in ("xyz", "features", "superpoint"))
    pooled = pooling(xyz_m, features, superpoint, len(case.expected("pooled")))
    for name, ours in (
        ("pooled", pooled.features),
        ("centroids", pooled.centroid_m),
        ("point_weights", pooled.point_weight),
    ):
        tolerance = 2e-5 * max(1, case.meta["max_abs_value"][name])
        torch.testing.assert_close(ours, torch.from_numpy(case.expected(name)), rtol=0, atol=tolerance)


def frame(num_points: int, num_superpoints: int, width: int = 8) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return places, features and superpoints of random points; each superpoint has one at least."""
    generator = torch.Generator().manual_seed(num_points)
    superpoint = torch.arange(num_points) % max(num_superpoints, 1)
    return torch.randn(num_points, 3, generator=generator), torch.randn(num_points, width), superpoint


@pytest.mark.parametrize(
    ("num_points", "num_superpoints"), [(0, 0), (0, 2), (1, 1), (5, 1), (5, 5)], ids=lambda value: str(value)
)
def test_every_number_of_points_is_legal(num_points, num_superpoints):
    pooled = GeometricPooling(8)(*frame(num_points, num_superpoints), num_superpoints)
    assert pooled.features.shape == (num_superpoints, 8)
    assert pooled.centroid_m.shape == (num_superpoints, 3)
    assert pooled.point_weight.shape == (num_points, 1)
    assert all(values.isfinite().all() for values in (pooled.features, pooled.centroid_m, pooled.point_weight))
    assert ((pooled.point_weight > 0) & (pooled.point_weight < 2)).all()
    if not num_points:
        assert not pooled.features.any() and not pooled.centroid_m.any()


def test_one_point_by_hand():
    pooling = GeometricPooling(8)
    xyz_m, features, superpoint = frame(1, 1)
    pooled = pooling(xyz_m, features, superpoint, 1)
    centre = pooling.point_embedding(torch.zeros(1, 3))  # a point alone is its own centre
    weight = 2 * pooling.weight_logit(pooling.weight_hidden(torch.cat([centre, centre], dim=1))).sigmoid()
    torch.testing.assert_close(pooled.centroid_m, xyz_m)
    torch.testing.assert_close(pooled.point_weight, weight)
    torch.testing.assert_close(pooled.features, weight * features + centre)


def test_one_superpoint_is_moved_to_its_mean_and_scaled_by_its_longest_side():
    pooling = GeometricPooling(8)
    seen = []
    pooling.point_embedding.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    xyz_m = torch.tensor([[1.0, 0.0, 5.0], [3.0, 0.5, 5.0], [2.0, 1.0, 5.0], [2.0, 0.5, 5.0]])
    pooling(xyz_m, torch.randn(4, 8), torch.zeros(4, dtype=torch.int64), 1)
    expected = torch.tensor([[-1.0, -0.5, 0.0], [1.0, 0.0, 0.0], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]) / 2.01
    torch.testing.assert_close(seen[0], expected)


def test_each_superpoint_is_pooled_as_if_it_were_alone():
    pooling = GeometricPooling(8)
    xyz_m, features, superpoint = frame(40, 4)
    together = pooling(xyz_m, features, superpoint, 4)
    for number in range(4):
        its = superpoint == number
        alone = pooling(xyz_m[its], features[its], torch.zeros(10, dtype=torch.int64), 1)
        torch.testing.assert_close(together.features[number], alone.features[0])
        torch.testing.assert_close(together.point_weight[its], alone.point_weight)


def test_order_of_the_points_does_not_matter():
    pooling = GeometricPooling(8)
    xyz_m, features, superpoint = frame(40, 4)
    order = torch.randperm(40)
    pooled = pooling(xyz_m, features, superpoint, 4)
    permuted = pooling(xyz_m[order], features[order], superpoint[order], 4)
    torch.testing.assert_close(pooled.features, permuted.features)
    torch.testing.assert_close(pooled.point_weight[order], permuted.point_weight)


def test_gradients_are_right():
    pooling = GeometricPooling(4).double()
    xyz_m, features, superpoint = frame(6, 2, width=4)
    inputs = xyz_m.double().requires_grad_(), features.double().requires_grad_()

    def pool(*inputs):
        pooled = pooling(*inputs, superpoint, 2)
        return pooled.features, pooled.point_weight

    assert torch.autograd.gradcheck(pool, inputs)


def test_gradients_reach_every_parameter():
    pooling = GeometricPooling(8)
    pooling(*frame(40, 4), 4).features.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in pooling.parameters())


def test_number_of_parameters():
    assert sum(parameter.numel() for parameter in GeometricPooling().parameters()) == 28_896
