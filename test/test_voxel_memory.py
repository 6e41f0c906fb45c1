"""The voxel memory: two frames by hand, what it forgets, and the cases with nothing in them."""

from __future__ import annotations

import pytest
import torch

from autoseg3d_ros.model.sparse import SparseTensor, VoxelGrid
from autoseg3d_ros.model.voxel_memory import (
    MemoryAdapter,
    MemoryBounds,
    NoVoxelMemory,
    VoxelMemory,
    VoxelMemoryState,
)

STRIDE = 2
CENTRE = 13  # of the 27 cells of a kernel
BOUNDS = MemoryBounds(voxel_m=1.0, max_distance_m=1e3)


def level(voxels, sample=0):
    """Return a tensor of one channel from {x or (x, y, z): value}, x in steps of the stride."""
    rows = [(sample, *((STRIDE * key, 0, 0) if isinstance(key, int) else key)) for key in voxels]
    grid, row = VoxelGrid.of_repeated(torch.tensor(rows, dtype=torch.int64).view(-1, 4), STRIDE)
    features = torch.zeros(len(rows), 1)
    features[row] = torch.tensor([float(value) for value in voxels.values()]).view(-1, 1)
    return SparseTensor(features, grid, STRIDE)


def values(tensor):
    """Return {x in steps of the stride: value}."""
    return {
        int(x) // STRIDE: float(f) for x, f in zip(tensor.coords[:, 1], tensor.features[:, 0].detach(), strict=True)
    }


def simple_memory():
    """One channel: a voxel and its right neighbour, plus the third to the right, plus the mean."""
    memory = VoxelMemory([1]).eval()
    adapter = memory.adapters[0]
    with torch.no_grad():
        for conv in (adapter.near, adapter.far):
            conv.weight.zero_()
        adapter.near.weight[CENTRE] = adapter.near.weight[CENTRE + 1] = 1
        adapter.far.weight[CENTRE + 1] = 1
        adapter.fusion.weight.fill_(1)
        for norm in (adapter.near_norm, adapter.far_norm, adapter.fusion_norm):
            norm.running_var.fill_(1 - norm.eps)
            norm.weight.fill_(1)
    return memory


def recall(memory, state, *frames, bounds=BOUNDS):
    for frame in frames:
        (out,) = memory([frame], state, bounds)
    return out


def state_of_one():
    return VoxelMemoryState([None])


def test_two_frames_by_hand():
    memory, state = simple_memory(), state_of_one()
    # Mean 2. At 0: 1 + (1 + 3) + 0 + 2; at 1: 3 + (3 + 0) + 0 + 2. What is remembered is what came out.
    assert values(recall(memory, state, level({0: 1, 1: 3}))) == pytest.approx({0: 7, 1: 8})
    assert values(state.levels[0]) == pytest.approx({0: 7, 1: 8})
    # Remembered: maximum of {0: 7, 1: 8} and {1: 1, 4: 9}, mean 8, all in the box from 1 - 2.25 to 4 + 2.25.
    # At 1: 1 + 8 + 9 (the third to the right) + 8; at 4: 9 + 9 + 0 + 8. Now what came in is remembered.
    assert values(recall(memory, state, level({1: 1, 4: 9}))) == pytest.approx({1: 26, 4: 26})
    assert values(state.levels[0]) == pytest.approx({0: 7, 1: 8, 4: 9})


@pytest.mark.parametrize(("x", "seen"), [(-6, True), (-7, False), (14, True), (15, False)])
def test_crop_reaches_three_quarters_of_the_extent_beyond_each_side(x, seen):
    memory, state = simple_memory(), state_of_one()
    recall(memory, state, level({x: 1}))
    before = values(state.levels[0])[x]
    out = values(recall(memory, state, level({0: 1, 8: 1})))
    mean = (2 + before) / 3 if seen else 1
    assert out[0] == pytest.approx(1 + 1 + 0 + mean)
    assert len(state.levels[0].features) == 3  # outside the crop is not forgotten


