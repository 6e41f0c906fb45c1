"""`autoseg3d train`: train a network through its stages; the same command goes on after a stop."""

from __future__ import annotations

import argparse

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption


def execute(args: argparse.Namespace) -> int:
    """Train, or go on training; return 0, or 130 after Ctrl-C."""
    try:
        from autoseg3d_ros.training.build import build_trainer
        from autoseg3d_ros.training.loop import NotFiniteError
        from autoseg3d_ros.training.processes import joined
        from autoseg3d_ros.training.train_config import load
    except ImportError as error:
        raise CommandError(f"needs torch and safetensors ({error}); pip install torch safetensors") from error
    config = load(args.config)
    try:
        with Interruption() as interruption, joined(args.device) as processes:
            trainer = build_trainer(config, args.out, processes)
            is_done = trainer.run(interruption.__bool__, _Lines(args.every).say)
    except NotFiniteError as error:
        raise CommandError(str(error)) from error
    if processes.rank == 0:
        use = f"trained; use it: --model {args.out / config.stages[-1].kind}.safetensors"
        print(f"{args.out}: {use if is_done else 'stopped; the same command goes on'}")
    return interruption.exit_code


class _Lines:
    """Prints every so many-th line."""

    def __init__(self, every: int) -> None:
        self._every, self._count = max(every, 1), 0

    def say(self, line: str) -> None:
        if self._count % self._every == 0:
            print(line, flush=True)
        self._count += 1
