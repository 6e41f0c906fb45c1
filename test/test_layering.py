"""The arrows of the architecture: who may import whom. Lower levels never import higher ones."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "autoseg3d_ros"

LEVEL_0 = {
    "colours",
    "config",
    "mask_config",
    "model_config",
    "setting",
    "stage_clock",
    "structures",
    "worker_pool",
}
LEVEL_1 = LEVEL_0 | {"geometry"}
ENGINE = {"lifting", "mapping", "memory", "model", "tracking"}
LEVEL_3 = {
    "build",
    "build_learned",
    "device_memory",
    "fragment_merging",
    "geometric_cue",
    "geometric_recognition",
    "learned_association",
    "learned_memory",
    "learned_recognition",
    "recognition",
    "records",
    "segmenter",
    "segmenter_state",
}

ALLOWED = {
    **dict.fromkeys(LEVEL_0, frozenset()),
    "mask_config": frozenset({"setting"}),
    "model_config": frozenset({"setting"}),
    "config": frozenset({"mask_config", "model_config", "setting"}),
    "geometry": LEVEL_0,
    **dict.fromkeys(ENGINE | {"client", "evaluation", "stream"}, LEVEL_1),
    "model": LEVEL_1 | {"memory"},
    "data": LEVEL_1 | {"stream"},
    "reporting": LEVEL_1 | {"data", "evaluation"},
    **dict.fromkeys(LEVEL_3, LEVEL_1 | ENGINE | LEVEL_3),
    "persistence": LEVEL_1 | LEVEL_3 | {"mapping", "memory", "tracking"},
    "benchmark": LEVEL_1 | LEVEL_3 | ENGINE | {"data", "evaluation"},
    "training": LEVEL_1 | {"data", "evaluation", "fragment_merging", "lifting", "memory", "model", "tracking"},
    "ros": LEVEL_1 | {"build", "client", "data", "device_memory", "persistence", "reporting", "segmenter", "stream"},
    "cli": LEVEL_1
    | ENGINE
    | LEVEL_3
    | {"benchmark", "data", "evaluation", "persistence", "reporting", "stream", "training"},
}
# Inside a function: these need ROS, the other commands do not.
EXCEPTIONS = {
    ("cli/bench_node.py", "ros.bench_client"),
    ("cli/doctor.py", "ros.live_report"),
    ("cli/play.py", "ros.player"),
}

HEAVY = {
    "onnxruntime": ("lifting/",),
    "torch": (
        "benchmark/convolution_speed.py",
        "benchmark/tracking_endurance.py",
        "lifting/fastsam.py",
        "lifting/sam_",
        "lifting/torchvision_stand_in.py",
        "build_learned.py",
        "geometric_cue.py",
        "learned_association.py",
        "learned_recognition.py",
        "memory/",
        "model/",
        "training/",
    ),
    "torchvision": ("lifting/torchvision_stand_in.py",),
    "ultralytics": ("lifting/fastsam.py",),
    "safetensors": ("model/",),
    "spconv": ("model/sparse_spconv.py",),
}
ONLY_IN_ROS = ("ament_index_python", "cv_bridge", "message_filters", "rclpy", "sensor_msgs_py", "tf2_ros")


@dataclass(frozen=True)
class Import:
    module: str
    at_top: bool  # runs when the importing module is imported


def imports(source: str) -> Iterator[Import]:
    """Yield every import of a module; `from autoseg3d_ros import x` names the module x."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = "." * node.level + (node.module or "")
            modules = [f"{base}.{alias.name}" for alias in node.names] if base == PACKAGE.name else [base]
        else:
            continue
        yield from (Import(module, node in tree.body) for module in modules)


