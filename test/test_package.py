"""The package as colcon, pip and its readers find it: manifests, versions, sizes, messages, locks."""

from __future__ import annotations

import ast
import configparser
import re
import sys
from enum import IntEnum
from pathlib import Path

import pytest
from catkin_pkg.package import parse_package

from autoseg3d_ros.structures import EventType, InstanceState

ROOT = Path(__file__).resolve().parents[1]
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 80  # without the docstring

TOP_LEVEL = """
    autoseg3d_ros config examples launch models msg requirements rviz scripts srv test
    .ci/run .gitignore .pre-commit-config.yaml CHANGELOG.rst CMakeLists.txt CONTRIBUTING.md LICENSE Makefile README.md
    package.xml pyproject.toml setup.cfg setup.py
"""
# import name: (rosdep key, name on PyPI); None where there is no such key or no such package
CORE_LIBRARIES = {
    "PIL": ("python3-pil", "pillow"),
    "cv2": ("python3-opencv", "opencv-python-headless"),
    "embreex": (None, "embreex"),
    "matplotlib": ("python3-matplotlib", "matplotlib"),
    "numpy": ("python3-numpy", "numpy"),
    "onnxruntime": (None, "onnxruntime"),
    "rerun": (None, "rerun-sdk"),
    "rosbags": (None, "rosbags"),
    "safetensors": (None, "safetensors"),
    "scipy": ("python3-scipy", "scipy"),
    "torch": (None, "torch"),
    "torchvision": (None, None),  # comes with ultralytics, or a stand-in takes its place
    "spconv": (None, "spconv-cu120"),
    "tqdm": ("python3-tqdm", "tqdm"),
    "ultralytics": (None, "ultralytics"),
    "yaml": ("python3-yaml", "pyyaml"),
}
LOCK_LINE = re.compile(r"[a-z0-9-]+(\[[a-z,]+\])?==[0-9][^ ]*( ; .+)?")


def python_files() -> list[Path]:
    folders = ("autoseg3d_ros", "examples", "launch", "scripts", "test")
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def setup_cfg() -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(ROOT / "setup.cfg")
    return parser


def top_level_imports(folder: Path) -> set[str]:
    """Return the first names of all imports under a folder but those of Python itself and of this package."""
    names = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                names.add(node.module.split(".")[0])
    return names - sys.stdlib_module_names - {"autoseg3d_ros"}


@pytest.mark.parametrize("name", TOP_LEVEL.split())
def test_top_level_is_complete(name):
    assert (ROOT / name).exists()


def test_package_xml_is_valid():
    warnings: list[str] = []
    package = parse_package(str(ROOT / "package.xml"), warnings=warnings)  # raises InvalidPackage
    assert warnings == []
    assert (package.name, package.package_format, package.licenses) == ("autoseg3d_ros", 3, ["Apache-2.0"])
    assert "rosidl_interface_packages" in [group.name for group in package.member_of_groups]


def test_versions_are_equal():
    changelog = re.search(r"^(\d+\.\d+\.\d+) \(\d{4}-\d\d-\d\d\)$", (ROOT / "CHANGELOG.rst").read_text(), re.MULTILINE)
    assert changelog is not None
    package = parse_package(str(ROOT / "package.xml"))
    assert package.version == setup_cfg()["metadata"]["version"] == changelog[1]


def test_every_import_is_declared():
    package = parse_package(str(ROOT / "package.xml"))
    rosdep_keys = {depend.name for depend in package.exec_depends}
    options = setup_cfg()
    requirements = [options["options"]["install_requires"], *options["options.extras_require"].values()]
    on_pypi = set(re.findall(r"^[a-z][a-z0-9-]+", "\n".join(requirements), re.MULTILINE))
    for name in top_level_imports(ROOT / "autoseg3d_ros"):
        rosdep_key, pypi_name = CORE_LIBRARIES.get(name, (name, None))
        assert rosdep_key is None or rosdep_key in rosdep_keys, f"package.xml lacks {rosdep_key}"
        assert pypi_name is None or pypi_name in on_pypi, f"setup.cfg lacks {pypi_name}"


def test_cmake_generates_every_interface():
    listed = set(re.findall(r"(?:msg|srv)/\w+\.(?:msg|srv)", (ROOT / "CMakeLists.txt").read_text()))
    assert listed == {str(path.relative_to(ROOT)) for path in [*ROOT.glob("msg/*.msg"), *ROOT.glob("srv/*.srv")]}


def test_pip_colcon_and_git_take_the_models_that_ship():
    globs = setup_cfg()["options.data_files"]["share/autoseg3d_ros/models"].split()
    assert globs == ["models/manifest.yaml", "models/*.md", "models/autoseg3d_*.safetensors"]
    assert re.search(r"install\(DIRECTORY .*\bmodels\b.* DESTINATION share/", (ROOT / "CMakeLists.txt").read_text())
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert ignored.index("*.safetensors") < ignored.index("!models/autoseg3d_*.safetensors")  # the last one counts


@pytest.mark.parametrize(
    ("message", "prefix", "enum"), [("Instance", "STATE_", InstanceState), ("InstanceEvent", "", EventType)]
)
def test_message_constants_are_the_enums(message: str, prefix: str, enum: type[IntEnum]):
    text = (ROOT / f"msg/{message}.msg").read_text()
    constants = {name: int(value) for name, value in re.findall(rf"^uint8 {prefix}([A-Z_]+)=(\d+)", text, re.MULTILINE)}
    assert constants == {member.name: member.value for member in enum}


@pytest.mark.parametrize("script", ["autoseg3d", "player", "recorder", "segmenter_node"])
def test_executables_only_call(script):
    path = ROOT / "scripts" / script
    assert len(path.read_text().splitlines()) <= 3  # some ament versions copy them: they must never need a rebuild
    assert path.stat().st_mode & 0o111
    assert f"scripts/{script}\n" in (ROOT / "CMakeLists.txt").read_text()


@pytest.mark.parametrize("path", python_files(), ids=lambda path: str(path.relative_to(ROOT)))
def test_files_and_functions_are_small(path: Path):
    text = path.read_text()
    num_lines = text.count("\n")
    assert num_lines <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node)
            lines = node.end_lineno - node.lineno + 1 - (docstring.count("\n") + 1 if docstring else 0)
            assert lines <= MAX_FUNCTION_LINES, f"{node.name}: {lines} lines"


@pytest.mark.parametrize("path", sorted((ROOT / "requirements").glob("*.in")), ids=lambda path: path.stem)
def test_locks_pin_exact_versions(path: Path):
    lines = [line for line in path.with_suffix(".txt").read_text().splitlines() if not line.startswith("#")]
    assert lines
    assert [line for line in lines if not LOCK_LINE.fullmatch(line)] == []
    intent = re.findall(r"^([A-Za-z][\w-]*)", path.read_text(), re.MULTILINE)
    locked = {re.match(r"[a-z0-9-]+", line)[0] for line in lines}
    assert {name.lower().replace("_", "-") for name in intent} <= locked
