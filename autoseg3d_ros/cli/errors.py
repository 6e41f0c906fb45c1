"""Which exceptions are the user's to mend: their message is printed, without a traceback."""

from __future__ import annotations

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.persistence.map_faults import MapFileError
from autoseg3d_ros.reporting.rerun_log import RerunMissingError
from autoseg3d_ros.reporting.run_folder import RunFolderError
from autoseg3d_ros.structures import FrameError
from autoseg3d_ros.worker_pool import WorkerDiedError


class CommandError(Exception):
    """A command cannot do what was asked; the message says why and how to mend it."""


EXPECTED_ERRORS = (
    CommandError,
    ConfigError,
    FrameError,
    MapFileError,
    OSError,
    RerunMissingError,
    RunFolderError,
    SourceError,
    WorkerDiedError,
)
