"""`autoseg3d ablate`, as users type it, with small networks that know nothing."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from benchmark_builders import write_scene
from builders import digest
from train_builders import SMALL

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.model.checkpoint import save_network, with_random_weights
from autoseg3d_ros.reporting.ablation_table import FIRST_LINE

pytestmark = pytest.mark.usefixtures("one_thread")

ROWS = "geometric,baseline,+STM,full,ours"


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A folder with data/ and models/, of which one is missing."""
    folder = tmp_path_factory.mktemp("ablation")
    for name in ("one", "two"):
        write_scene(folder / "data" / name)
    (folder / "models").mkdir()
    save_network(with_random_weights(replace(SMALL, short_term=False), 0), folder / "models" / "baseline.safetensors")
    save_network(with_random_weights(SMALL, 1), folder / "models" / "full.safetensors")
    return folder


def ablate(here: Path, out: Path, *options: str) -> int:
    command = ["ablate", str(here / "data"), "--models", str(here / "models"), "--out", str(out), "--workers", "1"]
    return main([*command, *options])


def test_tables_numbers_and_what_they_come_from(here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, results = tmp_path / "out", tmp_path / "docs" / "results.md"
    options = ("--rows", ROWS, "--masks", "regions,fragmented", "--stride", "2", "--results", str(results))
    assert ablate(here, out, *options) == 0
    said = capsys.readouterr().out
    assert "row +STM is left out: " in said
    assert "from before" not in said
    assert {entry.name for entry in out.iterdir()} == {"regions", "fragmented"}
    evaluated = {"geometric", "baseline", "full", "ours"}
    assert {entry.name for entry in (out / "regions").iterdir()} == evaluated

    text = results.read_text()
    assert text.splitlines()[0] == FIRST_LINE
    assert f"--results {results}`" in text
    assert "- each row: 2 scenes, 4 frames, 0 skipped" in text
    numbers = json.loads(results.with_suffix(".json").read_text())
    assert list(numbers["networks"]) == ["baseline", "full"]
    assert all(len(digest) == 64 for digest in numbers["networks"].values())
    assert numbers["rows"]["+STM"]["left_out"].endswith("short_term.safetensors is not there")
    assert (numbers["scenes_from"], numbers["protocol"]["frame_stride"]) == ({"seed": 0}, 2)
    for masks in ("regions", "fragmented"):
        rows = numbers["masks"][masks]["rows"]
        assert set(rows) == evaluated
        assert rows["full"]["stage_ms"]["decode"] > 0
        assert rows["full"]["scores"]["ms"]["value"] == pytest.approx(sum(rows["full"]["stage_ms"].values()))
        assert set(numbers["masks"][masks]["differences"]) == {
            "all of the paper: full - baseline",
            "the network: full - geometric",
            "beyond the paper: ours - full",
            "all that is shipped: ours - geometric",
        }

    before = digest(out)
    assert ablate(here, out, *options) == 0
    assert "16 of 16 evaluations are from before" in capsys.readouterr().out
    assert digest(out) == before


def test_without_a_place_for_results_they_are_beside_the_outcomes(here: Path, tmp_path: Path) -> None:
    assert ablate(here, tmp_path / "out", "--rows", "geometric", "--masks", "regions", "--limit-scenes", "1") == 0
    assert {entry.name for entry in (tmp_path / "out").iterdir()} == {"regions", "results.md", "results.json"}
    assert "| difference |" not in (tmp_path / "out" / "results.md").read_text()


def test_a_network_without_a_part_is_left_out_with_the_reason(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    models = tmp_path / "models"
    models.mkdir()
    save_network(with_random_weights(replace(SMALL, embedding_norm=""), 0), models / "full.safetensors")
    (models / "short_term.safetensors").write_text("no network")
    assert ablate(here, tmp_path / "out", "--models", str(models), "--rows", "esam,+STM") == 1
    said = capsys.readouterr()
    assert "row esam is left out: model.association: embedding is no part of this network" in said.out
    assert "row +STM is left out: model " in said.out
    assert "no row is left" in said.err


def test_a_scene_that_cannot_be_evaluated_is_named(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scene(tmp_path / "data" / "bare", num_frames=1)
    (tmp_path / "data" / "bare" / "mesh.npz").unlink()
    command = ["ablate", str(tmp_path / "data"), "--models", str(here / "models"), "--out", str(tmp_path / "out")]
    assert main([*command, "--rows", "geometric", "--masks", "regions", "--workers", "1"]) == 1
    assert "left out: bare in row regions/geometric: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--rows", "+SMT"], "unknown row '+SMT'"),
        (["--rows", ""], "no row is left"),
        (["--masks", "region"], "unknown mask source 'region'"),
        (["--masks", ""], "--masks: expected at least one"),
        (["--split", "val"], "no scene of split 'val', found test"),
        (["--set", "model.nam=tiny"], "did you mean 'model.name'"),
    ],
)
def test_what_cannot_be_asked_for(
    here: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], told: str
) -> None:
    assert ablate(here, tmp_path / "out", *options) == 1
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
