"""The losses of a run: one JSON line an iteration, TensorBoard where it is installed, and a line for the terminal."""

from __future__ import annotations

import functools
import json
import logging
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from autoseg3d_ros.training.train_config import StageConfig

LOG = "log.jsonl"
TENSORBOARD = "tensorboard"

_AVERAGED = 50  # the last iterations, for the time that is left

_logger = logging.getLogger(__name__)


class TrainLog:
    """Writes the losses of one stage into the folder of a run."""

    def __init__(self, out: Path, stage: StageConfig, first: int) -> None:
        """Begin with iteration `first`; what TensorBoard has from there on is replaced."""
        self._path, self._stage = out / LOG, stage
        self._ends_s: deque[float] = deque([time.monotonic()], maxlen=_AVERAGED + 1)
        writer = _summary_writer()
        self._writer = writer and writer(str(out / TENSORBOARD / stage.kind), purge_step=first)

    def add(self, iteration: int, values: Mapping[str, float], seconds: float) -> str:
        """Write the loss terms, and `rate` and `gradient`, of an iteration; return them as a line to read.

        `seconds` are those that the stage has taken so far.
        """
        line = {"stage": self._stage.kind, "iteration": iteration, "seconds": round(seconds, 1), **values}
        with self._path.open("a") as file:
            file.write(json.dumps(line) + "\n")
        if self._writer:
            for name, value in values.items():
                self._writer.add_scalar(name, value, iteration)
        return self._sentence(iteration, values)

    def close(self) -> None:
        """Write what TensorBoard holds back."""
        if self._writer:
            self._writer.close()

    def _sentence(self, iteration: int, values: Mapping[str, float]) -> str:
        self._ends_s.append(time.monotonic())
        each_s = (self._ends_s[-1] - self._ends_s[0]) / (len(self._ends_s) - 1)
        left_min = each_s * (self._stage.iterations - iteration - 1) / 60
        total = sum(value for name, value in values.items() if name != "gradient")
        terms = ", ".join(f"{name} {value:.3f}" for name, value in values.items())
        return (
            f"{self._stage.kind} {iteration + 1} of {self._stage.iterations}: loss {total:.3f} ({terms}), "
            f"{each_s:.2f} s each, {left_min:.0f} min left"
        )


def cut_log(out: Path, stages: Sequence[str], stage: int, iteration: int) -> None:
    """Drop the lines of a log from an iteration of a stage on: those that a killed run wrote after its checkpoint."""
    path = out / LOG
    if not path.exists():
        return
    lines = path.read_text().splitlines(keepends=True)
    kept = [line for line in lines if (place := _place(line, stages)) and place < (stage, iteration)]
    if len(kept) < len(lines):
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(kept))
        partial.replace(path)


def _place(line: str, stages: Sequence[str]) -> tuple[int, int] | None:
    """Return the stage and the iteration of a line; None where it was cut off."""
    try:
        values: Any = json.loads(line)
        return stages.index(values["stage"]), int(values["iteration"])
    except (ValueError, KeyError, TypeError):
        return None


@functools.cache  # said once
def _summary_writer() -> Any:
    """Return TensorBoard's writer of scalars, or None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        _logger.info("tensorboard is not installed: the losses are in %s alone", LOG)
        return None
    return SummaryWriter
