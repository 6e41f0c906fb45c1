"""The query decoder: from superpoints to objects (`method.md` §3)."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.fragments import Fragments
from autoseg3d_ros.model.attention_mask import blocked_by_point_mask, blocked_by_superpoint_mask
from autoseg3d_ros.model.decoder_layers import DecoderLayer
from autoseg3d_ros.model.places import BoxPenalty, Places, hull_boxes, refined_boxes
from autoseg3d_ros.model.pooling import Pooled
from autoseg3d_ros.model.two_layers import TwoLayers


@dataclass(frozen=True)
class DecoderConfig:
    """The sizes of the decoder."""

    in_channels: int = 96  # of the features of points and superpoints
    width: int = 256
    num_layers: int = 3
    num_point_predictions: int = 2  # so many last predictions have masks over points, those before over superpoints
    num_heads: int = 8
    hidden: int = 1024
    num_classes: int = 1
    num_semantics: int = 200
    has_box: bool = True  # false: the published model for single frames
    knows_void: bool = False  # the last semantic is "no object" and lowers the score; not in the published model
    has_places: bool = False  # attention and masks know distances, superpoints their size; not in the published model


@dataclass(frozen=True)
class Prediction:
    """What the heads say of Q queries after one layer."""

    class_logits: Tensor  # (Q, classes + 1), the last one is the background
    mask_logits: Tensor  # (Q, N) over points or (Q, S) over superpoints, above 0 = inside
    at_points: bool
    box_m: Tensor | None  # (Q, 6) centre and size, world frame; None without a box head


@dataclass(frozen=True)
class Decoded:
    """The predictions before the first layer and after each, the semantics and the embedding after the last."""

    predictions: tuple[Prediction, ...]
    semantic_logits: Tensor  # (Q, semantics + 1)
    embedding: Tensor  # (Q, d), normalised
    query: Tensor  # (Q,) int64, the superpoint of each query
    fragments: Decoded | None = None  # of the branch whose queries do not see each other, where it was asked for
    void: Tensor | None = None  # (Q,) the probability that the superpoint is of no object, where that was learned

    @property
    def last(self) -> Prediction:
        """What is said after the last layer."""
        return self.predictions[-1]


@dataclass(frozen=True)
class _Scene:
    """What the queries of a frame look at, computed once."""

    superpoints: Tensor  # (S, d) keys and values of the cross-attention
    superpoint_masks: Tensor  # (S, d), times an embedding: the mask logits
    point_masks: Tensor  # (N, d), inside the network that makes mask features
    superpoint: Tensor  # (N,)
    point_weight: Tensor  # (N, 1)
    xyz_m: Tensor  # (N, 3) points
    places: Places

    def blocked(self, prediction: Prediction) -> Tensor:
        """Return (Q, S) bool: the superpoints that the next layer does not show to a query."""
        if prediction.at_points:
            return blocked_by_point_mask(
                prediction.mask_logits, self.superpoint, self.point_weight, len(self.superpoints)
            )
        return blocked_by_superpoint_mask(prediction.mask_logits)


class QueryDecoder(nn.Module):
    """Transformer decoder with one query a superpoint, masked cross-attention and heads shared by all layers."""

    def __init__(self, config: DecoderConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config = config
        channels, width = config.in_channels, config.width
        self.superpoint_embedding = nn.Sequential(nn.Linear(channels, width), nn.LayerNorm(width), nn.ReLU())
        self.query_embedding = TwoLayers(channels, width, width)
        self.layers = nn.ModuleList(
            DecoderLayer(width, config.num_heads, config.hidden, config.has_places) for _ in range(config.num_layers)
        )
        self.norm = nn.LayerNorm(width)
        self.class_head = TwoLayers(width, width, config.num_classes + 1)
        self.superpoint_mask_head = TwoLayers(channels, width, width)
        self.point_mask_head = TwoLayers(3 + channels, width, width)
        self.box_head = TwoLayers(width, width, 6) if config.has_box else None
        self.box_penalty = BoxPenalty(width) if config.has_places and config.has_box else None
        if config.has_places and self.box_head is not None:  # begin with the boxes of the masks
            nn.init.zeros_(self.box_head.last.weight)
            nn.init.zeros_(self.box_head.last.bias)
        self.semantic_head = nn.Linear(width, config.num_semantics + 1)

    def propose(self, pooled: Pooled) -> Fragments:
        """Apply the heads to every superpoint, before any attention; without a box head the box is its own.

        They are those of the prediction before the first layer, where all superpoints are queries.
        """
        embedding = self.norm(self.query_embedding(pooled.features))
        box_m = self._boxes(embedding, pooled.centroid_m, pooled.box_m)
        return Fragments(embedding, self.class_head(embedding), pooled.box_m if box_m is None else box_m)

    def forward(
        self,
        xyz_m: Tensor,
        point_features: Tensor,
        superpoint: Tensor,
        pooled: Pooled,
        query: Tensor | None = None,
        *,
        with_fragments: bool = False,
    ) -> Decoded:
        """Decode one frame.

        Points (N, 3) in the world frame with features (N, C) belong to the superpoints (N,) int64 in 0..S-1 that
        `pooled` describes. `query` (Q,) int64 chooses the superpoints that become queries; None = all.
        `with_fragments`, for training, decodes a second time without self-attention, from the same first prediction
        on, so that several fragments of an object may each stand for it (ICMS, `method.md` §7.2).
        """
        if query is None:
            query = torch.arange(len(pooled.features), device=superpoint.device)
        scene = _Scene(
            superpoints=self.superpoint_embedding(pooled.features),
            superpoint_masks=self.superpoint_mask_head(pooled.features),
            point_masks=self.point_mask_head.hidden(torch.cat([xyz_m, point_features], dim=1)),
            superpoint=superpoint,
            point_weight=pooled.point_weight,
            xyz_m=xyz_m,
            places=Places(
                pooled.centroid_m.index_select(0, query),
                pooled.centroid_m,
                pooled.box_m.index_select(0, query),
                pooled.box_m,
            ),
        )
        queries = self.query_embedding(pooled.features.index_select(0, query))
        first = self._predict(0, self.norm(queries), scene, scene.places.query_box_m)
        refined, predictions = self._refine(queries, first, scene)
        fragments = None
        if with_fragments:
            alone, predictions_alone = self._refine(queries, first, scene, alone=True)
            fragments = self._decoded(alone, predictions_alone, query)
        return self._decoded(refined, predictions, query, fragments)

    def _refine(
        self, queries: Tensor, first: Prediction, scene: _Scene, alone: bool = False
    ) -> tuple[Tensor, tuple[Prediction, ...]]:
        """Return queries (Q, d) after the last layer and all predictions; if `alone`, they do not see each other."""
        predictions, hull_m = [first], scene.places.query_box_m
        for number, layer in enumerate(self.layers, start=1):
            queries = layer(queries, scene.superpoints, scene.places, scene.blocked(predictions[-1]), alone)
            if self.config.has_places and not predictions[-1].at_points:
                hull_m = hull_boxes(predictions[-1].mask_logits > 0, scene.places)
            predictions.append(self._predict(number, self.norm(queries), scene, hull_m))
        return queries, tuple(predictions)

    def _decoded(
        self, queries: Tensor, predictions: tuple[Prediction, ...], query: Tensor, fragments: Decoded | None = None
    ) -> Decoded:
        """Add what is only said of the queries (Q, d) after the last layer."""
        embedding = self.norm(queries)
        semantic_logits = self.semantic_head(embedding)
        void = semantic_logits.float().softmax(dim=1)[:, -1] if self.config.knows_void else None
        return Decoded(predictions, semantic_logits, embedding, query, fragments, void)

    def _predict(self, number: int, embedding: Tensor, scene: _Scene, hull_m: Tensor) -> Prediction:
        """Apply the heads after layer `number`, 0 = before the first, to normalised queries (Q, d).

        `hull_m` (Q, 6) are the boxes of the masks before.
        """
        at_points = number > self.config.num_layers - self.config.num_point_predictions
        if at_points:
            # e·(W h + b) as (e W)·h + e·b: the matrix meets the few queries, not the many points.
            last = self.point_mask_head.last
            offset = embedding @ last.bias  # (Q,)
            mask_logits = torch.addmm(offset[:, None], embedding @ last.weight, scene.point_masks.T)
        else:
            mask_logits = embedding @ scene.superpoint_masks.T
        box_m = self._boxes(embedding, scene.places.query_m, hull_m)
        mask_logits = self._in_box(
            mask_logits, embedding, box_m, scene.xyz_m if at_points else scene.places.superpoint_m
        )
        return Prediction(self.class_head(embedding), mask_logits, at_points, box_m)

    def _in_box(self, mask_logits: Tensor, embedding: Tensor, box_m: Tensor | None, xyz_m: Tensor) -> Tensor:
        """Return masks (Q, N) of queries (Q, d), less where their boxes (Q, 6) do not hold the points (N, 3)."""
        if self.box_penalty is None or box_m is None:
            return mask_logits
        return mask_logits - self.box_penalty(embedding, box_m, xyz_m)

    def _boxes(self, embedding: Tensor, centroid_m: Tensor, hull_m: Tensor) -> Tensor | None:
        """Return centre and size (Q, 6) of the box of each query.

        As published it lies about the centroid (Q, 3) of its superpoint; with places it refines the box `hull_m`
        (Q, 6) of its mask so far.
        """
        if self.box_head is None:
            return None
        change = self.box_head(embedding)
        if self.config.has_places:
            return refined_boxes(hull_m, change)
        offset_m, log_size = change.split(3, dim=1)
        return torch.cat([centroid_m + offset_m, log_size.exp()], dim=1)
