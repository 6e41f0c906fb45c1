"""An ordinary workspace, the repository under src/: `colcon build` gives a usable overlay of copies or of links."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from overlay_build import build_command, build_environment

ROOT = Path(__file__).resolve().parents[1]
NOT_SOURCE = shutil.ignore_patterns(".*", "__pycache__", "build", "install", "log", "out", "*.egg-info")
PREFIX = Path(sys.prefix)

USE = """
import autoseg3d_ros.structures
from autoseg3d_ros.msg import Instance, InstanceArray, InstanceEvent, Segmentation
from autoseg3d_ros.srv import GetInstances, LoadMap, SaveMap
from rclpy.serialization import deserialize_message, serialize_message
message = InstanceArray(instances=[Instance(id=7)])
assert deserialize_message(serialize_message(message), InstanceArray) == message
print(autoseg3d_ros.structures.__file__)
"""


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    shutil.copytree(ROOT, folder / "src/autoseg3d_ros", ignore=NOT_SOURCE)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("install", "options"), [("copied", ()), ("linked", ("--symlink-install",))])
def test_colcon_build(workspace: Path, install: str, options: tuple[str, ...]):
    # One build folder for both, so that the messages are compiled once; only this part differs in kind.
    shutil.rmtree(workspace / "build/autoseg3d_ros/ament_cmake_python", ignore_errors=True)
    environment = build_environment(PREFIX)
    command = build_command(PREFIX, "--install-base", install, *options)
    built = subprocess.run(command, cwd=workspace, env=environment, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stdout + built.stderr

    prefix = workspace / install / "autoseg3d_ros"
    for name in ("autoseg3d", "player", "recorder", "segmenter_node"):
        assert (prefix / "lib/autoseg3d_ros" / name).stat().st_mode & 0o111
    for name in ("config/default.yaml", "launch/online_seg.launch.py", "rviz/online_seg.rviz", "models/manifest.yaml"):
        assert (prefix / "share/autoseg3d_ros" / name).exists()

    script = f'source {install}/setup.bash && exec "{sys.executable}" -c "$0"'
    used = subprocess.run(
        ["bash", "-c", script, USE], cwd=workspace, env=environment, capture_output=True, text=True, check=False
    )
    assert used.returncode == 0, used.stderr
    structures = Path(used.stdout.strip())
    assert structures.is_relative_to(prefix)
    assert structures.is_symlink() == bool(options)
