"""`autoseg3d eval`: a run on a scene folder, and a whole split, as users type it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from benchmark_builders import write_scene
from builders import digest

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.evaluation.bootstrap import Interval
from autoseg3d_ros.reporting.benchmark_table import COLUMNS, format_score, markdown_table
from autoseg3d_ros.reporting.curves import Curve, draw_curves
from autoseg3d_ros.reporting.run_folder import RunWriter
from autoseg3d_ros.structures import Frame

NAN = float("nan")
REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        write_scene(tmp_path / "data" / name)
    return tmp_path / "data"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


def evaluate(data: Path, out: Path, *options: str) -> int:
    options = ("--workers", "1", "--model", "none", *options)
    return main(["eval", str(data), "--split", "test", "--out", str(out), *options])


# --- a split ---


def test_a_split_leaves_table_curves_and_every_number(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert evaluate(data, out) == 0
    names = {"results.json", "results.md", "curves.png", "truth", "fragmented", "regions"}
    assert {entry.name for entry in out.iterdir()} == names
    results = json.loads((out / "results.json").read_text())
    assert (results["dataset"], results["split"], results["left_out"]) == ("data", "test", [])
    assert list(results["rows"]) == ["fragmented", "regions", "truth"]  # keys are sorted
    truth = results["rows"]["truth"]
    assert truth["scores"]["ap50"] == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert truth["scores"]["revivals_right"] == {"value": None, "low": None, "high": None}
    assert (truth["num_scenes"], truth["num_frames"], truth["num_skipped"]) == (2, 8, 0)
    assert set(truth["scenes"]) == {"one", "two"}
    lines = (out / "results.md").read_text().splitlines()
    assert [line.split(" | ")[0] for line in lines if line.startswith("| ")][2:] == [
        "| truth",
        "| fragmented",
        "| regions",
    ]
    said = capsys.readouterr().out
    assert "100.0 [100.0, 100.0]" in said
    assert "from before" not in said
    assert cv2.imread(str(out / "curves.png")) is not None


def test_a_second_time_everything_is_used_again(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate(data, out) == 0
    before = digest(out)
    assert evaluate(data, out) == 0
    assert digest(out) == before
    assert "6 from before" in capsys.readouterr().out


def test_rows_stride_limit_and_settings(data: Path, out: Path) -> None:
    options = ("--masks", "truth", "--stride", "2", "--limit-scenes", "1", "--set", "tracking.min_observations=9")
    assert evaluate(data, out, *options) == 0
    results = json.loads((out / "results.json").read_text())
    assert list(results["rows"]) == ["truth"]
    assert results["rows"]["truth"]["num_frames"] == 2
    assert list(results["rows"]["truth"]["scenes"]) == ["one"]
    assert results["rows"]["truth"]["scores"]["ap50"]["value"] == 0.0  # nothing was confirmed


def test_a_damaged_scene_is_left_out_and_named(data: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "two" / "mesh.npz").unlink()
    (data / "three").mkdir()
    (data / "three" / "scene.json").write_text("{}")
    assert evaluate(data, out, "--masks", "truth") == 0
    said = capsys.readouterr().out
    assert "left out: two in row truth: " in said
    assert "left out: three: " in said
    assert "left out: two" in (out / "results.md").read_text()
    results = json.loads((out / "results.json").read_text())
    assert [entry["scene"] for entry in results["left_out"]] == ["three", "two"]
    assert results["rows"]["truth"]["num_scenes"] == 1


def test_nothing_to_evaluate_is_an_error_with_every_reason(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("one", "two"):
        (data / name / "mesh.npz").unlink()
    assert evaluate(data, out, "--masks", "truth") == 1
    told = capsys.readouterr().err
    assert "no scene could be evaluated" in told
    assert "one in row truth" in told
    assert "two in row truth" in told
    assert not (out / "results.json").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--split", "val", "--out", "o"], "no scene of split 'val', found test"),
        (["--split", "test"], "needs --out"),
        (["--split", "test", "--out", "o", "--masks", "thruth"], "unknown row 'thruth'"),
        (["--split", "test", "--out", "o", "--masks", "esam", "--model", "none"], "comes with the network of --model"),
        (["--split", "test", "--out", "o", "--set", "masks.fragment=2"], "did you mean 'masks.fragments'"),
        (["somewhere", "--split", "test", "--out", "o"], "leave out somewhere"),
        (["--out", "o"], "expected either RUN SOURCE"),
        ([], "expected either RUN SOURCE"),
    ],
)
def test_what_cannot_be_asked_for(
    data: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    assert main(["eval", str(data), *arguments]) == 1
    assert told in capsys.readouterr().err


def test_ctrl_c_ends_the_workers_and_keeps_what_is_finished(tmp_path: Path, out: Path) -> None:
    original = write_scene(tmp_path / "data" / "000", num_frames=30).path
    for number in range(1, 40):
        (tmp_path / "data" / f"{number:03d}").symlink_to(original)
    command = [sys.executable, "-m", "autoseg3d_ros.cli.main", "eval", tmp_path / "data", "--split", "test"]
    command += ["--out", out, "--workers", "2", "--masks", "regions", "--model", "none"]
    process = subprocess.Popen([str(part) for part in command], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 60
        while not list(out.glob("regions/0*.json")) and time.monotonic() < deadline_s:
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        said, _nothing = process.communicate(timeout=30)  # ends only when the workers, who have the pipe too, ended
    finally:
        process.kill()
    assert process.returncode == 130
    assert "the same command goes on" in said
    finished = list(out.glob("regions/*.json"))
    assert 0 < len(finished) < 40
    assert all("digest" in json.loads(file.read_text()) for file in finished)


# --- one run ---


def test_a_run_on_a_scene_folder_is_scored_on_its_mesh_too(
    data: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(data / "one"), "--out", str(out), "--masks", "truth", "--model", "none"]) == 0
    capsys.readouterr()
    assert main(["eval", str(out), str(data / "one")]) == 0
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["idf1"], scores["ap50"], scores["ap50_near"], scores["num_frames"]) == (1.0, 1.0, 1.0, 4)
    assert scores["revivals_right"] is None
    said = capsys.readouterr().out
    assert "AP50             1.000" in said
    assert "revivals right     n/a" in said


def test_a_run_takes_merges_from_its_events(data: Path, out: Path) -> None:
    assert main(["run", str(data / "one"), "--out", str(out), "--masks", "truth", "--model", "none"]) == 0
    instances = json.loads((out / "instances.json").read_text())
    for file in (out / "labels").iterdir():
        ids = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        cv2.imwrite(str(file), np.where(ids == 1, 40, ids).astype(np.uint16))
    assert 40 not in {one["id"] for one in instances}
    assert main(["eval", str(out), str(data / "one")]) == 0
    lost = json.loads((out / "scores.json").read_text())
    with (out / "events.jsonl").open("a") as events:
        events.write(json.dumps({"frame": 3, "id": 40, "other_id": 1, "stamp_ns": 0, "type": "merged"}) + "\n")
    assert main(["eval", str(out), str(data / "one")]) == 0
    found = json.loads((out / "scores.json").read_text())
    assert found["ap50"] == 1.0 > lost["ap50"]


def test_a_run_on_another_source_has_no_ap(data: Path, out: Path) -> None:
    source = data / "one"
    (source / "scene.json").unlink()
    with RunWriter(out) as writer:
        for number, frame in enumerate(RgbdFolder(source).frames()):
            assert isinstance(frame, Frame)
            assert frame.truth is not None
            writer.add_frame(number, frame.stamp_ns, frame.truth)
    assert main(["eval", str(out), str(source)]) == 0
    scores = json.loads((out / "scores.json").read_text())
    assert scores["hota"] == pytest.approx(1.0)
    assert "ap" not in scores


# --- the table and the curves ---


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Interval(NAN, NAN, NAN), "n/a"),
        (Interval(0.5, NAN, NAN), "50.0"),
        (Interval(0.5, 0.25, 1.0), "50.0 [25.0, 100.0]"),
    ],
)
def test_a_score_as_text(score: Interval, text: str) -> None:
    assert format_score(score, COLUMNS[0]) == text


def test_a_table_of_no_rows_is_a_header() -> None:
    assert len(markdown_table({}).splitlines()) == 2


def test_curves_of_nothing_and_of_something(tmp_path: Path) -> None:
    empty = Curve(np.zeros(0), np.zeros(0))
    some = Curve(np.array([0.5, 0.0]), np.array([0.25, 1.0]))
    draw_curves(tmp_path / "empty.png", {0.5: {}})
    for name in ("one.png", "two.png"):
        draw_curves(tmp_path / name, {0.5: {"a": some, "b": empty}, 0.25: {"a": some, "b": some}})
    files = digest(tmp_path)
    assert files["one.png"] == files["two.png"] != files["empty.png"]
    assert sorted(files) == ["empty.png", "one.png", "two.png"]
