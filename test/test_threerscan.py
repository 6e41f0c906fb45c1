"""3RScan: archives read in place, stride, sizes, labels, splits, and messages that name file and fix."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from threerscan_builders import (
    RESCAN,
    SCAN,
    TEST_RESCAN,
    TEST_SCAN,
    depth_units,
    pgm,
    sequence_files,
    write_scan,
    write_sequence,
)

from autoseg3d_ros.data.annotated_mesh import GREY
from autoseg3d_ros.data.archive import Archive
from autoseg3d_ros.data.raw_dataset import RawDataset
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.threerscan import ThreeRScan, decode_pgm, read_splits
from autoseg3d_ros.structures import CameraIntrinsics, Frame, FrameError

PLY, SEGMENTS, LABELS = (
    "labels.instances.annotated.v2.ply",
    "mesh.refined.0.010000.segs.v2.json",
    "semseg.v2.json",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A good scan whose recording is an archive, for a test to spoil."""
    write_scan(tmp_path)
    return tmp_path


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    """A good scan whose recording is a folder, for a test to spoil."""
    write_scan(tmp_path, zipped=False)
    return tmp_path


def test_frames_by_hand(root: Path) -> None:
    dataset: RawDataset = ThreeRScan(root)
    scene = dataset.read(SCAN)
    frames = list(scene.frames())
    assert [frame.name for frame in frames] == ["frame-000000", "frame-000005", "frame-000010"]
    assert (len(frames), scene.num_frames, scene.frame_rate_hz) == (3, 3, 2.0)
    assert scene.camera == CameraIntrinsics(32, 24, 24.5, 32.25, 15.75, 11.5)
    assert scene.depth_units_a_metre == 1000
    second = frames[1]
    assert isinstance(second, Frame)
    assert second.stamp_ns == 500_000_000
    np.testing.assert_array_equal(second.depth_m, depth_units(5).astype(np.float32) / np.float32(1000))
    np.testing.assert_allclose(second.world_from_camera[:3], [[1, 0, 0, 0.5], [0, 0, 1, 2], [0, -1, 0, 1.5]], atol=1e-9)


def test_colour_is_shrunk_to_the_size_of_depth(root: Path) -> None:
    frame = next(iter(ThreeRScan(root).read(SCAN).frames()))
    assert isinstance(frame, Frame)
    np.testing.assert_allclose(frame.rgb[12, 3], (250, 0, 0), atol=8)
    np.testing.assert_allclose(frame.rgb[12, 28], (0, 0, 250), atol=8)


def test_folder_equals_archive(tmp_path: Path) -> None:
    write_scan(tmp_path / "a", zipped=True)
    write_scan(tmp_path / "b", zipped=False)
    zipped, plain = (list(ThreeRScan(tmp_path / name).read(SCAN).frames()) for name in "ab")
    for one, other in zip(zipped, plain, strict=True):
        assert isinstance(one, Frame) and isinstance(other, Frame)
        np.testing.assert_array_equal(one.rgb, other.rgb)
        np.testing.assert_array_equal(one.depth_m, other.depth_m)
        assert (one.name, one.stamp_ns, one.camera, one.pose) == (other.name, other.stamp_ns, other.camera, other.pose)


def test_a_folder_inside_the_archive_does_not_matter(root: Path) -> None:
    (root / SCAN / "sequence.zip").unlink()
    files = {f"sequence/{name}": data for name, data in sequence_files().items()}
    write_sequence(root / SCAN, files, zipped=True)
    assert all(isinstance(frame, Frame) for frame in ThreeRScan(root).read(SCAN).frames())


def test_mesh_and_instances_by_hand(root: Path) -> None:
    scene = ThreeRScan(root).read(SCAN)
    np.testing.assert_allclose(scene.mesh.vertices_m[3], (1.5, -0.75, 1))
    np.testing.assert_array_equal(scene.mesh.instance_id, [0, 4, 4, 4, 31, 31, 0, 0])
    np.testing.assert_array_equal(scene.mesh.segment_id, [3, 1, 1, 2, 2, 4, 0, 0])
    np.testing.assert_array_equal(scene.mesh.faces, [[1, 2, 3]])
    np.testing.assert_array_equal(scene.mesh.rgb, GREY)
    chair, box = scene.info.instances
    assert [(one.id, one.class_id, one.class_name) for one in (chair, box)] == [(4, 2, "chair"), (31, 4, "box")]
    assert chair.box is not None
    np.testing.assert_allclose(chair.box.center_m, (1.0, -0.5, 1.0))
    np.testing.assert_allclose(chair.box.size_m, (1.0, 0.5, 0.0))
    assert (scene.info.dataset, scene.info.scene, scene.info.split) == ("3rscan", SCAN, "val")
    assert scene.info.origin["rotate_for_masks"] == "clockwise"
    assert scene.warnings == ()


