"""ScanNet from raw files: which frames, which instances, which classes, and what is said of files that do not fit."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scannet_builders import (
    GROUPS,
    HEIGHT,
    LABEL_MAP,
    LOOK_DOWN,
    LOST,
    SCENE,
    WIDTH,
    K,
    ScanNetScene,
    SensRecording,
    group,
    mesh_grid,
    segments_of,
)

from autoseg3d_ros.data.scannet import ScanNet, ScanNet200
from autoseg3d_ros.data.scannet_labels import SCANNET, SCANNET200, read_label_map
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError


def opened(root: Path, kind: type[ScanNet] = ScanNet) -> ScanNet:
    return kind(root, "recorded")


def test_benchmarks_have_their_number_of_things() -> None:
    assert (len(SCANNET.valid_ids), len(SCANNET.thing_ids)) == (20, 18)
    assert (len(SCANNET200.valid_ids), len(SCANNET200.thing_ids)) == (200, 198)


@pytest.mark.parametrize(
    ("label", "scannet", "scannet200"),
    [
        ("office chair", (5, "chair"), (10, "office chair")),
        ("table", (7, "table"), (4, "table")),
        ('"L" table', (7, "table"), (4, "table")),  # quotes are part of the label
        ("books", None, (22, "book")),
        ("object", None, (1163, "object")),
        ("remote", None, None),
        ("odd", None, None),  # no NYU40 id at all
        ("wall", None, None),
        ("floor", None, None),
    ],
)
def test_labels_map_to_the_classes_of_each_benchmark(tmp_path: Path, label, scannet, scannet200) -> None:
    file = tmp_path / "labels.tsv"
    file.write_text(LABEL_MAP)
    assert read_label_map(file, SCANNET)[label] == scannet
    assert read_label_map(file, SCANNET200)[label] == scannet200


@pytest.mark.parametrize("text", ["", "id\tlabel\n1\twall\n", "id\traw_category\tcategory\tnyu40id\nx\ta\ta\ty\n"])
def test_a_label_map_of_another_form_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "labels.tsv"
    file.write_text(text)
    with pytest.raises(SourceError, match=r"labels\.tsv: expected"):
        read_label_map(file, SCANNET)


def test_objects_are_sets_of_segments(tmp_path: Path) -> None:
    ScanNetScene().write(tmp_path)
    raw = opened(tmp_path).read(SCENE)
    segments = segments_of(mesh_grid())
    np.testing.assert_array_equal(raw.mesh.instance_id, np.select([segments < 10, segments == 90], [0, 3], 2))
    np.testing.assert_array_equal(raw.mesh.segment_id, np.searchsorted([7, 40, 41, 90], segments))
    assert (raw.mesh.instance_id.dtype, raw.mesh.segment_id.dtype) == (np.int32, np.int32)
    assert raw.mesh.rgb[5].tolist() == [10, 20, 30]
    assert raw.mesh.faces.tolist() == [[0, 1, 2]]
    assert [(one.id, one.class_id, one.class_name) for one in raw.info.instances] == [(2, 5, "chair"), (3, 7, "table")]
    assert (raw.info.dataset, raw.info.split, raw.has_labels, raw.warnings) == ("scannet", "train", True, ())


def test_scannet200_has_its_own_classes(tmp_path: Path) -> None:
    ScanNetScene().write(tmp_path)
    info = opened(tmp_path, ScanNet200).read(SCENE).info
    assert info.dataset == "scannet200"
    assert [(one.class_id, one.class_name) for one in info.instances] == [(10, "office chair"), (4, "table")]


def test_boxes_are_along_the_walls_and_in_the_world_of_the_mesh(tmp_path: Path) -> None:
    angle = math.radians(30)
    aligned_from_world = np.eye(4)
    aligned_from_world[:2, :2] = [[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]]
    aligned_from_world[:3, 3] = (5, 6, 7)
    world_from_aligned = np.linalg.inv(aligned_from_world)
    turned_m = (mesh_grid() - (0, 0, 7)) @ world_from_aligned[:3, :3].T  # so that the table is along the walls
    ScanNetScene(vertices_m=turned_m, segments=segments_of(mesh_grid()), alignment=aligned_from_world).write(tmp_path)
    (_, table) = opened(tmp_path).read(SCENE).info.instances
    assert table.box is not None
    center_m = world_from_aligned[:3, :3] @ (1.5, 0, -7)  # x from 1 to 2, y from -1.5 to 1.5
    np.testing.assert_allclose(table.box.center_m, center_m, atol=1e-5)
    np.testing.assert_allclose(table.box.size_m, (1, 3, 0), atol=1e-5)
    assert table.box.yaw_rad == pytest.approx(-angle, abs=1e-6)


def test_every_40th_frame_is_used_from_frame_0(tmp_path: Path) -> None:
    ScanNetScene(SensRecording([LOOK_DOWN] * 81)).write(tmp_path)
    raw = opened(tmp_path).read(SCENE)
    frames = list(raw.frames())
    assert (raw.num_frames, raw.frame_rate_hz, raw.depth_units_a_metre) == (3, 0.75, 1000.0)
    for frame, number in zip(frames, (0, 40, 80), strict=True):
        assert isinstance(frame, Frame)
        assert (frame.name, frame.stamp_ns) == (f"{number:06d}", round(number / 30 * 1e9))
        np.testing.assert_allclose(frame.depth_m, (3000 + number) / 1000)  # as the builder marks them
        assert frame.rgb.shape == (HEIGHT, WIDTH, 3)
        np.testing.assert_array_equal(frame.world_from_camera, LOOK_DOWN)


def test_a_frame_without_pose_is_told_and_the_others_come(tmp_path: Path) -> None:
    ScanNetScene(SensRecording([LOST] + [LOOK_DOWN] * 40)).write(tmp_path)
    lost, good = opened(tmp_path).read(SCENE).frames()
    assert isinstance(lost, FrameError)
    assert f"{SCENE}.sens frame 0: pose: expected finite numbers" in str(lost)
    assert isinstance(good, Frame)


def test_the_camera_is_the_benchmarks_or_the_recorded_one(tmp_path: Path) -> None:
    ScanNetScene().write(tmp_path / "small")
    recorded = opened(tmp_path / "small").read(SCENE).camera
    assert (recorded.width, recorded.height) == (WIDTH, HEIGHT)
    assert (recorded.fx, recorded.cx, recorded.cy) == pytest.approx((K[0, 0], K[0, 2], K[1, 2]))
    with pytest.raises(SourceError, match=rf"expected depth of 640x480 .* got {WIDTH}x{HEIGHT}; use --intrinsics rec"):
        ScanNet(tmp_path / "small").read(SCENE)
    ScanNetScene(SensRecording(depth_units=np.zeros((480, 640), np.uint16))).write(tmp_path / "large")
    average = ScanNet(tmp_path / "large").read(SCENE).camera
    assert average == CameraIntrinsics(640, 480, 577.870605, 577.870605, 319.5, 239.5)


def test_an_unknown_label_becomes_void_and_is_told(tmp_path: Path) -> None:
    groups = [*GROUPS[:2], group(2, "tabel", [90])]
    ScanNetScene(groups=groups).write(tmp_path)
    raw = opened(tmp_path).read(SCENE)
    assert [one.id for one in raw.info.instances] == [2]
    assert set(np.unique(raw.mesh.instance_id)) == {0, 2}
    (warning,) = raw.warnings
    assert f"{SCENE}.aggregation.json: unknown label 'tabel': object 2 becomes void" in warning


def test_segments_that_the_mesh_lacks_are_told(tmp_path: Path) -> None:
    ScanNetScene(groups=[group(0, "table", [90, 91, 92])]).write(tmp_path)
    raw = opened(tmp_path).read(SCENE)
    assert [one.id for one in raw.info.instances] == [1]
    assert "2 of 3 segments are not in" in raw.warnings[0]


def test_a_segment_of_two_objects_belongs_to_the_last(tmp_path: Path) -> None:
    ScanNetScene(groups=[group(0, "table", [40, 90]), group(1, "wall", [40])]).write(tmp_path)
    mesh = opened(tmp_path).read(SCENE).mesh
    segments = segments_of(mesh_grid())
    assert set(mesh.instance_id[segments == 90]) == {1}
    assert set(mesh.instance_id[segments == 40]) == {0}


def test_an_object_without_vertices_is_no_instance(tmp_path: Path) -> None:
    ScanNetScene(groups=[group(0, "table", [])]).write(tmp_path)
    raw = opened(tmp_path).read(SCENE)
    assert (raw.info.instances, raw.warnings) == ((), ())
    ScanNetScene(groups=[]).write(tmp_path / "bare")
    assert opened(tmp_path / "bare").read(SCENE).info.instances == ()


def test_segments_of_another_mesh_are_refused(tmp_path: Path) -> None:
    ScanNetScene(segments=segments_of(mesh_grid())[:-1]).write(tmp_path)
    with pytest.raises(SourceError, match=r"segs\.json: expected 1271 segment indices, .* got 1270"):
        opened(tmp_path).read(SCENE)


@pytest.mark.parametrize(
    ("suffix", "text", "message"),
    [
        ("_vh_clean_2.0.010000.segs.json", '{"segIndices": [1, 2', "expected JSON"),
        ("_vh_clean_2.0.010000.segs.json", "{}", "segIndices"),
        (".aggregation.json", "[]", "segGroups"),
        (".aggregation.json", '{"segGroups": [{"objectId": 0}]}', "segGroups"),
        (".aggregation.json", json.dumps({"segGroups": [GROUPS[0], GROUPS[0]]}), "each once"),
        (".txt", "axisAlignment = 1 2 3\n", "axisAlignment: expected 4x4 numbers, got 3"),
        (".txt", "axisAlignment = 0 0 1 0 0 1 0 0 -1 0 0 0 0 0 0 1\n", "a turn about the z axis"),
        ("_vh_clean_2.ply", "no mesh", "expected a PLY file"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, suffix: str, text: str, message: str) -> None:
    file = ScanNetScene().write(tmp_path) / f"{SCENE}{suffix}"
    assert file.exists()
    file.write_text(text)
    with pytest.raises(SourceError, match=message) as caught:
        opened(tmp_path).read(SCENE)
    assert str(file) in str(caught.value)


def test_a_scene_that_is_not_aligned_has_boxes_along_the_world(tmp_path: Path) -> None:
    folder = ScanNetScene().write(tmp_path)
    (folder / f"{SCENE}.txt").write_text("colorHeight = 968\n")
    (_, table) = opened(tmp_path).read(SCENE).info.instances
    assert table.box is not None
    np.testing.assert_allclose([*table.box.center_m, table.box.yaw_rad], (1.5, 0, 0, 0), atol=1e-6)


def test_a_truncated_recording_is_refused(tmp_path: Path) -> None:
    folder = ScanNetScene(SensRecording([LOOK_DOWN] * 2)).write(tmp_path)
    file = folder / f"{SCENE}.sens"
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(SourceError, match=r"cut short in frame 1 of 2"):
        opened(tmp_path).read(SCENE)


def test_missing_files_are_listed(tmp_path: Path) -> None:
    folder = ScanNetScene().write(tmp_path)
    dataset = opened(tmp_path)
    assert dataset.missing_files(SCENE) == []
    names = [f"{SCENE}{end}" for end in (".sens", "_vh_clean_2.ply", "_vh_clean_2.0.010000.segs.json", ".txt")]
    names += [f"{SCENE}.aggregation.json"]
    for name in names:
        (folder / name).unlink()
    (tmp_path / "scannetv2-labels.combined.tsv").unlink()
    missing = [folder / name for name in names] + [tmp_path / "scannetv2-labels.combined.tsv"]
    assert opened(tmp_path).missing_files(SCENE) == missing


def test_the_other_name_of_the_aggregation_will_do(tmp_path: Path) -> None:
    folder = ScanNetScene().write(tmp_path)
    (folder / f"{SCENE}.aggregation.json").rename(folder / f"{SCENE}_vh_clean.aggregation.json")
    assert opened(tmp_path).missing_files(SCENE) == []
    assert len(opened(tmp_path).read(SCENE).info.instances) == 2


def test_splits_come_from_the_lists_or_the_folders(tmp_path: Path) -> None:
    ScanNetScene().write(tmp_path)
    ScanNetScene().write(tmp_path, "scene0707_00", "scans_test")
    dataset = opened(tmp_path)
    assert {scene: dataset.split_of(scene) for scene in dataset.scene_names()} == {
        SCENE: "train",
        "scene0707_00": "test",
    }
    lists = tmp_path / "Tasks" / "Benchmark"
    lists.mkdir(parents=True)
    (lists / "scannetv2_val.txt").write_text(f"{SCENE}\nscene0011_00\n")
    (lists / "scannetv2_test.txt").write_text("scene0708_00\n")
    dataset = opened(tmp_path)
    assert {scene: dataset.split_of(scene) for scene in dataset.scene_names()} == {
        SCENE: "val",
        "scene0011_00": "val",  # in a list, but not there
        "scene0707_00": "test",
        "scene0708_00": "test",
    }
    assert dataset.missing_files("scene0708_00")[0] == tmp_path / "scans_test" / "scene0708_00" / "scene0708_00.sens"


def test_a_test_scene_has_no_labels(tmp_path: Path) -> None:
    ScanNetScene().write(tmp_path, kind="scans_test")
    dataset = opened(tmp_path)
    assert dataset.missing_files(SCENE) == []
    raw = dataset.read(SCENE)
    assert (raw.has_labels, raw.info.instances, raw.info.split) == (False, (), "test")
    assert not raw.mesh.instance_id.any()
    np.testing.assert_array_equal(raw.mesh.segment_id, np.arange(len(raw.mesh.vertices_m)))


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"expected scans/sceneNNNN_NN/"):
        opened(tmp_path).scene_names()


def test_a_data_set_goes_to_another_process(tmp_path: Path) -> None:
    ScanNetScene().write(tmp_path)
    dataset = opened(tmp_path, ScanNet200)
    before = dataset.read(SCENE).info
    assert pickle.loads(pickle.dumps(dataset)).read(SCENE).info == before
    assert replace(dataset, intrinsics="average").name == "scannet200"
