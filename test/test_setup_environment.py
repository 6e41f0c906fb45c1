"""`make setup`: what is done is skipped, what was interrupted is mended, what is missing is said in one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import overlay_build
import pytest
import setup_environment
from setup_environment import SetupError, Step

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty checkout that set-up works on."""
    monkeypatch.setattr(setup_environment, "ROOT", tmp_path)
    monkeypatch.setattr(setup_environment, "VENV", tmp_path / ".venv")
    monkeypatch.setattr(setup_environment, "STAMPS", tmp_path / ".venv/stamps")
    monkeypatch.setattr(setup_environment, "LOGS", tmp_path)
    (tmp_path / ".venv").mkdir()
    return tmp_path


def step(name: str, output: Path, run: Callable[[], None], depends_on: str = "1", disk_gb: float = 0.0) -> Step:
    return Step(name, name, run, depends_on, output, disk_gb)


def test_steps_run_once_until_something_changes(checkout):
    output, runs = checkout / "output", []

    def make() -> None:
        runs.append(1)
        output.touch()

    assert [setup_environment.run_due([step("a", output, make, key)]) for key in "1122"] == [1, 0, 1, 0]
    output.unlink()
    assert setup_environment.run_due([step("a", output, make, "2")]) == 1
    assert len(runs) == 3


def test_a_step_that_failed_runs_again(checkout):
    def fail() -> None:
        raise SetupError("no")

    assert setup_environment.run_due([step("a", checkout, lambda: None)]) == 1
    with pytest.raises(SetupError):
        setup_environment.run_due([step("a", checkout, fail, "2")])
    assert setup_environment.run_due([step("a", checkout, lambda: None, "1")]) == 1


def test_a_new_venv_makes_all_later_steps_due(checkout):
    def recreate() -> None:
        shutil.rmtree(checkout / ".venv")
        (checkout / ".venv").mkdir()

    later = [step("b", checkout, lambda: None), step("c", checkout, lambda: None)]
    assert setup_environment.run_due([step("a", checkout, lambda: None), *later]) == 3
    assert setup_environment.run_due([step("a", checkout, recreate, "2"), *later]) == 3


def test_half_installed_packages_are_forgotten(checkout):
    packages = checkout / ".venv/lib/python3.11/site-packages"
    for name in ("whole-1.0.dist-info", "half-1.0.dist-info"):
        (packages / name).mkdir(parents=True)
    (packages / "whole-1.0.dist-info/INSTALLER").touch()
    setup_environment.remove_half_installed_packages()
    assert [path.name for path in packages.iterdir()] == ["whole-1.0.dist-info"]


@pytest.mark.parametrize("base", ["1", "2", None])
def test_a_build_goes_on_only_if_the_last_one_finished_on_the_same_base(checkout, monkeypatch, base):
    (checkout / "install").mkdir()
    (checkout / "build").mkdir()
    if base is not None:
        (checkout / "build/finished").write_text(base)
    kept = []

    def colcon(*_: object) -> None:
        kept.append((checkout / "install").exists())
        (checkout / "build").mkdir(exist_ok=True)

    monkeypatch.setattr(setup_environment, "run_logged", colcon)
    setup_environment.build_overlay("1")
    assert kept == [base == "1"]
    assert (checkout / "build/finished").read_text() == "1"


def test_too_little_disk_is_said(checkout):
    with pytest.raises(SetupError, match=r"needs 1000000000\.0 GB of disk, .* GB are free"):
        setup_environment.check_machine([step("a", checkout, lambda: None, disk_gb=1e9)])


def test_missing_tools_are_said_by_package(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(SetupError, match=r"missing cmake \(cmake\), make \(make\), a C\+\+ compiler \(g\+\+\)"):
        setup_environment.check_machine([step("overlay", checkout, lambda: None)])


def test_a_failed_command_is_said_with_its_first_error(checkout):
    script = "echo fine; echo 'x.cpp:1:2: error: no such thing'; echo 'error: another'; exit 3"
    with pytest.raises(SetupError, match=r"step x failed with status 3: x\.cpp:1:2: error: no such thing; see x\.log"):
        setup_environment.run_logged("x", ["bash", "-c", script])


def test_an_unsupported_python_is_said(tmp_path):
    old = tmp_path / "python3.9"
    old.write_text("#!/bin/sh\necho 3.9.1\nexit 1\n")
    old.chmod(0o755)
    environment = {name: value for name, value in os.environ.items() if name != "ROS_DISTRO"}
    result = subprocess.run(
        [ROOT / "scripts/setup.sh"],
        env=environment | {"PYTHON": f"{old} {tmp_path}/absent"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 1
    assert f"expected Python 3.10, 3.11 or 3.12, found {old} is 3.9.1; install one" in result.stderr


def test_paths_of_the_wheel_builder_are_replaced(tmp_path):
    path = tmp_path / "std_msgs/cmake/export.cmake"
    path.parent.mkdir(parents=True)
    builder = "/opt/python/cp312-cp312"
    path.write_text(f'"{builder}/include/python3.12;{builder}/lib/python3.12/site-packages/numpy/_core/include"')
    assert overlay_build.localize_wheel_paths(tmp_path, "/usr/include/python3.12", "/numpy") == 1
    assert path.read_text() == '"/usr/include/python3.12;/numpy"'
    assert overlay_build.localize_wheel_paths(tmp_path, "/usr/include/python3.12", "/numpy") == 0


def test_build_environment_is_the_sourced_ros_or_the_wheels():
    sourced = {"ROS_DISTRO": "jazzy", "PATH": "/bin", "PYTHONPATH": "/opt/ros"}
    assert overlay_build.build_environment(Path("/venv"), sourced).items() >= sourced.items()
    wheels = overlay_build.build_environment(Path("/venv"), {"PATH": "/bin", "PYTHONPATH": "/elsewhere"})
    assert wheels["PATH"] == "/venv/bin:/bin"
    assert wheels["CMAKE_PREFIX_PATH"] == "/venv"
    assert "PYTHONPATH" not in wheels


def test_links_to_deleted_files_are_removed(tmp_path):
    (tmp_path / "kept").symlink_to(tmp_path)
    (tmp_path / "dangling").symlink_to(tmp_path / "absent")
    overlay_build.remove_dangling_links(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
