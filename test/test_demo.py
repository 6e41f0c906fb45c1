"""The demo over real DDS: three processes, and the very labels of the offline run."""

from __future__ import annotations

from pathlib import Path

import pytest
from builders import digest, recorded_folder

from autoseg3d_ros.cli.doctor import overlay_prefix
from autoseg3d_ros.cli.main import main

GEOMETRY = ("--model", "none")

pytestmark = pytest.mark.skipif(
    overlay_prefix() is None, reason="the overlay is not sourced: source install/setup.bash"
)


def test_the_live_node_gives_what_the_offline_run_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "source"
    recorded_folder(source, 5)
    (source / "depth" / "000002.png").unlink()  # the player goes on with the next frame
    assert main(["demo", str(source), "--out", str(tmp_path / "demo"), *GEOMETRY]) == 0
    said = capsys.readouterr().out
    assert "4 of 4 came through the node" in said and "model none: geometry alone" in said
    assert main(["run", str(source), "--out", str(tmp_path / "run"), *GEOMETRY]) == 0
    live, offline = digest(tmp_path / "demo" / "run"), digest(tmp_path / "run")
    assert [live[f"labels/{number:06d}.png"] for number in range(4)] == [
        offline[f"labels/{number:06d}.png"] for number in (0, 1, 3, 4)
    ]
    for name in ("instances.json", "map.ply", "topdown.png"):
        assert live[name] == offline[name], name
    assert "scores.json" in live


def test_a_demo_of_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(tmp_path / "nowhere"), "--out", str(tmp_path / "demo")]) == 1
    assert "no such file or folder" in capsys.readouterr().err
