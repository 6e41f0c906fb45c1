"""`autoseg3d synth`: scenes with truth from a seed, the same bytes each time, going on where it stopped."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from builders import digest

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.data.scene_folder import SPLITS, SceneFolder, scenes_of
from autoseg3d_ros.data.synthetic import furnished_room
from autoseg3d_ros.data.synthetic.generate import in_order
from autoseg3d_ros.data.synthetic.primitives import rigid
from autoseg3d_ros.data.synthetic.recording import Recording, amodal_box, record
from autoseg3d_ros.structures import Frame

pytest.importorskip("embreex", reason="the ray caster has no wheel for this machine")

SMALL = ("--frames", "4", "--size", "64x48")
TINY = Recording("train", 0, 0, num_frames=4, width_px=64, height_px=48)


def synth(out: Path, *options: str, scenes: int = 2) -> int:
    return main(["synth", "--out", str(out), "--scenes", str(scenes), *SMALL, *options])


def recorded(folder: Path, wanted: Recording, num_threads: int = 1) -> SceneFolder:
    assert list(record(folder, wanted, num_threads)) == list(range(wanted.num_frames))
    return SceneFolder(folder)


def frames_of(scene: SceneFolder) -> list[Frame]:
    frames = list(scene.source().frames())
    assert all(isinstance(frame, Frame) for frame in frames)
    return frames


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two scenes that two processes made."""
    out = tmp_path_factory.mktemp("synth") / "world"
    assert synth(out, "--workers", "2") == 0
    return out


# ------------------------------------------------------------------------------------------------------------- command


def test_scenes_hold_frames_truth_and_mesh(dataset):
    scenes = scenes_of(dataset, "train")
    assert [scene.name for scene in scenes] == ["train_0000", "train_0001"]
    assert sorted(path.name for path in dataset.iterdir()) == ["train_0000", "train_0001"]
    for number, scene in enumerate(scenes):
        info, frames = scene.info, frames_of(scene)
        assert (info.dataset, info.split, info.scene) == ("synthetic", "train", scene.path.name)
        assert info.origin == replace(TINY, number=number).origin
        assert [frame.rgb.shape for frame in frames] == [(48, 64, 3)] * 4
        ids = {one.id for one in info.instances}
        assert len(ids) == len(info.instances) >= 10
        assert {int(id) for frame in frames for id in np.unique(frame.truth)} - {0} <= ids
        assert set(scene.mesh.instance_id.tolist()) - {0} <= ids
        assert all(one.box is not None and one.class_name for one in info.instances)


def test_other_numbers_of_workers_give_the_same_bytes(dataset, tmp_path):
    assert synth(tmp_path / "again", "--workers", "1") == 0
    assert digest(tmp_path / "again") == digest(dataset)
    assert list(record(tmp_path / "threads", TINY, num_threads=3)) == [0, 1, 2, 3]
    assert digest(tmp_path / "threads") == digest(dataset / "train_0000")


def test_finished_scenes_are_kept_and_the_rest_is_made(dataset, tmp_path, capsys):
    out = tmp_path / "world"
    shutil.copytree(dataset, out)
    shutil.rmtree(out / "train_0001")
    (out / ".train_0001.partial" / "rgb").mkdir(parents=True)  # what a killed process leaves
    (out / ".train_0001.partial" / "rgb" / "000000.png").write_bytes(b"cut")
    stamp_ns = (out / "train_0000" / "scene.json").stat().st_mtime_ns
    assert synth(out) == 0
    assert "1 of 2 scenes are there already" in capsys.readouterr().out
    assert (out / "train_0000" / "scene.json").stat().st_mtime_ns == stamp_ns
    assert digest(out) == digest(dataset)
    assert synth(out) == 0
    assert "2 of 2 scenes are there already" in capsys.readouterr().out


def test_scenes_of_a_former_generator_are_made_anew(dataset, tmp_path, capsys):
    out = tmp_path / "world"
    shutil.copytree(dataset, out)
    for folder in out.iterdir():
        info = json.loads((folder / "scene.json").read_text())
        info["origin"]["generator"] = "former"
        (folder / "scene.json").write_text(json.dumps(info))
        (folder / "rgb" / "000000.png").write_bytes(b"old")
    assert synth(out, scenes=1) == 0
    assert "1 scene of a former version of the generator" in capsys.readouterr().out
    assert digest(out / "train_0000") == digest(dataset / "train_0000")
    assert (out / "train_0001" / "rgb" / "000000.png").read_bytes() == b"old"  # not asked for


def test_preview(dataset, capsys):
    assert synth(dataset, "--preview") == 0
    assert "preview.png: a picture of the scenes" in capsys.readouterr().out
    assert (dataset / "preview.png").stat().st_size > 10_000
    (dataset / "preview.png").unlink()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--seed", "1"), "train_0000: was made with seed 0, not 1"),
        (("--exact-poses",), "was made with exact_poses False, not True"),
        (("--frames", "5"), "was made with num_frames 4, not 5"),
    ],
)
def test_scenes_of_other_arguments_are_not_touched(dataset, capsys, options, message):
    before = digest(dataset)
    assert synth(dataset, *options) == 1
    assert message in capsys.readouterr().err
    assert digest(dataset) == before


