"""Map files: what is read is what was written, and nothing else is ever taken for a map."""

from __future__ import annotations

import errno
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from map_builders import PREFIX, content, forge, geometric_segmenter, grown, header_of

from autoseg3d_ros.persistence import map_file
from autoseg3d_ros.persistence.columns import COLUMNS, FEATURES
from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_file import MAGIC, read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import MapSnapshot, snapshot


@pytest.fixture(scope="module")
def saved() -> MapSnapshot:
    return snapshot(grown(10, **{"limits.max_points": 700}), "")


@pytest.fixture
def file(saved: MapSnapshot, tmp_path: Path) -> Path:
    path = tmp_path / "room.autoseg3d"
    write_map(saved, path, overwrite=False)
    return path


def fault_of(path: Path) -> tuple[MapFault, str]:
    with pytest.raises(MapFileError) as caught:
        read_map(path)
    assert str(path) in str(caught.value)
    return caught.value.reason, str(caught.value)


def test_a_file_holds_what_was_written(saved, file):
    assert content(read_map(file)) == content(saved)
    assert read_map(file).saved_ns == saved.saved_ns
    assert [entry.name for entry in file.parent.iterdir()] == [file.name]


def test_an_empty_map_is_a_map(tmp_path):
    nothing = snapshot(geometric_segmenter(), "")
    write_map(nothing, tmp_path / "a", overwrite=False)
    assert content(read_map(tmp_path / "a")) == content(nothing)
    assert nothing.num_instances == 0


def test_features_are_part_of_a_file(saved, tmp_path):
    num, width = saved.num_instances, 5
    shapes = {"feature_embedding": (num, width), "feature_box_m": (num, 6)}
    features = {name: np.ones(shapes.get(name, num), COLUMNS[name].dtype) for name in FEATURES}
    learned = replace(saved, network="abc", arrays={**saved.arrays, **features})
    write_map(learned, tmp_path / "a", overwrite=False)
    assert content(read_map(tmp_path / "a")) == content(learned)
    assert read_map(tmp_path / "a").has_features


def test_a_file_obeys_the_umask(file):
    umask = os.umask(0o027)
    try:
        write_map(read_map(file), file.with_name("b"), overwrite=False)
    finally:
        os.umask(umask)
    assert stat.S_IMODE(file.with_name("b").stat().st_mode) == 0o640


# --- damage ---


def test_one_wrong_byte_anywhere_is_found(file):
    data = file.read_bytes()
    for place in [*range(PREFIX.size), *range(PREFIX.size, len(data), 199), *range(len(data) - 33, len(data))]:
        damaged = bytearray(data)
        damaged[place] ^= 0x10
        file.write_bytes(damaged)
        assert fault_of(file)[0] == MapFault.INVALID_FILE, place


def test_a_file_that_was_cut_off_anywhere_is_found(file):
    data = file.read_bytes()
    for size in [*range(PREFIX.size + 33), *range(60, len(data), 499), *range(len(data) - 33, len(data))]:
        file.write_bytes(data[:size])
        assert fault_of(file)[0] == MapFault.INVALID_FILE, size
    file.write_bytes(data + b"\0")
    assert fault_of(file)[0] == MapFault.INVALID_FILE


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "begins with b''"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "begins with b'\\x89PNG"),
        (MAGIC, "has 8 bytes"),
        (MAGIC + bytes(39), "has 47 bytes"),
        (MAGIC + bytes(40), "checksum is wrong"),
    ],
)
def test_foreign_files_are_no_maps(tmp_path, data, told):
    (tmp_path / "a").write_bytes(data)
    reason, message = fault_of(tmp_path / "a")
    assert reason == MapFault.INVALID_FILE
    assert told in message


def test_what_is_no_file_is_no_map(tmp_path, file):
    descriptors = os.listdir("/proc/self/fd")
    assert fault_of(tmp_path)[0] == MapFault.INVALID_FILE
    os.mkfifo(tmp_path / "pipe")
    assert fault_of(tmp_path / "pipe")[0] == MapFault.INVALID_FILE
    assert fault_of(Path("/dev/zero"))[0] == MapFault.INVALID_FILE
    assert fault_of(tmp_path / "nowhere")[0] == MapFault.NOT_FOUND
    assert fault_of(file / "below")[0] == MapFault.NOT_FOUND
    (tmp_path / "loop").symlink_to("loop")
    assert fault_of(tmp_path / "loop")[0] == MapFault.INVALID_FILE
    assert os.listdir("/proc/self/fd") == descriptors


@pytest.mark.parametrize(
    ("code", "reason"), [(errno.EACCES, MapFault.INVALID_PATH), (errno.EIO, MapFault.INVALID_FILE)]
)
def test_a_file_that_cannot_be_read(file, monkeypatch, code, reason):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(map_file.os, "open", fail)
    found, message = fault_of(file)
    assert found == reason
    assert os.strerror(code) in message


def test_a_file_of_another_version_is_whole_but_not_read(file):
    forge(file, {}, version=2)
    reason, message = fault_of(file)
    assert reason == MapFault.INCOMPATIBLE
    assert "expected a map file of version 1, got version 2" in message


