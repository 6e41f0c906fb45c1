"""Images of megabytes between the processes of one machine, without loss."""

from __future__ import annotations

import os
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

_PROFILES = "FASTRTPS_DEFAULT_PROFILES_FILE"
_NEWER_PROFILES = "FASTDDS_DEFAULT_PROFILES_FILE"


def allow_large_messages() -> None:
    """Give Fast DDS the shared memory of `config/fastdds.xml`, unless the user has chosen profiles of his own.

    To be called before `rclpy.init` by whoever publishes images. Other middlewares do not read the variable.
    """
    if _NEWER_PROFILES not in os.environ:
        path = Path(get_package_share_directory("autoseg3d_ros")) / "config" / "fastdds.xml"
        os.environ.setdefault(_PROFILES, str(path))
