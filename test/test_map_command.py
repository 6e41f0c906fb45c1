"""`autoseg3d run --save-map F` and `--load-map F`: a map that outlives its run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import SMALL_CAMERA, recorded_folder

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.data.rgbd_folder import RgbdFolderWriter
from autoseg3d_ros.persistence.map_file import read_map
from autoseg3d_ros.reporting.run_folder import read_run

OPTIONS = ("--model", "none", "--masks", "truth", "--set", "lifting.min_region_px=1", "--set", "map.voxel_m=0.1")


@pytest.fixture
def sources(tmp_path: Path) -> dict[str, Path]:
    """A recording, and its two halves."""
    frames = recorded_folder(tmp_path / "whole", 2)
    for name, part in (("first", frames[:1]), ("second", frames[1:])):
        writer = RgbdFolderWriter(tmp_path / name, SMALL_CAMERA, depth_scale=1000.0, fps=10.0)
        for frame in part:
            writer.add(frame)
    return {name: tmp_path / name for name in ("whole", "first", "second")}


def run(source: Path, *options: object) -> int:
    return main(["run", str(source), "--out", f"{source}_run", *OPTIONS, *map(str, options)])


def labels(source: Path) -> list[np.ndarray]:
    folder = read_run(f"{source}_run")
    return [folder.label_image(frame) for frame in folder.processed()]


def test_two_runs_by_way_of_a_map_give_the_ids_of_one(sources, tmp_path, capsys):
    file = tmp_path / "room.autoseg3d"
    assert run(sources["whole"]) == 0
    assert run(sources["first"], "--save-map", file) == 0
    first = read_map(file)
    assert f"{file}: map {first.map_id} with {first.num_instances} instances" in capsys.readouterr().out
    assert run(sources["second"], "--load-map", file, "--save-map", file) == 0
    np.testing.assert_array_equal(labels(sources["second"]), labels(sources["whole"])[1:])
    second = read_map(file)
    assert (second.map_id, second.frame_index) == (first.map_id, 2)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--load-map", "{}/nowhere"], "nowhere: no such file"),
        (["--load-map", "{}"], "it is no regular file"),
        (["--save-map", "{}/nowhere/a"], "expected a folder that is there"),
        (["--save-map", "{}"], "expected a file, found a folder"),
    ],
)
def test_what_cannot_be_is_told(sources, tmp_path, capsys, options, told):
    assert run(sources["first"], *(option.format(tmp_path) for option in options)) == 1
    assert told in capsys.readouterr().err


def test_a_map_that_does_not_fit_ends_the_run_before_it_begins(sources, tmp_path, capsys):
    file = tmp_path / "room.autoseg3d"
    assert run(sources["first"], "--save-map", file) == 0
    assert run(sources["second"], "--load-map", file, "--set", "map.voxel_m=0.05") == 1
    assert "set map.voxel_m to 0.1" in capsys.readouterr().err
    assert not Path(f"{sources['second']}_run").exists()


def test_a_run_without_a_frame_leaves_the_former_map(sources, tmp_path):
    file = tmp_path / "room.autoseg3d"
    assert run(sources["first"], "--save-map", file) == 0
    before = file.read_bytes()
    for pose in (sources["second"] / "pose").iterdir():
        pose.write_text("nan " * 16)
    assert run(sources["second"], "--save-map", file) == 1
    assert file.read_bytes() == before
