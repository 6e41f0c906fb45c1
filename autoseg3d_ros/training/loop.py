"""The training loop: draw clips, sum the losses, step; write checkpoints and a log; go on after a stop."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.checkpoint import save_network
from autoseg3d_ros.training.batch_share import batch_share
from autoseg3d_ros.training.clips import Clip, ClipSource
from autoseg3d_ros.training.processes import ALONE, Processes
from autoseg3d_ros.training.stages import Stage
from autoseg3d_ros.training.synchronised_norm import open_norms
from autoseg3d_ros.training.train_checkpoint import Progress, commit, load_checkpoint, save_checkpoint
from autoseg3d_ros.training.train_config import StageConfig, TrainConfig
from autoseg3d_ros.training.train_log import TrainLog, cut_log

CHECKPOINT = "checkpoint.pt"

_SEED_STRIDE = 1_000_003  # from one seed of a configuration to the next: more than a stage has iterations
_RANK_STRIDE = 7_919

_logger = logging.getLogger(__name__)


class NotFiniteError(RuntimeError):
    """A loss or a gradient that is no number; the message says which, and in which batch."""


@dataclass(frozen=True)
class TrainedStage:
    """A stage with its numbers and its clips."""

    config: StageConfig
    stage: Stage
    source: ClipSource


class Trainer:
    """Trains one network through its stages, in a folder of its own.

    With several processes each has a trainer; the first one writes the files. What a run does depends on the
    configuration and the iteration alone, so that a resumed run does what the other one would have done.
    """

    def __init__(
        self,
        network: AutoSeg3D,
        stages: Sequence[TrainedStage],
        config: TrainConfig,
        out: Path,
        processes: Processes = ALONE,
        notes: Mapping[str, str] = MappingProxyType({}),
    ) -> None:
        """Prepare a run; `notes` are written into the header of every network beside the loop's own."""
        self.network = network
        self._stages = stages
        self._config = config
        self._out = out
        self._processes = processes
        self._notes = notes

    def run(self, stopped: Callable[[], bool], report: Callable[[str], None]) -> bool:
        """Train until the end or until `stopped`; return whether the end was reached.

        `report` is given one line an iteration. Raises ConfigError where the folder holds another run,
        NotFiniteError at a loss or a gradient that is no number.
        """
        self._out.mkdir(parents=True, exist_ok=True)
        document = self._former()
        start = Progress(**document["progress"]) if document else Progress(0, 0, 0.0)
        if document:
            self.network.load_state_dict(document["network"])
        if self._is_first:
            if document and start.stage < len(self._stages):
                kind = self._stages[start.stage].config.kind
                _logger.info("%s: going on in stage %s with iteration %d", self._out, kind, start.iteration + 1)
            cut_log(self._out, [one.config.kind for one in self._stages], start.stage, start.iteration)
        state = document["optimizer"] if document else None
        for number in range(start.stage, len(self._stages)):
            if not self._run_stage(start, state, stopped, report):
                return False
            start, state = Progress(number + 1, 0, 0.0), None
        return True

    @property
    def _is_first(self) -> bool:
        return self._processes.rank == 0

    def _former(self) -> dict | None:
        path = self._out / CHECKPOINT
        return load_checkpoint(path, self._config) if path.exists() else None

    def _run_stage(
        self, start: Progress, state: dict | None, stopped: Callable[[], bool], report: Callable[[str], None]
    ) -> bool:
        trained = self._stages[start.stage]
        optimizer = optimizer_of(trained, self.network)
        if state is not None:
            optimizer.load_state_dict(state)
        log = TrainLog(self._out, trained.config, start.iteration) if self._is_first else None
        began_s = saved_s = time.monotonic()
        for iteration, clips in self._batches(trained, start.iteration):
            seconds = start.seconds + time.monotonic() - began_s
            if self._processes.any(stopped()):
                self._save(optimizer, Progress(start.stage, iteration, seconds))
                return False
            values = self._step(trained, optimizer, iteration, clips)
            seconds = start.seconds + time.monotonic() - began_s
            if log:
                report(log.add(iteration, values, seconds))
            if time.monotonic() - saved_s > self._config.checkpoint_every_s:
                self._save(optimizer, Progress(start.stage, iteration + 1, seconds))
                saved_s = time.monotonic()
        if log:
            log.close()
        self._finish(trained, start.stage)
        return True

    def _batches(self, trained: TrainedStage, first: int) -> Iterator[tuple[int, list[Clip]]]:
        """Yield this process's clips of each iteration; the next ones are drawn while the network works."""
        with ThreadPoolExecutor(max_workers=1) as pool:
            coming = pool.submit(self._draw, trained, first)
            for iteration in range(first, trained.config.iterations):
                clips = coming.result()
                if iteration + 1 < trained.config.iterations:
                    coming = pool.submit(self._draw, trained, iteration + 1)
                yield iteration, clips

    def _draw(self, trained: TrainedStage, iteration: int) -> list[Clip]:
        num_own = trained.config.batch // self._processes.count
        first = iteration * trained.config.batch + self._processes.rank * num_own
        places = [divmod(number, len(trained.source)) for number in range(first, first + num_own)]
        return [trained.source.clip(epoch, index) for epoch, index in places]

    def _step(
        self, trained: TrainedStage, optimizer: torch.optim.Optimizer, iteration: int, clips: Sequence[Clip]
    ) -> dict[str, float]:
        """Learn from a batch; return the losses of the whole batch by name, and the norm of its gradient."""
        seed = self._config.seed * _SEED_STRIDE + iteration
        torch.manual_seed(seed + _RANK_STRIDE * self._processes.rank)  # of dropout
        generator = torch.Generator().manual_seed(seed)
        for group in optimizer.param_groups:
            group["lr"] = trained.config.rate(iteration)
        batch = batch_share(clips, self.network.config, self._processes, generator)
        open_norms(self.network, batch.is_comparable)
        losses = trained.stage.losses(self.network, batch)
        parts = torch.stack(list(losses.values()))
        values = dict(zip(losses, self._processes.summed(parts.detach()).tolist(), strict=True))
        where = f"stage {trained.config.kind}, iteration {iteration + 1}"
        refuse_not_finite({f"the loss {name!r}": value for name, value in values.items()}, where, clips)
        optimizer.zero_grad()
        parts.sum().backward()
        parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
        self._processes.add_gradients(parameters)
        norm = float(nn.utils.clip_grad_norm_(parameters, trained.config.max_gradient))
        refuse_not_finite({"the norm of the gradient": norm}, where, clips)
        optimizer.step()
        return {**values, "gradient": norm}

    def _save(self, optimizer: torch.optim.Optimizer, progress: Progress) -> None:
        if self._is_first:
            save_checkpoint(self._out / CHECKPOINT, self.network, optimizer, progress, self._config)

    def _finish(self, trained: TrainedStage, number: int) -> None:
        """Write the network of a finished stage, and a checkpoint at the begin of the next one."""
        if not self._is_first:
            return
        notes = {**self._notes, "commit": commit(), "stage": trained.config.kind, "cache": self._config.cache}
        save_network(self.network, self._out / f"{trained.config.kind}.safetensors", notes)
        following = self._stages[min(number + 1, len(self._stages) - 1)]  # after the last one nothing is left to do
        self._save(optimizer_of(following, self.network), Progress(number + 1, 0, 0.0))