def test_an_object_without_label_becomes_void_with_a_warning(root: Path) -> None:
    groups = [{"objectId": 4, "label": "chair"}]
    (root / SCAN / LABELS).write_text(json.dumps({"segGroups": groups}))
    scene = ThreeRScan(root).read(SCAN)
    assert [one.id for one in scene.info.instances] == [4]
    assert set(scene.mesh.instance_id.tolist()) == {0, 4}
    assert len(scene.warnings) == 1
    assert LABELS in scene.warnings[0] and "[1, 31]" in scene.warnings[0]


def test_splits_leave_out_the_hidden_rescans(root: Path) -> None:
    assert read_splits(root / "3RScan.json") == {SCAN: "val", RESCAN: "val", TEST_SCAN: "test"}
    for scan in (RESCAN, TEST_SCAN, TEST_RESCAN, "not a scan"):
        (root / scan).mkdir()
    dataset = ThreeRScan(root)
    assert dataset.scene_names() == sorted([SCAN, RESCAN, TEST_SCAN])
    assert (dataset.split_of(TEST_SCAN), dataset.split_of(RESCAN)) == ("test", "val")
    with pytest.raises(SourceError, match=f"no scan {TEST_RESCAN}"):
        dataset.read(TEST_RESCAN)


def test_the_list_of_splits_may_lie_beside_the_scans(root: Path) -> None:
    scans = root / "scans"
    scans.mkdir()
    (root / SCAN).rename(scans / SCAN)
    assert ThreeRScan(scans).scene_names() == [SCAN]
    (scans / SCAN).rename(root / SCAN)
    with pytest.raises(SourceError, match="holds no scan of 3RScan"):
        ThreeRScan(scans).scene_names()


def test_missing_files_are_listed(root: Path) -> None:
    dataset = ThreeRScan(root)
    assert dataset.missing_files(SCAN) == []
    assert [file.name for file in dataset.missing_files(RESCAN)] == ["sequence.zip", PLY, SEGMENTS, LABELS]


def test_a_scene_survives_pickling(root: Path) -> None:
    scene = pickle.loads(pickle.dumps(ThreeRScan(root))).read(SCAN)
    assert len(list(pickle.loads(pickle.dumps(scene)).frames())) == 3


BAD_FRAMES: list[tuple[str, bytes | None, str]] = [
    ("color.jpg", None, "frame-000005.color.jpg: no such file"),
    ("depth.pgm", None, "frame-000005.depth.pgm: no such file"),
    ("color.jpg", sequence_files()["frame-000005.color.jpg"][:-9], "color.jpg: cut short"),
    ("color.jpg", b"", "color.jpg: expected a PNG or JPEG image"),
    ("color.jpg", cv2.imencode(".png", np.zeros((9, 9), np.uint8))[1].tobytes(), "expected 80x45 pixels as _info.txt"),
    ("depth.pgm", pgm(depth_units(5))[:-1], "depth.pgm: cut short: expected 1536 bytes of 32x24 pixels, got 1535"),
    ("depth.pgm", b"P5\n32 24\n255\n" + bytes(768), "expected a binary PGM of 16 bits"),
    ("depth.pgm", b"P2\n1 1\n65535\n7", "expected a binary PGM of 16 bits"),
    ("depth.pgm", pgm(np.ones((24, 31))), "expected 32x24 pixels as _info.txt says, got 31x24"),
    ("pose.txt", b"1 0 0", "pose.txt: expected 4x4 numbers, got 3"),
    ("pose.txt", b"nan 0 0 0 0 1 0 0 0 0 1 0 0 0 0 1", "pose.txt: expected finite numbers"),
    ("pose.txt", b"1 0 0 -inf 0 1 0 0 0 0 1 0 0 0 0 1", "pose.txt: expected finite numbers"),
    ("pose.txt", b"2 0 0 0 0 2 0 0 0 0 2 0 0 0 0 1", "pose.txt: expected a rigid transform"),
]


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(("end", "data", "message"), BAD_FRAMES)
def test_one_bad_frame_is_left_out(tmp_path: Path, end: str, data: bytes | None, message: str, zipped: bool) -> None:
    files = sequence_files()
    del files[f"frame-000005.{end}"]
    if data is not None:
        files[f"frame-000005.{end}"] = data
    write_scan(tmp_path, zipped=zipped)
    spoilt = tmp_path / "spoilt"
    spoilt.mkdir()
    write_sequence(spoilt, files, zipped=zipped)
    name = "sequence.zip" if zipped else "sequence"
    (tmp_path / SCAN / name).rename(tmp_path / "good")
    (spoilt / name).rename(tmp_path / SCAN / name)
    first, second, third = ThreeRScan(tmp_path).read(SCAN).frames()
    assert isinstance(first, Frame) and isinstance(second, FrameError) and isinstance(third, Frame)
    assert message in str(second) and str(tmp_path / SCAN / name / "frame-000005") in str(second)


