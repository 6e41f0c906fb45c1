from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase, cases_of
from torch.nn import functional

from autoseg3d_ros.memory.boxes import box_iou, corners_of
from autoseg3d_ros.model.decoder import Decoded, Prediction
from autoseg3d_ros.training.criterion import (
    CriterionConfig,
    Divisors,
    box_loss,
    classification_loss,
    layer_terms,
    one_to_many_losses,
    perception_losses,
    semantic_loss,
)
from autoseg3d_ros.training.loss_weights import LossWeights
from autoseg3d_ros.training.matcher import MatchingConfig, match
from autoseg3d_ros.training.targets import NOTHING, ClipObjects, FrameTargets, PointTruth, frame_targets

INSTANCES = [*cases_of("loss_inst_"), *cases_of("loss_one2many_")]
WITH_GRADIENTS = ("loss_inst_b1_00", "loss_inst_b2_00")
CLOSE = {"rtol": 0, "atol": 2e-4}


def superpoint_of_query(queries: np.ndarray, superpoints: np.ndarray) -> torch.Tensor:
    """Return a superpoint of its own (Q,) for each query, of the objects (G, Q) that it has in (G, S)."""
    same = (queries[:, :, None] == superpoints[:, None]).all(axis=0)
    chosen: list[int] = []
    for row in same:
        chosen.append(next(column for column in np.flatnonzero(row) if column not in chosen))
    return torch.tensor(chosen, dtype=torch.int64)


@dataclass(frozen=True)
class Sample:
    decoded: Decoded
    targets: FrameTargets
    leaves: dict[str, torch.Tensor]  # what the case may give gradients of


def sample_of(case: ParityCase, sample: int) -> Sample:
    leaves: dict[str, torch.Tensor] = {}

    def leaf(name: str) -> torch.Tensor:
        leaves[f"{name}_{sample}"] = torch.from_numpy(case.given(f"{name}_{sample}")).requires_grad_()
        return leaves[f"{name}_{sample}"]

    superpoint_masks = case.given(f"sp_masks_{sample}")
    query = superpoint_of_query(case.given(f"query_masks_{sample}"), superpoint_masks)
    one_hot = case.given(f"sem_query_masks_{sample}")
    semantic = torch.full((superpoint_masks.shape[1],), NOTHING)
    semantic[query] = torch.from_numpy(np.where(one_hot[-1], NOTHING, one_hot.argmax(axis=0)))

    has_box = case.meta["use_box"]
    center_m = functional.pad(torch.from_numpy(case.given(f"centers_{sample}")), (0, 3)) if has_box else None
    predictions = [
        Prediction(
            class_logits=leaf(f"cls_{layer}"),
            mask_logits=leaf(f"mask_{layer}"),
            at_points=mode == "P",
            box_m=None if center_m is None else leaf(f"box_{layer}") + center_m,
        )
        for layer, mode in enumerate(case.meta["mask_pred_mode"])
    ]
    targets = FrameTargets(
        point_masks=torch.from_numpy(case.given(f"p_masks_{sample}")),
        superpoint_masks=torch.from_numpy(superpoint_masks),
        box_m=torch.from_numpy(case.given(f"gt_boxes_{sample}")[:, :6]) if has_box else torch.zeros(0, 6),
        label=torch.from_numpy(case.given(f"labels_{sample}")),
        semantic=semantic,
        fragment=torch.full_like(semantic, NOTHING),
        void=torch.zeros_like(semantic, dtype=torch.bool),
    )
    return Sample(Decoded(tuple(predictions), leaf("sem"), torch.zeros(len(query), 4), query), targets, leaves)


def samples_of(case: ParityCase) -> tuple[list[Decoded], list[FrameTargets], dict[str, torch.Tensor]]:
    samples = [sample_of(case, sample) for sample in range(int(case.given("batch")))]
    leaves = {name: leaf for sample in samples for name, leaf in sample.leaves.items()}
    return [sample.decoded for sample in samples], [sample.targets for sample in samples], leaves


