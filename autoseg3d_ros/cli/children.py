"""Child processes with a log file each, which never outlive the command that started them."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType

from autoseg3d_ros.cli.errors import CommandError

_POLL_S = 0.05
_ESCALATION = ((signal.SIGINT, 10.0), (signal.SIGTERM, 5.0), (signal.SIGKILL, 5.0))
_QUOTED_LINES = 15


@dataclass(frozen=True)
class Child:
    """One running process."""

    name: str
    process: subprocess.Popen[bytes]
    log: Path

    def describe_end(self) -> str:
        """Return how it ended and the last lines it wrote."""
        lines = self.log.read_text(errors="replace").splitlines()[-_QUOTED_LINES:]
        return f"{self.name} ended with code {self.process.poll()}; the end of {self.log}:\n" + "\n".join(lines)


class Children:
    """Starts processes; on leaving the context those that still run are ended, the latest first."""

    def __init__(self, log_folder: Path, environment: Mapping[str, str]) -> None:
        self._log_folder = log_folder
        self._environment = dict(environment)
        self._children: list[Child] = []

    def __enter__(self) -> Children:
        self._log_folder.mkdir(parents=True, exist_ok=True)
        # SIGTERM has to unwind this context like Ctrl-C does, or the children would be left behind.
        self._former_handler = signal.signal(signal.SIGTERM, _exit_as_terminated)
        return self

    def __exit__(
        self, _type: type[BaseException] | None, _error: BaseException | None, _traceback: TracebackType | None
    ) -> None:
        try:
            for child in reversed(self._children):
                self.end(child)
        finally:  # a second Ctrl-C: no more patience
            for child in self._children:
                child.process.kill()
            signal.signal(signal.SIGTERM, self._former_handler)

    def start(self, name: str, command: Sequence[str | Path]) -> Child:
        """Start a process whose output goes to `<name>.log`."""
        log = self._log_folder / f"{name}.log"
        with log.open("wb") as output:
            # A session of its own: Ctrl-C reaches this command alone, which then ends the children in order.
            process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environment,
                start_new_session=True,
            )
        child = Child(name, process, log)
        self._children.append(child)
        return child

    def wait_until(self, is_done: Callable[[], bool], what: str, timeout_s: float, needed: Sequence[Child]) -> None:
        """Wait for `is_done`. Raises CommandError after `timeout_s`, or as soon as one of `needed` has ended."""
        deadline_s = time.monotonic() + timeout_s
        while not is_done():
            for child in needed:
                if child.process.poll() is not None and not is_done():
                    raise CommandError(f"waiting for {what}: {child.describe_end()}")
            if time.monotonic() > deadline_s:
                raise CommandError(f"waiting for {what}: nothing after {timeout_s:.0f} s; see {self._log_folder}")
            time.sleep(_POLL_S)

    def end(self, child: Child) -> int:
        """Ask the process to end, insist, and return its exit code."""
        for number, patience_s in _ESCALATION:
            if child.process.poll() is not None:
                break
            child.process.send_signal(number)
            try:
                child.process.wait(patience_s)
            except subprocess.TimeoutExpired:
                continue
        return child.process.wait()


def _exit_as_terminated(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