def optimizer_of(trained: TrainedStage, network: AutoSeg3D) -> torch.optim.AdamW:
    """Return a fresh optimizer of the modules of a stage; all others are frozen."""
    modules = freeze_all_but(network, trained.stage.trained(network))
    parameters = [parameter for module in modules for parameter in module.parameters()]
    return torch.optim.AdamW(parameters, lr=trained.config.learning_rate, weight_decay=trained.config.weight_decay)


def freeze_all_but(network: AutoSeg3D, modules: Sequence[nn.Module]) -> Sequence[nn.Module]:
    """Let only these modules learn; the others are in evaluation mode, so that their statistics stay as they are."""
    network.eval().requires_grad_(False)
    for module in modules:
        module.train().requires_grad_(True)
    return modules


def refuse_not_finite(values: Mapping[str, float], where: str, clips: Sequence[Clip]) -> None:
    """Raise NotFiniteError for the first value that is no number; `clips` are those of this process."""
    for name, value in values.items():
        if not math.isfinite(value):
            frames = "; ".join(f"{clip.scene} frames {[frame.number for frame in clip.frames]}" for clip in clips)
            raise NotFiniteError(
                f"{where}: {name} is {value} for {frames}; the last checkpoint is from before; "
                "try a lower learning_rate, or look at these frames"
            )
