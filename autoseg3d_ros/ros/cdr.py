"""CDR, in which ROS 2 messages go over the wire: numbers aligned to their size, little end first."""

from __future__ import annotations

import functools
import struct
from collections.abc import Sequence

_LITTLE_ENDIAN = b"\x00\x01\x00\x00"  # the encapsulation header; alignment counts from behind it


class CdrBuffer:
    """A message that grows by its fields, in their order (OMG DDSI-RTPS 2.2, 10.2: plain CDR)."""

    def __init__(self) -> None:
        self._bytes = bytearray(_LITTLE_ENDIAN)

    def __bytes__(self) -> bytes:
        return bytes(self._bytes)

    def align(self, size: int) -> None:
        """Fill up to a multiple of `size` bytes, before a number as large."""
        self._bytes += bytes((len(_LITTLE_ENDIAN) - len(self._bytes)) % size)

    def put(self, layout: str, *values: float) -> None:
        """Append numbers of a `struct` layout with its own padding, where the largest is aligned by the caller."""
        self._bytes += _packer(layout).pack(*values)

    def put_bytes(self, values: bytes) -> None:
        """Append what is laid out already."""
        self._bytes += values

    def put_string(self, text: str) -> None:
        """Append a string."""
        self.align(4)
        encoded = text.encode()
        self.put("<I", len(encoded) + 1)
        self._bytes += encoded + b"\x00"

    def put_strings(self, texts: Sequence[str]) -> None:
        """Append a sequence of strings."""
        self.align(4)
        self.put("<I", len(texts))
        for text in texts:
            self.put_string(text)

    def put_floats(self, values: Sequence[float]) -> None:
        """Append a sequence of 32-bit floats."""
        self.align(4)
        self.put(f"<I{len(values)}f", len(values), *values)


@functools.lru_cache(maxsize=64)
def _packer(layout: str) -> struct.Struct:
    return struct.Struct(layout)
