"""The launch file: it compiles, its arguments are those that are promised, and it starts the node as told."""

from __future__ import annotations

import ast
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from autoseg3d_ros import config as settings
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.topics import WRITTEN_TOPICS

ROOT = Path(__file__).resolve().parents[1]
LAUNCH_FILE = ROOT / "launch" / "online_seg.launch.py"
RVIZ_FILE = ROOT / "rviz" / "online_seg.rviz"
PROMISED = {
    "namespace", "use_sim_time", "params_file", "autostart", "log_level", "rgb_topic", "depth_topic",
    "camera_info_topic", "pose_topic", "pose_source", "map_frame", "device", "model", "weights", "map_file", "rviz",
    "rviz_config", "bag", "bag_rate",
}  # fmt: skip
RUN_IT = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

path, *arguments = sys.argv[1:]
service = LaunchService()
source = PythonLaunchDescriptionSource(path)
included = IncludeLaunchDescription(source, launch_arguments=[one.split(":=") for one in arguments])
service.include_launch_description(LaunchDescription([included]))
sys.exit(service.run())
"""


def constants() -> dict[str, object]:
    """The literal dictionaries of the launch file, read without ROS: calls and names count as their source text."""
    found = {}
    for node in ast.parse(LAUNCH_FILE.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            found[node.targets[0].id] = {ast.literal_eval(key): value for key, value in _items(node.value)}
    return found


def _items(node: ast.Dict):
    return zip(node.keys, node.values, strict=True)


def default_of(argument: str) -> str:
    value = constants()["ARGUMENTS"][argument].elts[0]
    return value.value if isinstance(value, ast.Constant) else ast.unparse(value)


def test_it_compiles():
    compile(LAUNCH_FILE.read_text(), str(LAUNCH_FILE), "exec")


def test_the_arguments_are_those_that_are_promised():
    assert set(constants()["ARGUMENTS"]) == PROMISED


def test_the_arguments_set_parameters_that_exist():
    known = settings.as_flat_dict(Config())
    parameters = {ast.literal_eval(value) for value in constants()["PARAMETER_OF_ARGUMENT"].values()}
    assert parameters <= set(known)


def test_the_default_topics_are_those_of_recordings():
    topics = {name: default_of(f"{name}_topic") for name in ("rgb", "depth", "camera_info", "pose")}
    assert topics == {
        "rgb": WRITTEN_TOPICS.colour,
        "depth": WRITTEN_TOPICS.depth,
        "camera_info": WRITTEN_TOPICS.camera_info,
        "pose": WRITTEN_TOPICS.pose,
    }


def test_the_files_that_it_names_exist():
    named = re.findall(r'SHARE / "(\w+)" / "([\w.]+)"', LAUNCH_FILE.read_text())
    assert {folder for folder, _name in named} == {"config", "rviz"}
    for folder, name in named:
        assert (ROOT / folder / name).is_file(), name


def test_the_preset_has_every_setting_with_its_default():
    preset = ROOT / "config" / "default.yaml"
    assert preset.read_text() == settings.dump(Config(), ros=True), (
        "config/default.yaml is generated: python -c 'from autoseg3d_ros.config import *; "
        'print(dump(Config(), ros=True), end="")\' > config/default.yaml'
    )


def test_rviz_listens_as_the_node_speaks():
    displays = yaml.safe_load(RVIZ_FILE.read_text())["Visualization Manager"]["Displays"]
    topics = {one["Topic"]["Value"]: one["Topic"] for one in displays if "Topic" in one}
    policies = {name: (topic["Reliability Policy"], topic["Durability Policy"]) for name, topic in topics.items()}
    assert policies == {
        "markers": ("Reliable", "Volatile"),
        "map_points": ("Reliable", "Transient Local"),
        "points": ("Reliable", "Volatile"),
        "segmenter_node/overlay": ("Best Effort", "Volatile"),
        WRITTEN_TOPICS.colour: ("Best Effort", "Volatile"),
    }


@pytest.fixture
def robot(monkeypatch):
    monkeypatch.setenv("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    pytest.importorskip("launch_ros", reason="ROS launch is not installed (it is not on PyPI)")
    pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")
    import ros_harness

    with ros_harness.reserved_domain() as domain:
        monkeypatch.setenv("ROS_DOMAIN_ID", str(domain))
        robot = ros_harness.Robot(domain)
        yield robot
        robot.close()


def test_arguments_win_over_the_parameter_file(robot, tmp_path):
    import ros_harness

    values = {"map_frame": "from_file", "pose.source": "odometry", "depth.max_m": 3.5, "model.name": "none"}
    path = ros_harness.parameters_file(tmp_path, values)
    arguments = [f"params_file:={path}", "map_frame:=from_argument", "namespace:=robot7", "pose_topic:=/slam"]
    arguments += ["autostart:=true", "device:=cpu", f"map_file:={tmp_path / 'maps' / 'hall.map'}"]
    launch = subprocess.Popen(
        [sys.executable, "-c", RUN_IT, str(LAUNCH_FILE), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        node = "robot7/segmenter_node"
        assert robot.get_parameter(node, "map_frame") == "from_argument"
        assert robot.get_parameter(node, "pose.source") == "odometry"
        assert robot.get_parameter(node, "depth.max_m") == 3.5
        assert robot.get_parameter(node, "model.device") == "cpu"
        assert robot.get_parameter(node, "map.path") == "hall.map"
        assert robot.get_parameter(node, "map.directory") == str(tmp_path / "maps")
        assert robot.get_parameter(node, "map.autoload") is True
        assert robot.get_parameter(node, "use_sim_time") is False
        assert ros_harness.wait_until(lambda: robot.node.count_subscribers("/slam"))
        assert robot.node.count_publishers("/robot7/instances") == 1
    finally:
        launch.send_signal(signal.SIGINT)
        output, _nothing = launch.communicate(timeout=ros_harness.TIMEOUT_S)
    assert f"online_seg waits for {WRITTEN_TOPICS.colour}, {WRITTEN_TOPICS.depth}" in output
    assert "process has finished cleanly" in output, output
