"""What the network remembers can leave its device and come back; failures of memory are told from others."""

from __future__ import annotations

import types

import pytest

pytest.importorskip("torch", reason="torch is not installed")

import torch

from autoseg3d_ros import device_memory
from autoseg3d_ros.learned_memory import LearnedMemory
from autoseg3d_ros.memory.bank import TrackBank
from autoseg3d_ros.memory.short_term import ShortTermState
from autoseg3d_ros.model.autoseg3d import NetworkState
from autoseg3d_ros.model.sparse import SparseTensor, VoxelGrid


def a_state(device: str) -> types.SimpleNamespace:
    """Return a state whose memories hold something each."""
    superpoints = ShortTermState(2)
    superpoints.remember(torch.ones(3, 4, device=device), torch.ones(3, 3, device=device))
    memory = LearnedMemory(NetworkState(superpoints), TrackBank(5, 4, device))
    grid, _row = VoxelGrid.of_points(torch.tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]), torch.zeros(2), 0.02)
    memory.network.voxels.levels[1] = SparseTensor(torch.ones(2, 4), grid)
    return types.SimpleNamespace(learned=memory)


def tensors(state: types.SimpleNamespace) -> list:
    network, bank = state.learned.network, state.learned.bank
    level = network.voxels.levels[1]
    return [*vars(bank).values(), *network.superpoints.frames[0], level.features, level.coords, level.grid.at(1).key]


def test_geometry_has_nothing_to_move():
    state = types.SimpleNamespace(learned=None)
    device_memory.move_memory(state, "cpu")
    device_memory.forget_places(state)
    assert state.learned is None


def test_all_of_it_moves():
    state = a_state("cpu")
    coords, num_tensors = state.learned.network.voxels.levels[1].coords.clone(), len(tensors(state))
    device_memory.move_memory(state, "cpu")
    assert torch.equal(state.learned.network.voxels.levels[1].coords, coords)
    device_memory.move_memory(state, "meta")  # a device that every machine has
    assert [tensor.device.type for tensor in tensors(state)] == ["meta"] * num_tensors
    assert state.learned.network.voxels.levels[0] is None


def test_a_state_is_taken_over_on_the_device_of_the_segmenter():
    segmenter = types.SimpleNamespace(state=types.SimpleNamespace(learned=a_state("cpu").learned))
    device_memory.move_memory(segmenter.state, "meta")
    state = a_state("cpu")
    device_memory.take_over(segmenter, state)
    assert segmenter.state is state
    assert {tensor.device.type for tensor in tensors(state)} == {"meta"}


def test_places_are_forgotten_and_tracks_are_not():
    state = a_state("cpu")
    bank = state.learned.bank
    device_memory.forget_places(state)
    assert state.learned.network.voxels.levels == [None] * 4
    assert state.learned.bank is bank and state.learned.network.superpoints.frames


@pytest.mark.parametrize(
    "error, is_memory",
    [
        (MemoryError(), True),
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), True),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), True),
        (RuntimeError("the masks broke"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_failures_of_memory(error, is_memory):
    assert device_memory.is_out_of_memory(error) == is_memory
