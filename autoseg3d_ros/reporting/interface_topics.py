"""The topics and services of the segmenter node, as docs/interfaces.md lists them; a test asks a running node."""

from __future__ import annotations

from dataclasses import dataclass

RELIABLE, LATCHED, SENSOR, AS_SET = "reliable", "reliable, transient local", "best effort", "`input.qos`"


@dataclass(frozen=True)
class Topic:
    """One topic. The name is relative to the namespace, or `~/` to the node, unless it begins with a slash."""

    name: str
    type: str  # package/msg/Name
    qos: str
    meaning: str
    condition: str = ""  # empty = always there


@dataclass(frozen=True)
class Service:
    """One service of the node."""

    name: str
    type: str  # package/srv/Name
    meaning: str


INPUTS = (
    Topic("rgb/image_raw", "sensor_msgs/msg/Image", AS_SET, "colour; its stamp names the frame"),
    Topic(
        "rgb/image_raw/compressed",
        "sensor_msgs/msg/CompressedImage",
        AS_SET,
        "colour as JPEG or PNG",
        "`input.rgb_transport`",
    ),
    Topic("depth/image_raw", "sensor_msgs/msg/Image", AS_SET, "depth: 16UC1 millimetres or 32FC1 metres"),
    Topic(
        "depth/image_raw/compressedDepth",
        "sensor_msgs/msg/CompressedImage",
        AS_SET,
        "depth as PNG",
        "`input.depth_transport`",
    ),
    Topic("rgb/camera_info", "sensor_msgs/msg/CameraInfo", AS_SET, "intrinsics and distortion of the colour camera"),
    Topic("depth/camera_info", "sensor_msgs/msg/CameraInfo", AS_SET, "those of the depth camera, to register by"),
    Topic("pose", "geometry_msgs/msg/PoseStamped", AS_SET, "the optical frame in the map frame", "`pose.source: pose`"),
    Topic("odom", "nav_msgs/msg/Odometry", AS_SET, "the same", "`pose.source: odometry`"),
    Topic("/tf", "tf2_msgs/msg/TFMessage", RELIABLE, "the same", "`pose.source: tf`"),
    Topic("/tf_static", "tf2_msgs/msg/TFMessage", LATCHED, "the same", "`pose.source: tf`"),
)
OUTPUTS = (
    Topic("instances", "autoseg3d_ros/msg/InstanceArray", RELIABLE, "what changed, each frame"),
    Topic("instances_full", "autoseg3d_ros/msg/InstanceArray", LATCHED, "all instances, on change, at a bounded rate"),
    Topic("segmentation", "autoseg3d_ros/msg/Segmentation", RELIABLE, "the label image of each frame"),
    Topic("points", "sensor_msgs/msg/PointCloud2", RELIABLE, "the points of each frame, labelled"),
    Topic("map_points", "sensor_msgs/msg/PointCloud2", LATCHED, "the labelled map, on change, at a bounded rate"),
    Topic(
        "markers",
        "visualization_msgs/msg/MarkerArray",
        RELIABLE,
        "box, id and footprint of each instance, track of the active ones",
    ),
    Topic(
        "detections_3d",
        "vision_msgs/msg/Detection3DArray",
        RELIABLE,
        "the instances seen in each frame; `id` is the id as text",
        "vision_msgs installed",
    ),
    Topic("~/overlay", "sensor_msgs/msg/Image", SENSOR, "the colour image with the instances painted over, bgr8"),
    Topic("/diagnostics", "diagnostic_msgs/msg/DiagnosticArray", RELIABLE, "how the node is, once a second"),
)
SERVICES = (
    Service("~/reset", "std_srvs/srv/Trigger", "forget everything and begin a new map"),
    Service("~/pause", "std_srvs/srv/SetBool", "drop frames until it goes on; the map and the ids stay"),
    Service("~/save_map", "autoseg3d_ros/srv/SaveMap", "write the map and its ids to a file"),
    Service("~/load_map", "autoseg3d_ros/srv/LoadMap", "go on from the map in a file"),
    Service(
        "~/get_instances", "autoseg3d_ros/srv/GetInstances", "query the map: ids, states, region, clouds, features"
    ),
)
