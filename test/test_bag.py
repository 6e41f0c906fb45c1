"""Bags of ours keep every bit."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from bag_builders import (
    assert_same_frame,
)
from builders import SHARED_DATA, ListSource, recorded_folder, recorded_frame

from autoseg3d_ros.data.bag import write_bag
from autoseg3d_ros.data.bag_source import BagSource
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.rgbd_folder import RgbdFolder
from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.structures import Frame, FrameError


@pytest.mark.parametrize(("units_per_metre", "encoding"), [(1000.0, "16UC1"), (5000.0, "32FC1")])
@pytest.mark.parametrize(("name", "storage"), [("bag", "sqlite3"), ("bag", "mcap"), ("bag.mcap", "mcap")])
def test_bag_gives_the_frames_of_its_folder(
    tmp_path: Path, units_per_metre: float, encoding: str, name: str, storage: str
) -> None:
    recorded_folder(tmp_path / "folder", 5, units_per_metre=units_per_metre)
    folder = RgbdFolder(tmp_path / "folder")
    ticks: list[int] = []
    written = write_bag(folder, tmp_path / name, storage=storage, progress=lambda: ticks.append(1))
    assert (written.num_frames, written.skipped, written.depth_encoding) == (5, (), encoding)
    assert len(ticks) == 5
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(["folder", name])
    assert (tmp_path / name).is_file() == name.endswith(".mcap")
    source = open_source(tmp_path / name)
    assert (len(source), source.name, source.camera) == (5, "bag", folder.camera)
    assert source.frame_rate_hz == pytest.approx(10.0)
    for one, other in zip(folder.frames(), source.frames(), strict=True):
        assert_same_frame(one, other)
    for one, other in zip(folder.frames(), source.frames(), strict=True):  # a source can be read again
        assert_same_frame(one, other)


def test_depth_of_another_stamp_and_frames_without_truth(tmp_path: Path) -> None:
    frames = [
        replace(recorded_frame(index, truth=index != 1), depth_stamp_ns=index * 10**8 + offset_ns)
        for index, offset_ns in enumerate((0, 15_000_000, -12_345_678 + 10**8, 7_000_001))
    ]
    frames[2] = replace(frames[2], stamp_ns=3 * 10**8)
    frames[3] = replace(frames[3], stamp_ns=4 * 10**8, depth_stamp_ns=4 * 10**8 + 7_000_001)
    write_bag(ListSource(list(frames)), tmp_path / "bag.mcap")
    for one, other in zip(frames, BagSource(tmp_path / "bag.mcap").frames(), strict=True):
        assert_same_frame(one, other)


def test_depth_becomes_metres_when_a_late_frame_needs_it(tmp_path: Path) -> None:
    late = replace(recorded_frame(1), depth_m=np.full((24, 32), 1.23456, np.float32))
    source = ListSource([recorded_frame(0), late])
    assert write_bag(source, tmp_path / "bag.mcap").depth_encoding == "32FC1"
    for one, other in zip(source.frames(), BagSource(tmp_path / "bag.mcap").frames(), strict=True):
        assert_same_frame(one, other)


def test_unusable_frames_are_skipped_and_returned(tmp_path: Path) -> None:
    errors = [FrameError("rgb/000001.png: no such file"), FrameError("pose/000003.txt: no such file")]
    written = write_bag(ListSource([recorded_frame(0), errors[0], recorded_frame(2), errors[1]]), tmp_path / "bag.mcap")
    assert (written.num_frames, written.skipped) == (2, tuple(errors))
    stamps_ns = [frame.stamp_ns for frame in BagSource(tmp_path / "bag.mcap").frames()]
    assert stamps_ns == [0, 200_000_000]


@pytest.mark.parametrize("frames", [[], [FrameError("rgb/000000.png: no such file")]])
def test_no_usable_frame_leaves_no_bag(tmp_path: Path, frames: list) -> None:
    with pytest.raises(SourceError, match=f"none of {len(frames)} frames can be used"):
        write_bag(ListSource(frames), tmp_path / "bag.mcap")
    assert list(tmp_path.iterdir()) == []


def test_interruption_leaves_no_bag(tmp_path: Path) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bag(ListSource([recorded_frame(0)]), tmp_path / "bag.mcap", progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_bad_target(tmp_path: Path) -> None:
    source = ListSource([recorded_frame(0)])
    (tmp_path / "there.mcap").write_bytes(b"")
    with pytest.raises(SourceError, match="exists already"):
        write_bag(source, tmp_path / "there.mcap")
    for name, storage in (("bag", "zip"), ("bag.mcap", "sqlite3")):
        with pytest.raises(SourceError, match=f"storage '{storage}'"):
            write_bag(source, tmp_path / name, storage=storage)


@pytest.mark.parametrize("folder", ["apc_shelf_scene0000", "tum_fr1_rpy"])
def test_real_recording_survives_every_bit(tmp_path: Path, folder: str) -> None:
    if not (SHARED_DATA / folder).exists():
        pytest.skip(f"shared/data/{folder} is not here")
    frames = list(islice(open_source(SHARED_DATA / folder).frames(), 4))
    write_bag(ListSource(frames), tmp_path / "bag", storage="sqlite3")
    for index, (one, other) in enumerate(zip(frames, BagSource(tmp_path / "bag").frames(), strict=True)):
        assert isinstance(one, Frame)
        assert_same_frame(replace(one, name=f"{index:06d}"), other)


@pytest.mark.parametrize("storage", ["sqlite3", "mcap"])
def test_prefetching_may_stop_early(tmp_path: Path, storage: str) -> None:
    """The bag is opened in the thread that reads ahead, and closed in the one that stops."""
    write_bag(ListSource([recorded_frame(index) for index in range(4)]), tmp_path / "bag", storage=storage)
    iterator = prefetched(BagSource(tmp_path / "bag").frames())
    assert_same_frame(recorded_frame(0), next(iterator))
    iterator.close()