def violations(path: str, source: str) -> list[str]:
    """Return the forbidden imports of the file `path`, relative to the package, in words."""
    unit = path.split("/")[0].removesuffix(".py")
    found = []
    for imported in imports(source):
        first, _, inner = imported.module.partition(".")
        if first == PACKAGE.name:
            target = inner.split(".")[0]
            own = target == unit or (unit == "ros" and target in ("msg", "srv"))
            exception = (path, inner) in EXCEPTIONS and not imported.at_top
            if not own and not exception and target not in ALLOWED[unit]:
                found.append(f"{path}: {unit} must not import {target}")
        elif first == "":
            found.append(f"{path}: relative import {imported.module}")
        elif first in HEAVY and not path.startswith(HEAVY[first]):
            found.append(f"{path}: {first} belongs into {', '.join(HEAVY[first])}")
        elif unit != "ros" and (first in ONLY_IN_ROS or first.endswith(("_msgs", "_interfaces", "_srvs"))):
            found.append(f"{path}: {first} belongs into ros/")
    return found


def files() -> list[str]:
    return sorted(str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py"))


def test_every_unit_has_a_place():
    units = {path.split("/")[0].removesuffix(".py") for path in files()} - {"__init__"}
    assert units <= ALLOWED.keys(), f"enter {units - ALLOWED.keys()} into ALLOWED"


def test_arrows_have_no_cycle_below_level_3():
    for unit in ALLOWED.keys() - LEVEL_3:
        assert all(unit not in ALLOWED[target] for target in ALLOWED[unit])


def test_arrows_hold():
    found = [line for path in files() for line in violations(path, (PACKAGE / path).read_text())]
    assert not found, "\n".join(found)


def test_package_module_is_empty():
    assert (PACKAGE / "__init__.py").read_text() == "", "newer ament overwrites it"


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("structures.py", "from autoseg3d_ros.geometry import x"),
        ("geometry.py", "import autoseg3d_ros.lifting.masks"),
        ("geometry.py", "def f():\n    from autoseg3d_ros import lifting"),
        ("tracking/tracks.py", "from autoseg3d_ros.mapping.instance_map import x"),
        ("mapping/instance_map.py", "from autoseg3d_ros.data.source import x"),
        ("stream/depth.py", "from autoseg3d_ros.data import x"),
        ("reporting/run_folder.py", "from autoseg3d_ros.segmenter import x"),
        ("segmenter.py", "from autoseg3d_ros.data.source import x"),
        ("segmenter.py", "from autoseg3d_ros.ros import x"),
        ("evaluation/hota.py", "from autoseg3d_ros.benchmark.protocol import x"),
        ("benchmark/rows.py", "from autoseg3d_ros.reporting.run_folder import x"),
        ("cli/main.py", "def f():\n    from autoseg3d_ros.ros.player import play"),
        ("cli/play.py", "from autoseg3d_ros.ros.player import play"),
        ("cli/play.py", "def f():\n    from autoseg3d_ros.ros.segmenter_node import main"),
        ("ros/player.py", "from autoseg3d_ros.cli.main import main"),
        ("tracking/tracks.py", "from . import association"),
        ("tracking/tracks.py", "import torch.nn"),
        ("model/decoder.py", "import spconv.pytorch"),
        ("model/autoseg3d.py", "from ultralytics import FastSAM"),
        ("lifting/masks.py", "def f():\n    import ultralytics"),
        ("stream/synchronizer.py", "import rclpy"),
        ("data/bag.py", "from sensor_msgs.msg import Image"),
        ("data/bag.py", "from autoseg3d_ros.msg import Instance"),
    ],
)
def test_a_wrong_arrow_is_found(path, source):
    assert len(violations(path, source)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("data/bag.py", "from autoseg3d_ros.stream.depth import x"),
        ("tracking/tracks.py", "from autoseg3d_ros.tracking.association import x"),
        ("model/sparse_spconv.py", "import spconv.pytorch\nimport torch"),
        ("cli/play.py", "def f():\n    from autoseg3d_ros.ros.player import play"),
        ("ros/conversions.py", "from autoseg3d_ros.msg import Instance\nfrom std_msgs.msg import Header"),
    ],
)
def test_a_right_arrow_passes(path, source):
    assert violations(path, source) == []
