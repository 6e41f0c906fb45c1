"""Where map files may be."""

from __future__ import annotations

from pathlib import Path

import pytest

from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.paths import confined, map_directory


@pytest.fixture
def maps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of maps, with a secret beside it and links to it."""
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / "maps"
    (folder / "floor").mkdir(parents=True)
    (tmp_path / "maps_of_others").mkdir()
    (tmp_path / "secret").touch()
    (folder / "link").symlink_to("../secret")
    (folder / "way_out").symlink_to("..")
    (folder / "way_in").symlink_to("floor")
    (folder / "circle").symlink_to("circle")
    (tmp_path / "door").symlink_to("maps")
    return folder


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("a", "a"),
        ("./a", "a"),
        ("floor/a.autoseg3d", "floor/a.autoseg3d"),
        ("new/a", "new/a"),
        ("floor/../a", "a"),
        ("way_in/a", "floor/a"),
        ("../maps/a", "a"),
        ("~/maps/a", "a"),
        ("..a", "..a"),
    ],
)
def test_paths_inside(maps, path, expected):
    for anywhere in (False, True):
        assert confined(path, maps, anywhere) == maps / expected


def test_absolute_paths_and_a_directory_by_a_link(maps):
    assert confined(str(maps / "a"), maps, False) == maps / "a"
    assert confined("a", maps.with_name("door"), False) == maps / "a"
    assert confined(str(maps / "a"), maps.with_name("door"), False) == maps / "a"


@pytest.mark.parametrize(
    "path",
    ["../secret", "floor/../../secret", "way_out/secret", "link", "/etc/passwd", "~/secret", "../maps_of_others/a"],
)
def test_paths_outside(maps, path):
    with pytest.raises(MapFileError) as caught:
        confined(path, maps, False)
    assert caught.value.reason == MapFault.INVALID_PATH
    assert f"expected a file in {maps}" in str(caught.value)
    assert confined(path, maps, True).is_absolute()


@pytest.mark.parametrize("path", ["", ".", "floor/..", "way_out/maps", "a\0b", "~nobody_of_that_name/a", "circle/a"])
def test_paths_of_no_file(maps, path):
    for anywhere in (False, True):
        with pytest.raises(MapFileError) as caught:
            confined(path, maps, anywhere)
        assert caught.value.reason == MapFault.INVALID_PATH


def test_the_default_directory_is_in_the_home_folder(maps):
    assert map_directory("") == maps.parent / ".ros" / "autoseg3d_ros"
    assert map_directory("~/maps") == maps
    assert map_directory(str(maps)) == maps
    assert map_directory("maps").is_absolute()
