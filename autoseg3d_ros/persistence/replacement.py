"""Replaces a file at once: whoever looks finds the old one or the new one, whole, whatever happens meanwhile."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError

_OF_THE_PATH = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENAMETOOLONG,
    errno.ELOOP,
}


def replace_file(path: Path, pieces: Iterable[bytes], expect_replaceable: Callable[[], None]) -> None:
    """Write `pieces` to a hidden file beside `path`, then rename it; `expect_replaceable` may refuse before.

    The hidden file has one name and a lock: a second writer is turned away, and what a killed one has left is taken
    over by the next. Raises MapFileError: INVALID_PATH or WRITE, and what `expect_replaceable` raises.
    """
    partial = path.parent / f".{path.name}.partial"
    with _claimed(partial) as descriptor:
        try:
            expect_replaceable()
            os.ftruncate(descriptor, 0)
            with os.fdopen(descriptor, "wb", closefd=False) as file:
                file.writelines(pieces)
            os.fsync(descriptor)
            os.replace(partial, path)
        except BaseException as error:
            partial.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise _fault(path, error) from error
            raise
        _make_durable(path.parent)


@contextlib.contextmanager
def _claimed(partial: Path) -> Iterator[int]:
    """Give the descriptor of the hidden file, which no other writer has; it is closed afterwards."""
    try:
        descriptor = os.open(partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise _fault(partial, error) from error
    try:
        _lock(descriptor, partial)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, partial: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # A writer that was done in between has renamed the file that was opened here.
        is_mine = os.path.samestat(os.fstat(descriptor), os.stat(partial))
    except (BlockingIOError, FileNotFoundError):
        is_mine = False
    except OSError as error:
        raise _fault(partial, error) from error
    if not is_mine:
        raise MapFileError(
            MapFault.WRITE, f"{partial}: another save to the same file is under way; try again when it is done"
        )


def _make_durable(folder: Path) -> None:
    """Bring the rename to the disk, where the file system can; the file is in place already."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _fault(path: Path, error: OSError) -> MapFileError:
    if error.errno in _OF_THE_PATH:
        return MapFileError(
            MapFault.INVALID_PATH,
            f"{path}: cannot be written ({error.strerror}); expected a folder that is there and may be written to",
        )
    return MapFileError(
        MapFault.WRITE, f"{path}: cannot be written ({error.strerror}); what was there before is still there"
    )
