"""`autoseg3d play`: a source on ROS topics."""

from __future__ import annotations

import argparse

from autoseg3d_ros.cli.errors import CommandError


def execute(args: argparse.Namespace) -> int:
    """Publish until the end, or for ever with --loop."""
    try:
        # First of all: rclpy from a wheel starts the interpreter anew when it is imported.
        from autoseg3d_ros.ros.player import play
    except ImportError as error:
        raise CommandError(
            f"publishing needs ROS 2 ({error}); source /opt/ros/$ROS_DISTRO/setup.bash, or run `make setup` and "
            "`source install/setup.bash`"
        ) from error
    from autoseg3d_ros.data.open import open_source

    play(open_source(args.source, args.format), rate=args.rate, loop=args.loop)
    return 0
