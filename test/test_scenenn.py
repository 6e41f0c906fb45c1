"""SceneNN: stride, the turn to z up, lost tracks, labels, thinning, and messages that name file and fix."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scenenn_builders import ANNOTATION, DEPTH_MM, LABELS, VERTICES_M, colour_of, write_log, write_mesh, write_scene

from autoseg3d_ros.data.annotated_mesh import GREY, read_segment_indices, surface_colours
from autoseg3d_ros.data.nyu40 import NYU40, nyu40_id
from autoseg3d_ros.data.raw_dataset import RawDataset
from autoseg3d_ros.data.scenenn import CAMERA, SCENES, SceneNN, read_trajectory, thinned
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.geometry import backproject, transform_points
from autoseg3d_ros.structures import Frame, FrameError, OrientedBox


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A good scene 015, for a test to spoil."""
    write_scene(tmp_path)
    return tmp_path


def test_the_scenes_are_those_of_the_benchmark(root: Path, tmp_path: Path) -> None:
    dataset: RawDataset = SceneNN(root)
    assert dataset.name == "scenenn"
    assert dataset.scene_names() == sorted(SCENES) and len(SCENES) == len(set(SCENES)) == 12
    assert dataset.split_of("015") == "test"
    with pytest.raises(SourceError, match="holds no scene of SceneNN"):
        SceneNN(tmp_path / "empty").scene_names()


def test_frames_by_hand(root: Path) -> None:
    scene = SceneNN(root).read("015")
    frames = list(scene.frames())
    assert [frame.name for frame in frames] == ["image00001", "image00041", "image00081"]
    assert (len(frames), scene.num_frames, scene.frame_rate_hz) == (3, 3, 0.75)
    assert (scene.camera, scene.depth_units_a_metre) == (CAMERA, 1000.0)
    first, second, _ = frames
    assert isinstance(first, Frame) and isinstance(second, Frame)
    assert (first.stamp_ns, second.stamp_ns) == (0, round(40e9 / 30))
    assert tuple(second.rgb[7, 9]) == colour_of(41)
    assert (second.depth_m[0, 0], second.depth_m[5, 5]) == (0, np.float32(DEPTH_MM / 1000))
    assert first.truth is None


def test_the_world_is_turned_so_that_z_is_up(root: Path) -> None:
    """The camera of pose 40 is at (10, 1, 0.5) with y up and looks along -z; so with z up at (10, -0.5, 1) along +y."""
    _, frame, _ = SceneNN(root).read("015").frames()
    assert isinstance(frame, Frame)
    np.testing.assert_allclose(frame.pose.translation_m, (10, -0.5, 1))
    np.testing.assert_allclose(frame.world_from_camera[:3, :3], [[1, 0, 0], [0, 0, 1], [0, -1, 0]], atol=1e-12)
    centre = np.array([240 * 640 + 320])
    point = transform_points(frame.world_from_camera, backproject(centre, np.array([2.0], np.float32), frame.camera))
    np.testing.assert_allclose(point, [[10, 1.5, 1]], atol=1e-6)


