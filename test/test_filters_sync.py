"""The message_filters engine: pairs like the built-in one, and never stops for good."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

pytest.importorskip("autoseg3d_ros.msg", reason="ROS overlay not sourced: `source install/setup.bash`")

from stream_builders import CONFIG, MS, Bench, feed, line, never, rgb_image, stamps_ms, synchronizer

from autoseg3d_ros.config import ConfigError, SyncConfig
from autoseg3d_ros.ros.filters_sync import FiltersSynchronizer
from autoseg3d_ros.stream.drops import DropReason

STAND_INS = Path(__file__).parent / "ros_stand_ins"


@pytest.fixture(autouse=True)
def _message_filters(monkeypatch):
    if not importlib.util.find_spec("message_filters"):
        monkeypatch.syspath_prepend(str(STAND_INS))


def engine(**changes) -> FiltersSynchronizer:
    return FiltersSynchronizer(SyncConfig(engine="message_filters", **changes))


@pytest.mark.parametrize(
    ("mode", "arrivals"),
    [
        ("approx", ""),
        ("approx", "c0 c33 c66"),
        ("approx", "c0 d0 c33 d33"),
        ("approx", "d5 c0 c33 d38 c66 d71"),
        ("approx", "c0 d40 c33 d73 c66"),
        ("exact", "c0 d0 c33 d34 d66 c66"),
    ],
)
def test_it_pairs_what_the_builtin_one_pairs(mode, arrivals):
    builtin, other = synchronizer(mode=mode), engine(mode=mode)
    expected = feed(builtin, line(arrivals)) + stamps_ms(builtin.flush())  # what it keeps back for a closer partner
    assert feed(other, line(arrivals)) == expected
    stats = other.stats()
    assert (stats.num_pairs, stats.num_colour) == (len(expected), arrivals.count("c"))


def test_a_full_queue_before_a_jump_back_deletes_nothing_after_it():
    sync = engine(queue_size=5)
    assert feed(sync, [("c", 10_000.0 + 33 * index) for index in range(20)]) == []
    sync.clear()
    assert feed(sync, line("c0 d5 c33 d38")) == [(0, 5), (33, 38)]
    assert sync.stats().drops == {DropReason.TIME_JUMP: 5}


def test_pairs_whose_stamps_do_not_rise_are_dropped():
    sync = engine()
    assert feed(sync, line("c33 d33 c0 d0 c66 d66")) == [(33, 33), (66, 66)]
    assert sync.stats().drops == {DropReason.OUT_OF_ORDER: 2}
    assert sync.stats().num_pairs == 2


def test_offsets_are_measured_where_nothing_pairs():
    sync = engine()
    assert feed(sync, line("c0 d40 c100 d140 c200 d240 c300")) == []
    assert sync.stats().needed_slop_s == pytest.approx(0.04)


def test_in_the_assembler_a_bag_may_loop_and_a_consumer_raise():
    bench = Bench(CONFIG)
    bench.assembler.use_synchronizer(engine())
    for loop in range(2):
        for stamp_ms in range(10_000, 12_000, 100):
            bench.pose(stamp_ms).images(stamp_ms, rgb_image if stamp_ms != 10_100 else never)
            (pair,) = bench.poll()
            assert (pair.colour_stamp_ns, pair.epoch) == (stamp_ms * MS, loop)
            if stamp_ms == 10_100:
                with pytest.raises(AssertionError):
                    bench.assembler.assemble(pair)


def test_without_the_package_asking_for_it_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "message_filters", None)
    with pytest.raises(ConfigError, match=r"sync\.engine: message_filters: expected the ROS packages message_filters"):
        engine()
