"""SceneNN (Hua et al., 3DV 2016) as its playback tool and its annotation leave it: the 12 scenes of the benchmark.

    ROOT/<scene>/image/image00001.png   colour, 640x480, numbered from 1
    ROOT/<scene>/depth/depth00001.png   16-bit millimetres, registered to colour
    ROOT/<scene>/trajectory.log         blocks `i i i+1` and 4x4 world_from_camera, i = image number - 1;
                                        also ROOT/trajectory/<scene>_trajectory.log
    ROOT/<scene>/<scene>.ply            the mesh; vertex property `label`: the instance
    ROOT/<scene>/<scene>.xml            <label id="8844" text="chair" nyu_class="chair" .../> for each instance
    ROOT/mesh_segs/<scene>.segs.json    over-segmentation of the mesh; also beside the mesh; made here where missing

Mesh and poses have y up; here both are turned so that z is (`method.md` §9.4). Where a log holds no id 0, its ids are
taken to be the image numbers. A lost track has a zero matrix in the log: that frame comes as a FrameError.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from autoseg3d_ros.data.annotated_mesh import axis_aligned_boxes, read_segment_indices, surface_colours
from autoseg3d_ros.data.images import read_colour, read_depth_units
from autoseg3d_ros.data.mesh_segments import segment_mesh
from autoseg3d_ros.data.nyu40 import NYU40, STRUCTURE, nyu40_id
from autoseg3d_ros.data.ply_file import PlyMesh, read_ply_mesh
from autoseg3d_ros.data.raw_dataset import RawScene
from autoseg3d_ros.data.rgbd_folder import stamp_of
from autoseg3d_ros.data.scene_folder import SceneInfo, TruthInstance, TruthMesh
from autoseg3d_ros.data.source import SourceError, load_each
from autoseg3d_ros.geometry import transform_points
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError, RigidPose

SCENES = ("015", "005", "030", "054", "322", "263", "243", "080", "089", "093", "096", "011")
CAMERA = CameraIntrinsics(640, 480, 544.47329, 544.47329, 320.0, 240.0)
STRIDE = 40
MAX_VERTICES = 1_000_000

_RECORDED_HZ = 30.0
_DEPTH_UNITS_A_METRE = 1000.0
_NUMBERS_A_POSE = 3 + 16
_WINDOWS_NAN = re.compile(r"[-+]?\d\.#\w+")  # how the C library of Windows prints NaN and infinity
_Z_UP_FROM_Y_UP = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])


class SceneNN:
    """The scenes of the benchmark below one folder."""

    name = "scenenn"

    def __init__(self, root: Path | str, max_vertices: int = MAX_VERTICES) -> None:
        """Read from `root`; a mesh of more than `max_vertices` vertices is thinned at random, the same each time."""
        self._root = Path(root)
        self._max_vertices = max_vertices

    def scene_names(self) -> list[str]:
        """Return the 12 scenes of the benchmark. Raises SourceError where the folder holds none of them."""
        if not any((self._root / scene).is_dir() for scene in SCENES):
            raise SourceError(
                f"{self._root}: holds no scene of SceneNN; expected folders {', '.join(sorted(SCENES))} "
                "(docs/datasets.md says how to get them)"
            )
        return sorted(SCENES)

    def split_of(self, scene: str) -> str:
        """Return `test`: nobody trains on these scenes (`method.md` §9.4)."""
        return "test"

    def missing_files(self, scene: str) -> list[Path]:
        """Return the files without which the scene cannot be prepared."""
        folder = self._root / scene
        images = [folder / name / f"{name}00001.png" for name in ("image", "depth")]
        needed = [*images, self._trajectory_file(scene), self._mesh_file(scene), self._annotation_file(scene)]
        return [file for file in needed if not file.exists()]

    def read(self, scene: str) -> RawScene:
        """Open a scene; frames are read when asked for. Raises SourceError that names file and fix."""
        numbers = self._image_numbers(scene)
        poses = read_trajectory(self._trajectory_file(scene))
        segments_file = self._segments_file(scene)
        mesh, instances, raw_labels = self._truth(scene, segments_file)
        return RawScene(
            info=SceneInfo(
                dataset=self.name,
                scene=scene,
                split=self.split_of(scene),
                instances=instances,
                origin={
                    "folder": str(self._root / scene),
                    "stride": STRIDE,
                    "raw_labels": raw_labels,
                    "segments": str(segments_file) if segments_file else "made of the mesh",
                    "max_vertices": self._max_vertices,
                },
            ),
            camera=CAMERA,
            depth_units_a_metre=_DEPTH_UNITS_A_METRE,
            frame_rate_hz=_RECORDED_HZ / STRIDE,
            num_frames=len(numbers),
            frames=partial(self._frames, scene, numbers, poses),
            mesh=mesh,
            warnings=() if segments_file else (self._without_segments(scene),),
        )

    def _mesh_file(self, scene: str) -> Path:
        return self._root / scene / f"{scene}.ply"

    def _annotation_file(self, scene: str) -> Path:
        return self._root / scene / f"{scene}.xml"

    def _trajectory_file(self, scene: str) -> Path:
        aside = self._root / "trajectory" / f"{scene}_trajectory.log"
        return aside if aside.exists() else self._root / scene / "trajectory.log"

    def _segments_file(self, scene: str) -> Path | None:
        places = [
            *sorted((self._root / scene).glob(f"{scene}*.segs.json")),
            self._root / "mesh_segs" / f"{scene}.segs.json",
        ]
        return next((file for file in places if file.exists()), None)

    def _without_segments(self, scene: str) -> str:
        return (
            f"{self._mesh_file(scene)}: no over-segmentation {scene}.segs.json beside it or in mesh_segs/, so one was "
            "made of the mesh; for scores as published put that of ScanNet's segmentator there and prepare again"
        )

    def _image_numbers(self, scene: str) -> list[int]:
        folder = self._root / scene / "image"
        stems = (file.stem.removeprefix("image") for file in folder.glob("image*.png"))
        numbers = sorted(int(stem) for stem in stems if stem.isdecimal())
        chosen = [number for number in numbers if (number - 1) % STRIDE == 0]
        if not chosen:
            raise SourceError(
                f"{folder}: expected image00001.png and every {STRIDE}th on, got {len(numbers)} images; extract them "
                f"from {scene}.oni with SceneNN's playback tool"
            )
        return chosen

    def _frames(self, scene: str, numbers: list[int], poses: dict[int, np.ndarray]) -> Iterator[Frame | FrameError]:
        return load_each(partial(self._frame, scene, poses), numbers)

    def _frame(self, scene: str, poses: dict[int, np.ndarray], number: int) -> Frame:
        log = self._trajectory_file(scene)
        if number not in poses:
            raise FrameError(f"{log}: no pose of image {number}; the log holds {min(poses)} to {max(poses)}")
        pose = RigidPose.from_matrix(poses[number], f"{log}: pose of image {number}")
        colour_file = self._root / scene / "image" / f"image{number:05d}.png"
        depth_file = self._root / scene / "depth" / f"depth{number:05d}.png"
        units = read_depth_units(depth_file, CAMERA)
        return Frame(
            stamp_ns=stamp_of(number - 1, _RECORDED_HZ),
            rgb=read_colour(colour_file, CAMERA),
            depth_m=decode_depth(units, "16UC1", units_per_metre=_DEPTH_UNITS_A_METRE, where=str(depth_file)),
            camera=CAMERA,
            pose=RigidPose.from_matrix(_Z_UP_FROM_Y_UP @ pose.matrix),
            name=colour_file.stem,
        )

    def _truth(self, scene: str, segments_file: Path | None) -> tuple[TruthMesh, tuple[TruthInstance, ...], list[int]]:
        """Return the mesh, its things, and the label that each thing has in the raw files."""
        mesh_file = self._mesh_file(scene)
        mesh = read_ply_mesh(mesh_file)
        if "label" not in mesh.of_vertex:
            raise SourceError(
                f"{mesh_file}: expected the vertex property `label`, got {', '.join(mesh.of_vertex)}; take the mesh of "
                "the annotated release"
            )
        label = mesh.of_vertex["label"].astype(np.int64)
        class_of_label = self._classes_of_labels(scene, mesh, label)
        segment = (
            read_segment_indices(segments_file, len(label))
            if segments_file
            else segment_mesh(mesh.vertices_m, mesh.faces)
        )
        things = [one for one, class_id in class_of_label.items() if class_id not in STRUCTURE]
        instance_id = _positions(label, things)
        vertices_m = transform_points(_Z_UP_FROM_Y_UP, mesh.vertices_m)
        boxes = axis_aligned_boxes(vertices_m, instance_id, range(1, len(things) + 1))
        instances = tuple(
            TruthInstance(index, class_of_label[one], NYU40[class_of_label[one] - 1], box)
            for index, (one, box) in enumerate(zip(things, boxes, strict=True), start=1)
        )
        truth = TruthMesh(
            vertices_m=vertices_m,
            rgb=surface_colours(mesh.rgb, label),
            instance_id=instance_id,
            segment_id=np.unique(segment, return_inverse=True)[1].astype(np.int32),
            faces=mesh.faces,
        )
        return thinned(truth, self._max_vertices), instances, things

    def _classes_of_labels(self, scene: str, mesh: PlyMesh, label: np.ndarray) -> dict[int, int]:
        """Return the NYU40 class of every label of the mesh, 0 where the annotation says nothing of it."""
        file = self._annotation_file(scene)
        names = read_annotation(file)
        labels, first = np.unique(label, return_index=True)
        if not names.keys() & set(labels.tolist()):
            raise SourceError(
                f"{file}: none of its {len(names)} labels is on the mesh {self._mesh_file(scene)}; annotation and mesh "
                "are of different releases: take both from one"
            )
        of_mesh = mesh.of_vertex.get("nyu_class", np.zeros_like(label))[first]
        pairs = zip(labels.tolist(), of_mesh.tolist(), strict=True)
        return {one: nyu40_id(names.get(one) or str(class_id)) for one, class_id in pairs}


def read_trajectory(file: Path) -> dict[int, np.ndarray]:
    """Return image number -> the (4, 4) world_from_camera of the log, y up, as it stands there (lost tracks included).

    Raises SourceError where the file is missing, empty or no whole number of poses.
    """
    try:
        words = _WINDOWS_NAN.sub("nan", file.read_text()).split()
        rows = np.array(words, dtype=np.float64).reshape(-1, _NUMBERS_A_POSE)
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}; download it again") from error
    except ValueError as error:
        raise SourceError(
            f"{file}: expected blocks of 3 ids and 16 numbers of a matrix ({error}); the file is cut short or damaged: "
            "download it again"
        ) from error
    if not len(rows):
        raise SourceError(f"{file}: expected poses, got an empty file; download it again")
    odd = np.flatnonzero(rows[:, 2] != rows[:, 0] + 1)
    if len(odd):
        raise SourceError(
            f"{file}: expected ids `i i i+1` before each pose, got {rows[odd[0], :3].tolist()} in block {odd[0] + 1}; "
            "the file is damaged: download it again"
        )
    number = rows[:, 0].astype(np.int64)
    if number.min() == 0:
        number += 1  # the released logs count from 0, the playback tool counts images from 1
    return dict(zip(number.tolist(), rows[:, 3:].reshape(-1, 4, 4), strict=True))


def read_annotation(file: Path) -> dict[int, str]:
    """Return label id -> its `nyu_class`, or its `text` where it has none; empty where nobody named it.

    Raises SourceError where the file is missing or not understood.
    """
    try:
        labels = list(ElementTree.parse(file).getroot().iter("label"))
        return {int(one.attrib["id"]): one.get("nyu_class") or one.get("text") or "" for one in labels}
    except OSError as error:
        raise SourceError(f"{file}: cannot be read: {error.strerror}; download it again") from error
    except (ElementTree.ParseError, KeyError, ValueError) as error:
        raise SourceError(f'{file}: expected XML with <label id="1" text="..."/> ({error!r})') from error


def thinned(mesh: TruthMesh, max_vertices: int) -> TruthMesh:
    """Return the mesh, or `max_vertices` of its vertices drawn at random, without faces; the same draw each time."""
    num_vertices = len(mesh.vertices_m)
    if num_vertices <= max_vertices:
        return mesh
    kept = np.sort(np.random.default_rng(0).choice(num_vertices, max_vertices, replace=False))
    return TruthMesh(
        vertices_m=mesh.vertices_m[kept],
        rgb=mesh.rgb[kept],
        instance_id=mesh.instance_id[kept],
        segment_id=np.unique(mesh.segment_id[kept], return_inverse=True)[1].astype(np.int32),
    )


def _positions(values: np.ndarray, wanted: list[int]) -> np.ndarray:
    """Return (V,) int32: 1 + the position of each value in the ascending list `wanted`, 0 where it is not there."""
    order = np.array(wanted, dtype=np.int64)
    position = np.searchsorted(order, values)
    found = np.isin(values, order)
    return np.where(found, position + 1, 0).astype(np.int32)
