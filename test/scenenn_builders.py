"""A miniature SceneNN on disk, in the formats of the release: a handful of images, poses, a mesh, its annotation."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import cv2
import numpy as np

IMAGES = (1, 2, 41, 81)  # 2 is none of every 40th
DEPTH_MM = 2345
LABELS = (7, 7, 7, 8844, 8844, 8844, 90, 90, 90, 5, 5, 0)  # of the vertices
SEGMENTS = (40, 40, 40, 3, 3, 17, 9, 9, 9, 1, 1, 0)
# (x, y up, z); the third coordinate tells the vertices apart
VERTICES_M = tuple((0.1 * index, 1.0 + 0.5 * (index % 3), -2.0 - 0.1 * index) for index in range(12))
ANNOTATION = """<?xml version="1.0" encoding="utf-8"?>
<annotation>
    <label id="7" color="255 0 0" text="office chair" nyu_class="chair" obbox="0 0 0 1 1 1 0 0 0 1"/>
    <label id="8844" color="0 255 0" text="table" nyu_class=""/>
    <label id="90" color="0 0 255" text="wall 2" nyu_class="wall"/>
    <label id="5" color="0 0 128" text="" nyu_class=""/>
    <label id="33" color="1 2 3" text="lamp" nyu_class="lamp"/>
</annotation>
"""


def y_up_pose(index: int) -> np.ndarray:
    """Return a pose as the log has it: level camera one metre above the floor, looking along world -z."""
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = (0.25 * index, 1.0, 0.5)
    return pose


def colour_of(number: int) -> tuple[int, int, int]:
    """Return the colour that all of image `number` has, red first."""
    return (number, 100, 50)


def write_log(file: Path, ids: range, lost: tuple[int, ...] = ()) -> None:
    """Write `trajectory.log`; poses of the ids in `lost` are all zeros, as the release has them."""
    lines = []
    for index, one in enumerate(ids):
        pose = np.diag([0.0, 0, 0, 1]) if one in lost else y_up_pose(index)
        lines += [f"{one} {one} {one + 1}", *(" ".join(f"{value:.6g}" for value in row) for row in pose)]
    file.write_text("\n".join(lines) + "\n")


def write_mesh(file: Path, *, painted: bool = True, properties: str = "label") -> None:
    """Write the mesh as a binary PLY of little byte order; `painted` gives each label one colour."""
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(LABELS)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    header += [f"property uint {properties}", "element face 2", "property list uchar int vertex_indices", "end_header"]
    data = "\n".join(header).encode() + b"\n"
    for index, (point, label) in enumerate(zip(VERTICES_M, LABELS, strict=True)):
        colour = label % 256 if painted else index
        data += struct.pack("<3f3BI", *point, colour, colour, colour, label)
    data += struct.pack("<B3i", 3, 0, 1, 2) + struct.pack("<B3i", 3, 3, 4, 5)
    file.write_bytes(data)


def write_scene(root: Path, scene: str = "015") -> Path:
    """Write one scene below `root` and return its folder."""
    folder = root / scene
    for name in ("image", "depth"):
        (folder / name).mkdir(parents=True)
    for number in IMAGES:
        colour = np.full((480, 640, 3), colour_of(number)[::-1], np.uint8)
        cv2.imwrite(str(folder / "image" / f"image{number:05d}.png"), colour)
        depth = np.full((480, 640), DEPTH_MM, np.uint16)
        depth[0, 0] = 0
        cv2.imwrite(str(folder / "depth" / f"depth{number:05d}.png"), depth)
    (folder / "timestamp.txt").write_text("".join(f"{number} {number * 33333} 0\n" for number in IMAGES))
    write_log(folder / "trajectory.log", range(100))
    write_mesh(folder / f"{scene}.ply")
    (folder / f"{scene}.xml").write_text(ANNOTATION)
    (root / "mesh_segs").mkdir(exist_ok=True)
    segments = {"params": {"kThresh": "0.01", "segMinVerts": "20"}, "sceneId": scene, "segIndices": list(SEGMENTS)}
    (root / "mesh_segs" / f"{scene}.segs.json").write_text(json.dumps(segments))
    return folder