def test_a_huge_sparse_file_is_refused_unread(tmp_path):
    with (tmp_path / "a").open("wb") as sparse:
        sparse.write(MAGIC + bytes(100))
        sparse.truncate(1 << 40)
    assert "has 1099511627776 bytes" in fault_of(tmp_path / "a")[1]


# --- right checksums on wrong content ---


def with_shape(file: Path, name: str, shape: object) -> list[dict]:
    arrays = header_of(file.read_bytes())["arrays"]
    return [{**one, "shape": shape} if one["name"] == name else one for one in arrays]


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("voxel_key", [1 << 50]),
        ("voxel_key", [1 << 70]),
        ("footprint_m", [1 << 50, 2]),
        ("footprint_m", [-1, 2]),
        ("footprint_m", [1.5, 2]),
        ("footprint_m", [True, 2]),
        ("footprint_m", ["corners", 2]),
        ("footprint_m", 2),
        ("footprint_m", [2]),
        ("footprint_m", [0, 2]),
        ("footprint_m", [0, 2, 2]),
    ],
)
def test_declared_sizes_are_held_against_the_file(file, name, shape):
    forge(file, {"arrays": with_shape(file, name, shape)})
    assert fault_of(file)[0] == MapFault.INVALID_FILE


@pytest.mark.parametrize("header_bytes", [0, 1, 1 << 20, (1 << 32) - 1])
def test_the_size_of_the_header_is_checked(file, header_bytes):
    forge(file, {}, header_bytes=header_bytes)
    assert fault_of(file)[0] == MapFault.INVALID_FILE


@pytest.mark.parametrize(
    "header", [b"{}", b"[]", b"1", b"null", b"\xff", b"[" * 60_000, b'{"arrays": ' + b"9" * 5_000 + b"}"]
)
def test_a_header_that_is_none(file, header):
    forge(file, {}, header=header)
    assert fault_of(file)[0] == MapFault.INVALID_FILE


@pytest.mark.parametrize(
    "changes",
    [
        {"map_id": "7"},
        {"map_id": 7},
        {"frame_index": -1},
        {"frame_index": 1 << 31},
        {"frame_index": 1.0},
        {"frame_index": 3},  # before voxels were last seen
        {"next_id": 0},
        {"next_id": 3},  # not above all ids
        {"next_id": True},
        {"num_retirements": -1},
        {"num_retirements": 1 << 63},
        {"num_retirements": 0},  # and yet there are retired tracks
        {"voxel_m": 0.0},
        {"voxel_m": float("nan")},
        {"voxel_m": 1},
        {"max_points": 3},
        {"max_tracks": 1},
        {"network": None},
        {"arrays": []},
        {"arrays": [1]},
        {"arrays": {}},
    ],
)
def test_numbers_that_no_map_has(file, changes):
    forge(file, changes)
    reason, message = fault_of(file)
    assert reason == MapFault.INVALID_FILE
    assert "its checksum is right, but it cannot be a map" in message


def test_arrays_must_be_those_of_a_map(file):
    arrays = header_of(file.read_bytes())["arrays"]
    for wrong in (
        arrays[1:],
        [*arrays, arrays[0]],
        [*arrays, {"name": "more", "dtype": "|u1", "shape": [0]}],
        [{**one, "dtype": ">f4"} if one["dtype"] == "<f4" else one for one in arrays],
        [{**one, "dtype": "|O"} if one["name"] == "voxel_key" else one for one in arrays],
    ):
        forge(file, {"arrays": wrong})
        assert fault_of(file)[0] == MapFault.INVALID_FILE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("voxel_key", -1),
        ("voxel_key", 5),  # two of them
        ("voxel_xyz_rgb", np.nan),
        ("voxel_xyz_rgb", -1.0),
        ("voxel_num_samples", 0),
        ("voxel_num_samples", 32767),
        ("voxel_slot", 3_000),
        ("voxel_slot", -1),
        ("voxel_challenger", 3_000),
        ("voxel_votes", 32767),
        ("voxel_last_seen", 1_000),
        ("track_slot", 0),
        ("track_slot", 2_000_000_000),
        ("track_slot", 4),
        ("track_id", 0),
        ("track_id", 4),
        ("track_id", 9_000),
        ("track_state", 0),
        ("track_state", 5),
        ("track_score", np.inf),
        ("track_num_observations", 0),
        ("track_num_missed", -1),
        ("track_retired_at", 9),
        ("shape_oriented", np.nan),
        ("shape_num_corners", -1),
        ("shape_num_corners", 1),
        ("shape_num_points_at_fit", -1),
        ("pair_votes", 0),
        ("pair_votes", 3_000),
    ],
)
def test_values_that_no_map_has(saved, tmp_path, name, value):
    array = saved.arrays[name].copy()
    array[:2] = value
    write_map(replace(saved, arrays={**saved.arrays, name: array}), tmp_path / "a", overwrite=False)
    assert fault_of(tmp_path / "a")[0] == MapFault.INVALID_FILE
