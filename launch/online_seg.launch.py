"""Starts the segmenter on the topics of a RealSense camera; every argument says what it changes.

    ros2 launch autoseg3d_ros online_seg.launch.py pose_topic:=/visual_slam/pose rviz:=true
    ros2 launch autoseg3d_ros online_seg.launch.py bag:=recording.mcap

Arguments that are set win over the parameter file.
"""

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory
from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.parameter_descriptions import ParameterValue

from launch import LaunchContext, LaunchDescription

SHARE = Path(get_package_share_directory("autoseg3d_ros"))
FAST_DDS_PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
STOP_S = "15"  # the node finishes the frame in hand and publishes its last state: give it time

# name: (default, meaning); an empty default leaves the matter to the parameter file
ARGUMENTS = {
    "namespace": ("", "namespace of the node and of what it publishes"),
    "use_sim_time": ("", "take the time from /clock; empty = only when a bag is played"),
    "params_file": (str(SHARE / "config" / "default.yaml"), "parameter file"),
    "autostart": ("", "false = a lifecycle manager configures and activates the node"),
    "log_level": ("info", "debug, info, warn, error or fatal"),
    "rgb_topic": ("/camera/camera/color/image_raw", "colour image"),
    "depth_topic": ("/camera/camera/aligned_depth_to_color/image_raw", "depth image, registered to colour"),
    "camera_info_topic": ("/camera/camera/color/camera_info", "intrinsics of both"),
    "pose_topic": ("/camera/pose", "pose of the camera's optical frame in the map frame"),
    "pose_source": ("", "pose (PoseStamped), odometry (Odometry) or tf (TF, with pose_topic unused)"),
    "map_frame": ("", "frame of everything that is published"),
    "device": ("", "of the network: auto, cpu, cuda or cuda:N"),
    "model": ("", "a model of models/manifest.yaml; none = geometry alone"),
    "weights": ("", "a .safetensors file in place of a model by name"),
    "map_file": ("", "go on from the map in this file, where there is one, and write it there at the end"),
    "rviz": ("false", "also start RViz"),
    "rviz_config": (str(SHARE / "rviz" / "online_seg.rviz"), "what RViz shows"),
    "bag": ("", "also play this rosbag2"),
    "bag_rate": ("1.0", "speed of playing it"),
}
PARAMETER_OF_ARGUMENT = {
    "pose_source": "pose.source",
    "map_frame": "map_frame",
    "device": "model.device",
    "model": "model.name",
    "weights": "model.path",
}


def generate_launch_description() -> LaunchDescription:
    """Return the arguments and what they start."""
    arguments = [
        DeclareLaunchArgument(name, default_value=default, description=meaning)
        for name, (default, meaning) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, OpaqueFunction(function=_start)])


def _start(context: LaunchContext) -> list:
    given = {name: LaunchConfiguration(name).perform(context) for name in ARGUMENTS}
    use_sim_time = (given["use_sim_time"] or str(bool(given["bag"]))).lower() == "true"
    poses = "/tf" if given["pose_source"] == "tf" else given["pose_topic"]
    waits_for = ", ".join([*(given[f"{name}_topic"] for name in ("rgb", "depth", "camera_info")), poses])
    actions = [LogInfo(msg=f"online_seg waits for {waits_for}"), _segmenter(given, use_sim_time)]
    if given["bag"]:
        actions.append(_bag_player(given))
    if given["rviz"].lower() == "true":
        actions.append(_rviz(given, use_sim_time))
    return actions


def _segmenter(given: dict[str, str], use_sim_time: bool) -> Node:
    overrides = {
        parameter: ParameterValue(given[argument], value_type=str)
        for argument, parameter in PARAMETER_OF_ARGUMENT.items()
        if given[argument]
    }
    if given["autostart"]:
        overrides["autostart"] = given["autostart"].lower() == "true"
    if given["map_file"]:
        overrides |= _parameters_of_map(Path(given["map_file"]).expanduser())
    logger = ".".join([*filter(None, given["namespace"].split("/")), "segmenter_node"])
    return Node(
        package="autoseg3d_ros",
        executable="segmenter_node",
        name="segmenter_node",
        namespace=given["namespace"],
        parameters=[given["params_file"], {"use_sim_time": use_sim_time, **overrides}],
        remappings=[
            ("rgb/image_raw", given["rgb_topic"]),
            ("depth/image_raw", given["depth_topic"]),
            ("rgb/camera_info", given["camera_info_topic"]),
            ("pose", given["pose_topic"]),
            ("odom", given["pose_topic"]),
        ],
        arguments=["--ros-args", "--log-level", f"{logger}:={given['log_level']}"],
        output="screen",
        sigterm_timeout=STOP_S,
        sigkill_timeout=STOP_S,
    )


def _parameters_of_map(path: Path) -> dict[str, str | bool]:
    """Return what makes a map last; an absolute path names the folder of maps too, a relative one is below it."""
    folder = {"map.directory": str(path.parent)} if path.is_absolute() else {}
    name = path.name if path.is_absolute() else str(path)
    return {"map.path": name, **folder, "map.autoload": True, "map.save_on_shutdown": True}


def _bag_player(given: dict[str, str]) -> ExecuteProcess:
    # Whoever publishes images needs the larger shared memory (config/fastdds.xml); the user's own choice stays.
    profiles = os.environ.get(FAST_DDS_PROFILES, str(SHARE / "config" / "fastdds.xml"))
    return ExecuteProcess(
        cmd=["ros2", "bag", "play", given["bag"], "--rate", given["bag_rate"], "--clock"],
        additional_env={FAST_DDS_PROFILES: profiles},
        output="screen",
    )


def _rviz(given: dict[str, str], use_sim_time: bool) -> Node:
    return Node(
        package="rviz2",
        executable="rviz2",
        namespace=given["namespace"],
        arguments=["-d", given["rviz_config"]],
        parameters=[{"use_sim_time": use_sim_time}],
    )
