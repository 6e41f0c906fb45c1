"""Scene folders: what is written is read, and what is not finished or damaged says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from builders import recorded_folder

from autoseg3d_ros.data.pose_file import write_pose
from autoseg3d_ros.data.scene_folder import (
    SceneChange,
    SceneFolder,
    SceneInfo,
    TruthInstance,
    TruthMesh,
    class_names,
    read_mesh,
    scenes_of,
    write_info,
    write_mesh,
)
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import FrameError, OrientedBox, RigidPose

BOX = OrientedBox((0.5, -1.25, 0.3), (1.0, 0.5, 0.6), 0.1)
INFO = SceneInfo(
    dataset="synthetic",
    scene="train_0003",
    split="train",
    instances=(TruthInstance(1, 4, "sofa", BOX), TruthInstance(7, 2, "chair")),
    changes=(SceneChange("removed", 7, 120),),
    origin={"seed": 3, "exact_poses": False, "generator": "abc"},
)
MESH = TruthMesh(
    vertices_m=np.array([[0, 0, 0], [1, 0, 0], [0, 1.5, 0]], np.float32),
    rgb=np.array([[0, 1, 2], [255, 0, 9], [7, 7, 7]], np.uint8),
    instance_id=np.array([0, 1, 7], np.int32),
    segment_id=np.array([0, 1, 1], np.int32),
    faces=np.array([[0, 1, 2]], np.int32),
)


def scene_at(folder: Path, info: SceneInfo = INFO) -> Path:
    folder.mkdir(parents=True)
    write_info(folder, info)
    return folder


# --------------------------------------------------------------------------------------------------------- round trip


@pytest.mark.parametrize("info", [INFO, SceneInfo("scannet", "scene0000_00", "val", ())])
def test_info_round_trip(tmp_path, info):
    scene = SceneFolder(scene_at(tmp_path / "scene", info))
    assert scene.info == info
    assert scene.name == info.scene


@pytest.mark.parametrize("rows", [3, 0])
def test_mesh_round_trip(tmp_path, rows):
    mesh = TruthMesh(*(getattr(MESH, name)[:rows] for name in ("vertices_m", "rgb", "instance_id", "segment_id")))
    for file in ("a.npz", "b.npz"):
        write_mesh(tmp_path / file, mesh)
    read = read_mesh(tmp_path / "a.npz")
    for name in TruthMesh.__dataclass_fields__:
        assert np.array_equal(getattr(read, name), getattr(mesh, name))
        assert getattr(read, name).dtype == getattr(mesh, name).dtype
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_a_mesh_keeps_its_faces(tmp_path):
    write_mesh(tmp_path / "mesh.npz", MESH)
    assert read_mesh(tmp_path / "mesh.npz").faces.tolist() == [[0, 1, 2]]


def test_frames_mesh_and_exact_poses(tmp_path):
    frames = recorded_folder(tmp_path, 2)
    write_info(tmp_path, INFO)
    write_mesh(tmp_path / "mesh.npz", MESH)
    scene = SceneFolder(tmp_path)
    assert len(scene.source()) == 2
    assert len(scene.mesh.vertices_m) == 3
    assert np.allclose(scene.true_pose("000001").matrix, frames[1].pose.matrix, atol=1e-12)  # there is no better one
    exact = RigidPose((1.0, 2.0, 3.0), (0.0, 0.0, 1.0, 0.0))
    (tmp_path / "true_pose").mkdir()
    write_pose(tmp_path / "true_pose" / "000001.txt", exact)
    assert scene.true_pose("000001") == exact
    (tmp_path / "true_pose" / "000001.txt").write_text("1 2 3")
    with pytest.raises(FrameError, match="true_pose"):
        scene.true_pose("000001")


def test_class_names():
    assert class_names([]) == {}
    assert class_names(INFO.instances) == {4: "sofa", 2: "chair"}


# -------------------------------------------------------------------------------------------------------------- splits


def test_scenes_of_a_split_come_by_name(tmp_path):
    for name, split in (("b", "train"), ("a", "train"), ("c", "val")):
        scene_at(tmp_path / name, replace(INFO, scene=name, split=split))
    (tmp_path / "unfinished").mkdir()
    scene_at(tmp_path / ".d.partial", replace(INFO, scene="d"))
    assert [scene.name for scene in scenes_of(tmp_path, "train")] == ["a", "b"]
    assert [scene.name for scene in scenes_of(tmp_path, "val")] == ["c"]
    with pytest.raises(SourceError, match="no scene of split 'test', found train, val"):
        scenes_of(tmp_path, "test")


def test_a_data_set_without_scenes(tmp_path):
    with pytest.raises(SourceError, match="no finished scene at all"):
        scenes_of(tmp_path, "train")
    with pytest.raises(SourceError, match="unknown split 'tran'; expected one of train, val, test"):
        scenes_of(tmp_path, "tran")


# -------------------------------------------------------------------------------------------------------------- damage


def changed(**entries: object) -> str:
    folder_info = {"format": 1, "dataset": "d", "scene": "s", "split": "val", "instances": [], "changes": []}
    return json.dumps({**folder_info, **entries})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (None, "No such file"),
        ("", "Expecting value"),
        ("[]", "list"),
        ("{}", "format"),
        (changed(format=2), "expected format 1"),
        (changed(instances=[{"id": 1}]), "box"),
        (changed(instances=[{"id": 1, "class_id": 1, "class_name": "x", "box": {"yaw_rad": 0}}]), "center_m"),
        (changed(changes=[{"kind": "moved"}]), "instance_id"),
        (changed(surplus=1), "surplus"),
    ],
)
def test_damaged_info(tmp_path, text, reason):
    if text is not None:
        (tmp_path / "scene.json").write_text(text)
    with pytest.raises(SourceError, match=rf"scene\.json: not a finished scene.*{reason}.*write the scene again"):
        SceneFolder(tmp_path)


@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "no archive", "another archive", "too short", "rotten"])
def test_damaged_mesh(tmp_path, damage):
    file = tmp_path / "mesh.npz"
    write_mesh(file, MESH)
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    elif damage == "another archive":
        np.savez(file, vertices_m=MESH.vertices_m)
    elif damage == "too short":
        write_mesh(file, replace(MESH, segment_id=MESH.segment_id[:2]))
    else:
        rotten = whole[:60] + bytes(20) + whole[80:]
        contents = {"empty": b"", "cut": whole[: len(whole) // 2], "no archive": b"ply\n", "rotten": rotten}
        file.write_bytes(contents[damage])
    with pytest.raises(SourceError, match=r"mesh\.npz: expected a truth mesh"):
        read_mesh(file)


def test_a_failed_write_leaves_no_finished_scene(tmp_path, monkeypatch):
    def full_disk(*_args: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("autoseg3d_ros.data.scene_folder.os.replace", full_disk)
    with pytest.raises(OSError, match="disk full"):
        write_info(tmp_path, INFO)
    assert not (tmp_path / "scene.json").exists()
