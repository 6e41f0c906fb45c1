"""Where things are and how large, as cues beside appearance. Ours: the published decoder knows no places.

Two equal chairs have equal features. What tells them apart is that an object is near its superpoint, inside its box.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from autoseg3d_ros.memory.interaction import distance_logits
from autoseg3d_ros.model.two_layers import TwoLayers

_MARGIN_M = 0.01  # keeps the logarithm of a size of 0 finite
_FIRST_PENALTY = 1.0  # a metre outside, before anything is learned


@dataclass(frozen=True)
class Places:
    """The centroids and the boxes of what attends to each other."""

    query_m: Tensor  # (Q, 3)
    superpoint_m: Tensor  # (S, 3)
    query_box_m: Tensor  # (Q, 6) centre and size of the superpoint of each query
    superpoint_box_m: Tensor  # (S, 6)


class SizeEmbedding(nn.Module):
    """Tells a wall from a door: the size of a superpoint, and how high it is among what the frame sees."""

    def __init__(self, width: int) -> None:
        """Make random weights for features of `width` channels."""
        super().__init__()
        self.layers = TwoLayers(4, width, width)

    def forward(self, extent_m: Tensor, centroid_m: Tensor, mean_m: Tensor) -> Tensor:
        """Return (S, width) of sizes along the axes (S, 3) and centroids (S, 3) in a frame with the mean point (3,)."""
        log_m = (extent_m + _MARGIN_M).log()
        flat = log_m[:, :2].sort(dim=1).values  # the world may be turned about the vertical by any angle
        height_m = centroid_m[:, 2:] - mean_m[2]
        encoded: Tensor = self.layers(torch.cat([flat, log_m[:, 2:], height_m], dim=1))
        return encoded


class BoxPenalty(nn.Module):
    """What lies outside the box that a query predicts is hardly in its mask: a learned penalty a metre."""

    def __init__(self, width: int) -> None:
        """Start with the same penalty for all queries."""
        super().__init__()
        self.weight = nn.Linear(width, 1)
        nn.init.zeros_(self.weight.weight)
        nn.init.constant_(self.weight.bias, _FIRST_PENALTY)

    def forward(self, embedding: Tensor, box_m: Tensor, xyz_m: Tensor) -> Tensor:
        """Return what to take from the mask logits (Q, N) of queries (Q, d) with boxes (Q, 6), for points (N, 3)."""
        return functional.softplus(self.weight(embedding)) * distance_to_boxes(box_m.detach(), xyz_m)


def hull_boxes(inside: Tensor, places: Places) -> Tensor:
    """Return (Q, 6) centre and size of what holds a query's own superpoint and those `inside` (Q, S) its mask."""
    if not inside.shape[1]:
        return places.query_box_m
    low_m, high_m = _corners(places.superpoint_box_m)  # (S, 3)
    own_low_m, own_high_m = _corners(places.query_box_m)  # (Q, 3)
    outside = ~inside[:, :, None]
    low_m = torch.minimum(own_low_m, low_m.expand(*inside.shape, 3).masked_fill(outside, torch.inf).amin(dim=1))
    high_m = torch.maximum(own_high_m, high_m.expand(*inside.shape, 3).masked_fill(outside, -torch.inf).amax(dim=1))
    return torch.cat([(low_m + high_m) / 2, high_m - low_m], dim=1)


def refined_boxes(box_m: Tensor, change: Tensor) -> Tensor:
    """Return boxes (Q, 6) changed by (Q, 6): a shift in sizes of the box, and the logarithm of a scale."""
    size_m = box_m[:, 3:] + _MARGIN_M
    shift, log_scale = change.split(3, dim=1)
    return torch.cat([box_m[:, :3] + shift * size_m, size_m * log_scale.exp()], dim=1)


def _corners(box_m: Tensor) -> tuple[Tensor, Tensor]:
    half_m = box_m[:, 3:] / 2
    return box_m[:, :3] - half_m, box_m[:, :3] + half_m


def distance_to_boxes(box_m: Tensor, xyz_m: Tensor) -> Tensor:
    """Return how far points (N, 3) lie outside of boxes (Q, 6), centre and size: (Q, N) metres, 0 inside."""
    center_m, half_m = box_m[:, :3], box_m[:, 3:] / 2
    squared = xyz_m.new_zeros(len(box_m), len(xyz_m))
    for axis in range(3):  # (Q, N) at a time
        outside_m = (xyz_m[None, :, axis] - center_m[:, axis, None]).abs_() - half_m[:, axis, None]
        squared += outside_m.clamp_(min=0).square_()
    return squared.sqrt_()


def near_first(weight: nn.Linear, query: Tensor, center_m: Tensor, key_center_m: Tensor, blocked: Tensor) -> Tensor:
    """Return what to add to the attention logits (heads, Q, K) of queries (Q, d): less by each metre, nothing blocked.

    `blocked` (Q, K) bool, True = may not be looked at.
    """
    return distance_logits(weight(query), center_m, key_center_m).to(query.dtype).masked_fill(blocked, -torch.inf)
