"""The partition of a frame into objects: LMI after the decoder instead of before it. Ours.

The published LMI unites superpoints before the decoder, where little is known of them, and the masks of the decoder,
which leak over the edges that superpoints keep, are the objects. Here what LMI unites is an object.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.boxes import box_iou, corners_of
from autoseg3d_ros.memory.fragments import cluster, gated_logit
from autoseg3d_ros.memory.interaction import QueryInteraction, ResidualFeedForward, distance_logits, distance_weight
from autoseg3d_ros.structures import NUM_BORDER_CUES

MERGE_THRESHOLD = 0.4  # of the mean probability between two clusters; what is left apart stays two objects
_NUM_CUES = 10 + NUM_BORDER_CUES
_MARGIN_M = 0.01  # keeps what is divided by the size of a flat superpoint finite
_FARTHEST = 5.0  # sizes of the smaller one; beyond, all gaps are alike
_LEAST_SHARE, _SURE = 1e-4, 5.0  # of a mask: less and more are alike; the logit that becomes 1


@dataclass(frozen=True)
class DecodedFragments:
    """The superpoints of a frame as the decoder leaves them, one query each."""

    embedding: Tensor  # (S, w)
    box_m: Tensor  # (S, 6) centre and size of the object that each is a part of
    centroid_m: Tensor  # (S, 3)
    hull_m: Tensor  # (S, 6) centre and size of the superpoint itself
    share: Tensor  # (S, S) in 0..1, how much of the superpoint of the column is in the mask of the row's query
    void: Tensor  # (S,) in 0..1, how probably each is of no object
    borders: Tensor  # (S, S, 7) `BorderCues`

    def __len__(self) -> int:
        return len(self.embedding)

    def at(self, row: Tensor) -> DecodedFragments:
        """Return those in `row`, indices or (S,) bool."""
        chosen = {one.name: getattr(self, one.name)[row] for one in fields(self)}
        return DecodedFragments(**{**chosen, "share": chosen["share"][:, row], "borders": chosen["borders"][:, row]})


class FragmentPartition(nn.Module):
    """Compares superpoints in pairs as `FragmentMerging` does, by more than appearance and two guessed boxes.

    Attention falls with the distance, and it is told how two superpoints lie to each other, whether their masks hold
    each other, and what the surface does across their border. Similarity is the learned probability alone. So it has to
    know that background is no part of anything, and learns it from superpoints of no object.
    """

    knows_void = True

    def __init__(self, width: int = 256, num_heads: int = 8) -> None:
        """Make random weights."""
        super().__init__()
        self.interaction = QueryInteraction(width, num_heads)
        self.distance_weight = distance_weight(width, num_heads)
        self.geometry_embedding = nn.Sequential(nn.Linear(_NUM_CUES, width), ResidualFeedForward(width))
        self.gate = nn.Linear(2 * width, width)
        self.merge_logit = nn.Linear(width, 1)

    def forward(self, fragments: DecodedFragments) -> Tensor:
        """Return the object (S,) int64, 0..K-1, of each superpoint."""
        return cluster(self.logits(fragments).sigmoid(), MERGE_THRESHOLD, "average")

    def logits(self, fragments: DecodedFragments) -> Tensor:
        """Return how much pairs of superpoints are one object, before the sigmoid: (S, S), symmetric."""
        embedding, centroid_m = fragments.embedding, fragments.centroid_m
        near_first = distance_logits(self.distance_weight(embedding), centroid_m, centroid_m)
        token = self.interaction(embedding, logits=near_first)
        row, column = torch.triu_indices(len(token), len(token), device=token.device)
        geometry = self.geometry_embedding(pair_cues(fragments)[row, column])
        of_pair = gated_logit(self.gate, self.merge_logit, token[row] * token[column], geometry)
        logit = of_pair.new_zeros(len(token), len(token))
        logit[row, column] = logit[column, row] = of_pair
        return logit


def pair_cues(fragments: DecodedFragments) -> Tensor:
    """Return how each two superpoints lie to each other: (S, S, 17), symmetric, the world may be turned or moved.

    The IoU of the guessed boxes; the gap between the superpoints' own boxes, in metres and in sizes of the smaller one;
    the share of the smaller box inside the other; how much smaller it is; the difference in height, metres; how much
    each lies in the mask of the other: both together, and the less sure one; how probably they are void: both
    together, and the more probable one; what lies across their border.
    """
    low_m, high_m = corners_of(fragments.hull_m).split(3, dim=1)  # (S, 3)
    size_m, height_m = fragments.hull_m[:, 3:], fragments.centroid_m[:, 2]
    between_m = torch.maximum(low_m[:, None], low_m) - torch.minimum(high_m[:, None], high_m)  # (S, S, 3), < 0 inside
    gap_m = between_m.clamp(min=0).norm(dim=-1)
    volume_m3, longest_m = (size_m + _MARGIN_M).prod(dim=1), size_m.amax(dim=1) + 2 * _MARGIN_M
    common_m3 = (-between_m).clamp(min=0).prod(dim=-1)
    smaller_m = torch.minimum(longest_m[:, None], longest_m)
    inside = torch.logit(fragments.share, eps=_LEAST_SHARE) / _SURE
    void = fragments.void
    cues = (
        box_iou(fragments.box_m, fragments.box_m),
        gap_m,
        (gap_m / smaller_m).clamp(max=_FARTHEST),
        common_m3 / torch.minimum(volume_m3[:, None], volume_m3),
        smaller_m / torch.maximum(longest_m[:, None], longest_m),
        (height_m[:, None] - height_m).abs(),
        inside + inside.T,
        torch.minimum(inside, inside.T),
        void[:, None] + void,
        torch.maximum(void[:, None], void),
    )
    return torch.cat((torch.stack(cues, dim=-1), fragments.borders), dim=-1)
