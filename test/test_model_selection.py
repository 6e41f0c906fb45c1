"""What `model.name: auto` means: the default of the manifest where it can run, and what is said where it cannot."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from builders import recorded_folder

from autoseg3d_ros import config
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.cli.doctor import model_state
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.config import Config
from autoseg3d_ros.geometric_recognition import GeometricRecognition
from autoseg3d_ros.model.manifest import Manifest, Weights
from autoseg3d_ros.model.selection import describe_model, select_model
from autoseg3d_ros.model_config import ModelConfig


@pytest.fixture
def shipped(monkeypatch, tmp_path):
    """Let the package have come with one model, whose file is small, as the default or not."""

    def ship(default: str = "tiny") -> Manifest:
        file = tmp_path / "autoseg3d_tiny.safetensors"
        file.write_bytes(b"weights")
        manifest = Manifest(tmp_path).with_model("tiny", file, default=bool(default))
        monkeypatch.setattr(Manifest, "installed", classmethod(lambda _cls: manifest))
        return manifest

    return ship


@pytest.fixture
def installed(monkeypatch):
    """Let only these of the packages that a network needs be installed."""

    def install(*names: str) -> None:
        find = importlib.util.find_spec

        def found(name: str, package: str | None = None):
            return (find("json") if name in names else None) if name in ("torch", "safetensors") else find(name)

        monkeypatch.setattr(importlib.util, "find_spec", found)

    return install


BOTH = ("torch", "safetensors")


@pytest.mark.parametrize(
    ("name", "default", "packages", "selected", "lost"),
    [
        ("auto", "", BOTH, "none", ""),  # nothing is shipped: nothing is lost
        ("auto", "", (), "none", ""),
        ("auto", "tiny", BOTH, "tiny", ""),
        ("auto", "tiny", (), "none", "torch and safetensors are missing"),
        ("auto", "tiny", ("safetensors",), "none", "torch is missing"),
        ("auto", "tiny", ("torch",), "none", "safetensors is missing"),
        ("none", "tiny", BOTH, "none", ""),
        ("none", "tiny", (), "none", ""),
        ("base", "tiny", (), "base", ""),  # what was asked for by name is an error later, not another model
    ],
)
def test_what_a_name_stands_for(shipped, installed, caplog, name, default, packages, selected, lost):
    shipped(default)
    installed(*packages)
    assert select_model(ModelConfig(name=name)) == ModelConfig(name=selected)
    assert len(caplog.records) == bool(lost)
    if lost:
        missing = [one for one in BOTH if one not in packages]
        for words in (lost, "the network tiny", f"`pip install {' '.join(missing)}`", "geometry alone", "model.name"):
            assert words in caplog.text


def test_a_file_wins(shipped, installed):
    shipped()
    installed()
    model = ModelConfig(path="my.safetensors")
    assert select_model(model) == model
    assert describe_model(model) == "my.safetensors"


@pytest.mark.parametrize(
    ("model", "name", "path"),
    [(None, "edge", "a.safetensors"), ("none", "none", ""), ("b.safetensors", "edge", "b.safetensors")],
)
def test_a_model_by_name_takes_the_place_of_a_file(tmp_path, model, name, path):
    (tmp_path / "my.yaml").write_text("model: {name: edge, path: a.safetensors}\n")
    config = run_config(tmp_path / "my.yaml", [], masks=None, seed=None, model=model)
    assert (config.model.name, config.model.path) == (name, path)


@pytest.mark.parametrize(("name", "words"), [("none", "none: geometry alone"), ("tiny", "tiny")])
def test_a_selected_model_in_words(name, words):
    assert describe_model(ModelConfig(name=name)) == words


def test_without_torch_a_segmenter_is_geometric_and_the_log_says_so_once(shipped, installed, caplog):
    caplog.set_level(logging.INFO)
    shipped()
    installed()
    assert isinstance(build_segmenter(Config()).recognition, GeometricRecognition)
    warnings = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(warnings) == 1 and "pip install torch safetensors" in warnings[0]
    assert "model: none: geometry alone" in caplog.text


def test_the_default_is_the_network_that_ships(shipped, monkeypatch, tmp_path, caplog):
    pytest.importorskip("torch")
    from autoseg3d_ros.learned_recognition import LearnedRecognition
    from autoseg3d_ros.model.checkpoint import save_network, with_random_weights
    from autoseg3d_ros.model.network_config import PRESETS

    caplog.set_level(logging.INFO)
    file = tmp_path / "autoseg3d_tiny.safetensors"
    save_network(with_random_weights(PRESETS["tiny"], seed=0), file, half=True)
    manifest = Manifest(tmp_path).with_model("tiny", file, default=True)
    monkeypatch.setattr(Manifest, "installed", classmethod(lambda _cls: manifest))
    recognition = build_segmenter(Config()).recognition
    assert isinstance(recognition, LearnedRecognition)
    assert recognition._settings.filters.min_points == 8, "the number of the network"
    assert f"model: tiny ({file})" in caplog.text
    changed = config.replace(Config(), {"detection.min_points": 7})
    assert build_segmenter(changed).recognition._settings.filters.min_points == 7
    none = build_segmenter(config.replace(Config(), {"model.name": "none"}))
    assert isinstance(none.recognition, GeometricRecognition)


RUN_WITHOUT_TORCH = """
import sys
from importlib.machinery import PathFinder
from pathlib import Path
find_spec = PathFinder.find_spec
absent = ("torch", "safetensors")
PathFinder.find_spec = lambda name, *others: None if name.split(".")[0] in absent else find_spec(name, *others)
from autoseg3d_ros.cli.main import main
from autoseg3d_ros.model.manifest import Manifest, Weights
manifest = Manifest(Path("/nowhere"), {"tiny": Weights("x", "0")}, "tiny")
Manifest.installed = classmethod(lambda _cls: manifest)
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(("options", "code"), [((), 0), (("--model", "none"), 0), (("--model", "tiny"), 1)])
def test_a_run_without_torch(tmp_path, options, code):
    recorded_folder(tmp_path / "source", 2)
    command = ["run", tmp_path / "source", "--out", tmp_path / "run", "--masks", "truth", *options]
    parts = [sys.executable, "-c", RUN_WITHOUT_TORCH, *map(str, command)]
    done = subprocess.run(parts, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stderr
    assert ("model      none: geometry alone" in done.stdout) == (not code)
    assert done.stderr.count("pip install torch safetensors") == ("none" not in options)


# --- doctor ---


def test_doctor_names_the_default(shipped, installed):
    manifest = shipped()
    installed(*BOTH)
    assert model_state() == f"tiny: {manifest.folder / 'autoseg3d_tiny.safetensors'}"


def test_doctor_says_why_there_is_none(shipped, installed):
    manifest = shipped("")
    assert model_state() == f"none: geometry alone; {manifest.folder} has no default"
    shipped()
    installed("safetensors")
    assert model_state() == "none: geometry alone; tiny needs `pip install torch`"


def test_doctor_finds_damaged_weights(monkeypatch, shipped):
    manifest = shipped()
    (manifest.folder / "autoseg3d_tiny.safetensors").write_bytes(b"other")
    assert "the file is damaged" in model_state()
    lost = Manifest(Path("/nowhere"), {"tiny": Weights("x", "0")}, "tiny")
    monkeypatch.setattr(Manifest, "installed", classmethod(lambda _cls: lost))
    assert "is not there" in model_state()
