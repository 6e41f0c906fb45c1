"""ScanNet's `.sens` recordings, version 4: one file of compressed colour and depth images with poses.

The layout is that of ScanNet's SensorData (github.com/ScanNet/ScanNet, SensReader), little endian throughout. The file
is not read as a whole: its frame headers are visited once, and a frame is read when it is asked for.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np

from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.stream.encoded_image import decode_image
from autoseg3d_ros.structures import FrameError

_VERSION = 4
_LONGEST_NAME = 4096
_COLOUR_RAW, _COLOUR_PNG, _COLOUR_JPEG = 0, 1, 2
_DEPTH_RAW, _DEPTH_ZLIB = 0, 1
_MATRIX = ("<f4", (4, 4))
_START = np.dtype([("version", "<u4"), ("name_length", "<u8")])
_HEADER = np.dtype(
    [
        ("colour_intrinsics", *_MATRIX),
        ("colour_extrinsics", *_MATRIX),
        ("depth_intrinsics", *_MATRIX),
        ("depth_extrinsics", *_MATRIX),
        ("colour_compression", "<i4"),
        ("depth_compression", "<i4"),
        ("colour_size", "<u4", 2),  # width, height
        ("depth_size", "<u4", 2),
        ("depth_shift", "<f4"),
        ("num_frames", "<u8"),
    ]
)
_FRAME = np.dtype(
    [
        ("world_from_camera", *_MATRIX),
        ("colour_stamp_us", "<u8"),
        ("depth_stamp_us", "<u8"),
        ("colour_bytes", "<u8"),
        ("depth_bytes", "<u8"),
    ]
)


@dataclass(frozen=True)
class SensFrame:
    """One frame as recorded: colour and depth each in its own size."""

    world_from_camera: np.ndarray  # (4, 4) float32; -inf or NaN where tracking was lost
    colour_stamp_us: int
    depth_stamp_us: int
    rgb: np.ndarray  # (H, W, 3) uint8, red first
    depth_units: np.ndarray  # (h, w) uint16, 0 = no measurement


class SensFile:
    """The frames of one `.sens` file, in any order."""

    def __init__(self, file: Path) -> None:
        """Read the header and find the frames; a file cut short between them gives those before the cut.

        Raises SourceError for a file that is missing, of another version or compression, or cut within its header.
        """
        self.path = file
        try:
            with file.open("rb") as stream:
                self._size_bytes = file.stat().st_size
                self.sensor_name = self._read_name(stream)
                self._header = self._read(stream, _HEADER)
                self._check_compression()
                self._index, self._starts = self._find_frames(stream)
        except OSError as error:
            raise SourceError(f"{file}: cannot be read: {error.strerror}; download it again") from error

    def __len__(self) -> int:
        """Return the number of whole frames."""
        return len(self._index)

    @property
    def num_promised(self) -> int:
        """Number of frames by the header."""
        return int(self._header["num_frames"])

    @property
    def depth_intrinsics(self) -> np.ndarray:
        """K of the depth camera, (4, 4) float32."""
        return self._header["depth_intrinsics"]

    @property
    def depth_size(self) -> tuple[int, int]:
        """Width and height, pixels."""
        return _pair(self._header["depth_size"])

    @property
    def depth_units_a_metre(self) -> float:
        return float(self._header["depth_shift"])

    def expect_complete(self) -> None:
        """Raise SourceError where the file is cut short."""
        if len(self) < self.num_promised:
            raise SourceError(
                f"{self.path}: cut short in frame {len(self)} of {self.num_promised}: expected at least "
                f"{self._bytes_needed} bytes, got {self._size_bytes}; download it again"
            )

    def frame(self, number: int) -> SensFrame:
        """Read one frame, counted from 0. Raises FrameError where its images cannot be decoded.

        Raises SourceError for a frame beyond the cut of a file cut short, and IndexError for one that never was.
        """
        if number >= len(self):
            self.expect_complete()
        record, where = self._index[number], f"{self.path} frame {number}"
        with self.path.open("rb") as stream:
            stream.seek(self._starts[number])
            colour_data = stream.read(int(record["colour_bytes"]))
            depth_data = stream.read(int(record["depth_bytes"]))
        return SensFrame(
            world_from_camera=record["world_from_camera"],
            colour_stamp_us=int(record["colour_stamp_us"]),
            depth_stamp_us=int(record["depth_stamp_us"]),
            rgb=self._colour(colour_data, f"{where}: colour"),
            depth_units=self._depth(depth_data, f"{where}: depth"),
        )

    def _read_name(self, stream: BinaryIO) -> str:
        start = self._read(stream, _START)
        if start["version"] != _VERSION or start["name_length"] > _LONGEST_NAME:
            raise SourceError(
                f"{self.path}: expected a .sens file of version {_VERSION}, got version {start['version']} with a "
                f"sensor name of {start['name_length']} bytes; download it again"
            )
        return stream.read(int(start["name_length"])).decode("utf-8", "replace")

    def _read(self, stream: BinaryIO, layout: np.dtype) -> np.void:
        at, data = stream.tell(), stream.read(layout.itemsize)
        if len(data) < layout.itemsize:
            raise SourceError(
                f"{self.path}: cut short in its header: expected at least {at + layout.itemsize} bytes, got "
                f"{self._size_bytes}; download it again"
            )
        return np.frombuffer(data, layout)[0]

    def _check_compression(self) -> None:
        colour, depth = int(self._header["colour_compression"]), int(self._header["depth_compression"])
        if colour not in (_COLOUR_RAW, _COLOUR_PNG, _COLOUR_JPEG) or depth not in (_DEPTH_RAW, _DEPTH_ZLIB):
            raise SourceError(
                f"{self.path}: expected colour compressed as 0 (raw), 1 (PNG) or 2 (JPEG) and depth as 0 (raw) or "
                f"1 (zlib), got {colour} and {depth}; export the recording anew with ScanNet's SensReader"
            )

    def _find_frames(self, stream: BinaryIO) -> tuple[np.ndarray, list[int]]:
        """Return the headers of the whole frames and where the images of each begin."""
        headers, starts = [], []
        self._bytes_needed = stream.tell()
        for _ in range(self.num_promised):
            stream.seek(self._bytes_needed)
            data = stream.read(_FRAME.itemsize)
            self._bytes_needed += _FRAME.itemsize
            if len(data) < _FRAME.itemsize:
                break
            record = np.frombuffer(data, _FRAME)[0]
            start = self._bytes_needed
            self._bytes_needed += int(record["colour_bytes"]) + int(record["depth_bytes"])
            if self._bytes_needed > self._size_bytes:
                break
            headers.append(record)
            starts.append(start)
        return np.array(headers, _FRAME), starts

    def _colour(self, data: bytes, where: str) -> np.ndarray:
        width, height = _pair(self._header["colour_size"])
        if self._header["colour_compression"] == _COLOUR_RAW:
            _expect_bytes(data, width * height * 3, where)
            return np.frombuffer(data, np.uint8).reshape(height, width, 3)
        image = decode_image(data, cv2.IMREAD_COLOR, where)
        if image.shape[:2] != (height, width):
            raise FrameError(
                f"{where}: expected {width}x{height} as the header says, got {image.shape[1]}x{image.shape[0]}; "
                "download the file again"
            )
        return cv2.cvtColor(image, cv2.COLOR_BGR2RGB)

    def _depth(self, data: bytes, where: str) -> np.ndarray:
        width, height = self.depth_size
        if self._header["depth_compression"] == _DEPTH_ZLIB:
            try:
                data = zlib.decompress(data)
            except zlib.error as error:
                raise FrameError(f"{where}: cannot be decompressed ({error}); download the file again") from error
        _expect_bytes(data, width * height * 2, where)
        return np.frombuffer(data, "<u2").astype(np.uint16).reshape(height, width)


def _pair(values: np.ndarray) -> tuple[int, int]:
    first, second = values.tolist()
    return first, second


def _expect_bytes(data: bytes, count: int, where: str) -> None:
    if len(data) != count:
        raise FrameError(f"{where}: expected {count} bytes, got {len(data)}; download the file again")
