"""What a process learns from: its clips of a batch, with what has to be known of the whole batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.training.clips import Clip
from autoseg3d_ros.training.criterion import Divisors
from autoseg3d_ros.training.processes import Processes
from autoseg3d_ros.training.samples import FrameSample, frame_sample

_LEAST_QUERY_SHARE = 0.5  # of the superpoints become queries in training (`method.md` §2.4)


@dataclass(frozen=True)
class BatchShare:
    """The clips of one process; the losses of all processes add up to those of the batch."""

    clips: Sequence[Sequence[FrameSample]]  # of equally many frames
    queries: Sequence[Sequence[Tensor]]  # (Q,) int64 of each frame of each clip: the superpoints that are queries
    divisors: Divisors  # of the whole batch
    is_comparable: bool  # every process has a point in each frame: statistics over all processes can be taken


def batch_share(
    clips: Sequence[Clip], network: NetworkConfig, processes: Processes, generator: torch.Generator
) -> BatchShare:
    """Return the share of the process that has these clips; all processes have equally many.

    Queries are drawn for the clips of all processes, in the order in which one process would.
    """
    counts = processes.gathered(_counts(clips))
    queries = draw_queries(counts[:, 1:].tolist(), generator)
    first = processes.rank * len(clips)
    device = processes.device
    return BatchShare(
        clips=[[frame_sample(clip, index, network, device) for index in range(len(clip.frames))] for clip in clips],
        queries=[[query.to(device) for query in frames] for frames in queries[first : first + len(clips)]],
        divisors=Divisors(len(counts), int((counts[:, 0] > 0).sum())),
        is_comparable=bool(counts[:, 1:].view(processes.count, len(clips), -1).sum(dim=1).all()),
    )


def draw_queries(num_superpoints: Sequence[Sequence[int]], generator: torch.Generator) -> list[list[Tensor]]:
    """Return a random half or more of the superpoints of each frame of each clip, ascending (Q,) int64.

    The first frames of all clips are drawn first.
    """
    by_frame = [[_draw(num, generator) for num in frames] for frames in zip(*num_superpoints, strict=True)]
    return [list(clip) for clip in zip(*by_frame, strict=True)]


def _draw(num: int, generator: torch.Generator) -> Tensor:
    share = _LEAST_QUERY_SHARE + (1 - _LEAST_QUERY_SHARE) * float(torch.rand((), generator=generator))
    return torch.randperm(num, generator=generator)[: math.ceil(share * num)].sort().values


def _counts(clips: Sequence[Clip]) -> Tensor:
    """Return the objects of each clip, and the superpoints of each of its frames (B, 1 + T) int64."""
    return torch.tensor([[len(clip.instance), *(frame.num_superpoints for frame in clip.frames)] for clip in clips])
