"""What is true of one frame of a clip: the objects in its points, and which superpoints are theirs."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

NOTHING = -1  # of an object or a class: none, or not known

_MAJORITY = 0.5
FRAGMENT_SHARE = 0.7  # of a superpoint's points, for LMI (`method.md` §7.1)


@dataclass(frozen=True)
class ClipObjects:
    """The G objects of a clip, seen in a frame or not."""

    box_m: Tensor  # (G, 6) centre and size of the whole object, world
    label: Tensor  # (G,) int64 class, 0 for all where there is one class

    def __len__(self) -> int:
        return len(self.label)


@dataclass(frozen=True)
class PointTruth:
    """The labels of a frame's points."""

    object_row: Tensor  # (N,) int64 row among the clip's objects, or NOTHING
    semantic: Tensor  # (N,) int64 class of the semantic head, or NOTHING


@dataclass(frozen=True)
class FrameTargets:
    """What the N points and S superpoints of a frame have to become. Rows are the clip's objects, in every frame."""

    point_masks: Tensor  # (G, N) bool
    superpoint_masks: Tensor  # (G, S) bool, more than half of the superpoint's points
    box_m: Tensor  # (G, 6)
    label: Tensor  # (G,) int64
    semantic: Tensor  # (S,) int64 class of more than half of the points, or NOTHING
    fragment: Tensor  # (S,) int64 object with more than 70 % of the points, or NOTHING
    void: Tensor  # (S,) bool, more than half of the points are of no object

    def __len__(self) -> int:
        return len(self.label)

    def belongs(self, query: Tensor) -> Tensor:
        """Return (Q, G) bool: the superpoint of a query, `query` (Q,), is the object's."""
        return self.superpoint_masks[:, query].T


def frame_targets(
    truth: PointTruth, superpoint: Tensor, num_superpoints: int, objects: ClipObjects, num_semantics: int
) -> FrameTargets:
    """Return the targets of a frame whose points lie in `superpoint` (N,) int64, 0..S-1 (`method.md` §8.1, §8.4)."""
    share = shares(truth.object_row, superpoint, num_superpoints, len(objects))
    semantic_share = shares(truth.semantic, superpoint, num_superpoints, num_semantics)
    rows = torch.arange(len(objects), device=superpoint.device)
    return FrameTargets(
        point_masks=truth.object_row == rows[:, None],
        superpoint_masks=share > _MAJORITY,
        box_m=objects.box_m,
        label=objects.label,
        semantic=dominant(semantic_share, _MAJORITY),
        fragment=dominant(share, FRAGMENT_SHARE),
        void=share.sum(dim=0) < 1 - _MAJORITY,
    )


def shares(row: Tensor, superpoint: Tensor, num_superpoints: int, num_rows: int) -> Tensor:
    """Return the share (num_rows, S) of each superpoint's points that have each `row` (N,); NOTHING is no row."""
    counts = torch.zeros((num_rows + 1) * num_superpoints, device=superpoint.device)
    place = (row + 1) * num_superpoints + superpoint
    counts = counts.index_add(0, place, torch.ones_like(place, dtype=counts.dtype)).view(num_rows + 1, -1)
    return counts[1:] / counts.sum(dim=0).clamp(min=1)


def dominant(share: Tensor, threshold: float) -> Tensor:
    """Return the row (S,) with the largest share of (rows, S), or NOTHING where none is above `threshold`."""
    bar = share.new_full((1, share.shape[1]), threshold)
    return torch.cat((bar, share)).argmax(dim=0) - 1  # of equal ones the first: the bar
