"""Saving: whoever looks finds the old map or the new one, whole, whatever happens meanwhile."""

from __future__ import annotations

import errno
import os
import resource
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from map_builders import content, grown

from autoseg3d_ros.persistence import replacement
from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import MapSnapshot, snapshot

OLD, NEW = (snapshot(grown(num_frames, **{"limits.max_points": 700}), "") for num_frames in (3, 6))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "room.autoseg3d"
    write_map(OLD, path, overwrite=False)
    return path


def expect_only(path: Path, saved: MapSnapshot) -> None:
    """The map is whole, and there is nothing beside it."""
    assert content(read_map(path)) == content(saved)
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def refusal(path: Path, *, overwrite: bool = True) -> MapFileError:
    with pytest.raises(MapFileError) as caught:
        write_map(NEW, path, overwrite=overwrite)
    assert str(path.parent) in str(caught.value)
    return caught.value


def test_a_map_is_replaced_only_when_asked_to(file):
    assert refusal(file, overwrite=False).reason == MapFault.EXISTS
    expect_only(file, OLD)
    write_map(NEW, file, overwrite=True)
    expect_only(file, NEW)


def test_other_files_are_never_replaced(tmp_path):
    (tmp_path / "notes").write_text("dear diary")
    assert refusal(tmp_path / "notes").reason == MapFault.EXISTS
    assert (tmp_path / "notes").read_text() == "dear diary"
    (tmp_path / "notes").write_text("")
    write_map(NEW, tmp_path / "notes", overwrite=True)
    expect_only(tmp_path / "notes", NEW)


def test_where_no_file_can_be(tmp_path, file):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nowhere")
    before = sorted(tmp_path.iterdir())
    for path in ("pipe", "folder", "dangling", "nowhere/a", f"{file.name}/a", "x" * 300, "."):
        assert refusal(tmp_path / path).reason == MapFault.INVALID_PATH, path
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize("there_before", [True, False])
def test_a_full_disk_leaves_the_old_map_and_no_litter(file, there_before):
    if not there_before:
        file.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        error = refusal(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert error.reason == MapFault.WRITE
    if there_before:
        expect_only(file, OLD)
    else:
        assert list(file.parent.iterdir()) == []


@pytest.mark.parametrize("call", ["open", "ftruncate", "fsync", "replace"])
@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (errno.ENOSPC, MapFault.WRITE),
        (errno.EIO, MapFault.WRITE),
        (errno.EACCES, MapFault.INVALID_PATH),
        (errno.EROFS, MapFault.INVALID_PATH),
    ],
)
def test_a_disk_that_fails_does_the_same(file, monkeypatch, call, code, reason):
    def fail(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(replacement.os, call, fail)
    error = refusal(file)
    assert error.reason == reason
    assert os.strerror(code) in str(error)
    monkeypatch.undo()
    expect_only(file, OLD)


def test_an_interruption_leaves_no_litter(file, monkeypatch):
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(replacement.os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_map(NEW, file, overwrite=True)
    monkeypatch.undo()
    expect_only(file, OLD)


KILLED = """
import os, sys, time
from pathlib import Path
from autoseg3d_ros.persistence.replacement import replace_file

def hang(*_):
    print("hanging", flush=True)
    time.sleep(100)

def pieces(data):
    yield data[:20_000]
    if sys.argv[3] == "while writing":
        hang()
    yield data[20_000:]

os.fsync = hang
replace_file(Path(sys.argv[1]), pieces(Path(sys.argv[2]).read_bytes()), lambda: None)
"""


@pytest.mark.parametrize("when", ["while writing", "before the rename"])
def test_a_kill_leaves_the_old_map_and_the_next_save_clears_up(file, tmp_path_factory, when):
    new = tmp_path_factory.mktemp("new") / "new"
    write_map(NEW, new, overwrite=False)
    command = [sys.executable, "-c", KILLED, str(file), str(new), when]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout.readline() == "hanging\n"
        # Another process is turned away while it is at it ...
        assert "another save to the same file is under way" in str(refusal(file))
        child.send_signal(signal.SIGKILL)
    assert content(read_map(file)) == content(OLD)
    # ... and not once it is dead.
    write_map(NEW, file, overwrite=True)
    expect_only(file, NEW)


def test_the_second_of_two_saves_at_once_is_turned_away(file, monkeypatch):
    is_writing, may_go_on = threading.Event(), threading.Event()
    fsync = os.fsync

    def slow(descriptor: int) -> None:
        is_writing.set()
        assert may_go_on.wait(20)
        fsync(descriptor)

    monkeypatch.setattr(replacement.os, "fsync", slow)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(write_map, NEW, file, overwrite=True)
        assert is_writing.wait(20)
        assert refusal(file).reason == MapFault.WRITE
        assert content(read_map(file)) == content(OLD)
        may_go_on.set()
        first.result()
    expect_only(file, NEW)


def test_many_writers_and_readers_at_once(file):
    def write(saved: MapSnapshot) -> bool:
        try:
            write_map(saved, file, overwrite=True)
        except MapFileError as error:
            assert error.reason == MapFault.WRITE
            assert "under way" in str(error)
            return False
        return True

    either = (content(OLD), content(NEW))
    with ThreadPoolExecutor(6) as pool:
        writes = [pool.submit(write, saved) for _ in range(15) for saved in (OLD, NEW)]
        reads = [pool.submit(read_map, file) for _ in range(30)]
        assert all(content(read.result()) in either for read in reads)
        assert any(write.result() for write in writes)
    assert content(read_map(file)) in either
    assert len(list(file.parent.iterdir())) == 1


def test_a_save_waits_for_nobody_who_was_done_in_between(file, monkeypatch):
    """Whoever opens the hidden file just before it becomes the map must not write into the map."""
    flock = replacement.fcntl.flock

    def late(descriptor: int, operation: int) -> None:
        monkeypatch.setattr(replacement.fcntl, "flock", flock)
        os.replace(file.with_name(f".{file.name}.partial"), file)  # what the other writer does
        flock(descriptor, operation)

    file.with_name(f".{file.name}.partial").write_bytes(file.read_bytes())
    monkeypatch.setattr(replacement.fcntl, "flock", late)
    assert refusal(file).reason == MapFault.WRITE
    expect_only(file, OLD)


def test_a_link_in_place_of_the_hidden_file_is_not_followed(file, tmp_path_factory):
    victim = tmp_path_factory.mktemp("elsewhere") / "victim"
    victim.write_text("precious")
    file.with_name(f".{file.name}.partial").symlink_to(victim)
    assert refusal(file).reason == MapFault.INVALID_PATH
    assert victim.read_text() == "precious"


def test_what_a_killed_save_has_left_is_no_part_of_the_next(file):
    file.with_name(f".{file.name}.partial").write_bytes(bytes(1_000_000))
    write_map(NEW, file, overwrite=True)
    expect_only(file, NEW)
