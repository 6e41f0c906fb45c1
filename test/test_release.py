"""`autoseg3d release`: a trained network becomes one that ships, and anything else does not."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
import torch

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.model.checkpoint import load_network, read_notes, save_network, with_random_weights
from autoseg3d_ros.model.manifest import Manifest
from autoseg3d_ros.model.network_config import PRESETS

NOTES = {"stage": "tracks", "class_ids": json.dumps([3, 5])}
HEAD = "# Two lines\n# of comment.\n"


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("trained") / "tracks.safetensors"
    save_network(with_random_weights(PRESETS["tiny"], seed=0), path, NOTES)
    return path


@pytest.fixture
def models(tmp_path) -> Path:
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "manifest.yaml").write_text(HEAD + "models: {}\n")
    return tmp_path / "models"


def release(weights: Path, models: Path, *options: str) -> int:
    return main(["release", str(weights), "--models", str(models), *options])


def test_a_trained_network_is_entered_into_the_manifest(trained, models, capsys):
    assert release(trained, models, "--name", "tiny", "--default") == 0
    said = capsys.readouterr().out
    file = models / "autoseg3d_tiny.safetensors"
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    for words in (f"{file}: 5.", "MB, 2,", "parameters", digest, "min_points  8", "stage       tracks", "[3, 5]"):
        assert words in said
    assert "used by default" in said and "tiny.md" in said
    manifest = Manifest.read(models / "manifest.yaml")
    assert manifest.default == "tiny"
    assert manifest.weights_of("tiny") == file
    assert (models / "manifest.yaml").read_text().startswith(HEAD + "default: tiny\n")
    assert read_notes(file) == NOTES
    assert file.stat().st_mode & 0o044, "others may read what is installed"
    expected = load_network(trained).state_dict()
    for key, tensor in load_network(file).state_dict().items():
        assert torch.allclose(tensor, expected[key], rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("num", [1, 50])
def test_the_least_points_of_a_detection_may_be_chosen_after_training(trained, models, num, capsys):
    assert release(trained, models, "--name", "tiny", "--min-points", str(num)) == 0
    assert f"min_points  {num}" in capsys.readouterr().out
    assert load_network(models / "autoseg3d_tiny.safetensors").config.min_points == num


def test_no_points_at_all_are_refused(trained, models, capsys):
    assert release(trained, models, "--name", "tiny", "--min-points", "0") == 1
    assert "--min-points: expected at least 1, got 0" in capsys.readouterr().err
    assert not (models / "autoseg3d_tiny.safetensors").exists()


def test_other_entries_and_their_default_stay(trained, models):
    assert release(trained, models, "--name", "small", "--default") == 0
    before = Manifest.read(models / "manifest.yaml")
    assert release(trained, models, "--name", "tiny") == 0
    after = Manifest.read(models / "manifest.yaml")
    assert (after.names, after.default) == (("small", "tiny"), "small")
    assert after.models["small"] == before.models["small"]


@pytest.mark.parametrize(
    ("notes", "name", "words"),
    [
        ({}, "tiny", ["whose header names the stage", "got one without"]),
        ({"origin": "ESAM.pth"}, "tiny", ["others have published"]),
        (NOTES, "none", ["--name", "'none'"]),
        (NOTES, "auto", ["--name", "'auto'"]),
        (NOTES, "../tiny", ["--name", "a-z"]),
    ],
)
def test_what_does_not_ship(tmp_path, models, capsys, notes, name, words):
    save_network(with_random_weights(PRESETS["tiny"], seed=0), tmp_path / "x.safetensors", notes)
    assert release(tmp_path / "x.safetensors", models, "--name", name) == 1
    error = capsys.readouterr().err
    assert all(word in error for word in words), error
    assert [path.name for path in models.iterdir()] == ["manifest.yaml"]
    assert Manifest.read(models / "manifest.yaml").names == ()


def test_a_folder_without_a_manifest(tmp_path, trained, capsys):
    assert release(trained, tmp_path, "--name", "tiny") == 1
    assert f"{tmp_path / 'manifest.yaml'}" in capsys.readouterr().err
