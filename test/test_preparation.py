"""`autoseg3d prepare`: raw scenes become scene folders, whole or not at all, and what is left out is said."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scannet_builders import HEIGHT, LOOK_DOWN, LOST, SCENE, WIDTH, ScanNetScene, SensRecording

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.data.instance_image import InstancePainter
from autoseg3d_ros.data.preparation import claim, missing_files, prepare_scene
from autoseg3d_ros.data.scannet import ScanNet
from autoseg3d_ros.data.scene_folder import SceneFolder, TruthInstance, TruthMesh, scenes_of
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import CameraIntrinsics, Frame, OrientedBox, RigidPose

OTHER = "scene0000_01"
COLUMN = np.arange(WIDTH)
# by hand: column u looks at x = (u - 15.4) / 10; vertices are 0.1 apart, the chair ends at -1, the table begins at 1
INSTANCE_OF_COLUMN = np.select([COLUMN <= 5, COLUMN >= 25], [2, 3], 0)


def never() -> bool:
    return False


def prepared(root: Path, out: Path, scene: str = SCENE) -> SceneFolder:
    report = prepare_scene(ScanNet(root, "recorded"), out, scene, never)
    assert report.outcome == "written", report
    return SceneFolder(out / scene)


def command(root: Path, out: Path, *options: str) -> int:
    return main(["prepare", "scannet", str(root), "--out", str(out), "--intrinsics", "recorded", *options])


def names_in(folder: Path) -> list[str]:
    return sorted(file.name for file in folder.iterdir())


class TestScene:
    def test_frames_mesh_and_names_come_back(self, tmp_path: Path) -> None:
        ScanNetScene(SensRecording([LOOK_DOWN] * 41)).write(tmp_path / "raw")
        scene = prepared(tmp_path / "raw", tmp_path / "out")
        raw = ScanNet(tmp_path / "raw", "recorded").read(SCENE)
        assert scene.info == raw.info
        for name in TruthMesh.__dataclass_fields__:
            np.testing.assert_array_equal(getattr(scene.mesh, name), getattr(raw.mesh, name))
        source = scene.source()
        assert (source.camera, source.frame_rate_hz, len(source)) == (raw.camera, 0.75, 2)
        for frame, written in zip(source.frames(), raw.frames(), strict=True):
            assert isinstance(frame, Frame) and isinstance(written, Frame)
            assert frame.stamp_ns == written.stamp_ns
            np.testing.assert_array_equal(frame.depth_m, written.depth_m)
            np.testing.assert_allclose(frame.rgb.astype(int), written.rgb.astype(int), atol=2)
            np.testing.assert_allclose(frame.world_from_camera, written.world_from_camera, atol=1e-12)
        assert [one.name for one in scenes_of(tmp_path / "out", "train")] == [SCENE]

    def test_pixels_have_the_instance_of_the_nearest_vertex(self, tmp_path: Path) -> None:
        ScanNetScene().write(tmp_path / "raw")
        (frame,) = prepared(tmp_path / "raw", tmp_path / "out").source().frames()
        assert isinstance(frame, Frame)
        np.testing.assert_array_equal(frame.truth, np.tile(INSTANCE_OF_COLUMN, (HEIGHT, 1)))

    def test_pixels_more_than_5_cm_outside_the_box_and_without_depth_are_void(self, tmp_path: Path) -> None:
        units = np.full((HEIGHT, WIDTH), 3000, np.uint16)
        units[0], units[1], units[2] = 2945, 2955, 0  # 55 and 45 mm above the chair, which is flat
        ScanNetScene(SensRecording(depth_units=units)).write(tmp_path / "raw")
        (frame,) = prepared(tmp_path / "raw", tmp_path / "out").source().frames()
        assert isinstance(frame, Frame) and frame.truth is not None
        assert frame.truth[:4, 0].tolist() == [0, 2, 0, 2]

    @pytest.mark.parametrize(("off_m", "is_told"), [(0.0, False), (0.5, True)])
    def test_frames_that_do_not_lie_on_the_mesh_are_told(self, tmp_path: Path, off_m: float, is_told: bool) -> None:
        pose = LOOK_DOWN.copy()
        pose[2, 3] += off_m
        ScanNetScene(SensRecording([pose])).write(tmp_path / "raw")
        report = prepare_scene(ScanNet(tmp_path / "raw", "recorded"), tmp_path / "out", SCENE, never)
        assert any("m from it (median)" in warning for warning in report.warnings) == is_told, report

    def test_a_frame_without_pose_leaves_a_gap(self, tmp_path: Path) -> None:
        poses = [LOOK_DOWN] * 81
        poses[40] = LOST
        ScanNetScene(SensRecording(poses)).write(tmp_path / "raw")
        report = prepare_scene(ScanNet(tmp_path / "raw", "recorded"), tmp_path / "out", SCENE, never)
        assert (report.num_frames, len(report.skipped)) == (2, 1)
        assert "frame 40: pose: expected finite" in report.skipped[0]
        for folder in ("rgb", "depth", "pose", "instance"):
            assert [name[:6] for name in names_in(tmp_path / "out" / SCENE / folder)] == ["000000", "000002"]

    def test_a_test_scene_has_no_instance_images(self, tmp_path: Path) -> None:
        ScanNetScene().write(tmp_path / "raw", kind="scans_test")
        scene = prepared(tmp_path / "raw", tmp_path / "out")
        assert scene.info.split == "test"
        assert not (scene.path / "instance").exists()
        (frame,) = scene.source().frames()
        assert isinstance(frame, Frame) and frame.truth is None

    @pytest.mark.parametrize(
        ("spoil", "reason"),
        [
            (lambda folder: (folder / f"{SCENE}.sens").unlink(), f"missing .*{SCENE}.sens"),
            (lambda folder: (folder / f"{SCENE}.sens").write_bytes(b"\4\0\0\0"), "cut short in its header"),
            (lambda folder: (folder / f"{SCENE}_vh_clean_2.ply").write_bytes(b"ply"), "expected a PLY file"),
            (lambda folder: (folder / f"{SCENE}.txt").write_bytes(b"axisAlignment = x"), "axisAlignment"),
        ],
    )
    def test_a_scene_that_cannot_be_read_leaves_nothing_behind(self, tmp_path: Path, spoil, reason: str) -> None:
        spoil(ScanNetScene().write(tmp_path / "raw"))
        (tmp_path / "out").mkdir()
        report = prepare_scene(ScanNet(tmp_path / "raw", "recorded"), tmp_path / "out", SCENE, never)
        assert report.outcome == "left out"
        assert pytest.raises(SourceError, match=reason).matches(SourceError(report.reason))
        assert names_in(tmp_path / "out") == []

    def test_a_scene_without_a_usable_frame_is_left_out(self, tmp_path: Path) -> None:
        ScanNetScene(SensRecording([LOST])).write(tmp_path / "raw")
        report = prepare_scene(ScanNet(tmp_path / "raw", "recorded"), tmp_path / "out", SCENE, never)
        assert report.outcome == "left out"
        assert "none of 1 frames can be used" in report.reason

    def test_a_mesh_without_vertices_is_left_out(self, tmp_path: Path) -> None:
        ScanNetScene(vertices_m=np.zeros((0, 3)), segments=np.zeros(0, int)).write(tmp_path / "raw")
        report = prepare_scene(ScanNet(tmp_path / "raw", "recorded"), tmp_path / "out", SCENE, never)
        assert report.outcome == "left out"

    def test_a_finished_scene_is_kept_and_a_torn_one_written_anew(self, tmp_path: Path) -> None:
        ScanNetScene().write(tmp_path / "raw")
        dataset, out = ScanNet(tmp_path / "raw", "recorded"), tmp_path / "out"
        (out / f".{SCENE}.partial" / "rgb").mkdir(parents=True)
        assert prepare_scene(dataset, out, SCENE, never).outcome == "written"
        before = (out / SCENE / "scene.json").stat().st_mtime_ns
        report = prepare_scene(dataset, out, SCENE, never)
        assert (report.outcome, report.num_frames, report.num_instances) == ("kept", 1, 2)
        assert (out / SCENE / "scene.json").stat().st_mtime_ns == before
        (out / SCENE / "scene.json").unlink()
        assert prepare_scene(dataset, out, SCENE, never).outcome == "left out"

    def test_a_stopped_scene_leaves_nothing_behind(self, tmp_path: Path) -> None:
        ScanNetScene(SensRecording([LOOK_DOWN] * 81)).write(tmp_path / "raw")
        (tmp_path / "out").mkdir()
        answers = iter([False, True])
        dataset = ScanNet(tmp_path / "raw", "recorded")
        assert prepare_scene(dataset, tmp_path / "out", SCENE, lambda: next(answers)).outcome == "stopped"
        assert names_in(tmp_path / "out") == []


class TestPainter:
    CAMERA = CameraIntrinsics(4, 1, 1.0, 1.0, 0.0, 0.0)  # column u looks at (u, 0, 1) times the depth

    def frame(self, *depth_m: float) -> Frame:
        pose = RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        depth = np.array([depth_m], np.float32)
        return Frame(0, np.zeros((1, 4, 3), np.uint8), depth, self.CAMERA, pose)

    def mesh(self, vertices_m: list, instance_id: list[int]) -> TruthMesh:
        ids = np.array(instance_id, np.int32)
        return TruthMesh(np.array(vertices_m, np.float32), np.zeros((len(ids), 3), np.uint8), ids, ids)

    def test_without_box_there_is_no_limit_of_distance(self) -> None:
        painter = InstancePainter(self.mesh([[90, 0, 0], [0, 0, 0]], [7, 0]), [TruthInstance(7, 1, "chair")])
        assert painter.image(self.frame(1, 0, 1, 40)).tolist() == [[0, 0, 0, 7]]

    @pytest.mark.parametrize(("yaw_deg", "expected"), [(0, [7, 7, 0, 0]), (90, [7, 0, 0, 0]), (45, [7, 0, 0, 0])])
    def test_boxes_are_turned(self, yaw_deg: float, expected: list[int]) -> None:
        """A box 2.2 m long and 0.4 m wide: its end is at x = 1.1 unless it is turned away."""
        box = OrientedBox((0.0, 0.0, 1.0), (2.2, 0.4, 0.2), math.radians(yaw_deg))
        painter = InstancePainter(self.mesh([[0, 0, 1]], [7]), [TruthInstance(7, 1, "table", box)])
        assert painter.image(self.frame(1, 1, 1, 1)).tolist() == [expected]

    @pytest.mark.parametrize(
        ("yaw_deg", "length_m", "expected"),
        [(0, 3.0, [0, 0]), (90, 3.0, [7, 0]), (45, 3.0, [0, 7]), (45, 2.6, [0, 0]), (-45, 3.0, [0, 0])],
    )
    def test_boxes_are_turned_the_right_way(self, yaw_deg: float, length_m: float, expected: list[int]) -> None:
        """Two points, (0, 1) and (1, 1) on the ground, and a box that points along x, y or a diagonal."""
        pose = RigidPose((0.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
        camera = CameraIntrinsics(2, 1, 1.0, 1.0, 0.0, -1.0)
        frame = Frame(0, np.zeros((1, 2, 3), np.uint8), np.ones((1, 2), np.float32), camera, pose)
        box = OrientedBox((0.0, 0.0, 1.0), (length_m, 0.4, 0.2), math.radians(yaw_deg))
        painter = InstancePainter(self.mesh([[0, 0, 1]], [7]), [TruthInstance(7, 1, "table", box)])
        assert painter.image(frame).tolist() == [expected]

    def test_no_depth_at_all(self) -> None:
        painter = InstancePainter(self.mesh([[0, 0, 1]], [7]), [])
        assert painter.image(self.frame(0, 0, 0, 0)).tolist() == [[0, 0, 0, 0]]


class TestCommand:
    @pytest.mark.parametrize("workers", ["1", "2"])
    def test_one_bad_scene_does_not_stop_the_others(self, tmp_path: Path, capfd, workers: str) -> None:
        raw, out = tmp_path / "raw", tmp_path / "out"
        folder = ScanNetScene().write(raw)
        (folder / f"{SCENE}.sens").write_bytes(ScanNetScene().recording.data()[:-5])
        ScanNetScene().write(raw, OTHER)
        ScanNetScene().write(raw, "scene0000_02")
        assert command(raw, out, "--workers", workers) == 1
        assert [one.name for one in scenes_of(out, "train")] == [OTHER, "scene0000_02"]
        stdout = capfd.readouterr().out
        assert "2 scenes written, 0 kept, 1 left out" in stdout
        assert "cut short in frame 0 of 1" in stdout.splitlines()[-1]
        assert names_in(out) == ["prepared.json", OTHER, "scene0000_02"]

    def test_it_goes_on_where_it_was(self, tmp_path: Path, capfd) -> None:
        ScanNetScene().write(tmp_path / "raw")
        ScanNetScene().write(tmp_path / "raw", OTHER)
        assert command(tmp_path / "raw", tmp_path / "out", "--scenes", OTHER) == 0
        assert command(tmp_path / "raw", tmp_path / "out") == 0
        assert "1 scenes written, 1 kept, 0 left out" in capfd.readouterr().out

    def test_check_lists_what_is_missing_and_writes_nothing(self, tmp_path: Path, capfd) -> None:
        folder = ScanNetScene().write(tmp_path / "raw")
        ScanNetScene().write(tmp_path / "raw", OTHER)
        assert command(tmp_path / "raw", tmp_path / "out", "--check") == 0
        (folder / f"{SCENE}.txt").unlink()
        assert command(tmp_path / "raw", tmp_path / "out", "--check") == 1
        stdout = capfd.readouterr().out
        assert "2 scenes, 1 of them complete" in stdout
        assert f"missing <scene>.txt\n    in 1: {SCENE} (expected {folder}/{SCENE}.txt)" in stdout
        assert not (tmp_path / "out").exists()

    def test_incomplete_scenes_are_left_out_with_exit_code_1(self, tmp_path: Path) -> None:
        (ScanNetScene().write(tmp_path / "raw") / f"{SCENE}.txt").unlink()
        ScanNetScene().write(tmp_path / "raw", OTHER)
        assert command(tmp_path / "raw", tmp_path / "out") == 1
        assert [one.name for one in scenes_of(tmp_path / "out", "train")] == [OTHER]

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--scenes", "scene9999_00"], f"no scene scene9999_00; there are 1, among them {SCENE}"),
            (["--split", "val"], "no scene of split 'val'"),
        ],
    )
    def test_wrong_wishes_are_told(self, tmp_path: Path, capfd, options: list[str], message: str) -> None:
        ScanNetScene().write(tmp_path / "raw")
        assert command(tmp_path / "raw", tmp_path / "out", *options) == 1
        assert message in capfd.readouterr().err

    def test_two_data_sets_are_not_mixed(self, tmp_path: Path, capfd) -> None:
        ScanNetScene().write(tmp_path / "raw")
        assert command(tmp_path / "raw", tmp_path / "out") == 0
        assert main(["prepare", "scannet200", str(tmp_path / "raw"), "--out", str(tmp_path / "out")]) == 1
        assert "choose another folder" in capfd.readouterr().err

    def test_masks_and_superpoints_are_written_once(self, tmp_path: Path, capfd) -> None:
        ScanNetScene().write(tmp_path / "raw")
        scene = tmp_path / "out" / SCENE
        assert command(tmp_path / "raw", tmp_path / "out", "--masks", "truth", "--superpoints") == 0
        with np.load(scene / "superpoints" / "000000.npz") as points:
            num_points = len(points["xyz_m"])
            assert num_points == WIDTH * HEIGHT
            assert (points["rgb"].shape, points["superpoint"].shape) == ((num_points, 3), (num_points,))
            # each superpoint is one instance, and points lie where the instance is
            assert len(np.unique(np.stack([points["superpoint"], points["instance"]]), axis=1).T) == 3
            np.testing.assert_array_equal(points["instance"] == 3, points["xyz_m"][:, 0] > 0.95)
            np.testing.assert_allclose(points["xyz_m"][:, 2], 0, atol=1e-6)
        before = (scene / "superpoints" / "000000.npz").stat().st_mtime_ns
        again = ["prepare", "synthetic", str(tmp_path / "out"), "--masks", "truth", "--superpoints"]
        assert main(again) == 0
        assert (scene / "superpoints" / "000000.npz").stat().st_mtime_ns == before
        again[again.index("truth")] = "regions"
        assert main(again) == 0
        assert (scene / "superpoints" / "000000.npz").stat().st_mtime_ns > before

    def test_masks_of_others_are_lifted_and_never_replaced(self, tmp_path: Path, capfd) -> None:
        ScanNetScene().write(tmp_path / "raw")
        prepared(tmp_path / "raw", tmp_path / "out")
        lift = ["prepare", "synthetic", str(tmp_path / "out"), "--superpoints"]
        assert main(lift) == 1
        assert "no masks to lift; compute them with --masks regions" in capfd.readouterr().err
        masks = tmp_path / "out" / SCENE / "masks"
        masks.mkdir()
        (masks / "000000.png").write_bytes((tmp_path / "out" / SCENE / "instance" / "000000.png").read_bytes())
        assert main(lift) == 0
        assert main([*lift, "--masks", "regions"]) == 1
        assert names_in(masks) == ["000000.png"]
        assert "move the folder away" in capfd.readouterr().err


def test_missing_files_are_those_of_the_scenes_that_lack_any(tmp_path: Path) -> None:
    folder = ScanNetScene().write(tmp_path)
    ScanNetScene().write(tmp_path, OTHER)
    (folder / f"{SCENE}.txt").unlink()
    dataset = ScanNet(tmp_path)
    assert missing_files(dataset, dataset.scene_names()) == {SCENE: [folder / f"{SCENE}.txt"]}


def test_settings_of_a_damaged_file_are_told(tmp_path: Path) -> None:
    claim(tmp_path, {"dataset": "scannet"})
    claim(tmp_path, {"dataset": "scannet"})
    assert json.loads((tmp_path / "prepared.json").read_text()) == {"dataset": "scannet"}
    (tmp_path / "prepared.json").write_text("{")
    with pytest.raises(SourceError, match=r"prepared\.json: expected JSON"):
        claim(tmp_path, {"dataset": "scannet"})
