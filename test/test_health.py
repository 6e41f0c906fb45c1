"""From the figures of the node to levels and sentences."""

from __future__ import annotations

import dataclasses
import math

import pytest

from autoseg3d_ros.device_memory import DeviceMemory
from autoseg3d_ros.ros import health
from autoseg3d_ros.ros.frame_statistics import FrameSummary, Percentiles
from autoseg3d_ros.ros.health import Check, Fill, Level, Saves, Vitals
from autoseg3d_ros.ros.silence import Counts
from autoseg3d_ros.stream.drops import DropReason
from autoseg3d_ros.stream.synchronizer import SyncStats

COUNTS = Counts(
    received={"/rgb": 9, "/depth": 9},
    once_is_enough="/info",
    drops={DropReason.SUPERSEDED: 4},
    num_pairs=9,
    num_processed=5,
    num_failed=0,
    needed_slop_s=0.004,
)
SYNC = SyncStats(9, 9, 9, 0, {}, median_offset_s=0.002, needed_slop_s=0.004, clock_offset_s=0.0)
WELL = Vitals(
    is_active=True,
    counts=COUNTS,
    received_hz={"/rgb": 10.0, "/depth": 10.0},
    recent_hz={},
    frames=FrameSummary(
        9.5, Percentiles(30.0, 45.0), Percentiles(80.0, 95.0), Percentiles(2.0, 4.0), {"masks": Percentiles(20.0, 25.0)}
    ),
    sync=SYNC,
    slop_s=0.02,
    num_poses=7,
    num_time_jumps=0,
    fills={"voxels": Fill(100, 1000), "instances": Fill(3, 500)},
)


def check(name: str, **changes) -> Check:
    return next(one for one in health.checks(dataclasses.replace(WELL, **changes)) if one.name == name)


def test_a_node_that_is_well():
    found = health.checks(WELL)
    assert {one.level for one in found} == {Level.OK}
    assert found[0].summary == "9.5 Hz out, age 45 ms (p95)"
    assert found[0].values["dropped.superseded"] == "4" and found[0].values["age_of_stamp_ms.p50"] == "80"
    assert check("stages").summary == "the slowest is masks, 20 ms"
    assert check("map").values["voxels"] == "100 of 1000"


def test_a_node_that_has_seen_nothing():
    nothing = dataclasses.replace(
        WELL,
        counts=dataclasses.replace(COUNTS, received={"/rgb": 0, "/depth": 0}, drops={}, num_processed=0),
        frames=FrameSummary(),
        sync=SyncStats(0, 0, 0, 0, {}, math.nan, math.nan, math.nan),
        fills={"retired": Fill(0, 0)},
    )
    found = {one.name: one for one in health.checks(nothing)}
    assert found["frames"].values["age_ms.p50"] == "unknown"
    assert found["topics"].level == Level.WARN and "/rgb, /depth" in found["topics"].summary
    assert found["synchronisation"].level == found["map"].level == Level.OK
    assert health.unconfigured()[0].level == Level.WARN


@pytest.mark.parametrize(
    "name, changes, level, text",
    [
        ("frames", {"is_active": False}, Level.WARN, "inactive"),
        ("frames", {"counts": dataclasses.replace(COUNTS, is_paused=True)}, Level.WARN, "paused"),
        ("frames", {"silence": "no output for 5 s: no messages on /rgb"}, Level.ERROR, "no messages on /rgb"),
        ("frames", {"recent_hz": {"failed": 0.5}}, Level.WARN, "frames fail"),
        ("frames", {"recent_hz": {"failed": 0.0}}, Level.OK, "Hz out"),
        ("topics", {"qos_mismatches": {"/rgb": "RELIABILITY"}}, Level.ERROR, "/rgb (RELIABILITY); set input.qos"),
        ("synchronisation", {"slop_s": 0.003}, Level.WARN, "sync.slop_s = 0.004 pairs them"),
        ("poses", {"recent_hz": {"pose_gap": 0.1}}, Level.WARN, "for want of a pose: pose_gap"),
        ("map", {"fills": {"voxels": Fill(960, 1000)}}, Level.WARN, "nearly full: voxels"),
        ("map", {"saves": Saves(3, 2)}, Level.WARN, "could not be saved 2 times"),
        ("device", {"device": DeviceMemory("H200", 5 << 20, 9 << 20)}, Level.OK, "H200: 5 of 9 MiB"),
        ("device", {"recent_hz": {"out_of_memory": 0.1}}, Level.ERROR, "out of memory: frames are dropped"),
    ],
)
def test_what_is_wrong_is_told(name, changes, level, text):
    found = check(name, **changes)
    assert (found.level, text in found.summary) == (level, True), found
