"""Map files (`docs/map_file.md`): one file, written whole or not at all, read without running anything it says."""

from __future__ import annotations

import hashlib
import json
import math
import os
import stat
import struct
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from autoseg3d_ros.persistence.columns import COLUMNS, expect_columns
from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_snapshot import MapSnapshot
from autoseg3d_ros.persistence.replacement import replace_file
from autoseg3d_ros.persistence.validity import expect_a_map

MAGIC = b"AUTOSEG3"
VERSION = 1
_PREFIX = struct.Struct("<8sII")  # magic, version, bytes of the header
_CHECKSUM_BYTES = hashlib.sha256().digest_size
_MAX_HEADER_BYTES = 1 << 16
_MAX_FILE_BYTES = 1 << 32
_NUMBERS = {
    "frame_index": int,
    "map_frame": str,
    "max_points": int,
    "max_tracks": int,
    "network": str,
    "next_id": int,
    "num_retirements": int,
    "package": str,
    "saved_ns": int,
    "voxel_m": float,
}


def write_map(snapshot: MapSnapshot, path: Path, *, overwrite: bool) -> None:
    """Write a map to `path`: after any failure, even a kill, a file that was there before is whole; any thread.

    Only maps are replaced, other files never. Raises MapFileError: EXISTS; INVALID_PATH for a folder that is not there
    or may not be written; WRITE for a full disk, and where another save to the same file is under way.
    """
    replace_file(path, _encoded(snapshot), lambda: _expect_replaceable(path, overwrite))


def read_map(path: Path) -> MapSnapshot:
    """Return the map of a file after all of it has been checked; the arrays are read-only.

    Raises MapFileError: NOT_FOUND; INVALID_PATH without permission; INVALID_FILE for what is no map or is damaged;
    INCOMPATIBLE for a whole file of another version.
    """
    data = _bytes_of(path)
    _magic, version, header_bytes = _PREFIX.unpack_from(data)
    payload, checksum = memoryview(data)[:-_CHECKSUM_BYTES], data[-_CHECKSUM_BYTES:]
    if hashlib.sha256(payload).digest() != checksum:
        raise _invalid(path, "its checksum is wrong, so it is damaged or cut off")
    if version != VERSION:
        raise MapFileError(
            MapFault.INCOMPATIBLE,
            f"{path}: expected a map file of version {VERSION}, got version {version}; save the map with this version "
            "of the package, or load it with the one that wrote it",
        )
    try:
        header = _header(payload[_PREFIX.size :], header_bytes)
        snapshot = _snapshot(header, _arrays(header, payload[_PREFIX.size + header_bytes :]))
        expect_a_map(snapshot)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise _invalid(path, f"its checksum is right, but it cannot be a map: {error}") from error
    return snapshot


def _encoded(snapshot: MapSnapshot) -> Iterator[bytes]:
    described = [
        {"name": name, "dtype": COLUMNS[name].dtype, "shape": array.shape} for name, array in snapshot.arrays.items()
    ]
    numbers = {name: getattr(snapshot, name) for name in _NUMBERS}
    document = {"map_id": str(snapshot.map_id), **numbers, "arrays": described}
    header = json.dumps(document, sort_keys=True).encode()
    digest = hashlib.sha256()
    for piece in (_PREFIX.pack(MAGIC, VERSION, len(header)), header):
        digest.update(piece)
        yield piece
    for name, array in snapshot.arrays.items():
        piece = array.astype(COLUMNS[name].dtype, copy=False).tobytes()
        digest.update(piece)
        yield piece
    yield digest.digest()


def _expect_replaceable(path: Path, overwrite: bool) -> None:
    if not os.path.lexists(path):
        return
    if not path.is_file():
        raise MapFileError(MapFault.INVALID_PATH, f"{path}: expected a file, found a folder or device; choose another")
    if not overwrite:
        raise MapFileError(MapFault.EXISTS, f"{path}: exists; choose another path, or ask to overwrite it")
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start not in (MAGIC, b""):
        raise MapFileError(MapFault.EXISTS, f"{path}: is no map, and is left alone; choose another path")


def _bytes_of(path: Path) -> bytes:
    """Return a file that begins like a map and is long enough for one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe must not make it wait
        try:
            return _bytes_from(descriptor, path)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MapFileError(MapFault.NOT_FOUND, f"{path}: no such file; save a map first, or name another") from error
    except PermissionError as error:
        raise MapFileError(MapFault.INVALID_PATH, f"{path}: cannot be read ({error.strerror})") from error
    except OSError as error:
        raise _invalid(path, f"it cannot be read ({error.strerror})") from error


def _bytes_from(descriptor: int, path: Path) -> bytes:
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        raise _invalid(path, "it is no regular file")
    with os.fdopen(descriptor, "rb", closefd=False) as file:
        start = file.read(len(MAGIC))
        if start != MAGIC:
            raise _invalid(path, f"it begins with {start!r} in place of {MAGIC!r}")
        if not _PREFIX.size + _CHECKSUM_BYTES <= status.st_size <= _MAX_FILE_BYTES:
            raise _invalid(path, f"it has {status.st_size} bytes")
        file.seek(0)
        return file.read()


def _header(payload: memoryview, header_bytes: int) -> dict[str, Any]:
    if header_bytes > min(_MAX_HEADER_BYTES, len(payload)):
        raise ValueError(f"expected a header of at most {_MAX_HEADER_BYTES} bytes within the file, got {header_bytes}")
    header = json.loads(bytes(payload[:header_bytes]))
    for name, kind in {"map_id": str, **_NUMBERS}.items():
        if type(header[name]) is not kind:
            raise TypeError(f"{name}: expected {kind.__name__}, got {header[name]!r}")
    return header


def _arrays(header: dict[str, Any], payload: memoryview) -> dict[str, np.ndarray]:
    described = [(one["name"], one["dtype"], tuple(one["shape"])) for one in header["arrays"]]
    if not all(type(size) is int and size >= 0 for _, _, shape in described for size in shape):
        raise ValueError("expected shapes of whole numbers from 0")
    expect_columns(described)
    num_bytes = [math.prod(shape) * np.dtype(dtype).itemsize for _, dtype, shape in described]
    if len(described) > len(COLUMNS) or sum(num_bytes) != len(payload):
        raise ValueError(f"expected arrays of {len(payload)} bytes, got a header that tells of {sum(num_bytes)}")
    ends = np.cumsum([0, *num_bytes]).tolist()
    return {
        name: np.frombuffer(payload[start:end], dtype).reshape(shape)
        for (name, dtype, shape), start, end in zip(described, ends[:-1], ends[1:], strict=True)
    }


def _snapshot(header: dict[str, Any], arrays: dict[str, np.ndarray]) -> MapSnapshot:
    numbers = {name: header[name] for name in _NUMBERS}
    return MapSnapshot(map_id=uuid.UUID(header["map_id"]), arrays=arrays, **numbers)


def _invalid(path: Path, what: str) -> MapFileError:
    return MapFileError(
        MapFault.INVALID_FILE, f"{path}: expected a map file of autoseg3d_ros, but {what}; load another one"
    )
