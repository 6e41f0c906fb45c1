"""3RScan (Wald et al., ICCV 2019) as its download script leaves it, version 2 of the annotation.

    ROOT/3RScan.json                      splits and rescans; also beside ROOT
    ROOT/<scan>/sequence.zip              read in place; or the folder sequence/ with the same files:
        _info.txt                         sizes, intrinsics, depth units a metre
        frame-000000.color.jpg            colour, 960x540
        frame-000000.depth.pgm            16-bit depth, 224x172, registered to colour
        frame-000000.pose.txt             4x4 world_from_camera, metres, z up
    ROOT/<scan>/labels.instances.annotated.v2.ply      the mesh; vertex properties objectId, globalId, NYU40
    ROOT/<scan>/mesh.refined.0.010000.segs.v2.json     over-segmentation of the mesh
    ROOT/<scan>/semseg.v2.json                         the label of each objectId

Colour and depth see the same field and differ in size only, so colour is shrunk to the size of depth (`method.md`
§9.4) and the intrinsics are those of depth; its pixels are not square. The phone was held upright: images lie on their
side, and `rotate_for_masks` in the origin tells mask networks to turn them. Instance ids are the objectIds, equal in
all scans of one room; class ids are 3RScan's globalIds. Walls, floors (NYU40 1 and 2) and what has no label are void.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

import cv2
import numpy as np

from autoseg3d_ros.data.annotated_mesh import axis_aligned_boxes, read_json, read_segment_indices, surface_colours
from autoseg3d_ros.data.archive import Archive
from autoseg3d_ros.data.nyu40 import STRUCTURE
from autoseg3d_ros.data.ply_file import read_ply_mesh
from autoseg3d_ros.data.pose_file import parse_matrix
from autoseg3d_ros.data.raw_dataset import CLOCKWISE, ROTATE_FOR_MASKS, RawScene
from autoseg3d_ros.data.rgbd_folder import stamp_of
from autoseg3d_ros.data.scene_folder import SceneInfo, TruthInstance, TruthMesh
from autoseg3d_ros.data.source import SourceError, load_each
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.stream.encoded_image import decode_image
from autoseg3d_ros.structures import NO_INSTANCE, CameraIntrinsics, Frame, FrameError, RigidPose

STRIDE = 5
SPLITS_FILE, SEQUENCE, INFO_FILE = "3RScan.json", "sequence", "_info.txt"
MESH_FILE, LABELS_FILE = "labels.instances.annotated.v2.ply", "semseg.v2.json"
SEGMENTS_FILE = "mesh.refined.0.010000.segs.v2.json"

_SPLITS_URL = "http://campar.in.tum.de/public_datasets/3RScan/3RScan.json"
_ASSUMED_HZ = 10.0  # the recordings keep no times
_SPLIT_OF_TYPE = {"train": "train", "validation": "val", "val": "val", "test": "test"}
_VERTEX_PROPERTIES = ("objectId", "globalId", "NYU40")
_PGM_HEADER = re.compile(rb"P5\s+(?:#[^\n]*\n\s*)*(\d+)\s+(\d+)\s+(\d+)\s")
_POSE_NAME = re.compile(r"frame-(\d+)\.pose\.txt")


@dataclass(frozen=True)
class SequenceInfo:
    """`_info.txt` of a recording."""

    camera: CameraIntrinsics  # of depth
    colour_size_px: tuple[int, int]  # width, height
    depth_units_a_metre: float


class ThreeRScan:
    """The scans below one folder."""

    name = "3rscan"

    def __init__(self, root: Path | str) -> None:
        """Read from `root`, the folder of the scans."""
        self._root = Path(root)

    def scene_names(self) -> list[str]:
        """Return the scans that are there, but for the rescans of the hidden test set, which have no truth.

        Raises SourceError where there is none or 3RScan.json is missing or not understood.
        """
        names = sorted(scan for scan in self._split_of_scan if (self._root / scan).is_dir())
        if not names:
            raise SourceError(
                f"{self._root}: holds no scan of 3RScan; expected folders such as "
                f"{next(iter(self._split_of_scan), '<scan id>')} (docs/datasets.md says how to get them)"
            )
        return names

    def split_of(self, scene: str) -> str:
        """Return the split that 3RScan.json says. Raises SourceError for a scan that has none or no truth."""
        if scene not in self._split_of_scan:
            raise SourceError(f"{self._splits_file}: no scan {scene} in it, or a rescan of the test set, without truth")
        return self._split_of_scan[scene]

    def missing_files(self, scene: str) -> list[Path]:
        """Return the files without which the scan cannot be prepared."""
        folder = self._root / scene
        files = [folder / name for name in (MESH_FILE, SEGMENTS_FILE, LABELS_FILE)]
        return [file for file in [self._sequence(scene), *files] if not file.exists()]

    def read(self, scene: str) -> RawScene:
        """Open a scan; frames are read when asked for. Raises SourceError that names file and fix."""
        split = self.split_of(scene)
        with Archive(self._sequence(scene)) as files:
            info = read_info(files)
            numbers = _frame_numbers(files)
        mesh, instances, warnings = self._truth(scene)
        return RawScene(
            info=SceneInfo(
                dataset=self.name,
                scene=scene,
                split=split,
                instances=instances,
                origin={"folder": str(self._root / scene), "stride": STRIDE, ROTATE_FOR_MASKS: CLOCKWISE},
            ),
            camera=info.camera,
            depth_units_a_metre=info.depth_units_a_metre,
            frame_rate_hz=_ASSUMED_HZ / STRIDE,
            num_frames=len(numbers),
            frames=partial(self._frames, scene, info, numbers),
            mesh=mesh,
            warnings=warnings,
        )

    @property
    def _splits_file(self) -> Path:
        file = self._root / SPLITS_FILE
        beside = self._root.resolve().parent / SPLITS_FILE
        return beside if beside.exists() and not file.exists() else file

    @cached_property
    def _split_of_scan(self) -> dict[str, str]:
        return read_splits(self._splits_file)

    def _sequence(self, scene: str) -> Path:
        folder = self._root / scene / SEQUENCE
        return folder if (folder / INFO_FILE).exists() else folder.with_suffix(".zip")

    def _frames(self, scene: str, info: SequenceInfo, numbers: list[int]) -> Iterator[Frame | FrameError]:
        with Archive(self._sequence(scene)) as files:
            yield from load_each(partial(_frame, files, info), numbers)

    def _truth(self, scene: str) -> tuple[TruthMesh, tuple[TruthInstance, ...], tuple[str, ...]]:
        mesh_file = self._root / scene / MESH_FILE
        mesh = read_ply_mesh(mesh_file)
        absent = [name for name in _VERTEX_PROPERTIES if name not in mesh.of_vertex]
        if absent:
            raise SourceError(
                f"{mesh_file}: expected the vertex properties {', '.join(_VERTEX_PROPERTIES)}, got no "
                f"{', '.join(absent)}; take version 2 of the annotation"
            )
        object_id, global_id, nyu40 = (mesh.of_vertex[name].astype(np.int64) for name in _VERTEX_PROPERTIES)
        names = read_labels(self._root / scene / LABELS_FILE)
        warnings = self._unnamed(scene, names, object_id)
        is_thing = ~np.isin(nyu40, STRUCTURE) & np.isin(object_id, list(names)) & (object_id != NO_INSTANCE)
        instance_id = np.where(is_thing, object_id, NO_INSTANCE).astype(np.int32)
        ids, first = np.unique(object_id[is_thing], return_index=True)
        boxes = axis_aligned_boxes(mesh.vertices_m, instance_id, ids.tolist())
        classes = global_id[is_thing][first].tolist()
        instances = tuple(
            TruthInstance(one, class_id, names[one], box)
            for one, class_id, box in zip(ids.tolist(), classes, boxes, strict=True)
        )
        segment = read_segment_indices(self._root / scene / SEGMENTS_FILE, len(object_id))
        truth = TruthMesh(
            vertices_m=mesh.vertices_m,
            rgb=surface_colours(mesh.rgb, object_id),
            instance_id=instance_id,
            segment_id=np.unique(segment, return_inverse=True)[1].astype(np.int32),
            faces=mesh.faces,
        )
        return truth, instances, warnings

    def _unnamed(self, scene: str, names: dict[int, str], object_id: np.ndarray) -> tuple[str, ...]:
        """Return a warning of the objects of the mesh that have no label. Raises SourceError where none has one."""
        file = self._root / scene / LABELS_FILE
        on_mesh = set(np.unique(object_id).tolist()) - {NO_INSTANCE}
        unknown = sorted(on_mesh - names.keys())
        if on_mesh and len(unknown) == len(on_mesh):
            raise SourceError(
                f"{file}: none of its {len(names)} objects is on the mesh {MESH_FILE}; they are of different scans or "
                "versions: download both again"
            )
        return (f"{file}: no label for the objects {unknown} of the mesh: they become void",) if unknown else ()


def read_splits(file: Path) -> dict[str, str]:
    """Return scan id -> split of `3RScan.json`, without the rescans of the hidden test set.

    Raises SourceError where the file is missing or not understood.
    """
    if not file.exists():
        raise SourceError(f"{file}: no such file; it says the split of each scan: get {_SPLITS_URL}")
    document = read_json(file)
    splits: dict[str, str] = {}
    try:
        for room in document:
            split = _SPLIT_OF_TYPE[room["type"]]
            rescans = [] if split == "test" else [scan["reference"] for scan in room["scans"]]
            splits.update(dict.fromkeys([room["reference"], *rescans], split))
    except (KeyError, TypeError) as error:
        raise SourceError(f"{file}: expected rooms with reference, type and scans ({error!r}); get it again") from error
    return splits


def read_labels(file: Path) -> dict[int, str]:
    """Return objectId -> label of `semseg.v2.json`. Raises SourceError where it is missing or not understood."""
    document = read_json(file)
    try:
        return {int(group["objectId"]): str(group["label"]) for group in document["segGroups"]}
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"{file}: expected segGroups with objectId and label ({error!r}); download it again"
        ) from error


def read_info(files: Archive) -> SequenceInfo:
    """Read `_info.txt`. Raises SourceError, naming file and key, for what is missing or no number."""
    where = files.where(INFO_FILE)
    try:
        lines = files.read(INFO_FILE).decode("utf-8", "replace").splitlines()
        values = {key.strip(): value for key, _, value in (line.partition("=") for line in lines)}
        intrinsics = parse_matrix(values["m_calibrationDepthIntrinsic"], (4, 4), "m_calibrationDepthIntrinsic")
        width, height = int(values["m_depthWidth"]), int(values["m_depthHeight"])
        fx, fy, cx, cy = intrinsics[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
        units = float(values["m_depthShift"])
        if not (np.isfinite(intrinsics).all() and 0 < units < float("inf")):
            raise ValueError(f"expected finite intrinsics and m_depthShift > 0, got {intrinsics.tolist()} and {units}")
        return SequenceInfo(
            camera=CameraIntrinsics(width, height, fx, fy, cx, cy),
            colour_size_px=(int(values["m_colorWidth"]), int(values["m_colorHeight"])),
            depth_units_a_metre=units,
        )
    except KeyError as error:
        raise SourceError(f"{where}: no line {error}; the file is cut short: download it again") from error
    except ValueError as error:
        raise SourceError(f"{where}: {error}; download it again") from error


def decode_pgm(data: bytes, where: str) -> np.ndarray:
    """Return the 16-bit image of a binary PGM (P5, high byte first) as (H, W) uint16.

    Raises FrameError, naming `where`, for another format and for a file cut short.
    """
    header = _PGM_HEADER.match(data)
    width, height, largest = map(int, header.groups()) if header else (0, 0, 0)
    if header is None or not 255 < largest <= 65535:
        raise FrameError(f"{where}: expected a binary PGM of 16 bits, got {data[:15]!r}; download it again")
    if len(data) < header.end() + 2 * width * height:
        raise FrameError(
            f"{where}: cut short: expected {2 * width * height} bytes of {width}x{height} pixels, got "
            f"{len(data) - header.end()}; download it again"
        )
    return np.frombuffer(data, ">u2", width * height, header.end()).reshape(height, width).astype(np.uint16)


def _frame_numbers(files: Archive) -> list[int]:
    matches = filter(None, map(_POSE_NAME.fullmatch, files.names()))
    numbers = sorted(number for match in matches if (number := int(match[1])) % STRIDE == 0)
    if not numbers:
        raise SourceError(
            f"{files.path}: expected frame-000000.pose.txt and every {STRIDE}th on, got {len(files.names())} other "
            "files; download it again"
        )
    return numbers


def _frame(files: Archive, info: SequenceInfo, number: int) -> Frame:
    stem = f"frame-{number:06d}"
    colour_name, depth_name, pose_name = (f"{stem}.{end}" for end in ("color.jpg", "depth.pgm", "pose.txt"))
    pose = parse_matrix(files.read(pose_name).decode("utf-8", "replace"), (4, 4), files.where(pose_name))
    units = decode_pgm(files.read(depth_name), files.where(depth_name))
    _expect_size(files.where(depth_name), units, (info.camera.width, info.camera.height))
    colour = decode_image(files.read(colour_name), cv2.IMREAD_COLOR, files.where(colour_name))
    _expect_size(files.where(colour_name), colour, info.colour_size_px)
    small = cv2.resize(colour, (info.camera.width, info.camera.height), interpolation=cv2.INTER_AREA)
    return Frame(
        stamp_ns=stamp_of(number, _ASSUMED_HZ),
        rgb=cv2.cvtColor(small, cv2.COLOR_BGR2RGB),
        depth_m=decode_depth(units, "16UC1", units_per_metre=info.depth_units_a_metre, where=files.where(depth_name)),
        camera=info.camera,
        pose=RigidPose.from_matrix(pose, files.where(pose_name)),
        name=stem,
    )


def _expect_size(where: str, image: np.ndarray, size_px: tuple[int, int]) -> None:
    got = (image.shape[1], image.shape[0])
    if got != size_px:
        raise FrameError(
            f"{where}: expected {size_px[0]}x{size_px[1]} pixels as {INFO_FILE} says, got {got[0]}x{got[1]}"
        )
