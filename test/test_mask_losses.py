from __future__ import annotations

import numpy as np
import parity_cases
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from parity_cases import ParityCase

from autoseg3d_ros.training.mask_losses import bce_loss, bce_matrix, dice_loss, dice_matrix, mask_iou

LOG_2 = float(np.log(2))


@parity_cases.parametrize("util_mask_losses_")
def test_published_mask_losses(case: ParityCase) -> None:
    logits = torch.from_numpy(case.given("logits"))
    masks, paired = torch.from_numpy(case.given("targets")), torch.from_numpy(case.given("targets_paired"))
    close = {"rtol": 0, "atol": 1e-5}
    np.testing.assert_allclose(bce_matrix(logits, masks), case.expected("batch_bce"), **close)
    np.testing.assert_allclose(dice_matrix(logits, masks), case.expected("batch_dice"), **close)
    np.testing.assert_allclose(mask_iou(logits, paired), case.expected("mask_iou"), **close)
    for loss_of, name in ((bce_loss, "bce"), (dice_loss, "dice")):
        leaf = logits.clone().requires_grad_()
        loss = loss_of(leaf, paired)
        loss.backward()
        np.testing.assert_allclose(loss.item(), case.expected(f"{name}_loss"), **close)
        np.testing.assert_allclose(leaf.grad, case.expected(f"grad_{name}"), **close)


@pytest.mark.parametrize(
    ("logits", "masks", "bce", "dice", "iou"),
    [
        (np.zeros((0, 4)), np.zeros((0, 4), bool), 0, 0, []),
        (np.zeros((2, 0)), np.zeros((2, 0), bool), 0, 0, [0, 0]),
        ([[0.0, 0]], [[True, False]], LOG_2, 1 / 3, [0]),
        ([[99.0, -99]], [[True, False]], 0, 0, [1]),
        ([[99.0, -99]], [[False, True]], 99, 2 / 3, [0]),
        ([[99.0, 99], [0, 0]], [[True, False], [False, False]], (99 + 2 * LOG_2) / 4, (1 / 4 + 1 / 2) / 2, [0.5, 0]),
    ],
)
def test_mask_losses_by_hand(logits, masks, bce, dice, iou):
    logits, masks = torch.tensor(logits, dtype=torch.float32), torch.tensor(masks)
    assert bce_loss(logits, masks).item() == pytest.approx(bce, abs=1e-5)
    assert dice_loss(logits, masks).item() == pytest.approx(dice, abs=1e-5)
    assert mask_iou(logits, masks).tolist() == iou


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 5), st.integers(0, 4), st.integers(1, 9), st.integers(0, 1000))
def test_matrices_hold_the_losses_of_all_pairs(num_queries, num_objects, num_points, seed):
    generator = torch.Generator().manual_seed(seed)
    logits = 5 * torch.randn(num_queries, num_points, generator=generator)
    masks = torch.rand(num_objects, num_points, generator=generator) < 0.5
    for matrix_of, loss_of in ((bce_matrix, bce_loss), (dice_matrix, dice_loss)):
        matrix = matrix_of(logits, masks)
        assert matrix.shape == (num_queries, num_objects)
        expected = [[loss_of(row[None], mask[None]) for mask in masks] for row in logits]
        torch.testing.assert_close(matrix, torch.tensor(expected).reshape(matrix.shape), rtol=0, atol=1e-5)
