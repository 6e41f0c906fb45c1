"""Fragment merging: superpoints that are one object, found before the decoder (LMI, `method.md` §7.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor, nn

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.interaction import QueryInteraction, ResidualFeedForward

MERGE_THRESHOLD = 0.5


@dataclass(frozen=True)
class Fragments:
    """The superpoints of a frame as the decoder proposes them, before its first layer."""

    embedding: Tensor  # (S, w)
    class_logits: Tensor  # (S, C + 1), the last is the background
    box_m: Tensor  # (S, 6) centre and size of the object that each is a part of

    def __len__(self) -> int:
        return len(self.embedding)

    def at(self, row: Tensor) -> Fragments:
        """Return those in `row`, indices or (S,) bool."""
        return Fragments(self.embedding[row], self.class_logits[row], self.box_m[row])


class FragmentMerging(nn.Module):
    """Compares the superpoints of one frame in pairs. Appearance and overlap are blended by a gate."""

    knows_void = False  # superpoints of no object do not take part in training

    def __init__(self, width: int = 256, num_heads: int = 8) -> None:
        super().__init__()
        self.interaction = QueryInteraction(width, num_heads)
        self.iou_embedding = nn.Sequential(nn.Linear(1, width), ResidualFeedForward(width))
        self.gate = nn.Linear(2 * width, width)
        self.merge_logit = nn.Linear(width, 1)

    def forward(self, fragments: Fragments) -> Tensor:
        """Return the object (S,) int64, 0..K-1, of each superpoint."""
        return cluster(self.similarity(fragments), MERGE_THRESHOLD)

    def similarity(self, fragments: Fragments) -> Tensor:
        """Return how much pairs of superpoints are one object: (S, S) in 0..1, symmetric.

        It is IoU times the learned probability, and 0 unless both have the same most likely class, not the background.
        """
        token, iou = self.interaction(fragments.embedding), box_iou(fragments.box_m, fragments.box_m)
        bound = iou * _same_object_class(fragments.class_logits)
        row, column = _pairs_to_compare(bound)
        probability = self._logit(token[row] * token[column], iou[row, column]).sigmoid()
        similarity = torch.zeros_like(bound)
        similarity[row, column] = similarity[column, row] = bound[row, column] * probability.to(bound.dtype)
        return similarity

    def logits(self, fragments: Fragments) -> Tensor:
        """Return the learned part for all pairs, before the sigmoid: (S, S). Training reads it."""
        token = self.interaction(fragments.embedding)
        return self._logit(token[:, None] * token, box_iou(fragments.box_m, fragments.box_m))

    def _logit(self, appearance: Tensor, iou: Tensor) -> Tensor:
        """Return (...) of pairs with appearance (..., w) and IoU (...)."""
        return gated_logit(self.gate, self.merge_logit, appearance, self.iou_embedding(iou[..., None]))


def gated_logit(gate: nn.Linear, head: nn.Linear, appearance: Tensor, geometry: Tensor) -> Tensor:
    """Return (...) of pairs with appearance (..., w) and geometry (..., w), which a gate weighs against each other."""
    weight = gate(torch.cat((appearance, geometry), dim=-1)).sigmoid()
    logit: Tensor = head(weight * appearance + (1 - weight) * geometry)
    return logit[..., 0]


def cluster(similarity: Tensor, threshold: float = MERGE_THRESHOLD, linkage_method: str = "complete") -> Tensor:
    """Return the cluster (S,) int64 of each row of (S, S): 0..K-1 in order of first members.

    Clusters merge while the similarity of the two most similar ones, "complete" by their least similar pair, "average"
    by the mean of all pairs, is strictly above `threshold`. The upper triangle is read, the diagonal is not. One read
    of the host: scipy's linkage is exact, quick at this size and decides ties as published.
    """
    num = len(similarity)
    if num < 2:
        return torch.zeros(num, dtype=torch.int64, device=similarity.device)
    on_host = similarity.detach().cpu().double().numpy()
    tree = linkage(1.0 - on_host[np.triu_indices(num, 1)], method=linkage_method)
    just_below = np.nextafter(1.0 - threshold, 0.0)
    _, first, label = np.unique(fcluster(tree, just_below, "distance"), return_index=True, return_inverse=True)
    in_order = np.argsort(np.argsort(first))[label]
    return torch.from_numpy(in_order).to(similarity.device)


def _same_object_class(class_logits: Tensor) -> Tensor:
    """Return (S, S) bool: both have the same most likely class, and it is not the last."""
    label = class_logits.argmax(dim=1)
    return (label[:, None] == label) & (label < class_logits.shape[1] - 1)


def _pairs_to_compare(bound: Tensor) -> tuple[Tensor, Tensor]:
    """Return rows and columns of the pairs, row ≤ column, whose similarity can be above 0.

    On CUDA all pairs: to leave any out would cost a read of the host.
    """
    if bound.is_cuda:
        row, column = torch.triu_indices(*bound.shape, device=bound.device)
    else:
        row, column = torch.triu(bound).nonzero(as_tuple=True)
    return row, column
