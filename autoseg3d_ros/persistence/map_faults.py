"""What can be wrong with a map file."""

from __future__ import annotations

from enum import Enum


class MapFault(Enum):
    """Why a map could not be saved or loaded; the services give each a code."""

    NOT_FOUND = "not found"
    EXISTS = "exists"
    INVALID_PATH = "invalid path"  # none given, outside of the directory, no such folder, no permission
    WRITE = "write"  # disk full or another failure while writing
    INVALID_FILE = "invalid file"  # not a map, or damaged
    INCOMPATIBLE = "incompatible"  # a whole map, but of another version, resolution, size or network


class MapFileError(Exception):
    """A map that cannot be saved or loaded; the message says what, where, expected, got and how to mend it."""

    def __init__(self, reason: MapFault, message: str) -> None:
        super().__init__(message)
        self.reason = reason
