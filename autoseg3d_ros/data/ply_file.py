"""PLY meshes, text and binary, as the benchmarks give them (http://paulbourke.net/dataformats/ply)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from autoseg3d_ros.data.source import SourceError

Elements = dict[str, dict[str, np.ndarray]]

_HEADER_END = b"end_header"
_FACE_LISTS = ("vertex_indices", "vertex_index")
_BYTE_ORDERS = {"ascii": "<", "binary_little_endian": "<", "binary_big_endian": ">"}
_TYPES = {
    **{"char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4"},
    **{"float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2"},
    **{"int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8"},
}


class Property(NamedTuple):
    """A column of an element; of a list property `count_type` is the type of the lengths."""

    name: str
    type: str
    count_type: str = ""


class Element(NamedTuple):
    """A table of a PLY file."""

    name: str
    num_rows: int
    properties: list[Property]


@dataclass(frozen=True)
class PlyMesh:
    """A triangle mesh with whatever else the file says of its vertices."""

    vertices_m: np.ndarray  # (V, 3) float32, units and frame of the file
    rgb: np.ndarray  # (V, 3) uint8, black where the file has no colour
    faces: np.ndarray  # (F, 3) int32, may be empty
    of_vertex: Mapping[str, np.ndarray]  # every scalar property of the vertices, (V,) in the type of the file


def read_ply_mesh(file: Path) -> PlyMesh:
    """Read vertices, colours and triangles. Raises SourceError as `read_ply` does, and for faces that do not fit."""
    elements = read_ply(file)
    vertex = elements.get("vertex", {})
    if not {"x", "y", "z"} <= vertex.keys():
        raise SourceError(f"{file}: expected vertices with x, y, z, got elements {', '.join(elements) or 'none'}")
    num_vertices = len(vertex["x"])
    face = elements.get("face", {})
    lists = [face[name] for name in _FACE_LISTS if name in face and len(face[name])]
    faces = lists[0] if lists else np.zeros((0, 3), np.int32)
    if faces.shape[1] != 3:
        raise SourceError(f"{file}: expected triangles, got faces of {faces.shape[1]} corners; triangulate the mesh")
    if faces.size and not 0 <= faces.min() <= faces.max() < num_vertices:
        raise SourceError(
            f"{file}: expected faces of vertices 0 to {num_vertices - 1}, got {faces.min()} to {faces.max()}; "
            "the file is damaged: download it again"
        )
    colour = [vertex.get(name, np.zeros(num_vertices, np.uint8)) for name in ("red", "green", "blue")]
    return PlyMesh(
        vertices_m=np.stack([vertex[axis] for axis in "xyz"], axis=1).astype(np.float32),
        rgb=np.stack(colour, axis=1).astype(np.uint8),
        faces=faces.astype(np.int32),
        of_vertex=vertex,
    )


def read_ply(file: Path) -> Elements:
    """Return element -> property -> values: (n,) in the type of the file, (n, k) for lists that all hold k items.

    Raises SourceError for a file that is missing, no PLY, cut short, or whose lists differ in length.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}; download it again") from error
    end = data.find(b"\n", data.find(_HEADER_END))
    if not data.startswith(b"ply") or _HEADER_END not in data or end < 0:
        raise SourceError(
            f"{file}: expected a PLY file with its header, got {len(data)} other bytes; download it again"
        )
    try:
        layout, elements = _parse_header(data[:end].decode("ascii", "replace").splitlines())
    except (ValueError, KeyError, IndexError) as error:
        raise SourceError(f"{file}: PLY header not understood: {error}") from error
    body = data[end + 1 :]
    reader: _Text | _Binary = _Text(file, body) if layout == "ascii" else _Binary(file, body, _BYTE_ORDERS[layout])
    return {element.name: reader.read(element) for element in elements}


def _parse_header(lines: list[str]) -> tuple[str, list[Element]]:
    layout, elements = "", []
    for line in lines:
        words = line.split()
        match words[:1]:
            case ["format"]:
                layout = words[1]
            case ["element"]:
                elements.append(Element(words[1], int(words[2]), []))
            case ["property"] if words[1] == "list":
                elements[-1].properties.append(Property(words[4], _TYPES[words[3]], _TYPES[words[2]]))
            case ["property"]:
                elements[-1].properties.append(Property(words[2], _TYPES[words[1]]))
    if layout not in _BYTE_ORDERS:
        raise ValueError(f"expected the format {' or '.join(_BYTE_ORDERS)}, got {layout!r}")
    return layout, elements


