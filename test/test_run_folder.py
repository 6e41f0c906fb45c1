"""Run folders: what is written comes back, bytes repeat, interruptions lose nothing, foreign files are safe."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import an_instance, digest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from autoseg3d_ros.reporting import ply
from autoseg3d_ros.reporting.run_folder import RunFolderError, RunWriter, read_run
from autoseg3d_ros.reporting.timing import WINDOW_FRAMES, RunTiming
from autoseg3d_ros.structures import EventType, InstanceEvent, InstanceState

LABELS = np.array([[0, 1, 2], [65535, 0, 1]], np.int32)
NO_POINTS = (np.zeros((0, 3), np.float32), np.zeros((0, 3), np.uint8), np.zeros(0, np.int32))


def write_example(path: Path) -> None:
    with RunWriter(path) as run:
        run.add_frame(0, 100, LABELS, [InstanceEvent(EventType.CREATED, 1, 100)], "a")
        run.add_skipped(1, "depth/1.png: no such file", name="b")
        run.add_frame(2, 300, LABELS * 0, [InstanceEvent(EventType.MERGED, 1, 300, 2, "overlap")], "c")
        run.write_instances([an_instance(id=2), an_instance(id=1, state=InstanceState.LOST)])
        run.write_map(np.array([[1, 2, 3]], np.float32), np.array([[4, 5, 6]], np.uint8), np.array([7]))


def test_a_run_without_frames_is_a_run(tmp_path: Path) -> None:
    with RunWriter(tmp_path / "run") as run:
        run.write_instances([])
        run.write_map(*NO_POINTS)
    read = read_run(tmp_path / "run")
    assert (read.frames(), read.events(), read.instances(), len(read.map_points())) == ([], [], [], 0)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    write_example(tmp_path)
    run = read_run(tmp_path)
    assert [(frame.number, frame.stamp_ns, frame.name) for frame in run.processed()] == [(0, 100, "a"), (2, 300, "c")]
    assert [(frame.number, frame.skipped) for frame in run.frames()][1] == (1, "depth/1.png: no such file")
    np.testing.assert_array_equal(run.label_image(run.processed()[0]), LABELS)
    assert [(event["frame"], event["type"], event["id"], event["other_id"]) for event in run.events()] == [
        (0, "created", 1, 0),
        (2, "merged", 1, 2),
    ]
    assert run.map_points().tolist() == [(1.0, 2.0, 3.0, 4, 5, 6, 7)]


def test_instances_are_listed_by_id_with_the_documented_keys(tmp_path: Path) -> None:
    write_example(tmp_path)
    rows = json.loads((tmp_path / "instances.json").read_text())
    assert [(row["id"], row["state"]) for row in rows] == [(1, "lost"), (2, "active")]
    assert sorted(rows[0]) == sorted(
        ["bbox", "centroid", "first_seen", "id", "last_seen", "num_observations", "num_points", "score", "state"]
    )
    assert rows[0]["bbox"] == {"center": [0.0, 0.0, 0.5], "size": [1.0, 2.0, 1.0], "yaw": 0.25}


def test_label_images_are_16_bit_png_named_by_frame_order(tmp_path: Path) -> None:
    write_example(tmp_path)
    assert sorted(file.name for file in (tmp_path / "labels").iterdir()) == ["000000.png", "000002.png"]
    pixels = cv2.imread(str(tmp_path / "labels" / "000000.png"), cv2.IMREAD_UNCHANGED)
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, LABELS)


def test_an_id_beyond_16_bits_is_an_error_and_not_a_wrapped_pixel(tmp_path: Path) -> None:
    with RunWriter(tmp_path) as run, pytest.raises(RunFolderError, match="frame 3: instance id 65536"):
        run.add_frame(3, 0, LABELS + 1)
    assert read_run(tmp_path).frames() == []


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    write_example(tmp_path / "one")
    write_example(tmp_path / "two")
    assert digest(tmp_path / "one") == digest(tmp_path / "two")


def test_every_frame_is_readable_before_the_run_is_closed(tmp_path: Path) -> None:
    run = RunWriter(tmp_path)
    run.add_frame(0, 100, LABELS, [InstanceEvent(EventType.CREATED, 1, 100)])
    killed = read_run(tmp_path)
    np.testing.assert_array_equal(killed.label_image(killed.processed()[0]), LABELS)
    assert len(killed.events()) == 1
    with pytest.raises(RunFolderError, match=r"instances\.json"):
        killed.instances()
    run.close()


def test_a_line_cut_short_by_a_kill_is_left_out(tmp_path: Path) -> None:
    write_example(tmp_path)
    with (tmp_path / "frames.jsonl").open("a") as frames:
        frames.write('{"frame": 3, "na')
    assert [frame.number for frame in read_run(tmp_path).frames()] == [0, 1, 2]


def test_an_exception_leaves_what_was_computed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), RunWriter(tmp_path) as run:
        run.add_frame(0, 100, LABELS)
        raise KeyboardInterrupt
    assert len(read_run(tmp_path).processed()) == 1


def test_a_former_run_is_replaced_as_a_whole(tmp_path: Path) -> None:
    write_example(tmp_path)
    with RunWriter(tmp_path) as run:
        run.add_frame(5, 1, LABELS)
    assert [frame.number for frame in read_run(tmp_path).frames()] == [5]
    assert sorted(digest(tmp_path)) == ["events.jsonl", "frames.jsonl", "labels/000005.png"]


def test_a_former_run_stays_until_the_first_write(tmp_path: Path) -> None:
    write_example(tmp_path)
    before = digest(tmp_path)
    RunWriter(tmp_path)
    assert digest(tmp_path) == before


def test_a_recording_in_a_run_folder_is_kept(tmp_path: Path) -> None:
    write_example(tmp_path)
    (tmp_path / "run.rrd").write_bytes(b"recorded")
    RunWriter(tmp_path).close()
    assert (tmp_path / "run.rrd").read_bytes() == b"recorded"


@pytest.mark.parametrize("foreign", ["notes.txt", "labels/cat.png", "labels/000000.png", "map.ply", "run.rrd"])
def test_a_folder_of_someone_else_is_refused_and_left_alone(tmp_path: Path, foreign: str) -> None:
    (tmp_path / foreign).parent.mkdir(exist_ok=True)
    (tmp_path / foreign).write_text("mine")
    with pytest.raises(RunFolderError, match="expected a new folder"):
        RunWriter(tmp_path)
    assert (tmp_path / foreign).read_text() == "mine"


def test_a_foreign_file_in_a_former_run_is_refused_by_name(tmp_path: Path) -> None:
    write_example(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunFolderError, match=r"notes\.txt"):
        RunWriter(tmp_path)


def test_a_file_in_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("mine")
    with pytest.raises(RunFolderError, match="found a file"):
        RunWriter(tmp_path / "run")


def test_what_is_no_run_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="expected a run folder"):
        read_run(tmp_path)


def test_a_missing_label_image_is_named(tmp_path: Path) -> None:
    write_example(tmp_path)
    (tmp_path / "labels" / "000002.png").unlink()
    run = read_run(tmp_path)
    with pytest.raises(RunFolderError, match=r"000002\.png"):
        run.label_image(run.processed()[1])


@given(arrays.arrays(ply.POINT, st.integers(0, 5)))
def test_ply_round_trip(points: np.ndarray) -> None:
    xyz_m = np.stack([points[name] for name in "xyz"], axis=1)
    rgb = np.stack([points[name] for name in ("red", "green", "blue")], axis=1)
    assert ply.decode(ply.encode(xyz_m, rgb, points["instance_id"])).tobytes() == points.tobytes()


def test_ply_header_is_what_viewers_expect() -> None:
    header = ply.encode(*NO_POINTS).decode().splitlines()
    assert header[:4] == ["ply", "format binary_little_endian 1.0", "element vertex 0", "property float x"]
    assert header[-2:] == ["property uint instance_id", "end_header"]


@pytest.mark.parametrize("data", [b"", b"ply\nend_header\n", ply.encode(*NO_POINTS) + b"x"])
def test_other_ply_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="expected"):
        ply.decode(data)


def test_timing_of_nothing() -> None:
    report = RunTiming().report(seconds=0.0)
    assert (report["frames"], report["frames_per_second"], report["skipped"]) == (0, 0.0, {})
    assert report["makeshift_masks"] == {}
    assert report["stages_ms"] == {"frame": {"p50": 0.0, "p95": 0.0, "max": 0.0}}


def test_timing_percentiles_rate_and_windows() -> None:
    timing = RunTiming()
    for frame in range(2 * WINDOW_FRAMES + 1):
        timing.add_frame({"lift": float(frame)}, frame_ms=2.0, map_points=frame)
    report = timing.report(seconds=10.0)
    assert report["stages_ms"]["lift"] == {"p50": 100.0, "p95": 190.0, "max": 200.0}
    assert report["frames_per_second"] == 20.1
    assert [(window["first_frame"], window["map_points"]) for window in report["windows"]] == [(0, 99), (100, 199)]


def test_skips_are_counted_by_reason_not_by_place() -> None:
    timing = RunTiming()
    for message in ("depth/1.png: cut short: 12 bytes", "depth/2.png: cut short: 99 bytes", "pose/2.txt: no such file"):
        timing.skip(message)
    assert timing.report(1.0)["skipped"] == {"cut short: # bytes": 2, "no such file": 1}
    assert timing.num_skipped == 3
    assert timing.skipped["cut short: # bytes"].first_message == "depth/1.png: cut short: 12 bytes"
