"""Long-term memory: how well each detection continues each stored track (`method.md` §5.1 and §5.2)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.interaction import QueryInteraction, ResidualFeedForward, distance_logits, distance_weight


@dataclass(frozen=True)
class TrackEmbeddings:
    """The two faces of a frame's detections."""

    to_store: Tensor  # (D, w) what a track keeps
    to_match: Tensor  # (D, w) what is held against the tracks


@dataclass(frozen=True)
class Affinity:
    """Detections against tracks, all (D, T)."""

    match_logit: Tensor
    gate_logit: Tensor
    iou: Tensor
    none_logit: Tensor | None = None  # (D, 1) beside the match logits, where the memory has a dustbin

    @property
    def choice_logit(self) -> Tensor:
        """Return what a detection chooses from: its tracks (D, T), with a dustbin (D, T+1) and none of them last."""
        return self.match_logit if self.none_logit is None else torch.cat((self.match_logit, self.none_logit), dim=1)

    @property
    def match(self) -> Tensor:
        """Which track it is, if it is one of them: sums to 1 for each detection.

        With a dustbin the sum is less, and tracks that are no likelier than none of them have 0.
        """
        share = self.choice_logit.softmax(dim=1)
        if self.none_logit is None:
            return share
        return share[:, :-1] * (self.match_logit > self.none_logit)

    @property
    def gate(self) -> Tensor:
        """Whether it is this track at all, in 0..1."""
        return self.gate_logit.sigmoid()

    @property
    def product(self) -> Tensor:
        """Match times gate."""
        return self.match * self.gate

    @property
    def score(self) -> Tensor:
        """Match times gate times IoU: what the published model assigns by (§5.3)."""
        return self.product * self.iou


class LongTermMemory(nn.Module):
    """Embeds detections and compares them with tracks. The tracks themselves are kept elsewhere."""

    def __init__(self, width: int = 256, num_heads: int = 8, dustbin: bool = False) -> None:
        """Make random weights; `dustbin` lets a detection choose none of the tracks, which the published one cannot."""
        super().__init__()
        self.track_embedding = ResidualFeedForward(width)
        self.detection_embedding = ResidualFeedForward(width)
        self.box_embedding = nn.Sequential(
            nn.Linear(6, width), nn.LayerNorm(width), nn.ReLU(), ResidualFeedForward(width)
        )
        self.interaction = QueryInteraction(width, num_heads)
        self.distance_weight = distance_weight(width, num_heads)
        self.iou_embedding = nn.Sequential(nn.Linear(1, width), ResidualFeedForward(width))
        self.match_logit = nn.Linear(width, 1)
        self.gate_logit = nn.Linear(width, 1)
        self.none_logit = nn.Linear(width, 1) if dustbin else None

    @property
    def has_dustbin(self) -> bool:
        """Whether a detection may be none of the tracks."""
        return self.none_logit is not None

    def embed(self, embedding: Tensor, box_m: Tensor) -> TrackEmbeddings:
        """Return both faces of detections with decoder embeddings (D, w) and boxes (D, 6), centre and full size."""
        token = torch.cat((self.track_embedding(embedding), self.detection_embedding(embedding)))  # (2D, w)
        code, center_m = self.box_embedding(box_m).repeat(2, 1), box_m[:, :3].repeat(2, 1)
        logits = distance_logits(self.distance_weight(token), center_m, center_m)
        to_store, to_match = self.interaction(token, code, logits).chunk(2)
        return TrackEmbeddings(to_store, to_match)

    def affinity(
        self,
        to_match: Tensor,
        box_m: Tensor,
        track_embedding: Tensor,
        track_box_m: Tensor,
        margin_m: Tensor | float = 0.0,
    ) -> Affinity:
        """Hold detections, (D, w) and boxes (D, 6), against tracks, (T, w) and boxes (T, 6); D and T may be 0.

        `margin_m`, one for all or (T,): the poses may be wrong by so much, see `box_iou`.
        """
        iou = box_iou(box_m, track_box_m, margin_m)
        values, value_of_pair = _values_to_embed(iou)
        geometry = self.iou_embedding(values[:, None])  # (U, w)

        def logit(head: nn.Linear) -> Tensor:
            # The head of a sum is the sum of the heads: appearance is one matrix product, not (D, T, w).
            appearance = (to_match * head.weight) @ track_embedding.T
            return appearance + head(geometry)[:, 0][value_of_pair]

        none = None if self.none_logit is None else self.none_logit(to_match)
        return Affinity(logit(self.match_logit), logit(self.gate_logit), iou, none)


def _values_to_embed(iou: Tensor) -> tuple[Tensor, Tensor]:
    """Return the IoU values (U,) to embed, and which of them each pair (D, T) has.

    Most pairs do not overlap: on the CPU they share one value. On CUDA that would cost a read of the host.
    """
    if iou.is_cuda:
        return iou.flatten(), torch.arange(iou.numel(), device=iou.device).view_as(iou)
    overlaps = iou > 0
    index = overlaps.flatten().cumsum(dim=0).view_as(iou)
    return torch.cat((iou.new_zeros(1), iou[overlaps])), index * overlaps
