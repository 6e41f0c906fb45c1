"""PLY meshes: text and binary say the same, and what is wrong is said."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from autoseg3d_ros.data.ply_file import read_ply, read_ply_mesh
from autoseg3d_ros.data.source import SourceError

HEADER = (
    "ply\nformat {} 1.0\ncomment made by hand\n"
    "element vertex 3\nproperty float x\nproperty float y\nproperty double z\n"
    "property uchar red\nproperty uint8 green\nproperty uchar blue\nproperty ushort label\n"
    "element face 2\nproperty list uchar int vertex_indices\nproperty short quality\nend_header\n"
)
TEXT = "0 0 0.5 1 2 3 900\n1 0 0 4 5 6 8\n0 1 -1e-3 7 8 9 7\n3 0 1 2 -5\n3 2 1 0 6\n"
VERTICES = [(0, 0, 0.5, 1, 2, 3, 900), (1, 0, 0, 4, 5, 6, 8), (0, 1, -1e-3, 7, 8, 9, 7)]
FACES = [(3, (0, 1, 2), -5), (3, (2, 1, 0), 6)]


def binary(order: str = "<") -> bytes:
    name = "binary_little_endian" if order == "<" else "binary_big_endian"
    vertex = np.dtype(f"{order}f4,{order}f4,{order}f8,u1,u1,u1,{order}u2")
    face = np.dtype([("n", "u1"), ("v", f"{order}i4", 3), ("q", f"{order}i2")])
    return HEADER.format(name).encode() + np.array(VERTICES, vertex).tobytes() + np.array(FACES, face).tobytes()


CONTENTS = {
    "text": (HEADER.format("ascii") + TEXT).encode(),
    "text with CR": (HEADER.format("ascii") + TEXT).replace("\n", "\r\n").encode(),
    "little": binary("<"),
    "big": binary(">"),
}


def written(folder: Path, data: bytes) -> Path:
    file = folder / "mesh.ply"
    file.write_bytes(data)
    return file


@pytest.mark.parametrize("data", CONTENTS.values(), ids=CONTENTS)
def test_each_layout_gives_the_same_mesh(tmp_path: Path, data: bytes) -> None:
    file = written(tmp_path, data)
    mesh = read_ply_mesh(file)
    np.testing.assert_array_equal(mesh.vertices_m, np.array([[0, 0, 0.5], [1, 0, 0], [0, 1, -1e-3]], np.float32))
    np.testing.assert_array_equal(mesh.rgb, [[1, 2, 3], [4, 5, 6], [7, 8, 9]])
    np.testing.assert_array_equal(mesh.faces, [[0, 1, 2], [2, 1, 0]])
    assert (mesh.vertices_m.dtype, mesh.rgb.dtype, mesh.faces.dtype) == (np.float32, np.uint8, np.int32)
    assert mesh.of_vertex["label"].tolist() == [900, 8, 7]
    assert mesh.of_vertex["z"].dtype == np.float64
    assert read_ply(file)["face"]["quality"].tolist() == [-5, 6]


@pytest.mark.parametrize("layout", ["ascii", "binary_little_endian"])
def test_no_vertices_and_no_faces(tmp_path: Path, layout: str) -> None:
    header = HEADER.format(layout).replace("vertex 3", "vertex 0").replace("face 2", "face 0")
    mesh = read_ply_mesh(written(tmp_path, header.encode()))
    assert (mesh.vertices_m.shape, mesh.rgb.shape, mesh.faces.shape) == ((0, 3), (0, 3), (0, 3))


def test_vertices_without_colour_are_black(tmp_path: Path) -> None:
    data = b"ply\nformat ascii 1.0\nelement vertex 1\nproperty int x\nproperty int y\nproperty int z\nend_header\n1 2 3"
    mesh = read_ply_mesh(written(tmp_path, data))
    assert (mesh.vertices_m.tolist(), mesh.rgb.tolist(), mesh.faces.shape) == ([[1, 2, 3]], [[0, 0, 0]], (0, 3))


@pytest.mark.parametrize("layout", ["text", "little"])
def test_a_file_cut_anywhere_is_said_to_be_damaged(tmp_path: Path, layout: str) -> None:
    data = CONTENTS[layout].rstrip(b"\n") if layout == "text" else CONTENTS[layout]
    body = data.index(b"end_header\n") + 11
    lengths = [0, 2, 40, body - 1, body, body + 1, body + 30, len(data) - 12, len(data) - 1]
    for length in lengths:
        with pytest.raises(SourceError, match=r"mesh\.ply.*(download|not understood)"):
            read_ply_mesh(written(tmp_path, data[:length]))


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("3 2 1 0 6", "4 2 1 0 0 6", "lists of one length"),
        ("3 2 1 0 6", "3 2 1 3 6", "vertices 0 to 2, got 0 to 3"),
        ("3 2 1 0 6", "3 2 1 -1 6", "got -1 to 2"),
        ("1 0 0 4", "1 0 left 4", "expected numbers"),
        ("ascii", "EBCDIC", "format"),
        ("property ushort label", "property colour label", "header not understood"),
        ("float x", "float u", "expected vertices with x, y, z"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = CONTENTS["text"].decode()
    assert old in text
    with pytest.raises(SourceError, match=message):
        read_ply_mesh(written(tmp_path, text.replace(old, new).encode()))


def test_quadrangles_are_refused(tmp_path: Path) -> None:
    text = HEADER.format("ascii") + TEXT.replace("3 0 1 2 -5\n3 2 1 0 6", "4 0 1 2 0 -5\n4 2 1 0 0 6")
    with pytest.raises(SourceError, match=r"expected triangles, got faces of 4 corners"):
        read_ply_mesh(written(tmp_path, text.encode()))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"nowhere\.ply: cannot be read"):
        read_ply(tmp_path / "nowhere.ply")