def test_mesh_and_instances_by_hand(root: Path) -> None:
    scene = SceneNN(root).read("015")
    x, y, z = np.array(VERTICES_M, np.float32).T
    np.testing.assert_allclose(scene.mesh.vertices_m, np.stack([x, -z, y], axis=1), atol=1e-6)
    np.testing.assert_array_equal(scene.mesh.instance_id, [1, 1, 1, 2, 2, 2, 0, 0, 0, 0, 0, 0])
    np.testing.assert_array_equal(scene.mesh.segment_id, [5, 5, 5, 2, 2, 4, 3, 3, 3, 1, 1, 0])
    np.testing.assert_array_equal(scene.mesh.faces, [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(scene.mesh.rgb, GREY)  # the colours of the file paint the labels
    chair, table = scene.info.instances
    assert [(one.id, one.class_id, one.class_name) for one in (chair, table)] == [(1, 5, "chair"), (2, 7, "table")]
    assert isinstance(chair.box, OrientedBox) and chair.box.yaw_rad == 0
    np.testing.assert_allclose(chair.box.center_m, (0.1, 2.1, 1.5), atol=1e-6)
    np.testing.assert_allclose(chair.box.size_m, (0.2, 0.2, 1.0), atol=1e-6)
    assert (scene.info.scene, scene.info.split, scene.info.origin["raw_labels"]) == ("015", "test", [7, 8844])


def test_true_colours_stay(root: Path) -> None:
    write_mesh(root / "015" / "015.ply", painted=False)
    np.testing.assert_array_equal(SceneNN(root).read("015").mesh.rgb[:, 1], range(12))


def test_a_big_mesh_is_thinned_the_same_each_time(root: Path) -> None:
    whole = SceneNN(root).read("015").mesh
    thin, again = (SceneNN(root, max_vertices=5).read("015").mesh for _ in range(2))
    assert len(thin.vertices_m) == 5 and len(thin.faces) == 0
    np.testing.assert_array_equal(thin.vertices_m, again.vertices_m)
    kept = [np.flatnonzero((whole.vertices_m == vertex).all(1)).item() for vertex in thin.vertices_m]
    assert kept == sorted(set(kept))
    np.testing.assert_array_equal(thin.instance_id, whole.instance_id[kept])
    same_segment = whole.segment_id[kept][:, None] == whole.segment_id[kept]
    np.testing.assert_array_equal(thin.segment_id[:, None] == thin.segment_id, same_segment)
    assert thinned(whole, 12) is whole
    assert len(SceneNN(root, max_vertices=5).read("015").info.instances) == 2


@pytest.mark.parametrize("first", [0, 1])
def test_ids_of_the_log_count_from_0_or_1(tmp_path: Path, first: int) -> None:
    write_log(tmp_path / "trajectory.log", range(first, first + 3))
    poses = read_trajectory(tmp_path / "trajectory.log")
    assert list(poses) == [1, 2, 3]
    np.testing.assert_allclose(poses[3][:3, 3], (0.5, 1.0, 0.5))


def test_a_log_kept_aside_is_found(root: Path) -> None:
    (root / "trajectory").mkdir()
    (root / "015" / "trajectory.log").rename(root / "trajectory" / "015_trajectory.log")
    assert SceneNN(root).missing_files("015") == []
    assert all(isinstance(frame, Frame) for frame in SceneNN(root).read("015").frames())


def changed(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new))

    return change


def lose_track(root: Path) -> None:
    write_log(root / "015" / "trajectory.log", range(100), lost=(40,))


def end_log_early(root: Path) -> None:
    write_log(root / "015" / "trajectory.log", range(40))


def drop_depth(root: Path) -> None:
    (root / "015" / "depth" / "depth00041.png").unlink()


def cut_image(root: Path) -> None:
    file = root / "015" / "image" / "image00041.png"
    file.write_bytes(file.read_bytes()[:-40])


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lose_track, "pose of image 41: expected a rigid transform"),
        (changed("015/trajectory.log", "\n1 0 0 10\n", "\n1 0 0 nan\n"), "pose of image 41: expected finite numbers"),
        (changed("015/trajectory.log", "\n1 0 0 10\n", "\n-1.#IND 0 0 10\n"), "pose of image 41: expected finite"),
        (end_log_early, "no pose of image 41; the log holds 1 to 40"),
        (drop_depth, "depth00041.png: no such file"),
        (cut_image, "image00041.png: cut short"),
    ],
)
def test_one_bad_frame_is_left_out(root: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(root)
    first, second, *rest = SceneNN(root).read("015").frames()
    assert isinstance(first, Frame) and isinstance(second, FrameError)
    assert message in str(second)
    assert len(rest) == 1


def without(name: str) -> Callable[[Path], None]:
    return lambda root: (root / name).unlink()


def no_images(root: Path) -> None:
    for file in (root / "015" / "image").iterdir():
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("015/015.ply"), "015.ply: cannot be read"),
        (without("015/015.xml"), "015.xml: cannot be read"),
        (without("015/trajectory.log"), "trajectory.log: cannot be read"),
        (no_images, "expected image00001.png and every 40th on, got 0 images"),
        (lambda root: (root / "015/trajectory.log").write_text(""), "got an empty file"),
        (changed("015/trajectory.log", "99 99 100", "99 99"), "cut short or damaged"),
        (changed("015/trajectory.log", "99 99 100", "99 99 7"), r"ids `i i i\+1` .*\[99.0, 99.0, 7.0\] in block 100"),
        (changed("015/015.xml", "</annotation>", ""), "015.xml: expected XML"),
        (changed("015/015.xml", 'id="90"', 'id="x"'), "015.xml: expected XML"),
        (lambda root: (root / "015/015.xml").write_text("<annotation/>"), "none of its 0 labels is on the mesh"),
        (lambda root: write_mesh(root / "015/015.ply", properties="quality"), "expected the vertex property `label`"),
        (changed("mesh_segs/015.segs.json", "[40, 40, ", "[40, "), "expected 12 segment indices, .* got 11"),
        (changed("mesh_segs/015.segs.json", "segIndices", "segments"), "expected a list of integers `segIndices`"),
        (changed("mesh_segs/015.segs.json", "[40, ", "[[], "), "expected a list of integers `segIndices`"),
        (changed("mesh_segs/015.segs.json", "]}", ""), "015.segs.json: expected JSON"),
    ],
)
def test_a_broken_scene_is_named(root: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(root)
    with pytest.raises(SourceError, match=message):
        SceneNN(root).read("015")


def test_missing_files_are_listed(root: Path) -> None:
    dataset = SceneNN(root)
    assert dataset.missing_files("015") == []
    assert [str(file.relative_to(root)) for file in dataset.missing_files("005")] == [
        "005/image/image00001.png",
        "005/depth/depth00001.png",
        "005/trajectory.log",
        "005/005.ply",
        "005/005.xml",
    ]
    (root / "mesh_segs" / "015.segs.json").rename(root / "015" / "015.0.010000.segs.json")
    assert dataset.missing_files("015") == []
    assert dataset.read("015").mesh.segment_id.max() == 5


def test_segments_are_made_of_the_mesh_where_there_is_no_file(root: Path) -> None:
    with_file = SceneNN(root).read("015")
    assert with_file.warnings == ()
    assert with_file.info.origin["segments"] == str(root / "mesh_segs" / "015.segs.json")
    without("mesh_segs/015.segs.json")(root)
    assert SceneNN(root).missing_files("015") == []
    scene = SceneNN(root).read("015")
    assert scene.mesh.segment_id.tolist() == [0, 0, 0, 1, 1, 1, 2, 3, 4, 5, 6, 7]  # two triangles, and loose vertices
    assert scene.info.origin["segments"] == "made of the mesh"
    [warning] = scene.warnings
    assert "015.ply: no over-segmentation 015.segs.json" in warning and "segmentator" in warning


def test_a_scene_survives_pickling(root: Path) -> None:
    scene = pickle.loads(pickle.dumps(SceneNN(root))).read("015")
    assert len(list(pickle.loads(pickle.dumps(scene)).frames())) == 3


def test_without_things_all_is_void(root: Path) -> None:
    (root / "015" / "015.xml").write_text('<annotation><label id="90" text="floor"/></annotation>')
    scene = SceneNN(root).read("015")
    assert scene.info.instances == () and not scene.mesh.instance_id.any()


def test_classes_of_the_mesh_stand_in_for_those_of_the_annotation(root: Path) -> None:
    """The class-level release has `nyu_class` on the vertices; the text of the annotation goes first."""
    (root / "015" / "015.xml").write_text(ANNOTATION.replace('text="table"', 'text=""'))
    header, end, body = (root / "015" / "015.ply").read_bytes().partition(b"end_header\n")
    count = len(LABELS)
    size = 3 * 4 + 3 + 4
    classes = [6 if label == 8844 else 0 for label in LABELS]
    rows = [body[index * size : (index + 1) * size] + bytes([classes[index], 0]) for index in range(count)]
    header = header.replace(b"property uint label\n", b"property uint label\nproperty ushort nyu_class\n")
    (root / "015" / "015.ply").write_bytes(header + end + b"".join(rows) + body[count * size :])
    assert [one.class_name for one in SceneNN(root).read("015").info.instances] == ["chair", "sofa"]


@pytest.mark.parametrize(
    ("name", "class_id"),
    [
        ("", 0),
        ("Unknown", 0),
        ("wall", 1),
        ("Chair 12", 5),
        ("night stand", 32),
        ("night_stand", 32),
        ("nightstand", 32),
        ("shower-curtain", 28),
        ("fridge", 24),
        ("refridgerator", 24),
        ("tv", 25),
        ("otherprop", 40),
        ("guitar", 40),
        ("7", 7),
        ("0", 0),
        ("255", 0),
    ],
)
def test_names_of_classes(name: str, class_id: int) -> None:
    assert nyu40_id(name) == class_id


def test_every_class_has_its_own_name() -> None:
    assert len(NYU40) == 40
    assert [nyu40_id(name) for name in NYU40] == list(range(1, 41))


@pytest.mark.parametrize(
    ("rgb", "label", "kept"),
    [
        ([], [], False),
        ([[1, 2, 3], [1, 2, 3]], [4, 4], False),
        ([[1, 2, 3], [1, 2, 3]], [4, 5], False),
        ([[1, 2, 3], [1, 2, 4]], [4, 5], False),
        ([[1, 2, 3], [1, 2, 4], [9, 9, 9]], [4, 4, 5], True),
    ],
)
def test_paint_of_the_labels_is_no_colour(rgb: list[list[int]], label: list[int], kept: bool) -> None:
    colours = np.array(rgb, np.uint8).reshape(-1, 3)
    result = surface_colours(colours, np.array(label, np.int64))
    np.testing.assert_array_equal(result, colours if kept else np.full_like(colours, GREY))


def test_segments_of_an_empty_mesh(tmp_path: Path) -> None:
    (tmp_path / "segs.json").write_text(json.dumps({"segIndices": []}))
    assert read_segment_indices(tmp_path / "segs.json", 0).shape == (0,)
