"""ESAM's loss for its embedding: an object looks like itself in the next frame (`method.md` §4)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional

TEMPERATURE = 0.07


def contrastive_loss(embeddings: Sequence[Tensor], belongs: Sequence[Tensor]) -> Tensor:
    """Return the loss of a clip of one or more frames: the sum over neighbours, each pair seen from both sides.

    A frame has embeddings (Q, w) and `belongs` (Q, G) bool, the object of each query; rows of G are the clip's objects.
    """
    with torch.autocast(embeddings[0].device.type, enabled=False):
        seen = [mask.any(dim=0) for mask in belongs]
        means = [_mean_embedding(*frame) for frame in zip(embeddings, belongs, strict=True)]
        total = means[0][:0].sum()  # 0, but it has a gradient
        for (mean, is_seen), (other_mean, other_is_seen) in pairwise(zip(means, seen, strict=True)):
            total = total + directed_loss(mean, is_seen, other_mean, other_is_seen)
            total = total + directed_loss(other_mean, other_is_seen, mean, is_seen)
    return total


def directed_loss(mean: Tensor, seen: Tensor, other_mean: Tensor, other_seen: Tensor) -> Tensor:
    """Return how hard it is to find the objects of one frame, means (G, w), among those of another.

    Objects seen in both frames, `seen` (G,) bool, are looked for among all that the other frame sees; the mean over
    them, or 0.
    """
    in_both = seen & other_seen
    logits = (mean[in_both] @ other_mean[other_seen].T) / TEMPERATURE
    target = (other_seen.cumsum(dim=0) - 1)[in_both]
    return functional.cross_entropy(logits, target, reduction="sum") / max(len(target), 1)


def _mean_embedding(embedding: Tensor, belongs: Tensor) -> Tensor:
    """Return the mean (G, w) of each object's queries; zeros without any."""
    weight = belongs.float()
    return weight.T @ embedding.float() / weight.sum(dim=0).clamp(min=1)[:, None]
