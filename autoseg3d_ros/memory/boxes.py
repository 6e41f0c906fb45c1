"""Axis-aligned boxes as the network gives them: centre and full size, metres (`method.md` §5.2)."""

from __future__ import annotations

import torch
from torch import Tensor

_LEAST_UNION_M3 = 1e-6


def corners_of(box_m: Tensor) -> Tensor:
    """Return the corners (..., 6), minimum then maximum, of boxes (..., 6) given as centre and full size."""
    center, size = box_m.split(3, dim=-1)
    return torch.cat((center - size / 2, center + size / 2), dim=-1)


def box_iou(a_m: Tensor, b_m: Tensor, margin_m: Tensor | float = 0.0) -> Tensor:
    """Return the intersection over union (A, B) of boxes (A, 6) and (B, 6), each centre and full size.

    Both boxes of a pair grow by `margin_m`, one for all or (B,), on every side. The union counts as at least 1e-6 m³,
    so that flat boxes are legal; two of them have IoU 0.
    """
    (a_low, a_high), (b_low, b_high) = corners_of(a_m[:, None]).split(3, dim=-1), corners_of(b_m).split(3, dim=-1)
    growth = 2 * (margin_m[:, None] if isinstance(margin_m, Tensor) else margin_m)  # of a side
    low, high = torch.maximum(a_low, b_low), torch.minimum(a_high, b_high)  # (A, B, 3)
    intersection = (high - low + growth).clamp(min=0).prod(dim=-1)
    union = (a_high - a_low + growth).prod(dim=-1) + (b_high - b_low + growth).prod(dim=-1) - intersection
    return intersection / union.clamp(min=_LEAST_UNION_M3)