@pytest.mark.parametrize("case", INSTANCES, ids=lambda case: case.name)
def test_published_terms_and_pairs(case: ParityCase) -> None:
    decoded, targets, leaves = samples_of(case)
    config = CriterionConfig(MatchingConfig(num_queries=case.meta["matcher"]["topk"]))
    divisors = Divisors.of(targets)
    for sample, (each, truth) in enumerate(zip(decoded, targets, strict=True)):
        for layer, prediction in enumerate(each.predictions):
            pairs = match(prediction, truth, truth.belongs(each.query), config.matching)
            got = torch.stack((pairs.query, pairs.target), dim=1).tolist()
            assert got == case.expected(f"pairs_b{sample}_l{layer}").tolist()

    terms = layer_terms(decoded, targets, config, divisors)
    # The published Dice terms have their factors in them.
    factors = [4 / divisors.num_samples] * 3 + [4]
    got = [
        [x.item() for x in (t.classification, t.mask, factor * t.dice, t.box)]
        for t, factor in zip(terms, factors, strict=True)
    ]
    np.testing.assert_allclose(got, case.expected("terms"), **CLOSE)

    losses = perception_losses(decoded, targets, config, divisors)
    np.testing.assert_allclose(losses.semantic.item(), case.expected("seg_loss"), **CLOSE)
    np.testing.assert_allclose((losses.total - losses.semantic).item(), case.expected("inst_loss"), **CLOSE)
    if case.name in WITH_GRADIENTS:
        losses.total.backward()
        for name, leaf in leaves.items():
            np.testing.assert_allclose(leaf.grad, case.expected(f"grad_{name}"), rtol=0, atol=1e-5, err_msg=name)


def test_published_one_to_many_branch() -> None:
    (case,) = cases_of("loss_one2many_")
    decoded, targets, _ = samples_of(case)
    losses = one_to_many_losses(decoded, targets, CriterionConfig(), Divisors.of(targets))
    np.testing.assert_allclose(losses.semantic.item(), case.expected("one2many_seg_loss_weighted"), **CLOSE)
    instances = (losses.total - losses.semantic).item()
    np.testing.assert_allclose(instances, case.expected("one2many_inst_loss_weighted"), **CLOSE)


@parity_cases.parametrize("loss_semantic_")
def test_published_semantic_loss(case: ParityCase) -> None:
    logits = [torch.from_numpy(case.given(f"logits_{sample}")).requires_grad_() for sample in range(2)]
    one_hot = [case.given(f"target_onehot_{sample}") for sample in range(2)]
    semantic = [torch.from_numpy(np.where(rows[-1], NOTHING, rows.argmax(axis=0))) for rows in one_hot]
    loss = LossWeights().semantic * (semantic_loss(logits[0], semantic[0]) + semantic_loss(logits[1], semantic[1])) / 2
    np.testing.assert_allclose(loss.item(), case.expected("seg_loss"), rtol=0, atol=1e-5)
    loss.backward()
    for sample in range(2):
        expected = case.expected(f"grad_logits_{sample}")
        np.testing.assert_allclose(logits[sample].grad, expected, rtol=0, atol=1e-6)


@parity_cases.parametrize("util_boxes_")
def test_published_box_loss(case: ParityCase) -> None:
    a, b, points = (torch.from_numpy(case.given(name)) for name in ("boxes_a", "boxes_b", "points"))
    close = {"rtol": 0, "atol": 1e-5}
    for name, boxes in (("a", a), ("b", b)):
        np.testing.assert_allclose(corners_of(boxes), case.expected(f"corners_{name}"), **close)
    np.testing.assert_allclose(box_iou(a, b), case.expected("iou"), **close)
    np.testing.assert_allclose(
        corners_of(a + functional.pad(points, (0, 3))), case.expected("pred_to_corners"), **close
    )
    np.testing.assert_allclose(box_iou(a[: len(b)], b).diagonal(), case.expected("iou_aligned"), **close)

    corners = corners_of(a[: len(b)]).requires_grad_()
    low, high = corners.split(3, dim=1)
    loss = box_loss(torch.cat(((low + high) / 2, high - low), dim=1), b)
    loss.backward()
    np.testing.assert_allclose(loss.item(), case.expected("iou_loss"), **close)
    np.testing.assert_allclose(corners.grad, case.expected("grad_corners_a"), **close)


LOG_2 = float(np.log(2))


@pytest.mark.parametrize(
    ("logits", "label", "expected"),
    [
        (np.zeros((0, 3)), [], 0),
        ([[0.0, 0, 0]], [0], np.log(3)),
        ([[0.0, 0, 0]], [2], np.log(3)),  # one query alone: its weight falls out
        # Probabilities 1/2 and 3/4; the background counts a tenth.
        ([[0.0, 0], [0, np.log(3)]], [0, 1], (LOG_2 + 0.1 * np.log(4 / 3)) / 1.1),
    ],
)
def test_classification_by_hand(logits, label, expected):
    loss = classification_loss(torch.tensor(logits), torch.tensor(label, dtype=torch.int64), 0.1)
    assert loss.item() == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("logits", "semantic", "expected"),
    [
        (np.zeros((0, 3)), [], 0),
        ([[1.0, 2, 3]], [NOTHING], 0),
        ([[0.0, 0, 50]], [1], LOG_2),  # the last column is not read
        ([[0.0, 0, 0], [0, np.log(3), 0], [9, 9, 9]], [0, 1, NOTHING], (LOG_2 + np.log(4 / 3)) / 2),
    ],
)
def test_semantic_loss_by_hand(logits, semantic, expected):
    loss = semantic_loss(torch.tensor(logits), torch.tensor(semantic, dtype=torch.int64))
    assert loss.item() == pytest.approx(expected, abs=1e-6)


