from __future__ import annotations

import numpy as np
import parity_cases
import pytest
import torch
from parity_cases import ParityCase
from published_modules import load
from torch import nn

from autoseg3d_ros.memory.short_term import NoShortTermMemory, ShortTermMemory, ShortTermState

WIDTH, HEADS = 16, 4
CLOSE = {"rtol": 0, "atol": 1e-6}


def frame(num_superpoints, seed):
    """Return features (S, C) and centroids (S, 3)."""
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(num_superpoints, WIDTH, generator=generator),
        3 * torch.rand(num_superpoints, 3, generator=generator),
    )


def memory(max_distance_weight=10.0, weight_per_m=None):
    """Return a memory in which distance counts as drawn, or `weight_per_m` for all."""
    torch.manual_seed(0)
    module = ShortTermMemory(WIDTH, HEADS, max_distance_weight).eval()
    nn.init.normal_(module.attention.in_proj_bias)
    if weight_per_m is not None:
        nn.init.constant_(module.distance_weight.bias, weight_per_m)
    return module


def run(module, *frames, num_frames=1):
    """Return the refreshed features of the last of these frames."""
    state = ShortTermState(num_frames)
    with torch.no_grad():
        return [module(*one, state) for one in frames][-1]


@parity_cases.parametrize("stm_")
@torch.no_grad()
def test_published_numbers(case: ParityCase) -> None:
    module = load(ShortTermMemory(), "short_term.", case.meta["weights_seed"], case.meta.get("weight_overrides"))
    state, limit = ShortTermState(num_frames=1), case.meta["max_abs_value"]
    for frame_number in range(sum(name.startswith("fused_") for name in limit)):
        features, centroid_m = (
            torch.from_numpy(case.given(f"{name}_{frame_number}")) for name in ("features", "centroids")
        )
        got = {f"fused_{frame_number}": module(features, centroid_m, state)}
        if frame_number > 0:
            got[f"tau_{frame_number}"] = module.weight(features)
        for name, value in got.items():
            tolerance = 2e-5 * max(1.0, limit[name])
            np.testing.assert_allclose(value.numpy(), case.expected(name), rtol=0, atol=tolerance, err_msg=name)


def test_the_first_frame_passes_unchanged():
    features, centroid_m = frame(5, seed=0)
    assert (features < 0).any()
    assert torch.equal(run(memory(), (features, centroid_m)), features)


def test_without_distance_it_is_plain_attention():
    module, before, now = memory(weight_per_m=0.0), frame(5, seed=0), frame(4, seed=1)
    read = module.attention(now[0], before[0], before[0])[0]
    torch.testing.assert_close(run(module, before, now), (now[0] + read).relu(), **CLOSE)


def test_where_distance_is_all_it_reads_the_nearest():
    module, before, now = memory(max_distance_weight=1e9, weight_per_m=1e6), frame(5, seed=0), frame(4, seed=1)
    nearest = before[0][torch.cdist(now[1], before[1]).argmin(dim=1)]
    value_weight, value_bias = module.attention.in_proj_weight.chunk(3)[2], module.attention.in_proj_bias.chunk(3)[2]
    read = module.attention.out_proj(nn.functional.linear(nearest, value_weight, value_bias))
    torch.testing.assert_close(run(module, before, now), (now[0] + read).relu(), **CLOSE)


def test_the_weight_of_distance_is_bounded_from_above_only():
    module = memory(max_distance_weight=1.5)
    module.distance_weight.bias.data = torch.tensor([-7.0, 0.5, 1.5, 20.0])
    assert module.weight(torch.zeros(1, WIDTH)).tolist() == [[-7.0, 0.5, 1.5, 1.5]]


def test_what_is_remembered_is_what_was_made_of_a_frame():
    module, frames = memory(), [frame(4, seed) for seed in range(3)]
    state = ShortTermState(1)
    with torch.no_grad():
        module(*frames[0], state)
        fused = module(*frames[1], state)
    assert torch.equal(state.recall()[0], fused)
    assert torch.equal(run(module, (fused, frames[1][1]), frames[2]), run(module, *frames))


def test_more_frames_are_read_as_one_and_the_oldest_is_forgotten():
    module, (a, b, c, now) = memory(), (frame(4, seed) for seed in range(4))
    state = ShortTermState(2)
    for one in (a, b, c):
        state.remember(*one)
    together = ShortTermState(1)
    together.remember(torch.cat((b[0], c[0])), torch.cat((b[1], c[1])))
    torch.testing.assert_close(module(*now, state), module(*now, together), **CLOSE)


@pytest.mark.parametrize("num_frames", [1, 2])
def test_a_frame_without_superpoints_changes_nothing(num_frames):
    module, nothing, before, now = memory(), frame(0, seed=0), frame(4, seed=1), frame(3, seed=2)
    assert run(module, nothing).shape == run(module, before, nothing).shape == (0, WIDTH)
    assert torch.equal(run(module, nothing, now), now[0])
    assert torch.equal(
        run(module, before, nothing, now, num_frames=num_frames), run(module, before, now, num_frames=num_frames)
    )


def test_gradients_reach_all_weights_and_in_training_earlier_frames():
    module = ShortTermMemory(WIDTH, HEADS)
    for training in (True, False):
        first, state = frame(4, seed=0)[0].requires_grad_(), ShortTermState(1)
        module.train(training)
        module(first, frame(4, seed=0)[1], state)
        module(*frame(5, seed=1), state).square().sum().backward()
        assert (first.grad is not None) == training
    assert [name for name, p in module.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6] == []


def test_dropout_in_training_only():
    module, before, now = ShortTermMemory(WIDTH, HEADS, dropout=0.5), frame(20, seed=0), frame(20, seed=1)
    assert not torch.equal(run(module, before, now), run(module, before, now))
    module.eval()
    assert torch.equal(run(module, before, now), run(module, before, now))


def test_size():
    assert sum(parameter.numel() for parameter in ShortTermMemory().parameters()) == 38_024


def test_switched_off_it_changes_and_remembers_nothing():
    module, state, (features, centroid_m) = NoShortTermMemory(), ShortTermState(1), frame(4, seed=0)
    for _ in range(2):
        assert module(features, centroid_m, state) is features
    assert not state.frames


def test_a_residual_memory_begins_by_adding_nothing_and_keeps_signs():
    memory, state = ShortTermMemory(16, 4, residual=True).eval(), ShortTermState(1)
    centroid_m, features = torch.rand(5, 3), torch.randn(5, 16)
    memory(torch.randn(5, 16), centroid_m, state)
    assert torch.equal(memory(features, centroid_m, state), features)
    torch.nn.init.normal_(memory.attention.out_proj.weight)
    refreshed = memory(features, centroid_m, state)
    assert (refreshed < 0).any() and not torch.equal(refreshed, features)
