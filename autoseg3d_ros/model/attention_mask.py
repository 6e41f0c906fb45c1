"""Where a query may look: the superpoints inside the mask that it predicted last (`method.md` §3)."""

from __future__ import annotations

import torch
from torch import Tensor

from autoseg3d_ros.model.group_reduction import count_by_group


@torch.no_grad()
def blocked_by_superpoint_mask(mask_logits: Tensor) -> Tensor:
    """Return (Q, S) bool, True = outside the mask of logits (Q, S). A query with nothing inside may look anywhere."""
    outside = mask_logits < 0
    return outside & ~outside.all(dim=1, keepdim=True)


@torch.no_grad()
def blocked_by_point_mask(
    mask_logits: Tensor, superpoint: Tensor, point_weight: Tensor, num_superpoints: int
) -> Tensor:
    """Return (Q, S) bool, True = mostly outside the mask over points, given as logits (Q, N).

    Mostly: the weights (N, 1) of the outer points of a superpoint, superpoints (N,) int64 in 0..S-1, are more than half
    on average. The superpoints that are least outside are never blocked, and a query with nothing inside may look
    anywhere.
    """
    num_queries, num_points = mask_logits.shape
    if not num_points:
        return torch.zeros(num_queries, num_superpoints, dtype=torch.bool, device=mask_logits.device)
    weight_outside = (mask_logits < 0) * point_weight.T  # (Q, N)
    total = weight_outside.new_zeros(num_queries, num_superpoints).index_add(1, superpoint, weight_outside)
    share = total / count_by_group(superpoint, num_superpoints).clamp(min=1)  # (Q, S)
    least = share.amin(dim=1, keepdim=True)
    is_empty = mask_logits.amax(dim=1, keepdim=True) < 0
    return (share > 0.5) & (share > least) & ~is_empty
