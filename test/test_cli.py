"""The command line: what users type, what they are told, and what is on disk afterwards."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from builders import SMALL_CAMERA, digest, recorded_folder

from autoseg3d_ros import config as configuration
from autoseg3d_ros.cli.doctor import overlay_prefix
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.main import main
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.cli.repetition import Repetition
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.cli.tables import table
from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.reporting.run_folder import RunWriter, read_run
from autoseg3d_ros.structures import Frame, FrameError

REPOSITORY = Path(__file__).resolve().parents[1]
GEOMETRY = ("--model", "none")
TRUTH = ("--masks", "truth", "--set", "lifting.min_region_px=1", *GEOMETRY)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    recorded_folder(tmp_path / "source", 4)
    return tmp_path / "source"


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "run"


def without_timing(folder: Path) -> dict[str, str]:
    return {name: value for name, value in digest(folder).items() if name != "timing.json"}


# --- run ---


def test_run_writes_every_promised_file(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(source), "--out", str(out), *TRUTH]) == 0
    promised = "events.jsonl frames.jsonl instances.json labels map.ply overlay.png timing.json topdown.png"
    assert sorted(entry.name for entry in out.iterdir()) == promised.split()
    assert [file.name for file in sorted((out / "labels").iterdir())] == [f"{n:06d}.png" for n in range(4)]
    said = capsys.readouterr().out
    assert "4 processed, 0 skipped" in said
    assert "model      none: geometry alone" in said
    assert "topdown.png" in said


def test_run_twice_gives_the_same_bytes(source: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        assert main(["run", str(source), "--out", str(tmp_path / name), *TRUTH]) == 0
    assert without_timing(tmp_path / "one") == without_timing(tmp_path / "two")


def test_run_skips_a_bad_frame_with_the_reason_and_goes_on(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "depth" / "000001.png").unlink()
    assert main(["run", str(source), "--out", str(out), *TRUTH]) == 0
    run = read_run(out)
    assert [frame.number for frame in run.processed()] == [0, 2, 3]
    assert "000001.png" in run.frames()[1].skipped
    assert run.timing()["skipped"] == {"no such file": 1}
    assert "000001.png: no such file" in capsys.readouterr().out


@pytest.mark.parametrize("masks", ["regions", "truth"])
def test_a_frame_without_depth_is_no_reason_to_stop(source: Path, out: Path, masks: str) -> None:
    blind = np.zeros((SMALL_CAMERA.height, SMALL_CAMERA.width), np.uint16)
    cv2.imwrite(str(source / "depth" / "000001.png"), blind)
    assert main(["run", str(source), "--out", str(out), "--masks", masks, *GEOMETRY]) == 0
    run = read_run(out)
    assert [frame.number for frame in run.frames()] == [0, 1, 2, 3]
    assert {frame.number for frame in run.processed()} >= {0, 2, 3}


def test_run_without_one_usable_frame_fails_and_says_why(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for file in (source / "pose").iterdir():
        file.write_text("nan " * 16)
    assert main(["run", str(source), "--out", str(out), *TRUTH]) == 1
    said = capsys.readouterr()
    assert "NaN" in said.out
    assert "none of 4 frames could be used" in said.err
    assert read_run(out).instances() == []


def test_limit_and_repeat(source: Path, out: Path) -> None:
    assert main(["run", str(source), "--out", str(out), "--limit", "2", "--repeat", "3", *TRUTH]) == 0
    stamps = [frame.stamp_ns for frame in read_run(out).processed()]
    assert np.diff(stamps).tolist() == [100_000_000] * 5


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--set", "tracking.min_afinity=1"], "did you mean 'tracking.min_affinity'"),
        (["--set", "seed"], "expected key=value"),
        (["--seed", "-1"], "seed: expected a value"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["--format", "film"], "unknown format 'film'"),
    ],
)
def test_run_refuses_what_it_does_not_understand(
    source: Path, out: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert main(["run", str(source), "--out", str(out), *options]) == 1
    assert told in capsys.readouterr().err
    assert not out.exists()


def test_run_of_nothing(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "nowhere", "--out", str(out)]) == 1
    assert "nowhere: no such file or folder" in capsys.readouterr().err


def test_run_leaves_a_foreign_folder_alone(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = digest(source)
    assert main(["run", str(source), "--out", str(source), *TRUTH]) == 1
    assert "expected a new folder" in capsys.readouterr().err
    assert digest(source) == before


def test_rerun_recording(source: Path, out: Path) -> None:
    pytest.importorskip("rerun")
    assert main(["run", str(source), "--out", str(out), "--rerun", str(out / "run.rrd"), *TRUTH]) == 0
    assert (out / "run.rrd").read_bytes()[:4] == b"RRF2"


def test_rerun_that_is_missing_is_said_before_anything_is_written(
    source: Path, out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
    assert main(["run", str(source), "--out", str(out), "--rerun", str(out / "run.rrd"), *TRUTH]) == 1
    assert "rerun-sdk is not installed" in capsys.readouterr().err
    assert not out.exists()


def test_masks_from_files_lie_beside_the_frames_by_default(source: Path, out: Path, tmp_path: Path) -> None:
    (source / "instance").rename(source / "masks")
    assert main(["run", str(source), "--out", str(out), "--masks", "file", *TRUTH[2:]]) == 0
    assert len(read_run(out).processed()) == 4


def test_settings_come_from_file_then_set_then_short_options(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text("seed: 1\nmap: {voxel_m: 0.1}\ntracking: {min_observations: 7}\n")
    config = run_config(tmp_path / "my.yaml", ["seed=2", "map.voxel_m=0.2"], masks="truth", seed="3")
    assert (config.seed, config.map.voxel_m, config.tracking.min_observations) == (3, 0.2, 7)
    assert config.masks.source == "truth"


def test_set_keeps_equal_signs_in_the_value() -> None:
    assert run_config(None, ["map_frame=a=b"], masks=None, seed=None).map_frame == "a=b"
    with pytest.raises(ConfigError, match="key=value"):
        run_config(None, ["map_frame"], masks=None, seed=None)


def test_ctrl_c_writes_what_was_computed(source: Path, out: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "autoseg3d_ros.cli.main",
        "run",
        source,
        "--out",
        out,
        "--repeat",
        "100000",
        *TRUTH,
    ]
    process = subprocess.Popen([str(part) for part in command], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        deadline_s = time.monotonic() + 60
        while not (out / "labels" / "000002.png").exists() and time.monotonic() < deadline_s:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said, _nothing = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130
    run = read_run(out)
    assert f"stopped after {len(run.processed())} of 400000 frames" in said
    assert len(run.processed()) == len(list((out / "labels").iterdir())) >= 3
    assert run.instances() is not None
    assert (out / "topdown.png").exists()


# --- the parts of run ---


def test_repetition_of_an_empty_round_and_of_errors() -> None:
    class Broken:
        name, camera, frame_rate_hz = "broken", SMALL_CAMERA, 10.0

        def __len__(self) -> int:
            return 1

        def frames(self):
            yield FrameError("no")

    assert [str(item) for item in Repetition(Broken(), repeat=2).frames()] == ["no", "no"]


def test_repetition_shifts_both_stamps_and_nothing_else(source: Path) -> None:
    folder = RgbdFolder(source)
    frames = [frame for frame in Repetition(folder, repeat=2).frames() if isinstance(frame, Frame)]
    assert len(frames) == len(Repetition(folder, repeat=2)) == 8
    shift_ns = frames[4].stamp_ns - frames[0].stamp_ns
    assert shift_ns == 400_000_000
    assert frames[5].depth_stamp_ns - frames[1].depth_stamp_ns == shift_ns
    np.testing.assert_array_equal(frames[5].depth_m, frames[1].depth_m)
    assert frames[5].name == frames[1].name


def test_interruption_notes_the_first_signal_and_gives_the_handlers_back() -> None:
    before = signal.getsignal(signal.SIGINT)
    with Interruption() as interruption:
        assert not interruption
        os.kill(os.getpid(), signal.SIGINT)
        assert interruption
        assert signal.getsignal(signal.SIGINT) is before  # a second Ctrl-C acts at once
    assert interruption.exit_code == 130
    assert signal.getsignal(signal.SIGINT) is before


def test_progress_passes_everything_through() -> None:
    assert list(with_progress([], 0)) == []
    assert list(with_progress(iter("abc"), 3)) == ["a", "b", "c"]


def test_tables_align_numbers_right_and_text_left() -> None:
    assert table(("name", "ms"), []) == "name  ms"
    assert table(("name", "ms"), [("lift", 1.25), ("map", 10)]) == "name   ms\nlift  1.2\nmap    10"


# --- eval ---


def write_truth_as_run(source: Path, out: Path) -> None:
    with RunWriter(out) as writer:
        for number, frame in enumerate(RgbdFolder(source).frames()):
            assert isinstance(frame, Frame)
            assert frame.truth is not None
            writer.add_frame(number, frame.stamp_ns, frame.truth)


def test_eval_of_the_truth_itself_is_perfect(source: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_truth_as_run(source, out)
    assert main(["eval", str(out), str(source)]) == 0
    scores = json.loads((out / "scores.json").read_text())
    assert (scores["idf1"], scores["num_switches"], scores["num_frames"]) == (1.0, 0, 4)
    assert "IDF1" in capsys.readouterr().out


def test_eval_ignores_pixels_without_depth(source: Path, out: Path) -> None:
    with RunWriter(out) as writer:
        for number, frame in enumerate(RgbdFolder(source).frames()):
            assert isinstance(frame, Frame)
            assert frame.truth is not None
            writer.add_frame(number, frame.stamp_ns, np.where(frame.depth_m > 0, frame.truth, 9))
    assert main(["eval", str(out), str(source)]) == 0
    assert json.loads((out / "scores.json").read_text())["mean_iou"] == 1.0


def test_eval_needs_truth(tmp_path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recorded_folder(tmp_path / "source", 2, truth=False)
    with RunWriter(out) as writer:
        writer.add_frame(0, 0, np.zeros((SMALL_CAMERA.height, SMALL_CAMERA.width), np.int32))
    assert main(["eval", str(out), str(tmp_path / "source")]) == 1
    assert "has instance truth" in capsys.readouterr().err


# --- bag, doctor, usage ---


def test_a_bag_gives_the_same_labels_as_its_folder(source: Path, tmp_path: Path) -> None:
    pytest.importorskip("rosbags")
    assert main(["bag", str(source), str(tmp_path / "source.mcap")]) == 0
    for name in ("source", "source.mcap"):
        assert main(["run", str(tmp_path / name), "--out", str(tmp_path / f"run_of_{name}"), *TRUTH]) == 0
    folder, bag = (digest(tmp_path / f"run_of_{name}") for name in ("source", "source.mcap"))
    names = [name for name in folder if name.startswith("labels/") or name in ("instances.json", "map.ply")]
    assert {name: folder[name] for name in names} == {name: bag[name] for name in names}
    assert len(names) == 6


def test_doctor_names_what_is_missing_and_what_a_source_holds(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", str(source)]) == 0
    said = capsys.readouterr().out
    parts = {line.split()[0]: line.split()[1] for line in said.splitlines() if len(line.split()) > 1}
    assert parts["numpy"][0].isdigit()
    assert parts["rosbags"][0].isdigit()  # a namespace package, which has no origin
    assert "32x24" in said


def test_doctor_lists_every_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--settings"]) == 0
    said = capsys.readouterr().out
    assert all(f"\n{key} " in said for key, _leaf in configuration.settings())


def test_doctor_works_where_nothing_else_is_installed() -> None:
    command = [sys.executable, "-I", "-S", "-c", f"import sys; sys.path[:0] = [{str(REPOSITORY)!r}]"]
    command[-1] += "; from autoseg3d_ros.cli.main import main; sys.exit(main(['doctor']))"
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "missing" in done.stdout


@pytest.mark.parametrize("arguments", [[], ["fly"], ["run", "x"], ["run", "x", "--out", "y", "--repeat", "0"]])
def test_wrong_usage_is_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2


# --- demo ---


def test_demo_without_overlay_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AMENT_PREFIX_PATH", raising=False)
    assert overlay_prefix() is None
    assert main(["demo", "--out", str(out)]) == 1
    assert "make setup" in capsys.readouterr().err
    assert not out.exists()