class _Binary:
    """Reads the tables of a binary body one after the other."""

    def __init__(self, file: Path, body: bytes, byte_order: str) -> None:
        self._file, self._body, self._byte_order = file, body, byte_order
        self._offset = 0

    def read(self, element: Element) -> dict[str, np.ndarray]:
        lengths = self._lengths_of_first_row(element)
        fields: list[tuple[str, str, tuple[int, ...]]] = []
        for one in element.properties:
            if one.count_type:
                fields.append((f"{one.name} count", self._byte_order + one.count_type, ()))
            fields.append((one.name, self._byte_order + one.type, (lengths[one.name],) if one.count_type else ()))
        row = np.dtype(fields)
        _expect_room(self._file, element, self._body, self._offset + element.num_rows * row.itemsize, "bytes")
        rows = np.frombuffer(self._body, row, element.num_rows, self._offset)
        self._offset += rows.nbytes
        for name, length in lengths.items():
            _expect_length(self._file, element, length, rows[f"{name} count"])
        return {one.name: rows[one.name].astype(one.type) for one in element.properties}

    def _lengths_of_first_row(self, element: Element) -> dict[str, int]:
        lengths, offset = {}, self._offset
        for one in element.properties:
            if one.count_type and element.num_rows:
                count = np.dtype(self._byte_order + one.count_type)
                _expect_room(self._file, element, self._body, offset + count.itemsize, "bytes")
                lengths[one.name] = int(np.frombuffer(self._body, count, 1, offset)[0])
                offset += count.itemsize
            offset += lengths.get(one.name, 1) * np.dtype(one.type).itemsize
        return lengths or {one.name: 0 for one in element.properties if one.count_type}


class _Text:
    """Reads the tables of a text body one after the other."""

    def __init__(self, file: Path, body: bytes) -> None:
        self._file = file
        try:
            self._numbers = np.array(body.split(), dtype=np.bytes_).astype(np.float64)
        except ValueError as error:
            raise SourceError(f"{file}: expected numbers after the header: {error}; download it again") from error
        self._offset = 0

    def read(self, element: Element) -> dict[str, np.ndarray]:
        columns, width = self._columns(element)
        _expect_room(self._file, element, self._numbers, self._offset + element.num_rows * width, "numbers")
        rows = self._numbers[self._offset : self._offset + element.num_rows * width].reshape(element.num_rows, width)
        self._offset += rows.size
        values = {}
        for one, (first, length) in zip(element.properties, columns, strict=True):
            if one.count_type:
                _expect_length(self._file, element, length, rows[:, first - 1])
                values[one.name] = rows[:, first : first + length].astype(one.type)
            else:
                values[one.name] = rows[:, first].astype(one.type)
        return values

    def _columns(self, element: Element) -> tuple[list[tuple[int, int]], int]:
        """Return (first column, number of columns) of each property's values, and the width of a row."""
        columns, width = [], 0
        for one in element.properties:
            length = 1
            if one.count_type:
                at = self._offset + width
                if element.num_rows:
                    _expect_room(self._file, element, self._numbers, at + 1, "numbers")
                length = int(self._numbers[at]) if element.num_rows else 0
                width += 1
            columns.append((width, length))
            width += length
        return columns, width


def _expect_room(file: Path, element: Element, body: bytes | np.ndarray, end: int, unit: str) -> None:
    if end > len(body):
        raise SourceError(
            f"{file}: cut short in its {element.num_rows} rows of {element.name}: expected at least {end} {unit} after "
            f"the header, got {len(body)}; download it again"
        )


def _expect_length(file: Path, element: Element, length: int, counts: np.ndarray) -> None:
    others = np.flatnonzero(counts != length)
    if len(others):
        raise SourceError(
            f"{file}: expected lists of one length in element {element.name}, got {length} in row 0 and "
            f"{counts[others[0]]:g} in row {others[0]}; triangulate the mesh or download it again"
        )
