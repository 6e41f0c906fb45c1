"""Which queries of a frame are objects (`method.md` §9.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional

from autoseg3d_ros.model.group_reduction import count_by_group, max_by_group, sum_by_group

Kernel = Literal["linear", "gaussian"]
_GAUSSIAN_SHARPNESS = 2.0


@dataclass(frozen=True)
class FilterConfig:
    """What a query needs to be an object. Every value has to be exceeded."""

    top_k: int = 100  # pairs of query and class that are looked at
    min_score: float = 0.3
    mask_threshold: float = 0.4  # a point with a higher probability is inside
    min_points: int = 100
    kernel: Kernel = "linear"  # of the suppression of overlapping masks


@dataclass(frozen=True)
class FilteredQueries:
    """D objects, the best first. With several classes one query can be several of them."""

    query: Tensor  # (D,) int64
    score: Tensor  # (D,)
    mask: Tensor  # (D, N) bool; masks may overlap
    label: Tensor  # (D,) int64


def filter_queries(
    class_logits: Tensor, mask_logits: Tensor, config: FilterConfig, void: Tensor | None = None
) -> FilteredQueries:
    """Choose objects among Q queries by class logits (Q, classes + 1) and mask logits over points (Q, N).

    `void` (Q,), where it is known, is the probability that a query's superpoint is of no object: a class of its own
    that does not depend on which of an object's superpoints answers for it. The device is waited for once, when the
    number of objects is known.
    """
    probability = _of_objects(class_logits, void)
    score, pair = probability.flatten().topk(min(config.top_k, probability.numel()))
    query = pair.div(probability.shape[1], rounding_mode="floor")
    label = pair % probability.shape[1]
    soft_mask = mask_logits.index_select(0, query).float().sigmoid_()
    order, score = matrix_nms(soft_mask, label, score * _certainty(soft_mask), config.kernel)
    _, num_points = _above(soft_mask, config.mask_threshold)
    is_object = (score > config.min_score) & (num_points[order] > config.min_points)
    best = is_object.nonzero()[:, 0]  # waits for the device
    chosen = order[best]
    return FilteredQueries(query[chosen], score[best], soft_mask[chosen] > config.mask_threshold, label[chosen])


def filter_parts(
    class_logits: Tensor, void: Tensor | None, part: Tensor, superpoint: Tensor, config: FilterConfig
) -> FilteredQueries:
    """Choose objects among the parts of a partition of S superpoints, each of which is a query. Ours.

    `part` (S,) int64 says which of at most S parts a superpoint is of, `superpoint` (N,) which one a point is in.
    One query of an object is taught to answer for it, and the others that they are none: so a part has the class of its
    surest query. Each superpoint is taught whether it is void: so a part is void by the mean of its points, and one
    small superpoint makes nothing of a floor. The query that is surest for most points gives box and embedding. The
    device is waited for once.
    """
    probability = class_logits.float().softmax(dim=1)[:, :-1]
    num_points = count_by_group(superpoint, len(part))
    solid_points = num_points if void is None else num_points * (1 - void)
    points_of_part = sum_by_group(num_points, part, len(part))  # 0 where there is no part
    solid = sum_by_group(solid_points, part, len(part)) / points_of_part.clamp(min=1)
    surest = max_by_group(probability, part, len(part))
    score, label = (surest * solid[:, None]).max(dim=1)
    best_first = score.argsort(descending=True, stable=True)
    is_object = (score > config.min_score) & (points_of_part > config.min_points)
    chosen = best_first[is_object[best_first]][: config.top_k]  # (D,) parts; waits for the device
    query = _first_by_part(probability.amax(dim=1) * solid_points, part)[chosen]
    return FilteredQueries(query, score[chosen], part[superpoint] == chosen[:, None], label[chosen])


def matrix_nms(soft_mask: Tensor, label: Tensor, score: Tensor, kernel: Kernel = "linear") -> tuple[Tensor, Tensor]:
    """Lower the score of each of n masks (n, N) in 0..1 as far as better masks of the same label (n,) overlap it.

    Returns the order (n,) by the new score, best first, and the new scores (n,) in that order. A mask loses less to one
    that itself is overlapped by a better one (matrix NMS; Wang et al. 2020, SOLOv2).
    """
    first = score.argsort(descending=True, stable=True)
    if not len(score):
        return first, score
    overlap = _mask_iou(soft_mask) * (label[:, None] == label)
    overlap = overlap[first][:, first].triu(diagonal=1)  # row: the better mask, column: the one that may lose
    suppression = overlap.amax(dim=0)  # (n,) of each mask by those better than it
    if kernel == "linear":
        # A mask equal to a better one would divide by zero; what it takes from others, that one takes as well.
        decay = (1 - overlap) / (1 - suppression).clamp(min=torch.finfo(score.dtype).tiny)[:, None]
    else:
        decay = torch.exp(_GAUSSIAN_SHARPNESS * (suppression[:, None] ** 2 - overlap**2))
    score = score[first] * decay.amin(dim=0)
    score, second = score.sort(descending=True, stable=True)
    return first[second], score


def _of_objects(class_logits: Tensor, void: Tensor | None) -> Tensor:
    """Return the probability (Q, classes) of each class that is an object."""
    probability = class_logits.float().softmax(dim=1)[:, :-1]
    return probability if void is None else probability * (1 - void)[:, None]


def _first_by_part(weight: Tensor, part: Tensor) -> Tensor:
    """Return for each part (S,) the one of its members with most weight (S,), of equals the first."""
    heaviest_first = weight.argsort(descending=True, stable=True)
    rank = torch.arange(len(part), device=part.device)
    best = rank.new_zeros(len(part)).scatter_reduce(0, part[heaviest_first], rank, "amin", include_self=False)
    return heaviest_first[best]


def _certainty(soft_mask: Tensor) -> Tensor:
    """Return the mean probability (n,) of the points that are rather inside than outside."""
    total, num_points = _above(soft_mask, 0.5)
    return total / (num_points + 1e-6)


def _above(soft_mask: Tensor, threshold: float) -> tuple[Tensor, Tensor]:
    """Return the sum and the number, both (n,) float, of the probabilities (n, N) above a threshold."""
    above = functional.threshold(soft_mask, threshold, 0.0)
    return above.sum(dim=1), above.sign().sum(dim=1)  # booleans are slower on a CPU


def _mask_iou(soft_mask: Tensor) -> Tensor:
    """Return the intersection over union (n, n) of soft masks (n, N), at most 1."""
    area = soft_mask.sum(dim=1)
    intersection = soft_mask @ soft_mask.T
    union = area[:, None] + area - intersection
    return (intersection / union.clamp(min=torch.finfo(union.dtype).tiny)).clamp(max=1)
