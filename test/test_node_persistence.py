"""The map outlives the node: restarts, kills, signals, and files that are no maps."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

import node_client
import ros_harness
from node_client import SLOW
from ros_harness import wait_until

from autoseg3d_ros import config
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.msg import InstanceArray, InstanceEvent
from autoseg3d_ros.persistence import map_file
from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import FRAMES_AHEAD, snapshot
from autoseg3d_ros.srv import SaveMap

FULL_DISK = """
import errno, os
from autoseg3d_ros.persistence import replacement

class FullOs:
    def __getattr__(self, name):
        return getattr(os, name)

    def fsync(self, descriptor):
        if os.path.exists("the_disk_is_full"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        os.fsync(descriptor)

replacement.os = FullOs()
"""
DISK_BYTES = 4 << 20
FARTHER_M = ros_harness.scene()[1] + 1.0
SLOW_DISK = """
import os, time
from autoseg3d_ros.persistence import replacement

class SlowOs:
    def __getattr__(self, name):
        return getattr(os, name)

    def fsync(self, descriptor):
        if os.path.exists("the_disk_is_slow"):
            time.sleep(60)
        os.fsync(descriptor)

replacement.os = SlowOs()
"""


@pytest.fixture
def settings(tmp_path):
    return {"map.directory": str(tmp_path / "maps"), "map.path": "hall.map", "map.autoload": True}


def changes_of(node) -> list[InstanceArray]:
    node.robot.connect()
    return node.robot.listen("instances", InstanceArray)


def ids(message: InstanceArray) -> set[int]:
    return {one.id for one in message.instances}


def created(message: InstanceArray) -> set[int]:
    return {event.id for event in message.events if event.type == InstanceEvent.CREATED}


def test_after_a_kill_the_ids_are_those_of_the_last_autosave(tmp_path, settings, monkeypatch):
    monkeypatch.setattr(node_client, "FAULTY_NODE", SLOW_DISK + node_client.FAULTY_NODE)
    path = tmp_path / "maps" / "hall.map"
    autosave = {**settings, "map.autosave_period_s": 0.2}
    with node_client.running(tmp_path, is_faulty=True, **autosave) as node:
        changes = changes_of(node)
        for _ in range(3):
            before = node.expect_frame(changes)
        assert wait_until(lambda: path.exists() and read_map(path).frame_index == 3 + FRAMES_AHEAD)
        (tmp_path / "the_disk_is_slow").touch()
        given = created(node.expect_frame(changes, depth=FARTHER_M))
        assert wait_until(lambda: node_client.has_left(path)), "the next autosave is under way"
        node.process.send(signal.SIGKILL)
        assert node.process.wait() == -signal.SIGKILL
    (tmp_path / "the_disk_is_slow").unlink()

    with node_client.running(tmp_path, is_faulty=True, **autosave) as node:
        changes = changes_of(node)
        after = node.expect_frame(changes)
        assert (after.map_id, after.frame_index) == (before.map_id, 3 + FRAMES_AHEAD), "clients see that there is a gap"
        assert ids(after) == ids(before) != set()
        assert wait_until(lambda: read_map(path).frame_index > after.frame_index + FRAMES_AHEAD), (
            "what the killed one left is in nobody's way"
        )
        given_anew = created(node.expect_frame(changes, depth=FARTHER_M))
        assert given and given_anew and not given & given_anew, "an id is never reused"


@contextmanager
def small_disk(folder: Path) -> Iterator[Path | None]:
    """A file system of its own, or None where that may not be made."""
    folder.mkdir(parents=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={DISK_BYTES}", "tmpfs", str(folder)]
    is_mounted = (
        bool(shutil.which("mount")) and not subprocess.run(command, capture_output=True, check=False).returncode
    )
    try:
        yield folder if is_mounted else None
    finally:
        if is_mounted:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as file:
        for _ in range(DISK_BYTES >> 12):
            file.write(bytes(1 << 12))


def test_a_full_disk_costs_the_save_only(tmp_path, settings, monkeypatch):
    """Once with a stand-in for it, and once with a real one where that can be made."""
    monkeypatch.setattr(node_client, "FAULTY_NODE", FULL_DISK + node_client.FAULTY_NODE)
    maps, sign = tmp_path / "maps", tmp_path / "the_disk_is_full"
    with small_disk(maps / "small") as small, node_client.running(tmp_path, is_faulty=True, **settings) as node:
        changes = changes_of(node)
        for path, make_full, filler in (
            ("hall.map", Path.touch, sign),
            *([("small/hall.map", fill, small / "filler")] if small else []),
        ):
            before = node.expect_frame(changes)
            assert node.call(SaveMap, "save_map", path=path).result == SaveMap.Response.SUCCESS
            whole = (maps / path).read_bytes()
            make_full(filler)
            node.expect_frame(changes)
            answer = node.call(SaveMap, "save_map", path=path, overwrite=True)
            assert answer.result == SaveMap.Response.ERROR_WRITE
            assert path in answer.message and "No space left on device" in answer.message
            assert (maps / path).read_bytes() == whole and not node_client.has_left(maps / path)
            filler.unlink()
            after = node.expect_frame(changes)
            assert (after.map_id, after.frame_index) == (before.map_id, before.frame_index + 2)
            assert node.call(SaveMap, "save_map", path=path, overwrite=True).result == SaveMap.Response.SUCCESS


def test_sigterm_in_the_middle_of_a_frame_saves_that_frame(tmp_path, settings):
    with node_client.running(tmp_path, is_faulty=True, **settings, **{"map.save_on_shutdown": True}) as node:
        changes = changes_of(node)
        node.expect_frame(changes)
        node.robot.send_frame(node.next_stamp(SLOW))
        node_client.settle()
        node.process.send(signal.SIGTERM)
        assert node.process.wait() == 0
        assert "Traceback" not in node.process.output()
    assert read_map(tmp_path / "maps" / "hall.map").frame_index == 2


def test_a_map_that_cannot_be_used_is_not_begun_anew(tmp_path, settings, monkeypatch):
    path = tmp_path / "maps" / "hall.map"
    path.parent.mkdir()
    whole = snapshot(build_segmenter(config.replace(Config(), {"model.name": "none", "masks.source": "regions"})), "")
    write_map(whole, path, overwrite=True)
    data = path.read_bytes()
    monkeypatch.setattr(map_file, "VERSION", 99)
    write_map(whole, path, overwrite=True)
    of_another_version = path.read_bytes()
    with node_client.running(tmp_path, autostart=False, **settings) as node:
        for wrong, said in (
            (data[: len(data) // 2], "expected a map file"),
            (b"not a map at all" * 100, "expected a map file"),
            (of_another_version, "got version 99"),
        ):
            path.write_bytes(wrong)
            assert not node.go("configure")
            node.process.wait_for(said)
            assert path.read_bytes() == wrong, "it may be wanted yet"
        assert node.process.output().count(f"configure failed: MapFileError: {path}") == 3
        path.write_bytes(data)
        assert node.go("configure")
        node.process.wait_for(f"map {whole.map_id} with 0 instances goes on")
