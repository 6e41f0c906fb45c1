"""The backbone of the paper by each backend of sparse convolution, held against what the machine can multiply."""

from __future__ import annotations

import os
import platform
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import median

import torch
from torch import Tensor

from autoseg3d_ros.model import sparse_native, sparse_spconv, sparse_torch
from autoseg3d_ros.model.autoseg3d import NetworkInput
from autoseg3d_ros.model.backbone import Res16UNet34C
from autoseg3d_ros.model.group_reduction import mean_by_group
from autoseg3d_ros.model.kernel_maps import KernelMap
from autoseg3d_ros.model.sparse import Backend, Convolution, SparseTensor, VoxelGrid

_GEMM = (4096, 1024, 1024)
_REPEATS = 7
_CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class BackendTiming:
    """One backend on one frame, kernel maps included."""

    backend: str
    backbone_ms: float
    gflops: float  # billion operations a second
    share_of_gemm: float  # of what one large product reaches on this machine
    difference: float  # largest, to plain torch, over the largest feature


def machine() -> dict[str, str | int]:
    """Return what the figures depend on beside the code."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "processor": processor(),
        "cores": os.cpu_count() or 1,
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def processor() -> str:
    """Return the name of the processor, as exactly as the system tells."""
    names = re.findall(r"^model name\s*:\s*(.+)$", _CPUINFO.read_text(), re.MULTILINE) if _CPUINFO.exists() else []
    return names[0] if names else platform.machine()


def gemm_gflops() -> float:
    """Return the billion operations a second of one large float32 product, best of several."""
    m, k, n = _GEMM
    a, b = torch.randn(m, k), torch.randn(k, n)
    return 2e-9 * m * k * n / min(_seconds(lambda: a @ b) for _ in range(_REPEATS))


@torch.inference_mode()
def time_backends(points: NetworkInput, gemm: float) -> tuple[float, list[BackendTiming]]:
    """Return the GFLOP of the backbone of the paper on a frame, and the timing of each backend that is installed.

    They take turns, so that what else the machine does meets all of them. `gemm` in billion operations a second.
    """
    backbone = Res16UNet34C().eval()
    gflop = _gflop(backbone, points)
    backends = _backends()
    features = {name: backend(backbone, points) for name, backend in backends.items()}
    seconds: dict[str, list[float]] = {name: [] for name in backends}
    for _ in range(_REPEATS):
        for name, backend in backends.items():
            seconds[name].append(_seconds(partial(backend, backbone, points)))
    plain, timings = features["torch"], []
    for name, times in seconds.items():
        typical_s = median(times)
        difference = float((features[name] - plain).abs().max() / plain.abs().max())
        timings.append(BackendTiming(name, typical_s * 1e3, gflop / typical_s, gflop / typical_s / gemm, difference))
    return gflop, timings


def _backends() -> dict[str, Callable[[Res16UNet34C, NetworkInput], Tensor]]:
    backends: dict[str, Callable[[Res16UNet34C, NetworkInput], Tensor]] = {"torch": _by_plain_torch}
    if sparse_native.library() is not None:
        backends["compiled"] = partial(_run, None)
    if sparse_spconv.is_available():
        backends["spconv"] = partial(_run, sparse_spconv.convolve)
    return backends


def _by_plain_torch(backbone: Res16UNet34C, points: NetworkInput) -> Tensor:
    with sparse_native.plain_torch():
        return _run(None, backbone, points)


def _run(backend: Backend | None, backbone: Res16UNet34C, points: NetworkInput) -> Tensor:
    """Run the backbone on a fresh grid, so that the kernel maps are built."""
    for module in backbone.modules():
        if isinstance(module, Convolution):
            module.backend = backend
    grid = VoxelGrid.of_coords(points.grid.coords, 1)
    colour = mean_by_group(points.colour, points.voxel_of_point, grid.num_voxels(1))
    return backbone(SparseTensor(colour, grid, 1)).features


def _gflop(backbone: Res16UNet34C, points: NetworkInput) -> float:
    """Count the products of one run: of the pairs of voxels that there are, not of the whole kernel."""
    products = 0

    def counting(features: Tensor, weight: Tensor, kernel_map: KernelMap) -> Tensor:
        nonlocal products
        products += int((kernel_map.table < kernel_map.num_in).sum()) * weight.shape[1] * weight.shape[2]
        return sparse_torch.convolve(features, weight, kernel_map)

    _run(counting, backbone, points)
    return 2e-9 * products


def _seconds(work: Callable[[], object]) -> float:
    start_s = time.perf_counter()
    work()
    return time.perf_counter() - start_s
