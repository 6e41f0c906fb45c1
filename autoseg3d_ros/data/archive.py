"""Files by name, in a folder or in a zip archive that is read in place."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path, PurePosixPath
from types import TracebackType

from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import FrameError


class Archive:
    """The files of one folder or zip archive; folders inside an archive do not count. Use it as a context manager."""

    def __init__(self, path: Path) -> None:
        """List the files. Raises SourceError where `path` is neither a folder nor a whole zip archive."""
        self.path = path
        self._zip: zipfile.ZipFile | None = None
        try:
            if path.is_dir():
                self._members = {file.name: str(file) for file in path.iterdir()}
            else:
                self._zip = zipfile.ZipFile(path)
                self._members = {PurePosixPath(name).name: name for name in self._zip.namelist()}
        except OSError as error:
            raise SourceError(f"{path}: cannot be read: {error.strerror}; download it again") from error
        except zipfile.BadZipFile as error:
            raise SourceError(f"{path}: expected a whole zip archive ({error}); download it again") from error

    def __enter__(self) -> Archive:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._zip is not None:
            self._zip.close()

    def names(self) -> list[str]:
        """Return the names of the files, sorted."""
        return sorted(self._members)

    def where(self, name: str) -> str:
        """Return how messages name a file."""
        return str(self.path / name)

    def read(self, name: str) -> bytes:
        """Return the bytes of a file. Raises FrameError where it is missing or damaged."""
        if name not in self._members:
            raise FrameError(f"{self.where(name)}: no such file")
        try:
            member = self._members[name]
            return Path(member).read_bytes() if self._zip is None else self._zip.read(member)
        except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise FrameError(f"{self.where(name)}: cannot be read: {error}; download it again") from error
