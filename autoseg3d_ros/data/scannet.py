"""ScanNet v2 (Dai et al., CVPR 2017) and ScanNet200 (Rozenberszki et al., ECCV 2022) as they are downloaded.

    ROOT/scans/<scene>/<scene>.sens                           colour, depth and poses
                       <scene>_vh_clean_2.ply                 the mesh
                       <scene>_vh_clean_2.0.010000.segs.json  over-segmentation of its vertices
                       <scene>.aggregation.json               objects as sets of segments, with labels
                       <scene>.txt                            axisAlignment: 4x4 aligned_from_world
    ROOT/scans_test/<scene>/                                  test scenes: recording and mesh only
    ROOT/scannetv2-labels.combined.tsv                        label -> class; also in ROOT/tasks
    ROOT/scannetv2_{train,val,test}.txt                       names of the scenes; also in ROOT/tasks, Tasks/Benchmark

Every 40th frame is used, from frame 0 on, in the sensor's world, which is not axis-aligned (method.md §1.1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from autoseg3d_ros.data.ply_file import read_ply_mesh
from autoseg3d_ros.data.raw_dataset import RawScene
from autoseg3d_ros.data.rgbd_folder import stamp_of
from autoseg3d_ros.data.scannet_labels import LABEL_MAP_FILE, SCANNET, SCANNET200, LabelClass, read_label_map
from autoseg3d_ros.data.scannet_truth import SceneTruth, TruthFiles, no_truth, read_truth
from autoseg3d_ros.data.scene_folder import SPLITS, SceneInfo, TruthMesh
from autoseg3d_ros.data.sens_file import SensFile
from autoseg3d_ros.data.source import SourceError, load_each
from autoseg3d_ros.stream.depth import decode_depth
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError, RigidPose

STRIDE = 40
Intrinsics = Literal["average", "recorded"]

_RECORDED_HZ = 30.0
_AVERAGE_CAMERA = CameraIntrinsics(640, 480, 577.870605, 577.870605, 319.5, 239.5)
_LABELLED, _TEST = "scans", "scans_test"
_RECORDING, _MESH, _ALIGNMENT = "{}.sens", "{}_vh_clean_2.ply", "{}.txt"
_SEGMENTS = "{}_vh_clean_2.0.010000.segs.json"
_AGGREGATIONS = ("{}.aggregation.json", "{}_vh_clean.aggregation.json")
_LIST_FOLDERS = (".", "tasks", "Tasks/Benchmark")


@dataclass
class ScanNet:
    """The scenes of ScanNet below one folder, with its 18 classes of things."""

    root: Path
    intrinsics: Intrinsics = (
        "average"  # one pinhole for all scenes as in the benchmark's baselines, or each scene's own
    )

    name = "scannet"
    taxonomy = SCANNET

    def scene_names(self) -> list[str]:
        """Return the scenes of the split lists, and those that are there. Raises SourceError where there is none."""
        found = {folder.name for kind in (_LABELLED, _TEST) for folder in self.root.glob(f"{kind}/scene*")}
        names = sorted(found | self._listed.keys())
        if not names:
            raise SourceError(
                f"{self.root}: expected {_LABELLED}/sceneNNNN_NN/ or {_TEST}/sceneNNNN_NN/, found neither; "
                "docs/datasets.md says how to get ScanNet"
            )
        return names

    def split_of(self, scene: str) -> str:
        """Return the split by the lists; without them `train` for scans/ and `test` for scans_test/."""
        return self._listed.get(scene) or ("test" if self._folder(scene).parent.name == _TEST else "train")

    def missing_files(self, scene: str) -> list[Path]:
        """Return the files without which the scene cannot be prepared."""
        folder = self._folder(scene)
        patterns = [_RECORDING, _MESH]
        if self.split_of(scene) != "test":
            patterns += [_SEGMENTS, _ALIGNMENT]
        needed = [folder / pattern.format(scene) for pattern in patterns]
        if self.split_of(scene) != "test":
            needed += [self._aggregation_file(scene), self._listed_file(LABEL_MAP_FILE)]
        return [file for file in needed if not file.exists()]

    def read(self, scene: str) -> RawScene:
        """Open a scene; frames are read when asked for. Raises SourceError that names file and fix."""
        folder, split = self._folder(scene), self.split_of(scene)
        recording = SensFile(folder / _RECORDING.format(scene))
        recording.expect_complete()
        surface = read_ply_mesh(folder / _MESH.format(scene))
        num_vertices = len(surface.vertices_m)
        has_labels = split != "test"
        truth = self._truth(scene, surface.vertices_m) if has_labels else no_truth(num_vertices)
        frame_numbers = range(0, len(recording), STRIDE)
        camera = self._camera(recording)
        return RawScene(
            info=SceneInfo(self.name, scene, split, truth.instances, origin=self._origin(folder)),
            camera=camera,
            depth_units_a_metre=recording.depth_units_a_metre,
            frame_rate_hz=_RECORDED_HZ / STRIDE,
            num_frames=len(frame_numbers),
            frames=partial(_frames, recording, camera, frame_numbers),
            mesh=TruthMesh(surface.vertices_m, surface.rgb, truth.instance_id, truth.segment_id, surface.faces),
            has_labels=has_labels,
            warnings=truth.warnings,
        )

    @cached_property
    def _listed(self) -> dict[str, str]:
        """Scene -> split, of the lists that are there."""
        splits: dict[str, str] = {}
        for split in SPLITS:
            file = self._listed_file(f"scannetv2_{split}.txt")
            if file.exists():
                splits.update(dict.fromkeys(file.read_text().split(), split))
        return splits

    @cached_property
    def _class_of_label(self) -> dict[str, LabelClass | None]:
        return read_label_map(self._listed_file(LABEL_MAP_FILE), self.taxonomy)

    def _listed_file(self, name: str) -> Path:
        places = [self.root / folder / name for folder in _LIST_FOLDERS]
        return next((file for file in places if file.exists()), places[0])

    def _folder(self, scene: str) -> Path:
        test = self.root / _TEST / scene
        is_test = test.is_dir() or self._listed.get(scene) == "test"
        return test if is_test and not (self.root / _LABELLED / scene).is_dir() else self.root / _LABELLED / scene

    def _aggregation_file(self, scene: str) -> Path:
        places = [self._folder(scene) / pattern.format(scene) for pattern in _AGGREGATIONS]
        return next((file for file in places if file.exists()), places[0])

    def _origin(self, folder: Path) -> dict[str, Any]:
        return {"folder": str(folder), "stride": STRIDE, "intrinsics": self.intrinsics}

    def _camera(self, recording: SensFile) -> CameraIntrinsics:
        width, height = recording.depth_size
        if self.intrinsics == "recorded":
            (fx, _, cx, _), (_, fy, cy, _), *_ = recording.depth_intrinsics.tolist()
            return CameraIntrinsics(width, height, fx, fy, cx, cy)
        if (width, height) != (_AVERAGE_CAMERA.width, _AVERAGE_CAMERA.height):
            raise SourceError(
                f"{recording.path}: expected depth of {_AVERAGE_CAMERA.width}x{_AVERAGE_CAMERA.height} for the average "
                f"camera of ScanNet, got {width}x{height}; use --intrinsics recorded"
            )
        return _AVERAGE_CAMERA

    def _truth(self, scene: str, vertices_m: np.ndarray) -> SceneTruth:
        folder = self._folder(scene)
        files = TruthFiles(
            segments=folder / _SEGMENTS.format(scene),
            aggregation=self._aggregation_file(scene),
            alignment=folder / _ALIGNMENT.format(scene),
        )
        return read_truth(files, vertices_m, self._class_of_label)


@dataclass
class ScanNet200(ScanNet):
    """The same scenes with the 198 classes of things of ScanNet200."""

    name = "scannet200"
    taxonomy = SCANNET200


def _frames(recording: SensFile, camera: CameraIntrinsics, numbers: Iterable[int]) -> Iterator[Frame | FrameError]:
    return load_each(partial(_frame, recording, camera), numbers)


def _frame(recording: SensFile, camera: CameraIntrinsics, number: int) -> Frame:
    """Return a frame with its colour image reduced to the size of the depth image, which it overlays."""
    raw, where = recording.frame(number), f"{recording.path} frame {number}"
    units_a_metre = recording.depth_units_a_metre
    return Frame(
        stamp_ns=stamp_of(number, _RECORDED_HZ),
        rgb=cv2.resize(raw.rgb, (camera.width, camera.height), interpolation=cv2.INTER_AREA),
        depth_m=decode_depth(raw.depth_units, "16UC1", units_per_metre=units_a_metre, where=where),
        camera=camera,
        pose=RigidPose.from_matrix(raw.world_from_camera, f"{where}: pose"),
        name=f"{number:06d}",
    )
