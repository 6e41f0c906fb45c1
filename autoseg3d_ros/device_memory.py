"""What lies on the device: moved to the CPU while nothing is segmented, and given up when memory runs out."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.segmenter_state import SegmenterState

_WORDS = ("out of memory", "can't allocate memory", "failed to allocate", "bad allocation", "bad_alloc")


@dataclass(frozen=True)
class DeviceMemory:
    """Bytes of a CUDA device: held by this process, and what the device has."""

    name: str
    used_bytes: int
    total_bytes: int


def device_memory() -> DeviceMemory | None:
    """Return what torch holds of its CUDA device; None where torch has not been loaded or uses none."""
    torch = _loaded_torch()
    if torch is None or not torch.cuda.is_available() or not torch.cuda.is_initialized():
        return None
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return DeviceMemory(properties.name, torch.cuda.memory_reserved(), properties.total_memory)


def release_cached_memory() -> None:
    """Give the memory back that torch keeps for later."""
    torch = _loaded_torch()
    if torch is not None and torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether a failure is one of memory: of Python, of torch on either device, or of onnxruntime."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and any(word in str(error).lower() for word in _WORDS)


def move_memory(state: SegmenterState, device: Any) -> None:
    """Move what the network remembers to a torch device or its name; a state without a network stays as it is."""
    if state.learned is None:
        return
    network, bank = state.learned.network, state.learned.bank
    for name, column in vars(bank).items():
        setattr(bank, name, column.to(device))
    frames = network.superpoints.frames
    for index, (features, centroid_m) in enumerate(frames):
        frames[index] = (features.to(device), centroid_m.to(device))
    network.voxels.levels = [None if one is None else _moved(one, device) for one in network.voxels.levels]


def take_over(segmenter: OnlineSegmenter, state: SegmenterState) -> None:
    """Put `state`, made under the same settings, in place of that of `segmenter`, on the device of `segmenter`."""
    if segmenter.state.learned is not None:
        move_memory(state, segmenter.state.learned.bank.embedding.device)
    segmenter.state = state


def forget_places(state: SegmenterState) -> None:
    """Forget the features of places, the one memory of the network that grows large; map, tracks and ids stay."""
    if state.learned is not None:
        voxels = state.learned.network.voxels
        voxels.levels = [None] * len(voxels.levels)


def _moved(tensor: Any, device: Any) -> Any:
    # Only the rows are moved: what a grid has computed beside them is computed again when it is asked for.
    from autoseg3d_ros.model.kernel_maps import VoxelLevel
    from autoseg3d_ros.model.sparse import SparseTensor, VoxelGrid

    level = tensor.grid.at(tensor.stride)
    grid = VoxelGrid(VoxelLevel(level.coords.to(device), level.key.to(device), tensor.stride))
    return SparseTensor(tensor.features.to(device), grid, tensor.stride)


def _loaded_torch() -> Any | None:
    # It takes a second to import and is an extra: where nobody has loaded it, it holds nothing.
    return sys.modules.get("torch")
