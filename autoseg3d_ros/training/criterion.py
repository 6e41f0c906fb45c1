"""The loss of what the decoder says: classes, masks, boxes and semantics, after every layer (`method.md` §8.1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.nn import functional

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.model.decoder import Decoded, Prediction
from autoseg3d_ros.training.loss_weights import LossWeights
from autoseg3d_ros.training.mask_losses import bce_loss, dice_loss, mask_iou
from autoseg3d_ros.training.matcher import MatchingConfig, Pairs, match
from autoseg3d_ros.training.targets import NOTHING, FrameTargets

_DICE_FACTOR = 4.0
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class CriterionConfig:
    """How frames are judged. The defaults are the released ones."""

    matching: MatchingConfig = field(default_factory=MatchingConfig)
    weights: LossWeights = field(default_factory=LossWeights)
    one_to_many_queries: int = 2  # ICMS: queries an object in its branch
    # Dice counts 4 times after the last layer. After those before, released: 4 / batch size, hence 1 for the paper's
    # batch of 4; a number here makes it independent of the batch.
    earlier_dice_factor: float | None = None


@dataclass(frozen=True)
class Divisors:
    """What sums over the batch are divided by.

    Where several processes add up their gradients, those of the whole batch.
    """

    num_samples: float
    num_with_objects: float

    @classmethod
    def of(cls, targets: Sequence[FrameTargets]) -> Divisors:
        """Count the samples of a batch."""
        return cls(len(targets), sum(len(sample) > 0 for sample in targets))


@dataclass(frozen=True)
class PerceptionLosses:
    """The weighted terms of one frame of a batch, each a scalar."""

    classification: Tensor
    mask: Tensor
    dice: Tensor
    box: Tensor
    semantic: Tensor
    matched_iou: Tensor  # of the masks after the last layer; no term, but a sign of progress

    @property
    def total(self) -> Tensor:
        """The sum of all terms."""
        return self.classification + self.mask + self.dice + self.box + self.semantic

    def scaled(self, factor: float) -> PerceptionLosses:
        """Return all terms times `factor`."""
        return PerceptionLosses(
            classification=factor * self.classification,
            mask=factor * self.mask,
            dice=factor * self.dice,
            box=factor * self.box,
            semantic=factor * self.semantic,
            matched_iou=self.matched_iou,
        )


@dataclass(frozen=True)
class InstanceTerms:
    """The terms of one prediction without weights, each a scalar: of a sample, or of a batch."""

    classification: Tensor
    mask: Tensor
    dice: Tensor
    box: Tensor
    matched_iou: Tensor


def perception_losses(
    decoded: Sequence[Decoded], targets: Sequence[FrameTargets], config: CriterionConfig, divisors: Divisors
) -> PerceptionLosses:
    """Return the losses of one frame of each sample, of which there is at least one (`method.md` §8.1)."""
    weights = config.weights
    layers = layer_terms(decoded, targets, config, divisors)
    semantic = [
        semantic_loss(each.semantic_logits.float(), truth.semantic[each.query], each.void is not None)
        for each, truth in zip(decoded, targets, strict=True)
    ]
    earlier = config.earlier_dice_factor
    earlier = _DICE_FACTOR / divisors.num_samples if earlier is None else earlier
    dice = _DICE_FACTOR * layers[-1].dice + earlier * _sum([layer.dice for layer in layers[:-1]])
    return PerceptionLosses(
        classification=weights.classification * _sum([layer.classification for layer in layers]),
        mask=weights.mask * _sum([layer.mask for layer in layers]),
        dice=weights.dice * dice,
        box=weights.box * _sum([layer.box for layer in layers]),
        semantic=weights.semantic * _sum(semantic) / divisors.num_samples,
        matched_iou=layers[-1].matched_iou,
    )


def one_to_many_losses(
    decoded: Sequence[Decoded], targets: Sequence[FrameTargets], config: CriterionConfig, divisors: Divisors
) -> PerceptionLosses:
    """Return the losses of the branch in which several queries answer for an object, with its weight (§7.2)."""
    matching = replace(config.matching, num_queries=config.one_to_many_queries)
    losses = perception_losses(decoded, targets, replace(config, matching=matching), divisors)
    return losses.scaled(config.weights.one_to_many)


def layer_terms(
    decoded: Sequence[Decoded], targets: Sequence[FrameTargets], config: CriterionConfig, divisors: Divisors
) -> list[InstanceTerms]:
    """Return the terms of a batch for the prediction before the first layer and after each, matched anew each time."""
    samples = [
        [sample_terms(prediction, truth, truth.belongs(each.query), config) for prediction in each.predictions]
        for each, truth in zip(decoded, targets, strict=True)
    ]
    return [_batch_terms(layer, divisors) for layer in zip(*samples, strict=True)]


def sample_terms(
    prediction: Prediction, targets: FrameTargets, belongs: Tensor, config: CriterionConfig
) -> InstanceTerms:
    """Return the terms of one prediction of one sample; those of masks and box are 0 without a match.

    `belongs` (Q, G) bool says whose superpoint each query is.
    """
    pairs = match(prediction, targets, belongs, config.matching)
    masks = (targets.point_masks if prediction.at_points else targets.superpoint_masks)[pairs.target]
    mask_logits = prediction.mask_logits[pairs.query].float()
    ious = mask_iou(mask_logits.detach(), masks)
    return InstanceTerms(
        classification=_classification(prediction.class_logits, targets, pairs, config.weights.background),
        mask=bce_loss(mask_logits, masks),
        dice=dice_loss(mask_logits, masks),
        box=_box(prediction.box_m, targets, pairs),
        matched_iou=ious.sum() / max(len(pairs), 1),
    )


def classification_loss(logits: Tensor, label: Tensor, background_weight: float) -> Tensor:
    """Return the weighted mean cross-entropy of (Q, C+1) with classes (Q,), where C is the background; 0 if Q = 0."""
    weight = logits.new_ones(logits.shape[1])
    weight[-1] = background_weight
    total = functional.cross_entropy(logits, label, weight, reduction="sum")
    return total / weight[label].sum().clamp(min=_LEAST_WEIGHT)


def box_loss(box_m: Tensor, target_m: Tensor) -> Tensor:
    """Return the mean of one minus the IoU of boxes (P, 6) with theirs (P, 6), centre and size; 0 if P = 0."""
    return (1 - box_iou(box_m, target_m).diagonal()).sum() / max(len(box_m), 1)


def semantic_loss(logits: Tensor, semantic: Tensor, knows_void: bool = False) -> Tensor:
    """Return the mean cross-entropy of (Q, K+1) with classes (Q,) in 0..K; NOTHING is left out; 0 if all are.

    Class K is void. Unless the network `knows_void` nothing is of it, and its column is not read.
    """
    logits = logits if knows_void else logits[:, :-1]
    total = functional.cross_entropy(logits, semantic, ignore_index=NOTHING, reduction="sum")
    return total / (semantic != NOTHING).sum().clamp(min=1)


def _classification(class_logits: Tensor, targets: FrameTargets, pairs: Pairs, background_weight: float) -> Tensor:
    label = pairs.query.new_full((len(class_logits),), class_logits.shape[1] - 1)
    label[pairs.query] = targets.label[pairs.target]
    return classification_loss(class_logits.float(), label, background_weight)


def _box(box_m: Tensor | None, targets: FrameTargets, pairs: Pairs) -> Tensor:
    """Return the loss of the boxes (Q, 6); 0 for a network without box head."""
    if box_m is None:
        return targets.box_m.new_zeros(())
    return box_loss(box_m[pairs.query].float(), targets.box_m[pairs.target])


def _batch_terms(samples: Sequence[InstanceTerms], divisors: Divisors) -> InstanceTerms:
    """Return the terms of a batch: of masks the mean over the samples with objects, else over all (§8.1)."""
    with_objects = divisors.num_with_objects or 1.0  # without objects the sums are 0
    return InstanceTerms(
        classification=_sum([sample.classification for sample in samples]) / divisors.num_samples,
        mask=_sum([sample.mask for sample in samples]) / with_objects,
        dice=_sum([sample.dice for sample in samples]) / with_objects,
        box=_sum([sample.box for sample in samples]) / divisors.num_samples,
        matched_iou=_sum([sample.matched_iou for sample in samples]) / with_objects,
    )


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
