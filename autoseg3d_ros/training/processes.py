"""Several processes that train one network, each from its share of every batch; `torchrun` starts them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, distributed, nn

from autoseg3d_ros.setting import ConfigError

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class Processes:
    """Those that train together, and which of them this one is. Every call that they share, all of them make."""

    rank: int = 0
    count: int = 1
    device: torch.device = _CPU

    def summed(self, values: Tensor) -> Tensor:
        """Return the sum of the values (any shape, the same everywhere) of all processes; without gradients."""
        if self.count == 1:
            return values
        total = values.detach().to(self.device, copy=True)
        distributed.all_reduce(total)
        return total.to(values.device)

    def gathered(self, rows: Tensor) -> Tensor:
        """Return the rows (R, ...) of all processes, by rank (count * R, ...)."""
        if self.count == 1:
            return rows
        parts = [torch.empty_like(rows, device=self.device) for _ in range(self.count)]
        distributed.all_gather(parts, rows.to(self.device))
        return torch.cat(parts).to(rows.device)

    def any(self, flag: bool) -> bool:
        """Return whether the flag is raised in any process."""
        return bool(self.summed(torch.tensor(float(flag))) > 0)

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Give each parameter the sum of its gradients in all processes; none where no process has one."""
        if self.count == 1:
            return
        gradients = [torch.zeros_like(one) if one.grad is None else one.grad for one in parameters]
        has_one = torch.tensor([float(one.grad is not None) for one in parameters], device=gradients[0].device)
        total = self.summed(torch.cat([*(gradient.flatten() for gradient in gradients), has_one]))
        pieces = total.split([one.numel() for one in parameters] + [len(parameters)])
        any_has_one = pieces[-1].tolist()
        for parameter, piece, exists in zip(parameters, pieces[:-1], any_has_one, strict=True):
            parameter.grad = piece.view_as(parameter).clone() if exists else None


ALONE = Processes()


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Join the processes that `torchrun` started, for as long as the context lasts; without it, this one is alone.

    On `cuda` each takes a GPU of its own and they talk by NCCL, else by gloo. Raises ConfigError for a named GPU.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes(device=torch.device(device))
        return
    if device not in ("cpu", "cuda"):
        raise ConfigError(f"device: with {count} processes expected cpu or cuda (each takes its own), got {device!r}")
    own = torch.device(device, int(os.environ["LOCAL_RANK"])) if device == "cuda" else torch.device("cpu")
    if own.type == "cuda":
        torch.cuda.set_device(own)
    distributed.init_process_group("nccl" if own.type == "cuda" else "gloo")
    try:
        yield Processes(distributed.get_rank(), count, own)
    finally:
        distributed.destroy_process_group()
