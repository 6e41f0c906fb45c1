"""A miniature 3RScan on disk, in the formats of version 2: two rooms, one of the hidden test set."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import cv2
import numpy as np

SCAN, RESCAN = "531cff08-0021-28f6-8e08-ba2eeb945e09", "531cff10-0021-28f6-8f94-80db8fdbbbee"
TEST_SCAN, TEST_RESCAN = "00d42bed-778d-2ac6-86a7-0e0e5f5f5660", "4acaebba-6c10-2a2a-8650-34c2f160db99"
COLOUR_SIZE, DEPTH_SIZE = (80, 45), (32, 24)  # width, height
FRAMES = (0, 1, 5, 10)  # 1 is none of every 5th
# objectId, globalId, NYU40 of each vertex: nothing (whatever its class), chair, box, floor
VERTICES = ((0, 15, 40), (4, 2, 5), (4, 2, 5), (4, 2, 5), (31, 4, 29), (31, 4, 29), (1, 6, 2), (1, 6, 2))
SEGMENTS = (12, 5, 5, 8, 8, 30, 1, 1)
LABELS = {0: "object", 4: "chair", 31: "box", 1: "floor", 77: "lamp"}  # the lamp has no vertex
INFO = """m_versionNumber = 4
m_sensorName = StructureSensor
m_colorWidth = 80
m_colorHeight = 45
m_depthWidth = 32
m_depthHeight = 24
m_depthShift = 1000
m_calibrationColorIntrinsic = 60 0 40 0 0 61 22 0 0 0 1 0 0 0 0 1
m_calibrationColorExtrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1
m_calibrationDepthIntrinsic = 24.5 0 15.75 0 0 32.25 11.5 0 0 0 1 0 0 0 0 1
m_calibrationDepthExtrinsic = 1 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1
m_frames.size = 11
"""


def pgm(units: np.ndarray) -> bytes:
    """Return a binary PGM of 16 bits, high byte first."""
    height, width = units.shape
    return f"P5\n{width} {height}\n65535\n".encode() + units.astype(">u2").tobytes()


def depth_units(number: int) -> np.ndarray:
    """Return the depth of frame `number`: a ramp beyond 255, with a hole."""
    units = 1000 * (number + 1) + np.arange(DEPTH_SIZE[0] * DEPTH_SIZE[1]).reshape(DEPTH_SIZE[::-1])
    units[0, 0] = 0
    return units.astype(np.uint16)


def sequence_files(numbers: tuple[int, ...] = FRAMES) -> dict[str, bytes]:
    """Return the files of a recording; the left half of each colour image is red, the right half blue."""
    files = {"_info.txt": INFO.encode()}
    colour = np.zeros((COLOUR_SIZE[1], COLOUR_SIZE[0], 3), np.uint8)
    colour[:, : COLOUR_SIZE[0] // 2, 2] = colour[:, COLOUR_SIZE[0] // 2 :, 0] = 250
    for number in numbers:
        stem = f"frame-{number:06d}"
        files[f"{stem}.color.jpg"] = cv2.imencode(".jpg", colour)[1].tobytes()
        files[f"{stem}.depth.pgm"] = pgm(depth_units(number))
        files[f"{stem}.pose.txt"] = f"1 0 0 {0.1 * number}\n0 0 1 2\n0 -1 0 1.5\n0 0 0 1\n".encode()
    return files


def write_sequence(scan: Path, files: dict[str, bytes], *, zipped: bool) -> None:
    """Write the files as `sequence.zip` or as the folder `sequence`."""
    if zipped:
        with zipfile.ZipFile(scan / "sequence.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in files.items():
                archive.writestr(name, data)
    else:
        (scan / "sequence").mkdir()
        for name, data in files.items():
            (scan / "sequence" / name).write_bytes(data)


def write_mesh(file: Path) -> None:
    """Write the labelled mesh as version 2 does: a text PLY; the colours paint the objects."""
    header = ["ply", "format ascii 1.0", f"element vertex {len(VERTICES)}"]
    header += [f"property float {axis}" for axis in "xyz"]
    header += [f"property uchar {colour}" for colour in ("red", "green", "blue")]
    header += ["property ushort objectId", "property ushort globalId"]
    header += [f"property uchar {name}" for name in ("NYU40", "Eigen13", "RIO27")]
    header += ["element face 1", "property list uchar int vertex_indices", "end_header"]
    rows = [
        f"{0.5 * index} {-0.25 * index} 1 {object_id} 2 3 {object_id} {global_id} {nyu40} 4 2"
        for index, (object_id, global_id, nyu40) in enumerate(VERTICES)
    ]
    file.write_text("\n".join([*header, *rows, "3 1 2 3"]) + "\n")


def write_scan(root: Path, scan: str = SCAN, *, zipped: bool = True) -> Path:
    """Write 3RScan.json and one scan below `root` and return the folder of the scan."""
    rooms = [
        {"reference": SCAN, "type": "validation", "ambiguity": [], "scans": [{"reference": RESCAN, "transform": []}]},
        {"reference": TEST_SCAN, "type": "test", "scans": [{"reference": TEST_RESCAN}]},
    ]
    folder = root / scan
    folder.mkdir(parents=True)
    (root / "3RScan.json").write_text(json.dumps(rooms))
    write_sequence(folder, sequence_files(), zipped=zipped)
    write_mesh(folder / "labels.instances.annotated.v2.ply")
    segments = {"params": {"kThresh": "0.0001"}, "sceneId": scan, "segIndices": list(SEGMENTS)}
    (folder / "mesh.refined.0.010000.segs.v2.json").write_text(json.dumps(segments))
    groups = [
        {"id": one, "objectId": one, "label": label, "segments": [], "obb": {"centroid": [0, 0, 0]}}
        for one, label in LABELS.items()
    ]
    (folder / "semseg.v2.json").write_text(json.dumps({"scan_id": scan, "segGroups": groups}))
    return folder
