"""`bench node`: its figures by hand, its corridor, and both of its modes with a real node."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest

from autoseg3d_ros.benchmark.node_corridor import CAMERA, corridor_frame, is_present
from autoseg3d_ros.benchmark.node_endurance import EnduranceLog, IdAudit, memory_growth, p95_growth, slices
from autoseg3d_ros.benchmark.node_speed import Spread, node_speed
from autoseg3d_ros.cli import bench_node
from autoseg3d_ros.cli.doctor import overlay_prefix
from autoseg3d_ros.cli.main import main
from autoseg3d_ros.structures import EventType

CREATED, REVIVED, MERGED, REMOVED = EventType.CREATED, EventType.REVIVED, EventType.MERGED, EventType.REMOVED
with_node = pytest.mark.skipif(overlay_prefix() is None, reason="the overlay is not sourced: source install/setup.bash")


@pytest.fixture
def environment():
    """What a benchmark sets for its node is not for the tests after it."""
    with mock.patch.dict(os.environ):
        yield


def message(index: int, events=(), ids=(), map_id: bytes = b"m" * 16) -> SimpleNamespace:
    return SimpleNamespace(
        map_id=SimpleNamespace(uuid=map_id),
        frame_index=index,
        events=[SimpleNamespace(type=int(kind), id=number, other_id=0) for kind, number in events],
        instances=[SimpleNamespace(id=number) for number in ids],
    )


@pytest.mark.parametrize(
    ("messages", "faults"),
    [
        ([], []),
        ([message(0)], []),
        ([message(0, [(CREATED, 1), (CREATED, 2)], [1, 2]), message(1, [(REMOVED, 2)], [1])], []),
        ([message(0, [(CREATED, 1)], [1]), message(1, [(REVIVED, 1)], [1])], []),
        ([message(0, ids=[1])], ["frame 0: id 1 was not born"]),
        ([message(0, [(CREATED, 2)]), message(1, [(CREATED, 1)])], ["frame 1: id 1 is used again"]),
        ([message(0, [(CREATED, 1)]), message(1, [(REMOVED, 1)], [1])], ["frame 1: id 1 is used again"]),
        ([message(0, [(CREATED, 1)]), message(1, [(MERGED, 1)]), message(2, ids=[1])], ["frame 2: id 1 is used again"]),
        (
            [message(0, [(CREATED, 1), (REMOVED, 1)]), message(1, [(REVIVED, 1)])],
            ["frame 1: REVIVED of id 1, which had ended"],
        ),
        ([message(0), message(1, map_id=b"n" * 16)], ["frame 1: a new map began"]),
    ],
)
def test_an_id_that_is_used_twice_is_found(messages, faults):
    audit = IdAudit()
    for one in messages:
        audit.read(one)
    assert audit.faults == faults


def test_events_are_counted():
    audit = IdAudit()
    audit.read(message(0, [(CREATED, 1), (CREATED, 2), (CREATED, 3), (REVIVED, 1), (MERGED, 2), (REMOVED, 3)]))
    assert (audit.num_created, audit.num_revived, audit.num_merged, audit.num_removed) == (3, 1, 1, 1)


@pytest.mark.parametrize("num_frames", [0, 9])
def test_too_few_frames_have_no_tenths(num_frames):
    log = EnduranceLog()
    for _ in range(num_frames):
        log.add({"masks": 1.0}, 2.0)
    assert slices(log) == []


def test_the_tenths_of_a_run():
    log = EnduranceLog(rss_mib=[(0, 50.0), (10, 100.0), (100, 118.0)], cpu_s=[(0, 1.0), (100, 2.0)])
    for number in range(100):
        log.add({"sync_wait": 9.0, "pose_wait": 9.0, "hand_over": 1.0, "masks": 1.0 + number // 10}, 30.0)
    log.service_ms = [(number, float(number)) for number in range(0, 101, 50)]
    tenths = slices(log)
    assert [one.last_frame for one in tenths] == list(range(10, 101, 10))
    assert [one.frame_ms_p95 for one in tenths] == [2.0 + number for number in range(10)], "waiting is not counted"
    assert tenths[0].rss_mib == 100.0 and tenths[-1].rss_mib == 118.0
    assert (memory_growth(tenths), p95_growth(tenths)) == (1.18, 11.0 / 3.0)
    assert tenths[3].cpu_ms == pytest.approx(10.0)
    assert tenths[4].service_ms_p95 == 50.0 and math.isnan(tenths[3].service_ms_p95)


def values(overhead: float, processed: int, superseded: int) -> dict[str, str]:
    return {
        "overhead_ms.p50": str(overhead),
        "overhead_ms.p95": str(2 * overhead),
        "hand_over_ms.p50": "unknown",
        "hand_over_ms.p95": "unknown",
        "masks_ms.p50": "20",
        "track_ms.p50": "1.5",
        "age_ms.p50": "99",
        "processed": str(processed),
        "dropped.superseded": str(superseded),
        "dropped.closed": "7",
    }


def test_the_figures_of_a_rate():
    status = [
        (0.0, values(9.0, 100, 5)),
        (4.0, values(8.0, 120, 6)),  # its window reaches back before the lead-in
        (10.0, values(1.0, 150, 7)),
        (20.0, values(3.0, 200, 8)),
    ]
    speed = node_speed(10.0, 200, status, {"instances": [1.0, 2.0, 3.0], "points": []})
    assert (speed.num_processed, speed.processed_hz, speed.drops) == (100, 5.0, {"superseded": 3})
    assert speed.overhead_ms == Spread(2.0, 6.0), "the middle of the windows, and the worst of them"
    assert math.isnan(speed.parts_ms["hand_over"].p95) and math.isnan(speed.parts_ms["publish"].p50)
    assert speed.segmenter_ms == 21.5
    assert speed.age_ms["instances"].p50 == 2.0 and math.isnan(speed.age_ms["points"].p95)


def test_a_node_that_said_nothing():
    speed = node_speed(30.0, 60, [], {})
    assert (speed.num_processed, speed.drops, speed.segmenter_ms) == (0, {}, 0.0)
    assert math.isnan(speed.overhead_ms.p50)


def test_the_corridor_is_the_same_each_time_and_goes_on():
    first, again, next_one = corridor_frame(7), corridor_frame(7), corridor_frame(8)
    assert np.array_equal(first.rgb, again.rgb) and np.array_equal(first.depth_m, again.depth_m)
    assert next_one.stamp_ns - first.stamp_ns == 10**8
    assert first.depth_m.shape == (CAMERA.height, CAMERA.width) and 1.0 < first.depth_m.min() < first.depth_m.max() == 2
    step_m = np.subtract(next_one.pose.translation_m, first.pose.translation_m)
    assert 0 < np.abs(step_m).max() < 0.05, "no pose jumps"
    assert corridor_frame(36_000).pose.translation_m[1] > 100, "there are ever new places"


def test_boxes_vanish_and_return():
    is_there = [is_present(3, number) for number in range(0, 4000, 20)]
    changes = np.diff(np.array(is_there, int))
    assert (changes == 1).any() and (changes == -1).any()
    assert 0.5 < np.mean([is_present(place, 0) for place in range(-200, 200)]) < 0.9


@pytest.mark.parametrize(
    ("options", "told"), [(["--endurance", "99"], "at least 100 frames"), (["--seconds", "9"], "at least 10")]
)
def test_what_is_too_little_to_say_anything(options, told, capsys):
    assert main(["bench", "node", *options]) == 1
    assert told in capsys.readouterr().err


@with_node
def test_an_endurance_run(environment, tmp_path: Path, capsys, monkeypatch):
    monkeypatch.setattr(bench_node, "_FLAT", 9.0)  # so few frames say nothing of memory
    out = tmp_path / "endurance.json"
    assert main(["bench", "node", "--endurance", "100", "--out", str(out)]) == 0
    said, document = capsys.readouterr().out, json.loads(out.read_text())
    assert "used twice: 0" in said and "without an answer: none" in said
    assert document["num_frames"] == 100 and len(document["tenths"]) == 10 and document["num_ids"] > 0
    assert all(tenth["rss_mib"] > 10 and tenth["frame_ms_p95"] > 0 for tenth in document["tenths"])


@with_node
def test_a_rate(environment, tmp_path: Path, capsys, monkeypatch):
    pytest.importorskip("embreex")
    monkeypatch.setattr(bench_node, "_LEAST_S", 1.0)
    monkeypatch.setattr(bench_node, "_LEAD_IN_S", 0.5)
    out = tmp_path / "speed.json"
    assert main(["bench", "node", "--rates", "5", "--seconds", "2", "--size", "64x48", "--out", str(out)]) == 0
    document, said = json.loads(out.read_text()), capsys.readouterr().out
    assert "64x48" in said and "offline, on the same frames" in said
    (rate,) = document["rates"]
    assert rate["num_sent"] == 10 and rate["num_processed"] > 0
    assert rate["age_ms"]["instances"]["p50"] > 0 and rate["age_ms"]["points"]["p50"] > 0
    assert document["segmenter_ms"]["p50"] > 0
