"""Which queries answer for which object: the cheapest of those whose superpoint is the object's (`method.md` §8.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg3d_ros.model.decoder import Prediction
from autoseg3d_ros.training.mask_losses import bce_matrix, dice_matrix
from autoseg3d_ros.training.targets import FrameTargets

_FORBIDDEN = 1e8


@dataclass(frozen=True)
class MatchingConfig:
    """How queries are chosen. The defaults are the released ones."""

    class_cost: float = 0.5
    mask_cost: float = 1.0
    dice_cost: float = 1.0
    num_queries: int = 1  # an object
    # Released: only queries strictly cheaper than the next one after them, so that two equal best ones, or the only
    # query of a frame, match nothing. Exact: the `num_queries` cheapest, of equal ones the first.
    exact: bool = False


@dataclass(frozen=True)
class Pairs:
    """Queries and the objects they answer for, by query and then by object."""

    query: Tensor  # (P,) int64 row of the prediction
    target: Tensor  # (P,) int64 row of the targets

    def __len__(self) -> int:
        return len(self.query)


@torch.no_grad()
def match(prediction: Prediction, targets: FrameTargets, belongs: Tensor, config: MatchingConfig) -> Pairs:
    """Return the pairs of one prediction; `belongs` (Q, G) bool says whose superpoint each query is."""
    masks = targets.point_masks if prediction.at_points else targets.superpoint_masks
    with torch.autocast(masks.device.type, enabled=False):  # costs of queries are often close
        cost = matching_cost(prediction.class_logits, prediction.mask_logits, targets.label, masks, config)
    choose = cheapest_exactly if config.exact else cheapest
    return choose(cost, belongs, config.num_queries)


def matching_cost(
    class_logits: Tensor, mask_logits: Tensor, label: Tensor, masks: Tensor, config: MatchingConfig
) -> Tensor:
    """Return what it costs (Q, G) to let a query answer for an object.

    Queries have classes (Q, C+1) and masks (Q, M), objects classes (G,) and masks (G, M).
    """
    class_cost, mask_cost, dice_cost = matching_costs(class_logits, mask_logits, label, masks)
    return config.class_cost * class_cost + config.mask_cost * mask_cost + config.dice_cost * dice_cost


def matching_costs(
    class_logits: Tensor, mask_logits: Tensor, label: Tensor, masks: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the parts of `matching_cost` (Q, G), without weights: class, cross-entropy of the mask, Dice."""
    class_logits, mask_logits = class_logits.float(), mask_logits.float()
    class_cost = -class_logits.softmax(dim=1)[:, label]
    return class_cost, bce_matrix(mask_logits, masks), dice_matrix(mask_logits, masks)


def cheapest(cost: Tensor, belongs: Tensor, num_queries: int) -> Pairs:
    """Return, for each object, the queries that cost less than its (`num_queries` + 1)-th cheapest, as released.

    `cost` and `belongs` are (Q, G); what does not belong counts as cheapest after all that does. Where a frame has
    no more than `num_queries` queries, its last one is the bar.
    """
    if cost.numel() == 0:
        return _pairs(belongs)
    cost = cost.masked_fill(~belongs, _FORBIDDEN)
    bar = cost.topk(min(num_queries + 1, len(cost)), dim=0, largest=False).values[-1]
    return _pairs(cost < bar)


def cheapest_exactly(cost: Tensor, belongs: Tensor, num_queries: int) -> Pairs:
    """Return, for each object, the `num_queries` cheapest that belong, or as many as there are; ties by query."""
    order = cost.masked_fill(~belongs, _FORBIDDEN).argsort(dim=0, stable=True)
    return _pairs((order.argsort(dim=0) < num_queries) & belongs)


def _pairs(chosen: Tensor) -> Pairs:
    query, target = chosen.nonzero(as_tuple=True)
    return Pairs(query, target)