def test_void_is_the_last_class_where_it_is_known():
    logits = torch.tensor([[0.0, 0.0, np.log(2)], [0.0, np.log(6), 0.0]])
    loss = semantic_loss(logits, torch.tensor([2, 1]), knows_void=True)
    assert loss.item() == pytest.approx((np.log(2) + np.log(8 / 6)) / 2, abs=1e-6)


@pytest.mark.parametrize(
    ("box_m", "target_m", "expected"),
    [
        (np.zeros((0, 6)), np.zeros((0, 6)), 0),
        ([[0.0, 0, 0, 2, 2, 2]], [[0.0, 0, 0, 2, 2, 2]], 0),
        ([[0.0, 0, 0, 2, 2, 2]], [[1.0, 0, 0, 2, 2, 2]], 2 / 3),
        ([[0.0, 0, 0, 2, 2, 2], [5.0, 0, 0, 2, 2, 2]], [[0.0, 0, 0, 2, 2, 2], [0.0, 0, 0, 2, 2, 2]], 1 / 2),
    ],
)
def test_box_loss_by_hand(box_m, target_m, expected):
    assert box_loss(torch.tensor(box_m), torch.tensor(target_m)).item() == pytest.approx(expected, abs=1e-6)


def frame(num_points: int, num_superpoints: int, num_objects: int, num_queries: int, has_box=True, seed=0):
    """Return what a decoder of two layers might say of a random frame, with leaves for gradients, and the truth."""
    generator = torch.Generator().manual_seed(seed)

    def noise(*shape: int) -> torch.Tensor:
        return torch.randn(shape, generator=generator)

    superpoint = torch.arange(num_points) % max(num_superpoints, 1)
    truth = PointTruth(superpoint % (num_objects + 1) - 1, superpoint % 4 - 1)
    objects = ClipObjects(noise(num_objects, 6).abs(), torch.zeros(num_objects, dtype=torch.int64))
    targets = frame_targets(truth, superpoint, num_superpoints, objects, num_semantics=3)
    predictions = tuple(
        Prediction(
            class_logits=noise(num_queries, 2).requires_grad_(),
            mask_logits=noise(num_queries, num_points if at_points else num_superpoints).requires_grad_(),
            at_points=at_points,
            box_m=noise(num_queries, 6).abs().requires_grad_() if has_box else None,
        )
        for at_points in (False, False, True)
    )
    decoded = Decoded(
        predictions, noise(num_queries, 4).requires_grad_(), noise(num_queries, 8), torch.arange(num_queries)
    )
    return decoded, targets


@pytest.mark.parametrize("has_box", [False, True])
@pytest.mark.parametrize("exact", [False, True])
@pytest.mark.parametrize(
    ("num_points", "num_superpoints", "num_objects", "num_queries"),
    [(0, 0, 0, 0), (0, 0, 2, 0), (40, 5, 0, 5), (40, 5, 2, 0), (40, 1, 1, 1), (40, 5, 3, 1), (40, 5, 3, 5)],
)
def test_every_frame_is_legal_and_has_gradients(num_points, num_superpoints, num_objects, num_queries, exact, has_box):
    decoded, targets = frame(num_points, num_superpoints, num_objects, num_queries, has_box)
    config = CriterionConfig(MatchingConfig(exact=exact))
    for losses_of in (perception_losses, one_to_many_losses):
        losses = losses_of([decoded], [targets], config, Divisors.of([targets]))
        assert all(torch.isfinite(getattr(losses, term.name)) for term in fields(losses))
        losses.total.backward()
        for prediction in decoded.predictions:
            # Zeros where nothing matches, but never none: several processes wait for each other's gradients.
            assert prediction.class_logits.grad is not None and prediction.mask_logits.grad is not None
            assert prediction.box_m is None or prediction.box_m.grad is not None
        if num_objects == 0:
            assert losses.mask == losses.dice == losses.box == losses.matched_iou == 0


