"""Features of superpoints from features of their points, aware of their geometry (`method.md` §2.3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg3d_ros.model.group_reduction import boxes_by_group, max_by_group, mean_by_group
from autoseg3d_ros.model.places import SizeEmbedding

_MARGIN_M = 0.01  # keeps the coordinates of a superpoint without extent finite


@dataclass(frozen=True)
class Pooled:
    """What the points of a frame say about its S superpoints."""

    features: Tensor  # (S, C)
    centroid_m: Tensor  # (S, 3), the plain mean of the points, world frame
    point_weight: Tensor  # (N, 1) in (0, 2): how much each point says
    box_m: Tensor  # (S, 6) centre and size of what holds its points, world frame


class GeometricPooling(nn.Module):
    """The mean of weighted point features and the largest embedding of the points' places in their superpoint."""

    def __init__(self, width: int = 96, has_places: bool = False) -> None:
        """Make random weights for point features of `width` channels; `has_places` adds the size of a superpoint."""
        super().__init__()
        self.point_embedding = nn.Sequential(
            nn.Linear(3, width),
            nn.LayerNorm(width),
            nn.ReLU(inplace=True),
            nn.Linear(width, width),
            nn.LayerNorm(width),
        )
        self.weight_hidden = nn.Linear(2 * width, width)  # of the embeddings of a point and of its superpoint
        self.weight_logit = nn.Sequential(nn.LayerNorm(width), nn.ReLU(inplace=True), nn.Linear(width, 1, bias=False))
        self.size_embedding = SizeEmbedding(width) if has_places else None

    def forward(self, xyz_m: Tensor, point_features: Tensor, superpoint: Tensor, num_superpoints: int) -> Pooled:
        """Pool points (N, 3) with features (N, C) and superpoints (N,) int64 in 0..S-1; one without points is zero."""
        centroid_m = mean_by_group(xyz_m, superpoint, num_superpoints)
        box_m = boxes_by_group(xyz_m, superpoint, num_superpoints)
        embedding = self.point_embedding(_normalise(xyz_m, centroid_m, box_m[:, 3:], superpoint))
        shape = max_by_group(embedding, superpoint, num_superpoints)
        weight = 2 * self._weight_logits(embedding, shape, superpoint).to(xyz_m.dtype).sigmoid()
        features = mean_by_group(weight * point_features, superpoint, num_superpoints) + shape
        if self.size_embedding is not None:
            mean_m = xyz_m.sum(dim=0) / max(len(xyz_m), 1)
            features = features + self.size_embedding(box_m[:, 3:], centroid_m, mean_m)
        return Pooled(features, centroid_m, weight, box_m)

    def _weight_logits(self, embedding: Tensor, shape: Tensor, superpoint: Tensor) -> Tensor:
        # In two halves: the second is the same for all points of a superpoint.
        of_point, of_superpoint = self.weight_hidden.weight.chunk(2, dim=1)
        of_shape = functional.linear(shape, of_superpoint, self.weight_hidden.bias).index_select(0, superpoint)
        return self.weight_logit(torch.addmm(of_shape, embedding, of_point.T))  # (N, 1)


def _normalise(xyz_m: Tensor, centroid_m: Tensor, extent_m: Tensor, superpoint: Tensor) -> Tensor:
    """Return coordinates (N, 3) relative to centre and largest size of the point's superpoint."""
    size_m = extent_m.amax(dim=1, keepdim=True) + _MARGIN_M  # (S, 1)
    centre_and_size_m = torch.cat([centroid_m, size_m], dim=1).index_select(0, superpoint)
    return (xyz_m - centre_and_size_m[:, :3]) / centre_and_size_m[:, 3:]
