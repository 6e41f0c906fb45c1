"""`autoseg3d lift` and `autoseg3d train`: from scenes to weights, what is said, and how they are stopped."""

from __future__ import annotations

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from clip_builders import a_scene, cached, still_frames

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.model import network_config
from autoseg3d_ros.model.checkpoint import load_network, read_notes
from autoseg3d_ros.training.cached_scene import CachedScene
from autoseg3d_ros.training.clips import MIXED_MASKS
from autoseg3d_ros.training.train_config import load
from autoseg3d_ros.training.train_log import TrainLog

pytestmark = pytest.mark.usefixtures("one_thread")

CONFIGS = Path(__file__).parents[1] / "config"
VIEW = {"kind": "view", "iterations": 2, "batch": 2, "num_frames": 1, "num_points": 300}
TRACKS = {"kind": "tracks", "iterations": 2, "batch": 1, "num_frames": 2, "num_points": 300}


@pytest.fixture(scope="module")
def lifted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("lifted")
    cached(folder / "cache", a_scene(folder / "room", still_frames(3)))
    return folder / "cache"


def config_of(path: Path, lifted: Path, **changes: object) -> str:
    document = {"preset": "tiny", "cache": str(lifted), "stages": [VIEW, TRACKS], "masks": {"truth-2": 1.0}, **changes}
    path.write_text(yaml.safe_dump(document))
    return str(path)


def test_from_a_cache_to_weights(tmp_path, lifted, capsys):
    command = ["train", config_of(tmp_path / "train.yaml", lifted), "--out", str(tmp_path / "out")]
    assert main([*command, "--every", "2"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[:2]] == ["view 1 of 2", "tracks 1 of 2"]
    assert lines[-1].endswith(f"trained; use it: --model {tmp_path / 'out' / 'tracks.safetensors'}")
    assert load_network(tmp_path / "out" / "tracks.safetensors").config.embedding_norm == "layer"
    notes = read_notes(tmp_path / "out" / "tracks.safetensors")
    assert notes["stage"] == "tracks"
    assert json.loads(notes["class_ids"]) == sorted(set(CachedScene(lifted / "room").truth.class_id.tolist()))
    assert main(command) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1  # nothing is left to do


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_stops_it_and_the_same_command_goes_on(tmp_path, lifted, capsys, monkeypatch, number, code):
    command = ["train", config_of(tmp_path / "train.yaml", lifted), "--out", str(tmp_path / "out")]
    add = TrainLog.add

    def add_and_stop(*args) -> str:
        signal.raise_signal(number)
        return add(*args)

    with monkeypatch.context() as patch:
        patch.setattr(TrainLog, "add", add_and_stop)
        assert main(command) == code
    assert "stopped; the same command goes on" in capsys.readouterr().out
    assert (tmp_path / "out" / "checkpoint.pt").exists()
    assert main(command) == 0
    assert len((tmp_path / "out" / "log.jsonl").read_text().splitlines()) == 4


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"cache": "/nowhere"}, ["expected lifted scenes in /nowhere", "autoseg3d lift"]),
        ({"preset": "huge"}, ["train.yaml", "preset", "'huge'"]),
        ({"sede": 1}, ["train.yaml", "unknown key 'sede'"]),
        ({"masks": {"truth-9": 1.0}}, ["masks", "truth-9", "lift the scenes anew"]),
    ],
)
def test_what_is_wrong_is_said(tmp_path, lifted, capsys, changes, words):
    config = config_of(tmp_path / "train.yaml", lifted, **changes)
    assert main(["train", config, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert not (tmp_path / "out").exists()


def test_an_empty_cache_and_a_missing_file(tmp_path, capsys):
    (tmp_path / "cache" / ".room.partial").mkdir(parents=True)
    assert main(["train", config_of(tmp_path / "train.yaml", tmp_path / "cache"), "--out", str(tmp_path)]) == 1
    assert "found none" in capsys.readouterr().err
    assert main(["train", str(tmp_path / "none.yaml"), "--out", str(tmp_path)]) == 1
    assert "none.yaml: cannot be read" in capsys.readouterr().err


def test_a_loss_that_is_no_number(tmp_path, lifted, capsys):
    wild = {**VIEW, "iterations": 4, "learning_rate": 1e30}
    config = config_of(tmp_path / "train.yaml", lifted, stages=[wild])
    assert main(["train", config, "--out", str(tmp_path / "out")]) == 1
    error = capsys.readouterr().err
    assert "stage view, iteration" in error and "room frames [" in error and "learning_rate" in error


def test_more_classes_than_the_network_can_tell(tmp_path, lifted, capsys, monkeypatch):
    tiny = network_config.PRESETS["tiny"]
    monkeypatch.setitem(network_config.PRESETS, "tiny", replace(tiny, decoder=replace(tiny.decoder, num_semantics=1)))
    assert main(["train", config_of(tmp_path / "train.yaml", lifted), "--out", str(tmp_path / "out")]) == 1
    assert "the scenes have 2 classes, the network can tell 1" in capsys.readouterr().err


def test_lifting(tmp_path, capsys):
    a_scene(tmp_path / "rooms" / "room_a", still_frames(11))
    (tmp_path / "rooms" / "room_a" / "pose" / "000005.txt").write_text("lost")
    a_scene(tmp_path / "rooms" / "room_b", still_frames(1))
    (tmp_path / "rooms" / "room_b" / "instance" / "000000.png").unlink()
    command = ["lift", str(tmp_path / "rooms"), "--out", str(tmp_path / "cache"), "--workers", "1"]
    assert main(command) == 1  # a scene is left out
    output = capsys.readouterr().out
    assert "0 of 2 scenes are there already" in output and "room_b: left out: " in output
    assert "room_a: 1 of 3 frames cannot be used, the first: " in output
    assert sorted(path.name for path in (tmp_path / "cache" / "room_a").glob("0*.npz")) == ["000000.npz", "000010.npz"]
    main(command)
    assert "1 of 2 scenes are there already" in capsys.readouterr().out


def test_what_is_lifted_by_itself_is_what_tiny_trains_on(tmp_path):
    a_scene(tmp_path / "rooms" / "room", still_frames(1))
    assert main(["lift", str(tmp_path / "rooms"), "--out", str(tmp_path / "cache"), "--workers", "1"]) == 0
    lifted = set(CachedScene(tmp_path / "cache" / "room").masks)
    configs = list(CONFIGS.glob("train_tiny*.yaml"))
    assert len(configs) >= 5
    assert all(lifted >= set(load(path).masks) for path in configs)
    assert lifted >= set(MIXED_MASKS)  # of a configuration that names none