def test_the_mean_over_a_batch_counts_samples_as_published():
    full, empty = frame(40, 5, 3, 5), frame(40, 5, 0, 5, seed=1)
    config = CriterionConfig(earlier_dice_factor=1.0)
    alone = [perception_losses([each], [truth], config, Divisors.of([truth])) for each, truth in (full, empty)]
    decoded, targets = zip(full, empty, strict=True)
    both = perception_losses(decoded, targets, config, Divisors.of(targets))
    assert both.classification.item() == pytest.approx((alone[0].classification + alone[1].classification).item() / 2)
    assert both.mask.item() == pytest.approx(alone[0].mask.item())  # of samples with objects
    assert both.dice.item() == pytest.approx(alone[0].dice.item())
    assert both.box.item() == pytest.approx(alone[0].box.item() / 2)
    assert both.semantic.item() == pytest.approx((alone[0].semantic + alone[1].semantic).item() / 2)
    assert both.matched_iou.item() == pytest.approx(alone[0].matched_iou.item())


@pytest.mark.parametrize("num_objects", [(0, 0, 0, 0), (3, 0, 0, 0), (3, 0, 2, 1)])
def test_two_processes_that_average_equal_one_with_the_whole_batch(num_objects):
    samples = [frame(40, 6, num, 5, seed=seed) for seed, num in enumerate(num_objects)]
    decoded, targets = zip(*samples, strict=True)
    config, whole = CriterionConfig(earlier_dice_factor=1.0), Divisors.of(targets)
    per_process = Divisors(whole.num_samples / 2, whole.num_with_objects / 2)
    together = perception_losses(decoded, targets, config, whole).total
    apart = [perception_losses(decoded[i : i + 2], targets[i : i + 2], config, per_process).total for i in (0, 2)]
    torch.testing.assert_close((apart[0] + apart[1]) / 2, together)


def test_dice_counts_four_times_at_the_end_and_by_batch_size_before():
    decoded, targets = frame(40, 5, 3, 5)
    config, divisors = CriterionConfig(), Divisors.of([targets])
    dice = [layer.dice.item() for layer in layer_terms([decoded], [targets], config, divisors)]

    def weighted(num_samples: int, factor: float | None) -> float:
        # As many equal samples: every mean stays, only the factor of the earlier layers may change.
        config, same = CriterionConfig(earlier_dice_factor=factor), [targets] * num_samples
        return perception_losses([decoded] * num_samples, same, config, Divisors.of(same)).dice.item()

    assert weighted(1, None) == pytest.approx(4 * sum(dice), rel=1e-5)
    assert weighted(8, None) == pytest.approx(4 * dice[-1] + 0.5 * sum(dice[:-1]), rel=1e-5)
    for num_samples in (1, 8):
        assert weighted(num_samples, 1.0) == pytest.approx(4 * dice[-1] + sum(dice[:-1]), rel=1e-5)


def test_weights_scale_their_terms():
    decoded, targets = frame(40, 5, 3, 5)
    divisors, plain = Divisors.of([targets]), LossWeights()
    before = perception_losses([decoded], [targets], CriterionConfig(weights=plain), divisors)
    for name in ("classification", "mask", "dice", "box", "semantic"):
        config = CriterionConfig(weights=replace(plain, **{name: 3 * getattr(plain, name)}))
        after = perception_losses([decoded], [targets], config, divisors)
        changed = {name: 3.0} if getattr(before, name) > 0 else {}
        for term in fields(before):
            factor = changed.get(term.name, 1.0)
            assert getattr(after, term.name).item() == pytest.approx(
                factor * getattr(before, term.name).item(), rel=1e-5
            )


def test_matched_iou_is_that_of_the_last_masks():
    decoded, targets = frame(40, 4, 4, 4)  # superpoint 0 is nobody's, the others are one object each
    *earlier, last = decoded.predictions
    inside = targets.point_masks[[3, 0, 1, 2]].clone()
    inside[1, 0] = True  # one of the points of nobody: ten of eleven are right
    last = replace(last, mask_logits=torch.where(inside, 9.0, -9.0))
    decoded = replace(decoded, predictions=(*earlier, last))
    losses = perception_losses([decoded], [targets], CriterionConfig(), Divisors.of([targets]))
    assert losses.matched_iou.item() == pytest.approx((10 / 11 + 1 + 1) / 3)


def test_half_precision_is_judged_in_full():
    decoded, targets = frame(40, 5, 3, 5)
    expected = perception_losses([decoded], [targets], CriterionConfig(), Divisors.of([targets])).total
    with torch.autocast("cpu", dtype=torch.bfloat16):
        got = perception_losses([decoded], [targets], CriterionConfig(), Divisors.of([targets])).total
    assert got.dtype == torch.float32 and got.item() == expected.item()