@pytest.mark.parametrize(
    ("place", "text", "message"),
    [
        ("world", "a file", "expected a folder for scenes, found a file"),
        ("world/train_0000/notes.txt", "mine", "expected a scene that synth wrote"),
        ("world/train_0000/scene.json", "{}", "expected a scene that synth wrote"),
    ],
)
def test_other_peoples_files_are_not_touched(tmp_path, capsys, place, text, message):
    file = tmp_path / place
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    assert synth(tmp_path / "world") == 1
    assert message in capsys.readouterr().err
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--size", "320"),
        ("--size", "320x"),
        ("--size", "8x8"),
        ("--size", "-320x240"),
        ("--scenes", "0"),
        ("--seed", "-1"),
        ("--split", "dev"),
        ("--frames", "1.5"),
    ],
)
def test_wrong_usage(tmp_path, capsys, option, value):
    with pytest.raises(SystemExit, match="2"):
        synth(tmp_path, f"{option}={value}")
    assert option in capsys.readouterr().err


def test_ctrl_c_ends_between_two_frames_and_leaves_no_half_scene(tmp_path, monkeypatch, capsys):
    class Interrupted:
        """The first signal comes with the second frame."""

        exit_code = 130

        def __init__(self) -> None:
            self.asked = 0

        def __enter__(self) -> Interrupted:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def __bool__(self) -> bool:
            self.asked += 1
            return self.asked >= 2

    monkeypatch.setattr("autoseg3d_ros.cli.synth.Interruption", Interrupted)
    for workers in ("1", "2"):
        assert synth(tmp_path / workers, "--workers", workers, "--frames", "50") == 130
        assert "stopped" in capsys.readouterr().out
        assert list((tmp_path / workers).iterdir()) == []


# ---------------------------------------------------------------------------------------------------------- recording


def test_seeds_of_splits_never_meet():
    drawn = {split: {s for n in range(50) for s in Recording(split, 7, n).seeds(4)} for split in SPLITS}
    assert [len(seeds) for seeds in drawn.values()] == [200] * 3
    assert {frozenset(seed % len(SPLITS) for seed in seeds) for seeds in drawn.values()} == {
        frozenset([code]) for code in range(len(SPLITS))
    }
    assert Recording("val", 7, 3).seeds(2) == Recording("val", 7, 3).seeds(4)[:2]


@pytest.mark.parametrize("other", [{"split": "val"}, {"seed": 1}, {"number": 1}])
def test_every_scene_is_another(dataset, tmp_path, other):
    scene = recorded(tmp_path / "other", replace(TINY, **other, num_frames=1))
    first = SceneFolder(dataset / "train_0000")
    assert [asdict(one) for one in scene.info.instances] != [asdict(one) for one in first.info.instances]


def test_a_robot_does_not_know_where_it_is_unless_it_is_told(dataset, tmp_path):
    believing = SceneFolder(dataset / "train_0000")
    exact = recorded(tmp_path / "exact", replace(TINY, exact_poses=True))
    assert not (exact.path / "true_pose").exists()
    for believed, known in zip(frames_of(believing), frames_of(exact), strict=True):
        true = believing.true_pose(believed.name).matrix
        assert np.array_equal(true, known.pose.matrix)
        error_m = np.linalg.norm(believed.pose.matrix[:3, 3] - true[:3, 3])
        assert 0 < error_m < 0.2
        assert np.array_equal(believed.rgb, known.rgb)
        assert np.array_equal(believed.depth_m, known.depth_m)


def test_the_images_show_the_mesh(dataset):
    """Depth, instances, true pose and mesh agree: what a frame measures lies near vertices of the same instance."""
    from scipy.spatial import cKDTree

    from autoseg3d_ros.geometry import backproject, transform_points

    scene = SceneFolder(dataset / "train_0001")
    frame, mesh = frames_of(scene)[0], scene.mesh
    pixel = np.flatnonzero(frame.depth_m)
    points = backproject(pixel, frame.depth_m.ravel()[pixel], frame.camera)
    points = transform_points(scene.true_pose(frame.name).matrix, points)
    distance_m, nearest = cKDTree(mesh.vertices_m).query(points)
    near = distance_m < 0.1  # pixels are several centimetres apart, and only some of them are in the mesh
    assert near.mean() > 0.6
    assert (mesh.instance_id[nearest] == frame.truth.ravel()[pixel])[near].mean() > 0.85


def test_an_interrupted_recording_leaves_nothing(tmp_path):
    frames = record(tmp_path / "scene", TINY)
    assert next(frames) == 0
    assert [path.name for path in tmp_path.iterdir()] == [".scene.partial"]
    frames.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("yaw_rad", [0.0, 0.7, -2.5])
def test_the_box_of_an_instance_is_turned_with_it(yaw_rad):
    instance = replace(furnished_room(7).instances[0], world_from_object=rigid(1.0, 2.0, 0.3, yaw_rad))
    low, high = instance.model.bounds_m
    found = amodal_box(instance)
    turn = rigid(yaw_rad=yaw_rad)[:3, :3]
    assert found.yaw_rad == pytest.approx(yaw_rad)
    assert found.size_m == pytest.approx(high - low)
    assert found.center_m == pytest.approx(turn @ ((low + high) / 2) + (1.0, 2.0, 0.3))


def test_the_box_of_a_leaning_instance_is_upright():
    instance = replace(furnished_room(7).instances[0], world_from_object=rigid(0, 0, 1.0, 0.5, 0.3))
    found = amodal_box(instance)
    corners = np.concatenate([part.mesh.corners_m.reshape(-1, 3) for part in instance.model.parts])
    world = corners @ instance.world_from_object[:3, :3].T + (0, 0, 1.0)
    local = (world - found.center_m) @ rigid(yaw_rad=found.yaw_rad)[:3, :3]
    assert 2 * np.abs(local).max(axis=0) == pytest.approx(found.size_m)


@pytest.mark.parametrize("num_threads", [1, 2, 5, None])
@pytest.mark.parametrize("count", [0, 1, 20])
def test_work_of_threads_comes_in_order(count, num_threads):
    assert list(in_order(lambda number: number**2, count, num_threads)) == [number**2 for number in range(count)]
