"""Child processes of the demo: waited for, quoted and never left behind; and the sequence that it generates."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from builders import digest

from autoseg3d_ros.cli.children import Children
from autoseg3d_ros.cli.demo_sequence import generated_sequence
from autoseg3d_ros.cli.errors import CommandError

REPOSITORY = Path(__file__).resolve().parents[1]


def children(folder: Path) -> Children:
    return Children(folder, os.environ)


def test_children_are_waited_for_quoted_and_ended(tmp_path: Path) -> None:
    with children(tmp_path) as processes:
        sleeper = processes.start("sleeper", ["sleep", "600"])
        failing = processes.start("failing", ["sh", "-c", "echo out of coffee; exit 3"])
        with pytest.raises(CommandError, match=r"(?s)the kettle: failing ended with code 3.*out of coffee"):
            processes.wait_until(lambda: False, "the kettle", 60.0, [sleeper, failing])
        with pytest.raises(CommandError, match="nothing after 0 s"):
            processes.wait_until(lambda: False, "the kettle", 0.1, [sleeper])
    # Where the tests run in the background of a shell, children are born deaf to SIGINT, and SIGTERM ends them.
    assert sleeper.process.returncode in (-signal.SIGINT, -signal.SIGTERM)


def test_a_child_that_ignores_ctrl_c_is_terminated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("autoseg3d_ros.cli.children._ESCALATION", ((signal.SIGINT, 0.2), (signal.SIGTERM, 20.0)))
    with children(tmp_path) as processes:
        deaf = processes.start("deaf", ["sh", "-c", "trap '' INT; echo up; while :; do sleep 0.1; done"])
        processes.wait_until(lambda: "up" in deaf.log.read_text(), "the trap", 20.0, [deaf])
    assert deaf.process.returncode == -signal.SIGTERM


def test_sigterm_ends_the_children_too(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, sys, time; from autoseg3d_ros.cli.children import Children\n"
        f"with Children(pathlib.Path({str(tmp_path)!r}), os.environ) as processes:\n"
        "    print(processes.start('sleeper', ['sleep', '600']).process.pid, flush=True)\n"
        "    time.sleep(600)"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child_pid = int(parent.stdout.readline())
    parent.terminate()
    assert parent.wait(timeout=30) == 143
    with pytest.raises(ProcessLookupError):
        os.kill(child_pid, 0)


def test_the_demo_sequence_is_made_once_and_nothing_foreign_is_touched(tmp_path: Path) -> None:
    pytest.importorskip("embreex")
    path = generated_sequence(tmp_path / "sequence", num_frames=1, seed=7, furniture_kind="closed")
    first = digest(path)
    made_ns = (path / "camera.yaml").stat().st_mtime_ns
    assert digest(generated_sequence(path, num_frames=1, seed=7, furniture_kind="closed")) == first
    assert (path / "camera.yaml").stat().st_mtime_ns == made_ns
    assert digest(generated_sequence(path, num_frames=1, seed=8, furniture_kind="closed")) != first
    (path / "generated.json").unlink()
    with pytest.raises(CommandError, match="move it away"):
        generated_sequence(path, num_frames=1, seed=7, furniture_kind="closed")
    assert (path / "camera.yaml").exists()
