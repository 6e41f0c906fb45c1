"""Fragment merging that knows places: LMI with more than appearance and the overlap of two guessed boxes. Ours.

Fragments of one object touch or face each other; their guessed boxes need not overlap, and where the published
similarity multiplies by that overlap it forbids nearly all pairs that are one object.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.boxes import box_iou, corners_of
from autoseg3d_ros.memory.fragments import Fragments, cluster, gated_logit
from autoseg3d_ros.memory.interaction import QueryInteraction, ResidualFeedForward, distance_logits, distance_weight

MERGE_THRESHOLD = 0.5  # of the mean probability between two clusters
_NUM_CUES = 8
_MARGIN_M = 0.01  # keeps what is divided by the size of a flat superpoint finite
_FARTHEST = 5.0  # sizes of the smaller one; beyond, all gaps are alike
_SUREST, _SURE = 15.0, 5.0  # logits of masks: beyond the first all are alike; the second becomes 1


class PlacedFragmentMerging(nn.Module):
    """As `FragmentMerging`, with attention that falls with the distance, how two superpoints lie to each other, and
    whether their first masks hold each other.

    Similarity is the learned probability alone. So it has to know that background is no part of anything, and
    learns it from superpoints of no object.
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

    def forward(self, fragments: Fragments) -> Tensor:
        """Return the object (S,) int64, 0..K-1, of each superpoint."""
        return cluster(self.logits(fragments).sigmoid(), MERGE_THRESHOLD, "average")

    def logits(self, fragments: Fragments) -> Tensor:
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


def pair_cues(fragments: Fragments) -> Tensor:
    """Return how each two superpoints lie to each other: (S, S, 8), symmetric, the world may be turned or moved.

    The IoU of the guessed boxes; the gap between the superpoints' own boxes, in metres and in sizes of the smaller one;
    the share of the smaller box inside the other; how much smaller it is; the difference in height, metres; how much
    each lies in the mask that the other proposes: both together, and the less sure one.
    """
    low_m, high_m = corners_of(fragments.hull_m).split(3, dim=1)  # (S, 3)
    size_m, height_m = fragments.hull_m[:, 3:], fragments.centroid_m[:, 2]
    between_m = torch.maximum(low_m[:, None], low_m) - torch.minimum(high_m[:, None], high_m)  # (S, S, 3), < 0 inside
    gap_m = between_m.clamp(min=0).norm(dim=-1)
    volume_m3, longest_m = (size_m + _MARGIN_M).prod(dim=1), size_m.amax(dim=1) + 2 * _MARGIN_M
    common_m3 = (-between_m).clamp(min=0).prod(dim=-1)
    smaller_m = torch.minimum(longest_m[:, None], longest_m)
    inside = fragments.mask_logits.clamp(-_SUREST, _SUREST) / _SURE
    cues = (
        box_iou(fragments.box_m, fragments.box_m),
        gap_m,
        (gap_m / smaller_m).clamp(max=_FARTHEST),
        common_m3 / torch.minimum(volume_m3[:, None], volume_m3),
        smaller_m / torch.maximum(longest_m[:, None], longest_m),
        (height_m[:, None] - height_m).abs(),
        inside + inside.T,
        torch.minimum(inside, inside.T),
    )
    return torch.stack(cues, dim=-1)
