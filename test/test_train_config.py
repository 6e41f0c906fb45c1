"""The configuration of a training run: what is read, what is refused, the learning rate by hand."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training.train_config import StageConfig, TrainConfig, from_document, load

CONFIGS = Path(__file__).resolve().parents[1] / "config"
VIEW = {"kind": "view", "iterations": 10, "num_frames": 1}
GOOD = {"preset": "tiny", "cache": "lifted", "stages": [VIEW]}


def test_the_least_that_has_to_be_said():
    config = from_document(GOOD)
    assert config == TrainConfig("tiny", "lifted", (StageConfig("view", 10, num_frames=1),))
    assert sum(config.masks.values()) == 6


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("train_*.yaml")), ids=lambda path: path.stem)
def test_files_of_the_package(path):
    config = load(path)
    assert from_document(asdict(config)) == config  # as checkpoints keep it
    assert all(stage.rate(stage.iterations - 1) > 0 for stage in config.stages)


def test_the_papers_numbers():
    view, clips, tracks = load(CONFIGS / "train_base_scannet200.yaml").stages
    epochs = (view.iterations * 16 / 10_001, clips.iterations * 4 / 1201, tracks.iterations * 4 / 1201)
    assert [round(epoch, 2) for epoch in epochs] == [128, 128, 36]
    assert {stage.learning_rate for stage in (view, clips, tracks)} == {1e-4}
    assert tracks.rate(tracks.iterations - 1) == pytest.approx(7.5e-5, rel=0.01)  # it ends at 36 of 128 epochs


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"presets": "tiny"}, ["unknown key 'presets'"]),
        ({"preset": "large"}, ["preset", "tiny, ", "'large'"]),
        ({"preset": ["tiny"]}, ["preset: expected str"]),
        ({"cache": None}, ["cache: expected str"]),
        ({"seed": -1}, ["seed", "at least 0", "-1"]),
        ({"seed": True}, ["seed: expected int", "True"]),
        ({"short_term_frames": 0}, ["short_term_frames", "above 0"]),
        ({"dustbin": "yes"}, ["dustbin: expected bool", "'yes'"]),
        ({"steps": []}, ["steps", "above 0"]),
        ({"steps": [0]}, ["steps", "[0]"]),
        ({"steps": 2}, ["steps: expected a list", "2"]),
        ({"update_rule": "mean"}, ["update_rule", "count, ema", "'mean'"]),
        ({"masks": {}}, ["masks", "{}"]),
        ({"masks": {"regions": 0}}, ["masks", "'regions': 0"]),
        ({"stages": []}, ["stages", "got none"]),
        ({"stages": None}, ["stages: expected a list"]),
        ({"stages": ["view"]}, ["stages: expected a mapping", "'view'"]),
        ({"stages": [VIEW, VIEW]}, ["each once", "view, view"]),
        ({"stages": [{**VIEW, "kind": "dream"}]}, ["view, clips, tracks", "dream"]),
        ({"stages": [{"kind": "view"}]}, ["'iterations' is missing"]),
        ({"stages": [{**VIEW, "iterations": 0}]}, ["iterations", "above 0"]),
        ({"stages": [{**VIEW, "batch": 2.5}]}, ["batch: expected int", "2.5"]),
        ({"stages": [{**VIEW, "learning_rate": "1e-4"}]}, ["learning_rate: expected float", "1.0e-4"]),
        ({"stages": [{**VIEW, "learning_rate": float("nan")}]}, ["learning_rate", "nan"]),
        ({"stages": [{**VIEW, "num_frames": 8}]}, ["view: num_frames", "8"]),
        ({"stages": [{**VIEW, "kind": "clips"}]}, ["clips: num_frames", "1"]),
        ({"stages": [{**VIEW, "decay_iterations": 9}]}, ["decay_iterations", "9"]),
    ],
)
def test_what_cannot_be_trained(changes, words):
    with pytest.raises(ConfigError) as error:
        from_document({**GOOD, **changes})
    assert all(word in str(error.value) for word in words), error.value


@pytest.mark.parametrize("text", ["", "[]", "preset: [", "preset: tiny"])
def test_an_error_names_the_file(tmp_path, text):
    path = tmp_path / "train.yaml"
    with pytest.raises(ConfigError, match=r"train\.yaml: cannot be read"):
        load(path)
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"train\.yaml: "):
        load(path)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, [1.0, 0.75, 0.5, 0.25]),
        ({"power": 2.0}, [1.0, 0.5625, 0.25, 0.0625]),
        ({"power": 0.0}, [1.0, 1.0, 1.0, 1.0]),
        ({"warm_up": 1}, [0.5, 0.75, 0.5, 0.25]),
        ({"warm_up": 3}, [0.25, 0.375, 0.375, 0.25]),
        ({"decay_iterations": 8}, [1.0, 0.875, 0.75, 0.625]),
        ({"learning_rate": 2.0}, [2.0, 1.5, 1.0, 0.5]),
    ],
)
def test_rates(changes, expected):
    stage = StageConfig("view", 4, **{"learning_rate": 1.0, "power": 1.0, **changes})
    assert [stage.rate(iteration) for iteration in range(4)] == pytest.approx(expected)
