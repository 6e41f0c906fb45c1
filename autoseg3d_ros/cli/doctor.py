"""`autoseg3d doctor`: what is installed, what is missing and what that costs, and what a source holds.

At import it needs the standard library alone, so that it can also say what is missing where nearly everything is.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import platform
import shutil
from dataclasses import dataclass
from pathlib import Path

from autoseg3d_ros.cli.tables import table


@dataclass(frozen=True)
class _Part:
    """Something that may be installed."""

    module: str
    cost: str  # what does not work without it
    distribution: str = ""  # where it differs from the module

    def version(self) -> str:
        """Return its version, "installed" where it tells none, or "missing"; nothing is imported."""
        try:
            return importlib.metadata.version(self.distribution or self.module)
        except importlib.metadata.PackageNotFoundError:
            spec = importlib.util.find_spec(self.module)
            # A mere folder of that name is found without an origin.
            return "missing" if spec is None or spec.origin is None else "installed"


_PARTS = (
    _Part("numpy", "everything"),
    _Part("scipy", "everything"),
    _Part("yaml", "everything", "PyYAML"),
    _Part("cv2", "everything", "opencv-python-headless"),
    _Part("PIL", "pictures of a run", "pillow"),
    _Part("tqdm", "`run`, `bag`"),
    _Part("rosbags", "reading and writing bags"),
    _Part("rerun", "`run --rerun`", "rerun-sdk"),
    _Part("rclpy", "node, `play`, `demo`; `run`, `eval` and `bag` work"),
    _Part("message_filters", "sync.engine message_filters; the built-in synchronizer is used"),
    _Part("cv_bridge", "rare image encodings; the usual ones are decoded without it"),
    _Part("sensor_msgs_py", "nothing here; handy for reading our clouds in other nodes"),
    _Part("tf2_ros", "poses from TF; PoseStamped and Odometry work"),
    _Part("vision_msgs", "topic detections_3d"),
    _Part("launch", "launch files; nodes start as processes"),
    _Part("torch", "learned models; `--model none` works"),
    _Part("safetensors", "learned models; `--model none` works"),
    _Part("spconv", "learned models with sparse convolutions"),
    _Part("torch_scatter", "nothing; torch's own scatter is used"),
    _Part("ultralytics", "FastSAM masks; regions, file and truth work"),
    _Part("onnxruntime", "masks from ONNX models"),
)


def execute(args: argparse.Namespace) -> int:
    """Print the settings, what running nodes say of themselves, or the installation and the source."""
    if args.live is not None:
        return _execute_live(args.live)
    if args.settings:
        print(settings_table())
        return 0
    if args.interface_page is not None:
        renew_interface_page(args.interface_page)
        return 0
    print(installation_table())
    print(f"\noverlay    {overlay_state()}\nmodel      {model_state()}")
    if args.source is not None:
        from autoseg3d_ros.data.inspection import format_report, inspect
        from autoseg3d_ros.data.open import open_source

        print("\n" + format_report(inspect(open_source(args.source, args.format))))
    return 0


def _execute_live(listen_s: float) -> int:
    """Print what is on `/diagnostics`; return 1 where there is nothing, or an error."""
    try:
        # First of all: rclpy from a wheel starts the interpreter anew when it is imported.
        from autoseg3d_ros.ros.live_report import live_report
    except ImportError as error:
        from autoseg3d_ros.cli.errors import CommandError

        raise CommandError(
            f"--live needs ROS 2 ({error}); source /opt/ros/$ROS_DISTRO/setup.bash, or run `make setup` and "
            "`source install/setup.bash`"
        ) from error
    heard = live_report(listen_s)
    if not heard:
        print(f"nothing on /diagnostics within {listen_s:g} s: is the node up, and in this ROS_DOMAIN_ID?")
        return 1
    print(table(("part", "level", "summary"), [(name, level, line) for name, level, line, _values in heard]))
    for name, _level, _line, values in heard:
        if values:
            print("\n" + table((name, "value"), values))
    return int(any(level == "ERROR" for _name, level, _line, _values in heard))


def renew_interface_page(page: Path) -> None:
    """Write the generated parts of a page anew; the checkout is the parent of its folder."""
    from autoseg3d_ros.reporting.interface_page import renewed

    text = renewed(page.read_text(), page.resolve().parents[1])
    page.write_text(text)


def installation_table() -> str:
    """Return one line a part: version, and what its absence costs."""
    rows = [("python", platform.python_version(), "")]
    rows += [(part.module, version, part.cost) for part, version in ((part, part.version()) for part in _PARTS)]
    rows.append(("rviz2", shutil.which("rviz2") or "missing", "the live 3D view; the pictures of a run work"))
    return table(
        ("part", "version", "what its absence costs"),
        [(name, version, cost if version == "missing" else "") for name, version, cost in rows],
    )


def settings_table() -> str:
    """Return one line a setting: key, default, meaning, what is allowed."""
    from autoseg3d_ros.config import settings

    rows = []
    for key, leaf in settings():
        low, high, choices = (leaf.metadata[name] for name in ("minimum", "maximum", "choices"))
        limits = [f"{sign} {bound:g}" for sign, bound in ((">=", low), ("<=", high)) if bound is not None]
        rows.append((key, str(leaf.default), leaf.metadata["help"], " | ".join(choices) or " and ".join(limits)))
    return table(("key", "default", "meaning", "allowed"), rows)


def overlay_state() -> str:
    """Say in a sentence whether the messages and nodes of this package can be used."""
    prefix = overlay_prefix()
    if prefix is None:
        return "not sourced: no node, `play` or `demo`; run `make setup`, then `source install/setup.bash`"
    if importlib.util.find_spec("autoseg3d_ros.msg") is None:
        package = Path(__file__).resolve().parents[1]
        return f"{prefix}, but {package} hides its messages; start `autoseg3d`, not `python -m`, in another folder"
    return f"{prefix}: messages and nodes are there"


def model_state() -> str:
    """Say in a sentence which model is used where none is named, and why."""
    try:
        from autoseg3d_ros.model.manifest import Manifest
        from autoseg3d_ros.model.selection import missing_packages
    except ImportError as error:
        return f"cannot be told: {error}"
    try:
        manifest = Manifest.installed()
        weights = manifest.weights_of(manifest.default)
    except ValueError as error:
        return str(error)
    if weights is None:
        return f"none: geometry alone; {manifest.folder} has no default"
    missing = missing_packages()
    if missing:
        return f"none: geometry alone; {manifest.default} needs `pip install {' '.join(missing)}`"
    return f"{manifest.default}: {weights}"


def overlay_prefix() -> Path | None:
    """Return the prefix on AMENT_PREFIX_PATH that holds our nodes."""
    prefixes = [Path(prefix) for prefix in os.environ.get("AMENT_PREFIX_PATH", "").split(os.pathsep) if prefix]
    return next((one for one in prefixes if (one / "lib" / "autoseg3d_ros" / "segmenter_node").exists()), None)
