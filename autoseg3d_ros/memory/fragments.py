"""Fragment merging: superpoints that are one object, found before the decoder (LMI, `method.md` §7.1)."""

from __future__ import annotations

import numpy as np
import torch
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor, nn

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.interaction import QueryInteraction, ResidualFeedForward

MERGE_THRESHOLD = 0.5


class FragmentMerging(nn.Module):
    """Compares the superpoints of one frame in pairs. Appearance and overlap are blended by a gate."""

    def __init__(self, width: int = 256, num_heads: int = 8) -> None:
        super().__init__()
        self.interaction = QueryInteraction(width, num_heads)
        self.iou_embedding = nn.Sequential(nn.Linear(1, width), ResidualFeedForward(width))
        self.gate = nn.Linear(2 * width, width)
        self.merge_logit = nn.Linear(width, 1)

    def forward(self, embedding: Tensor, class_logits: Tensor, box_m: Tensor) -> Tensor:
        """Return the object (S,) int64, 0..K-1, of superpoints by embedding (S, w), classes (S, C+1), box (S, 6)."""
        return cluster(self.similarity(embedding, class_logits, box_m), MERGE_THRESHOLD)

    def similarity(self, embedding: Tensor, class_logits: Tensor, box_m: Tensor) -> Tensor:
        """Return how much pairs of superpoints are one object: (S, S) in 0..1, symmetric.

        It is IoU times the learned probability, and 0 unless both have the same most likely class, not the background
        (the last). `embedding` (S, w), `class_logits` (S, C+1), `box_m` (S, 6) centre and full size.
        """
        token, iou = self.interaction(embedding), box_iou(box_m, box_m)
        bound = iou * _same_object_class(class_logits)
        row, column = _pairs_to_compare(bound)
        probability = self._logit(token[row] * token[column], iou[row, column]).sigmoid()
        similarity = torch.zeros_like(bound)
        similarity[row, column] = similarity[column, row] = bound[row, column] * probability.to(bound.dtype)
        return similarity

    def logits(self, embedding: Tensor, box_m: Tensor) -> Tensor:
        """Return the learned part for all pairs, before the sigmoid: (S, S). Training reads it."""
        token = self.interaction(embedding)
        return self._logit(token[:, None] * token, box_iou(box_m, box_m))

    def _logit(self, appearance: Tensor, iou: Tensor) -> Tensor:
        """Return (...) of pairs with appearance (..., w) and IoU (...)."""
        geometry = self.iou_embedding(iou[..., None])
        gate = self.gate(torch.cat((appearance, geometry), dim=-1)).sigmoid()
        return self.merge_logit(gate * appearance + (1 - gate) * geometry)[..., 0]


class NoFragmentMerging(nn.Module):
    """Leaves every superpoint an object of its own."""

    def forward(self, embedding: Tensor, class_logits: Tensor, box_m: Tensor) -> Tensor:
        """Return 0..S-1."""
        return torch.arange(len(embedding), device=embedding.device)


def cluster(similarity: Tensor, threshold: float = MERGE_THRESHOLD) -> Tensor:
    """Return the cluster (S,) int64 of each row of (S, S) by complete linkage: 0..K-1 in order of first members.

    Clusters merge while their least similar pair is strictly above `threshold`. The upper triangle is read, the
    diagonal is not. One read of the host: scipy's linkage is exact, quick at this size and decides ties as published.
    """
    num = len(similarity)
    if num < 2:
        return torch.zeros(num, dtype=torch.int64, device=similarity.device)
    on_host = similarity.detach().cpu().double().numpy()
    tree = linkage(1.0 - on_host[np.triu_indices(num, 1)], method="complete")
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
