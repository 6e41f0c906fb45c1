"""The core logs by the standard library; here its records reach the ROS log (console, file and /rosout)."""

from __future__ import annotations

import logging

from rclpy.impl.rcutils_logger import RcutilsLogger

_PACKAGE = "autoseg3d_ros"


class RosLogHandler(logging.Handler):
    """Passes what the package logs on to one ROS logger, whose own level decides what is shown.

    From `attach` to `detach` the package's log is no longer the standard library's.
    """

    def __init__(self, ros_logger: RcutilsLogger) -> None:
        super().__init__(logging.DEBUG)
        # rcutils ties a severity to the line that calls it, so each level has a line of its own.
        self._log_at = {
            logging.CRITICAL: lambda text: ros_logger.fatal(text),
            logging.ERROR: lambda text: ros_logger.error(text),
            logging.WARNING: lambda text: ros_logger.warning(text),
            logging.INFO: lambda text: ros_logger.info(text),
            logging.DEBUG: lambda text: ros_logger.debug(text),
        }

    def emit(self, record: logging.LogRecord) -> None:
        """Log one record; a traceback is part of its text."""
        level = next((level for level in self._log_at if record.levelno >= level), logging.DEBUG)
        try:
            self._log_at[level](self.format(record))
        except Exception:  # logging.Handler's rule: a log line never stops the program
            self.handleError(record)

    def attach(self) -> None:
        """Take over the log of the package."""
        package = logging.getLogger(_PACKAGE)
        package.addHandler(self)
        package.setLevel(logging.DEBUG)
        package.propagate = False

    def detach(self) -> None:
        """Give it back; to be called before the ROS logger ends."""
        package = logging.getLogger(_PACKAGE)
        package.removeHandler(self)
        package.setLevel(logging.NOTSET)
        package.propagate = True
