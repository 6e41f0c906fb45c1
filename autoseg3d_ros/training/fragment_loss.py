"""The loss that trains the merging of fragments (LMI, `method.md` §7.1); the release computes it and leaves it out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoseg3d_ros.memory.fragments import FragmentMerging
from autoseg3d_ros.training.targets import NOTHING


def fragment_loss(merging: FragmentMerging, embedding: Tensor, box_m: Tensor, fragment: Tensor) -> Tensor:
    """Return the loss of one frame's superpoints with embeddings (S, w) and boxes (S, 6), as the decoder proposes them.

    `fragment` (S,) int64 is the object of which each is a part, or NOTHING; those do not take part.
    The release sums over frames and samples.
    """
    kept = fragment != NOTHING
    with torch.autocast(embedding.device.type, enabled=False):
        logit = merging.logits(embedding[kept].float(), box_m[kept].float())
        return pair_loss(logit, pair_target(fragment[kept]))


def pair_target(fragment: Tensor) -> Tensor:
    """Return (n, n) bool: both superpoints are of one object; so is each with itself. `fragment` (n,)."""
    return fragment[:, None] == fragment


def pair_loss(logit: Tensor, target: Tensor) -> Tensor:
    """Return the summed cross-entropy of (n, n) with (n, n) bool, over the number of true pairs; 0 if n = 0."""
    total = functional.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="sum")
    return total / target.sum().clamp(min=1)