def test_new_memory_changes_nothing_but_learns():
    memory, state = VoxelMemory([1]).eval(), state_of_one()
    for frame in ({0: 1, 1: 3}, {1: 2, 2: 5}, {0: 4}):
        assert values(recall(memory, state, level(frame))) == frame
    recall(memory.train(), state, level({0: 1, 1: 3, 2: 9})).features.square().sum().backward()
    assert memory.adapters[0].fusion_norm.weight.grad.abs().item() > 0


def test_new_state_remembers_nothing():
    memory = simple_memory()
    first = recall(memory, state_of_one(), level({0: 1, 1: 3}))
    again = recall(memory, state_of_one(), level({0: 1, 1: 3}))
    torch.testing.assert_close(first.features, again.features)


@pytest.mark.parametrize(
    ("max_distance_m", "max_voxels", "kept"),
    [
        (1e3, 100, {0, 1, 5, 9, 20}),
        (19.0, 100, {1, 5, 9, 20}),  # the middle is at 20, a step is a metre
        (0.0, 100, {20}),
        (1e3, 2, {9, 20}),
        (14.0, 3, {9, 20}),
    ],
)
def test_bounds_keep_the_nearest(max_distance_m, max_voxels, kept):
    memory, state = simple_memory(), state_of_one()
    recall(memory, state, level({0: 1, 1: 1, 5: 1, 9: 1}))
    out = recall(memory, state, level({20: 1}), bounds=MemoryBounds(1 / STRIDE, max_distance_m, max_voxels))
    assert set(values(state.levels[0])) == kept
    assert set(values(out)) == {20}


def test_a_frame_without_voxels_changes_nothing():
    memory, state = simple_memory(), state_of_one()
    assert values(recall(memory, state, level({}))) == {}
    assert state.levels == [None]
    recall(memory, state, level({0: 1, 1: 3}))
    assert values(recall(memory, state, level({}))) == {}
    assert set(values(state.levels[0])) == {0, 1}


def test_batch_equals_single():
    torch.manual_seed(0)
    memory = VoxelMemory([1]).eval()
    for adapter in memory.adapters:
        torch.nn.init.ones_(adapter.fusion_norm.weight)
    bounds = MemoryBounds(voxel_m=1.0, max_distance_m=50, max_voxels=3)
    clips = [
        [{0: 1, 1: 3, 9: 2}, {1: 2, 2: 5, 4: 1}, {30: 4}],
        [{5: 2, 7: 1}, {}, {6: 1, 8: 3}],
    ]
    states = [state_of_one(), state_of_one()]
    together = state_of_one()
    for frames in zip(*clips, strict=True):
        single = [
            recall(memory, state, level(frame), bounds=bounds) for state, frame in zip(states, frames, strict=True)
        ]
        both = recall(memory, together, joined(frames), bounds=bounds)
        torch.testing.assert_close(both.features, torch.cat([out.features for out in single]))
    kept = torch.cat([state.levels[0].coords[:, 1:] for state in states])
    assert together.levels[0].coords[:, 1:].tolist() == kept.tolist()


def joined(frames):
    parts = [level(frame, sample) for sample, frame in enumerate(frames)]
    coords = torch.cat([part.coords for part in parts])
    return SparseTensor(torch.cat([part.features for part in parts]), VoxelGrid.of_coords(coords, STRIDE), STRIDE)


def test_gradients_reach_the_frame_before_in_training_only():
    memory = simple_memory()
    for training in (True, False):
        state = state_of_one()
        recall(memory.train(training), state, level({0: 1, 1: 3}))
        assert state.levels[0].features.requires_grad == training


def test_no_memory():
    state = state_of_one()
    frame = level({0: 1})
    assert NoVoxelMemory()([frame], state, BOUNDS) == [frame]
    assert state.levels == [None]


def test_parameters():
    assert sum(p.numel() for p in VoxelMemory([32, 64, 128, 256]).parameters()) == 4_964_160  # method.md §10
    assert sum(p.numel() for p in MemoryAdapter(1).parameters()) == 2 * 27 + 3 + 6
