"""A miniature ScanNet: one scene of a floor, a chair and a table, byte by byte as the benchmark's files are."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

SCENE = "scene0000_00"
WIDTH, HEIGHT = 32, 24
COLOUR_WIDTH, COLOUR_HEIGHT = 64, 48
# not the centre of the image: no pixel then looks at the middle between two vertices of `mesh_grid`
K = np.array([[30.0, 0, 15.4, 0], [0, 30.0, 11.4, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
# the camera is at (0, 0, 3) and looks down; image right is world x, image down is world -y
LOOK_DOWN = np.array([[1.0, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, 3], [0, 0, 0, 1]])
LOST = np.full((4, 4), -np.inf)


@dataclass
class SensRecording:
    """What a .sens file says; the fields are in the order of the file."""

    poses: list[np.ndarray] = field(default_factory=lambda: [LOOK_DOWN])
    depth_units: np.ndarray = field(default_factory=lambda: np.full((HEIGHT, WIDTH), 3000, np.uint16))
    rgb: np.ndarray = field(default_factory=lambda: np.full((COLOUR_HEIGHT, COLOUR_WIDTH, 3), (200, 100, 50), np.uint8))
    colour_compression: int = 2  # JPEG
    depth_compression: int = 1  # zlib
    version: int = 4
    num_frames: int | None = None  # None = as many as there are
    stamp_step_us: int = 33333

    def header(self) -> bytes:
        name, height, width = b"StructureSensor", *self.rgb.shape[:2]
        identity = np.eye(4)
        return b"".join(
            [
                struct.pack("<I", self.version),
                struct.pack("<Q", len(name)) + name,
                *(matrix.astype("<f4").tobytes() for matrix in (2 * K, identity, K, identity)),
                struct.pack("<ii", self.colour_compression, self.depth_compression),
                struct.pack("<IIII", width, height, self.depth_units.shape[1], self.depth_units.shape[0]),
                struct.pack("<f", 1000.0),
                struct.pack("<Q", len(self.poses) if self.num_frames is None else self.num_frames),
            ]
        )

    def frame(self, number: int) -> bytes:
        colour, depth = self.colour_data(), self.depth_data(number)
        stamp_us = number * self.stamp_step_us
        return b"".join(
            [
                self.poses[number].astype("<f4").tobytes(),
                struct.pack("<QQ", stamp_us, stamp_us + 5),
                struct.pack("<QQ", len(colour), len(depth)),
                colour,
                depth,
            ]
        )

    def colour_data(self) -> bytes:
        if self.colour_compression == 0:
            return self.rgb.tobytes()
        suffix = ".png" if self.colour_compression == 1 else ".jpg"
        return cv2.imencode(suffix, cv2.cvtColor(self.rgb, cv2.COLOR_RGB2BGR))[1].tobytes()

    def depth_data(self, number: int) -> bytes:
        """The depth of frame n is that of the recording, n millimetres farther."""
        data = (self.depth_units + number).astype("<u2").tobytes()
        return zlib.compress(data) if self.depth_compression == 1 else data

    def data(self) -> bytes:
        """The imu frames that follow in real files are left out; readers stop before them."""
        return self.header() + b"".join(map(self.frame, range(len(self.poses))))


def mesh_grid() -> np.ndarray:
    """Return (V, 3) vertices 0.1 m apart on the ground z = 0, x from -2 to 2, y from -1.5 to 1.5, x first."""
    x, y = np.meshgrid(np.arange(-20, 21) / 10, np.arange(-15, 16) / 10)
    return np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)


def segments_of(vertices_m: np.ndarray) -> np.ndarray:
    """Return (V,) segments, as ScanNet's not consecutive: 7 floor, 40 and 41 chair (x < -1), 90 table (x > 1)."""
    x, y = vertices_m[:, 0], vertices_m[:, 1]
    return np.select([(x < -0.95) & (y < 0), x < -0.95, x > 0.95], [40, 41, 90], 7)


def ply_data(vertices_m: np.ndarray, faces: np.ndarray) -> bytes:
    """Return a binary mesh with the properties of ScanNet's."""
    header = (
        "ply\nformat binary_little_endian 1.0\ncomment VCGLIB generated\n"
        f"element vertex {len(vertices_m)}\n"
        "property float x\nproperty float y\nproperty float z\n"
        "property uchar red\nproperty uchar green\nproperty uchar blue\nproperty uchar alpha\n"
        f"element face {len(faces)}\nproperty list uchar int vertex_indices\nend_header\n"
    )
    rows = [struct.pack("<fffBBBB", *vertex, 10, 20, 30, 255) for vertex in vertices_m]
    return header.encode() + b"".join(rows) + b"".join(struct.pack("<Biii", 3, *face) for face in faces)


def group(object_id: int, label: str, segments: list[int]) -> dict:
    return {"id": object_id, "objectId": object_id, "segments": segments, "label": label}


GROUPS = [group(0, "floor", [7]), group(1, "office chair", [40, 41]), group(2, "table", [90])]
LABEL_MAP = (
    "id\traw_category\tcategory\tcount\tnyu40id\tnyu40class\n"
    "1\twall\twall\t8277\t1\twall\n"
    "3\tfloor\tfloor\t1559\t2\tfloor\n"
    '4\ttable\ttable\t1170\t7\ttable\n4\t"L" table\ttable\t1\t7\ttable\n'
    "10\toffice chair\toffice chair\t595\t5\tchair\n"
    "22\tbooks\tbook\t1678\t23\tbooks\n"
    "1163\tobject\tobject\t313\t40\totherprop\n"
    "20\tremote\tremote\t1\t40\totherprop\n"
    "999\todd\todd\t1\t\t\n"
)


@dataclass
class ScanNetScene:
    """The files of one scene; change a field to spoil one of them."""

    recording: SensRecording = field(default_factory=SensRecording)
    vertices_m: np.ndarray = field(default_factory=mesh_grid)
    segments: np.ndarray | None = None  # None = segments_of
    groups: list[dict] = field(default_factory=lambda: list(GROUPS))
    alignment: np.ndarray = field(default_factory=lambda: np.eye(4))

    def write(self, root: Path, scene: str = SCENE, kind: str = "scans") -> Path:
        """Write the scene below `root`, and the label map; return the folder of the scene."""
        folder = root / kind / scene
        folder.mkdir(parents=True)
        (root / "scannetv2-labels.combined.tsv").write_text(LABEL_MAP)
        (folder / f"{scene}.sens").write_bytes(self.recording.data())
        (folder / f"{scene}_vh_clean_2.ply").write_bytes(ply_data(self.vertices_m, np.array([[0, 1, 2]])))
        if kind == "scans_test":
            return folder
        segments = segments_of(self.vertices_m) if self.segments is None else self.segments
        segments_name = f"{scene}_vh_clean_2.0.010000.segs.json"
        (folder / segments_name).write_text(
            json.dumps({"params": {}, "sceneId": scene, "segIndices": segments.tolist()})
        )
        aggregation = {"sceneId": f"scannet.{scene}", "segGroups": self.groups, "segmentsFile": segments_name}
        (folder / f"{scene}.aggregation.json").write_text(json.dumps(aggregation))
        numbers = " ".join(f"{number:.6f}" for number in self.alignment.ravel())
        (folder / f"{scene}.txt").write_text(f"axisAlignment = {numbers} \ncolorHeight = {COLOUR_HEIGHT}\n")
        return folder
