"""What the rows of a group have together: points by superpoint or by voxel, superpoints by part.

`group` (N,) int64 says which of the groups a row is of. Nothing here waits for the device; `torch.bincount` would, to
find the largest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def count_by_group(group: Tensor, num_groups: int) -> Tensor:
    """Return the number of rows (G,) float32 of each group."""
    return sum_by_group(torch.ones(len(group), device=group.device), group, num_groups)


def sum_by_group(values: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return the sum (G, ...) of the values (N, ...) of each group; zero where there are none."""
    return values.new_zeros(num_groups, *values.shape[1:]).index_add(0, group, values)


def mean_by_group(values: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return the mean (G, C) of the values (N, C) of each group; zero where there are none."""
    return sum_by_group(values, group, num_groups) / count_by_group(group, num_groups).clamp(min=1)[:, None]


def max_by_group(values: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return the maximum (G, C) of the values (N, C) of each group; zero where there are none."""
    nothing = values.new_zeros(num_groups, values.shape[1])
    return nothing.scatter_reduce(0, group[:, None].expand_as(values), values, "amax", include_self=False)


def boxes_by_group(xyz_m: Tensor, group: Tensor, num_groups: int) -> Tensor:
    """Return centre and size (G, 6) of what holds the points (N, 3) of each group; zero where there are none."""
    ends_m = max_by_group(torch.cat([xyz_m, -xyz_m], dim=1), group, num_groups)
    high_m, low_m = ends_m[:, :3], -ends_m[:, 3:]
    return torch.cat([(low_m + high_m) / 2, high_m - low_m], dim=1)
