"""The loss that trains the merging of fragments (LMI, `method.md` §7.1); the release computes it and leaves it out."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from autoseg3d_ros.memory.fragments import FragmentMerging, Fragments
from autoseg3d_ros.memory.partition import DecodedFragments, FragmentPartition
from autoseg3d_ros.training.targets import NOTHING


def fragment_loss(
    merging: FragmentMerging | FragmentPartition,
    fragments: Fragments | DecodedFragments,
    fragment: Tensor,
    void: Tensor,
) -> Tensor:
    """Return the loss of one frame's superpoints, described as the module wants them.

    `fragment` (S,) int64 is the object of which each is a part, or NOTHING; `void` (S,) bool, it is of no object. Void
    is a part of nothing, where the module learns that; whether two of void belong together is not asked. Others of
    NOTHING do not take part. The release sums over frames and samples.
    """
    void = void & (fragment == NOTHING) & merging.knows_void
    kept = (fragment != NOTHING) | void
    with torch.autocast(fragments.embedding.device.type, enabled=False):
        logit = merging.logits(_in_full(fragments.at(kept)))  # type: ignore[arg-type]  # what suits the module
        return pair_loss(logit, pair_target(fragment[kept]), ~(void[kept][:, None] & void[kept]))


def pair_target(fragment: Tensor) -> Tensor:
    """Return (n, n) bool: both superpoints are of one object; so is each with itself. `fragment` (n,)."""
    return fragment[:, None] == fragment


def pair_loss(logit: Tensor, target: Tensor, counted: Tensor) -> Tensor:
    """Return the summed cross-entropy of (n, n) with (n, n) bool where `counted`, (n, n) bool, over the number of true
    pairs among them; 0 if n = 0.
    """
    losses = functional.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="none")
    return (losses * counted).sum() / (target & counted).sum().clamp(min=1)


def _in_full(fragments: Fragments | DecodedFragments) -> Fragments | DecodedFragments:
    return type(fragments)(**{name: value.float() for name, value in vars(fragments).items()})
