"""Which format a path is taken for, and what is said where none fits."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from builders import SHARED_DATA, recorded_folder

from autoseg3d_ros.config import Config, replace
from autoseg3d_ros.data.apc import ApcBin, ApcShelf
from autoseg3d_ros.data.bag import write_bag
from autoseg3d_ros.data.bag_source import BagSource
from autoseg3d_ros.data.images import write_png
from autoseg3d_ros.data.open import FORMAT_NAMES, open_source
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.data.tum import TumSequence
from autoseg3d_ros.structures import Frame


@pytest.mark.parametrize("format", FORMAT_NAMES)
def test_nothing_there(tmp_path: Path, format: str) -> None:
    with pytest.raises(SourceError, match="nowhere: no such file or folder"):
        open_source(tmp_path / "nowhere", format)


@pytest.mark.parametrize("format", FORMAT_NAMES)
@pytest.mark.parametrize("as_file", [False, True])
def test_nothing_fits(tmp_path: Path, format: str, as_file: bool) -> None:
    """An empty folder and a stray file are a clear error in every format, named or not."""
    path = tmp_path
    if as_file:
        path = tmp_path / "notes.txt"
        path.write_text("hello")
    with pytest.raises(SourceError, match=str(path)):
        open_source(path, format)


def test_all_formats_are_listed_where_none_fits(tmp_path: Path) -> None:
    with pytest.raises(SourceError) as error:
        open_source(tmp_path)
    lines = str(error.value).splitlines()
    assert "not a recording that can be read; expected one of" in lines[0]
    assert [line.split(":")[0].strip() for line in lines[1:]] == list(FORMAT_NAMES[1:])


def test_unknown_format(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="unknown format 'kitti'; expected one of auto, bag, tum"):
        open_source(tmp_path, "kitti")


def test_folder_and_bags(tmp_path: Path) -> None:
    recorded_folder(tmp_path / "folder", 2)
    folder = open_source(tmp_path / "folder")
    assert isinstance(folder, RgbdFolder)
    for name, storage in (("bag.mcap", "mcap"), ("mcap", "mcap"), ("sqlite3", "sqlite3")):
        write_bag(folder, tmp_path / name, storage=storage)
        assert isinstance(open_source(tmp_path / name), BagSource)
    assert isinstance(open_source(tmp_path / "sqlite3" / "sqlite3.db3"), BagSource)


def test_named_format_wins(tmp_path: Path) -> None:
    """The folder has the lists of a TUM sequence too; `auto` takes these, `folder` does not look at them."""
    recorded_folder(tmp_path, 2)
    for name in ("rgb", "depth"):
        (tmp_path / f"{name}.txt").write_text(f"0.0 {name}/000000.png\n")
    (tmp_path / "groundtruth.txt").write_text("0.0 0 0 0 0 0 0 1\n")
    assert isinstance(open_source(tmp_path), TumSequence)
    assert isinstance(open_source(tmp_path, "folder"), RgbdFolder)


def test_settings_are_passed_on(tmp_path: Path) -> None:
    recorded_folder(tmp_path, 1)
    for name, stamp in (("rgb", 0.0), ("depth", 0.03)):
        (tmp_path / f"{name}.txt").write_text(f"{stamp} {name}/000000.png\n")
    (tmp_path / "groundtruth.txt").write_text("0.03 0 0 0 0 0 0 1\n")
    for slop_s, usable in ((0.02, False), (0.05, True)):
        (result,) = open_source(tmp_path, config=replace(Config(), {"sync.slop_s": slop_s})).frames()
        assert isinstance(result, Frame) == usable


def test_incomplete_recording_says_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "rgb").mkdir()
    write_png(tmp_path / "rgb" / "000000.png", np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(SourceError, match=r"camera\.yaml: no such file"):
        open_source(tmp_path)


@pytest.mark.parametrize(
    ("name", "source"), [("tum_fr1_rpy", TumSequence), ("apc_bin_f200", ApcBin), ("apc_shelf_scene0000", ApcShelf)]
)
def test_shared_recordings(name: str, source: type) -> None:
    if not (SHARED_DATA / name).exists():
        pytest.skip(f"shared/data/{name} is not here")
    opened = open_source(SHARED_DATA / name)
    assert isinstance(opened, source)
    assert opened.name == name
