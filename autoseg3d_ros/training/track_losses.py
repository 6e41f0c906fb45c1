"""The losses of the long-term memory over a clip: which track, and whether any (LTM, `method.md` §5.6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from autoseg3d_ros.memory.bank import blend
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.training.matcher import Pairs


@dataclass(frozen=True)
class TrackedFrame:
    """What the decoder says of one frame, and what is true of it."""

    embedding: Tensor  # (Q, w)
    box_m: Tensor  # (Q, 6) centre and size, world
    belongs: Tensor  # (Q, G) bool, the superpoint of the query is the object's; G are the clip's objects
    matched: Pairs  # the queries that answer for objects, at most one an object


@dataclass(frozen=True)
class Comparison:
    """One frame against the tracks of those before."""

    match_logit: Tensor  # (D, T) of detections whose object has a track; with a dustbin (D, T+1) of all detections
    match_target: Tensor  # (D,) int64, the column of its track; the last, T, of an object without one
    gate_logit: Tensor  # (Q, T) of all queries
    gate_target: Tensor  # (Q, T) bool, the superpoint of the query is the object's


@dataclass(frozen=True)
class TrackLosses:
    """Both terms of a clip, without weights, each a scalar."""

    match: Tensor
    gate: Tensor


@dataclass(frozen=True)
class _Tracks:
    """What is stored of the objects seen so far, in order of their first detections."""

    embedding: Tensor  # (T, w)
    box_m: Tensor  # (T, 6)
    target: Tensor  # (T,) int64, row of the clip's objects
    num_seen: Tensor  # (T,) int64, detections stored

    @classmethod
    def none(cls, frame: TrackedFrame) -> _Tracks:
        nobody = frame.matched.target.new_zeros(0)
        return cls(frame.embedding[:0].float(), frame.box_m[:0].float(), nobody, nobody)

    def rows_of(self, target: Tensor) -> tuple[Tensor, Tensor]:
        """Return for objects (D,) whether they have a track, and its row where they have one."""
        same = target[:, None] == self.target
        return same.any(dim=1), (same * torch.arange(len(self.target), device=target.device)).sum(dim=1)

    def updated(self, to_store: Tensor, box_m: Tensor, target: Tensor, rule: str) -> _Tracks:
        """Return the tracks after detections (D, w), (D, 6) of objects (D,): known ones blended, others new."""
        known, row = self.rows_of(target)
        row, num_seen = row[known], self.num_seen[row[known]]

        def stored(old: Tensor, observed: Tensor) -> Tensor:
            blended = old.index_copy(0, row, blend(old[row], observed[known], num_seen, rule))
            return torch.cat((blended, observed[~known]))

        return _Tracks(
            embedding=stored(self.embedding, to_store),
            box_m=stored(self.box_m, box_m),
            target=torch.cat((self.target, target[~known])),
            num_seen=torch.cat(
                (self.num_seen.index_add(0, row, torch.ones_like(row)), torch.ones_like(target[~known]))
            ),
        )


def track_losses(memory: LongTermMemory, frames: Sequence[TrackedFrame], update_rule: str) -> TrackLosses:
    """Return the losses of one clip of one or more frames, summed; the release also sums over the clips of a batch.

    Gradients flow through what the tracks keep. `update_rule` is that of `memory.bank.blend`: "ema" as released,
    "count" as the tracker does.
    """
    with torch.autocast(frames[0].embedding.device.type, enabled=False):
        comparisons = follow(memory, frames, update_rule)
        return TrackLosses(
            match=torch.stack([match_loss(each.match_logit, each.match_target) for each in comparisons]).sum(),
            gate=torch.stack([gate_loss(each.gate_logit, each.gate_target) for each in comparisons]).sum(),
        )


def follow(memory: LongTermMemory, frames: Sequence[TrackedFrame], update_rule: str) -> list[Comparison]:
    """Track the objects of a clip by the truth, and hold each frame against the tracks before it takes part in them."""
    tracks, comparisons = _Tracks.none(frames[0]), []
    for frame in frames:
        query, target = frame.matched.query, frame.matched.target
        embedding, box_m = frame.embedding.float(), frame.box_m.float()
        detected = memory.embed(embedding[query], box_m[query])
        known, row = tracks.rows_of(target)
        if memory.has_dustbin:
            row = torch.where(known, row, len(tracks.target))
            known = torch.ones_like(known)
        match = memory.affinity(detected.to_match[known], box_m[query[known]], tracks.embedding, tracks.box_m)
        # The gate is for all queries, and here these have seen each other.
        to_match = memory.embed(embedding, box_m).to_match
        gate = memory.affinity(to_match, box_m, tracks.embedding, tracks.box_m)
        belongs = frame.belongs[:, tracks.target]
        comparisons.append(Comparison(match.choice_logit, row[known], gate.gate_logit, belongs))
        tracks = tracks.updated(detected.to_store, box_m[query], target, update_rule)
    return comparisons


def match_loss(logit: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of (D, T) with the true columns (D,); 0 if D = 0."""
    return functional.cross_entropy(logit, target, reduction="sum") / max(len(target), 1)


def gate_loss(logit: Tensor, target: Tensor) -> Tensor:
    """Return the mean cross-entropy of (Q, T) with what belongs together (Q, T); 0 without a pair."""
    total = functional.binary_cross_entropy_with_logits(logit, target.to(logit.dtype), reduction="sum")
    return total / max(logit.numel(), 1)
