"""Masks against masks: cross-entropy and Dice, in pairs and of all with all (`method.md` §8.1, §8.2)."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional


def bce_matrix(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy (Q, G) of logits (Q, N) with masks (G, N)."""
    mean_loss_outside = functional.softplus(logits).mean(dim=1)
    return mean_loss_outside[:, None] - logits @ masks.to(logits.dtype).T / logits.shape[1]


def dice_matrix(logits: Tensor, masks: Tensor) -> Tensor:
    """Return one minus the Dice coefficient (Q, G) of logits (Q, N) with masks (G, N); each sum counts one more."""
    probability, inside = logits.sigmoid(), masks.to(logits.dtype)
    sizes = probability.sum(dim=1)[:, None] + inside.sum(dim=1)
    return 1 - (2 * probability @ inside.T + 1) / (sizes + 1)


def bce_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits (P, N) with masks (P, N); 0 where there are none."""
    total = functional.binary_cross_entropy_with_logits(logits, masks.to(logits.dtype), reduction="sum")
    return total / max(logits.numel(), 1)


def dice_loss(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the mean of one minus the Dice coefficients of pairs (P, N); 0 where there are none."""
    probability, inside = logits.sigmoid(), masks.to(logits.dtype)
    intersection = (probability * inside).sum(dim=1)
    losses = 1 - (2 * intersection + 1) / (probability.sum(dim=1) + inside.sum(dim=1) + 1)
    return losses.sum() / max(len(losses), 1)


def mask_iou(logits: Tensor, masks: Tensor) -> Tensor:
    """Return the intersection over union (P,) of what is above 0 in logits (P, N) with masks (P, N)."""
    predicted = logits > 0
    return (predicted & masks).sum(dim=1) / (predicted | masks).sum(dim=1).clamp(min=1)
