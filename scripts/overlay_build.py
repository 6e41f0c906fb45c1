"""Build the messages and the Python package with colcon, against a sourced ROS 2 or against its wheels in a .venv."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path


def build_environment(prefix: Path, environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the variables for `colcon build`; `prefix` is the virtual environment.

    Where ROS 2 is sourced they are the present ones; else ROS 2 is in `prefix`, and nothing of another overlay counts.
    """
    # colcon's own limit, `make -j2 -l2` on two cores, starts one compiler at a time where anything else runs.
    variables = {**environment, "MAKEFLAGS": f"-j{os.cpu_count()}"}
    if variables.get("ROS_DISTRO"):
        return variables
    # The last one says that the wheels' library folders are in LD_LIBRARY_PATH, which is replaced here.
    for name in ("PYTHONPATH", "COLCON_PREFIX_PATH", "_ROS_WHEELS_BOOTSTRAP_COMPLETE"):
        variables.pop(name, None)
    return variables | {
        "PATH": f"{prefix / 'bin'}:{variables['PATH']}",
        "AMENT_PREFIX_PATH": str(prefix),
        "CMAKE_PREFIX_PATH": str(prefix),
        "LD_LIBRARY_PATH": str(prefix / "lib"),
    }


def build_command(prefix: Path, *options: str) -> list[str]:
    """Return the `colcon build` command that uses the Python of the virtual environment `prefix`."""
    return ["colcon", "build", *options, "--cmake-args", f"-DPython3_EXECUTABLE={prefix / 'bin/python'}"]


def localize_wheel_paths(share: Path, python_headers: str, numpy_headers: str) -> int:
    """Replace the header folders of the wheel builder in the CMake files under `share`; return how many files had them.

    The ROS 2 wheels export /opt/python/cp311-cp311/..., and CMake refuses to generate where that does not exist.
    """
    changed = 0
    for path in share.glob("*/cmake/*.cmake"):
        text = path.read_text()
        local = re.sub(r'/opt/python/[^;"]*/numpy/_core/include', numpy_headers, text)
        local = re.sub(r'/opt/python/[^;"/]*/include/python3\.\d+', python_headers, local)
        if local != text:
            path.write_text(local)
            changed += 1
    return changed


def remove_dangling_links(folder: Path) -> None:
    """Remove the links that a symlink installation keeps to files that have been deleted from the source tree."""
    for path in folder.rglob("*"):
        if path.is_symlink() and not path.exists():
            path.unlink()