@pytest.mark.parametrize(
    ("offset", "value"),
    [(0, 0xFF), (40, 0)],  # no deflate stream; another content than the checksum says
)
def test_a_damaged_member_of_the_archive_is_left_out(root: Path, offset: int, value: int) -> None:
    file = root / SCAN / "sequence.zip"
    data = bytearray(file.read_bytes())
    at = data.index(b"frame-000005.depth.pgm") + len("frame-000005.depth.pgm") + offset
    data[at : at + 8] = bytes([value]) * 8
    file.write_bytes(data)
    results = list(ThreeRScan(root).read(SCAN).frames())
    assert [isinstance(one, FrameError) for one in results] == [False, True, False]
    assert "frame-000005.depth.pgm: cannot be read" in str(results[1])


def without(name: str) -> Callable[[Path], None]:
    return lambda scan: (scan / name).unlink()


def changed(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(scan: Path) -> None:
        text = (scan / name).read_text()
        assert old in text
        (scan / name).write_text(text.replace(old, new))

    return change


def no_poses(scan: Path) -> None:
    for file in (scan / "sequence").glob("*.pose.txt"):
        file.unlink()


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (without("sequence/_info.txt"), "sequence.zip: cannot be read: No such file"),
        (changed("sequence/_info.txt", "m_depthWidth", "m_width"), "_info.txt: no line 'm_depthWidth'"),
        (changed("sequence/_info.txt", "= 32", "= many"), "_info.txt: invalid literal"),
        (changed("sequence/_info.txt", "24.5 0 15.75", "24.5 0"), "m_calibrationDepthIntrinsic: expected 4x4 numbers"),
        (changed("sequence/_info.txt", "24.5", "nan"), "_info.txt: expected finite intrinsics"),
        (changed("sequence/_info.txt", "24.5", "0"), "_info.txt: camera intrinsics: expected positive"),
        (changed("sequence/_info.txt", "m_depthShift = 1000", "m_depthShift = 0"), "m_depthShift > 0"),
        (no_poses, "expected frame-000000.pose.txt and every 5th on, got 9 other files"),
        (without(PLY), f"{PLY}: cannot be read"),
        (changed(PLY, "objectId", "object"), "got no objectId; take version 2"),
        (changed(PLY, "\n3 1 2 3\n", "\n"), f"{PLY}: cut short"),
        (without(SEGMENTS), f"{SEGMENTS}: cannot be read"),
        (changed(SEGMENTS, "[12, ", "["), "expected 8 segment indices, .* got 7"),
        (without(LABELS), f"{LABELS}: cannot be read"),
        (changed(LABELS, "segGroups", "groups"), f"{LABELS}: expected segGroups"),
        (changed(LABELS, '"objectId": 31', '"objectId": "x"'), f"{LABELS}: expected segGroups"),
        (changed(LABELS, '"objectId": ', '"objectId": 100'), "none of its 5 objects is on the mesh"),
        (without("../3RScan.json"), r"3RScan\.json: no such file; .* get http"),
        (changed("../3RScan.json", "validation", "trial"), "3RScan.json: expected rooms"),
        (changed("../3RScan.json", "[{", "{"), "3RScan.json: expected JSON"),
    ],
)
def test_a_broken_scan_is_named(unpacked: Path, spoil: Callable[[Path], None], message: str) -> None:
    spoil(unpacked / SCAN)
    with pytest.raises(SourceError, match=message):
        ThreeRScan(unpacked).read(SCAN)


def test_an_archive_cut_short_is_named(root: Path) -> None:
    file = root / SCAN / "sequence.zip"
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(SourceError, match=r"sequence\.zip: expected a whole zip archive .*; download it again"):
        ThreeRScan(root).read(SCAN)


def test_an_empty_folder_is_an_archive_without_files(tmp_path: Path) -> None:
    with Archive(tmp_path) as files:
        assert files.names() == []
        with pytest.raises(FrameError, match=r"a\.txt: no such file"):
            files.read("a.txt")


@given(arrays.arrays(np.uint16, st.tuples(st.integers(1, 6), st.integers(1, 6))))
def test_pgm_as_opencv_writes_it(units: np.ndarray) -> None:
    data = cv2.imencode(".pgm", units)[1].tobytes()
    np.testing.assert_array_equal(decode_pgm(data, "x.pgm"), units)
    np.testing.assert_array_equal(decode_pgm(pgm(units), "x.pgm"), units)


def test_pgm_with_a_comment() -> None:
    assert decode_pgm(b"P5\n# a comment\n2 1\n65535\n\x01\x02\xff\xfe", "x.pgm").tolist() == [[258, 65534]]
