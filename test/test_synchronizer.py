"""Colour and depth pair by stamp: the closest neighbours, each image once, whatever the order of arrival."""

from __future__ import annotations

import math
import threading

import pytest
from stream_builders import MS, feed, line, stamps_ms, synchronizer

from autoseg3d_ros.stream.drops import DropReason


@pytest.mark.parametrize(
    ("arrivals", "pairs"),
    [
        ("", []),
        ("c0", []),
        ("c0 c33 c66", []),
        ("c0 d0", [(0, 0)]),
        ("d0 c0", [(0, 0)]),
        ("c0 d5", [(0, 5)]),
        ("c0 d20", [(0, 20)]),
        ("c0 d21", []),
        ("c0 d5 c33 d38", [(0, 5), (33, 38)]),
        ("d38 c0 c33 d71", [(33, 38)]),
        ("c0 d9 c10", [(10, 9)]),  # the best, not the first within the slop
        ("c0 d9 c10 d19", [(10, 9)]),  # c0 is free, d19 too, but they are 19 apart and would cross
        ("c0 d4 c5 d13", [(5, 4)]),
        ("c0 d8 c14 d18", [(0, 8), (14, 18)]),  # the closest first, then what is left
        ("c0 d10 c20 d30", [(0, 10), (20, 30)]),  # of equal offsets, colour before depth
        ("d0 c10 d20 c30", [(10, 20)]),
        ("c0 c10 c20 d21 c30", [(20, 21)]),
        ("c0 d1 d2 d3", [(0, 1)]),
    ],
)
def test_closest_neighbours_pair(arrivals, pairs):
    sync = synchronizer()
    assert feed(sync, line(arrivals)) + stamps_ms(sync.flush()) == pairs


@pytest.mark.parametrize(
    ("arrivals", "pairs"),
    [("c0 d0 c1 d1", [(0, 0), (1, 1)]), ("c0 d1 c2", []), ("c0 c1 c2 d1 d2", [(1, 1), (2, 2)])],
)
def test_exact_mode_wants_equal_stamps(arrivals, pairs):
    sync = synchronizer(mode="exact", slop_ms=20)
    assert feed(sync, line(arrivals)) + stamps_ms(sync.flush()) == pairs


# --- when a pair goes out --------------------------------------------------------------------------------------------


def test_equal_stamps_go_out_at_once():
    sync = synchronizer()
    assert feed(sync, [("d", 0)]) == []
    assert feed(sync, [("c", 0)]) == [(0, 0)]


def test_a_pair_waits_for_a_closer_partner_and_no_longer():
    sync = synchronizer()
    assert feed(sync, line("c0 d5")) == []  # c9 may come and be closer to d5
    assert feed(sync, line("c9")) == []  # it did, and d12 may come and be closer to c9
    assert feed(sync, line("d14")) == [(9, 5)]  # it did not


def test_a_closer_neighbour_frees_the_one_before():
    sync = synchronizer()
    assert feed(sync, line("c0 d5 c9 d11")) == []  # d11 takes c9 from d5, unless c12 comes
    assert feed(sync, line("c20")) == [(0, 5), (9, 11)]


def test_a_known_rate_spares_the_wait():
    sync = synchronizer()
    warm_up = [(topic, 33 * index + offset) for index in range(11) for topic, offset in (("c", 0), ("d", 5))]
    assert len(feed(sync, warm_up)) == 11
    assert feed(sync, [("c", 363)]) == []
    assert feed(sync, [("d", 368)]) == [(363, 368)]


@pytest.mark.parametrize(
    ("first", "second", "offset_ms", "at_once"),
    [("c", "d", 9, True), ("c", "d", 10, True), ("c", "d", 11, False), ("d", "c", 9, True), ("d", "c", 10, False)],
)
def test_the_rate_settles_offsets_below_a_quarter_of_the_interval(first, second, offset_ms, at_once):
    sync = synchronizer()
    arrivals = [
        (topic, 40 * index + offset) for index in range(20) for topic, offset in ((first, 0), (second, offset_ms))
    ]
    before_the_last = len(feed(sync, arrivals[:-1]))
    assert len(feed(sync, arrivals[-1:])) == int(at_once)
    assert before_the_last == 19


def test_an_image_of_the_later_topic_in_between_settles_a_pair_too():
    sync = synchronizer()
    assert feed(sync, line("c0 d15 d16")) == []
    assert feed(sync, line("c17")) == [(0, 15)]  # what is still to come lies behind d16


def test_lost_images_cost_no_neighbour_its_partner():
    sync = synchronizer()
    arrivals = sorted(
        [("c", 33 * index) for index in range(30) if index not in (7, 8, 20)]
        + [("d", 33 * index + 12) for index in range(30) if index not in (8, 15, 16)],
        key=lambda arrival: arrival[1],
    )
    pairs = feed(sync, arrivals) + stamps_ms(sync.flush())
    assert pairs == [(33 * i, 33 * i + 12) for i in range(30) if i not in (7, 8, 15, 16, 20)]


# --- drops and statistics --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrivals", "drops"),
    [
        ("", {}),
        ("c0 d0", {}),
        ("c0 c0", {DropReason.DUPLICATE: 1, DropReason.NO_PARTNER: 1}),
        ("c9 c3 d9", {DropReason.OUT_OF_ORDER: 1}),
        ("c0 d30", {DropReason.BEYOND_SLOP: 2}),
        ("c0 c1 d1", {DropReason.NO_PARTNER: 1}),
        ("c0 c1 c2 c3", {DropReason.QUEUE_FULL: 2, DropReason.NO_PARTNER: 2}),
    ],
)
def test_every_image_that_is_lost_is_counted_by_reason(arrivals, drops):
    sync = synchronizer(queue_size=2)
    feed(sync, line(arrivals))
    sync.flush()
    assert sync.stats().drops == drops


def test_stats_of_nothing():
    stats = synchronizer().stats()
    assert (stats.num_colour, stats.num_depth, stats.num_pairs, stats.num_time_jumps, stats.drops) == (0, 0, 0, 0, {})
    assert math.isnan(stats.median_offset_s) and math.isnan(stats.needed_slop_s) and math.isnan(stats.clock_offset_s)


def test_stats_tell_the_slop_that_would_work():
    arrivals = [(topic, 100 * index + offset) for index in range(30) for topic, offset in (("d", 0), ("c", 30))]
    tight = synchronizer(slop_ms=20)
    assert feed(tight, arrivals) == []
    stats = tight.stats()
    assert stats.median_offset_s == pytest.approx(-0.03)
    assert stats.needed_slop_s == pytest.approx(0.03)
    assert stats.clock_offset_s == pytest.approx(-0.03)
    assert (stats.num_colour, stats.num_depth, stats.num_pairs) == (30, 30, 0)
    assert len(feed(synchronizer(slop_ms=1e3 * stats.needed_slop_s), arrivals)) >= 29


def test_the_measured_offsets_outlive_the_end_of_a_stream():
    sync = synchronizer()
    feed(sync, line("c0 d30"))
    sync.flush()
    assert sync.stats().needed_slop_s == pytest.approx(0.03)


def test_offsets_are_kept_of_the_newest_200_only():
    sync = synchronizer(slop_ms=40)
    feed(sync, [(topic, 100 * index + offset) for index in range(300) for topic, offset in (("c", 0), ("d", 30))])
    feed(sync, [(topic, 100 * index) for index in range(300, 501) for topic in "cd"])
    assert sync.stats().needed_slop_s == 0.0


def test_a_wrong_clock_shows():
    sync = synchronizer()
    feed(sync, [(topic, 33 * index + offset) for index in range(30) for topic, offset in (("c", 0), ("d", 3000))])
    assert sync.stats().num_pairs == 0
    assert sync.stats().clock_offset_s == pytest.approx(3.0)


# --- nothing stops it ------------------------------------------------------------------------------------------------


def test_a_bag_loop_is_one_time_jump_and_pairing_goes_on():
    sync = synchronizer()
    bag = [(topic, 33 * index + offset) for index in range(60) for topic, offset in (("c", 0), ("d", 5))]
    once = feed(synchronizer(), bag)
    assert len(once) >= 59
    for loop in range(4):
        assert feed(sync, bag)[-len(once) :] == once, f"loop {loop}"
        assert sync.stats().num_time_jumps == loop


def test_a_bag_loop_with_full_queues_goes_on():
    sync = synchronizer(queue_size=3)
    feed(sync, [("c", 10_000 + 33 * index) for index in range(20)])  # depth is missing: the queue is full
    assert feed(sync, line("c0 d0 c33 d33")) == [(0, 0), (33, 33)]
    assert sync.stats().drops[DropReason.TIME_JUMP] == 3


def test_the_tail_of_the_old_time_line_neither_pairs_nor_jumps_again():
    sync = synchronizer()
    feed(sync, line("c5000 d5000"))
    assert feed(sync, line("c0 d5033 d5066 c33 d0 d33")) == [(0, 0), (33, 33)]
    stats = sync.stats()
    assert stats.num_time_jumps == 1
    assert stats.drops[DropReason.TIME_JUMP] == 2


def test_a_small_step_back_is_no_time_jump():
    sync = synchronizer()
    assert feed(sync, line("c1000 d1000 c0 d0 c1033 d1033")) == [(1000, 1000), (1033, 1033)]
    assert sync.stats().num_time_jumps == 0
    assert sync.stats().drops == {DropReason.OUT_OF_ORDER: 2}


class Hostile:
    """An item that raises when it is looked at."""

    def _refuse(self, *_):
        raise RuntimeError("do not touch")

    __eq__ = __lt__ = __bool__ = __len__ = _refuse
    __hash__ = None


def test_an_exception_in_a_callback_does_not_stop_it():
    sync = synchronizer()

    def callback(add, stamp_ms):
        for _pair in add(stamp_ms * MS, Hostile()):
            raise RuntimeError("the consumer failed")

    failures = 0
    for index in range(10):
        callback(sync.add_colour, 33 * index)
        try:
            callback(sync.add_depth, 33 * index)
        except RuntimeError:
            failures += 1
    assert failures == 10
    other = threading.Thread(target=lambda: callback(sync.add_colour, 330), daemon=True)
    other.start()
    other.join(timeout=10)
    assert not other.is_alive(), "the lock was kept"
    assert sync.stats().num_pairs == 10


def test_a_consumer_may_call_back_into_it():
    sync = synchronizer()
    assert list(sync.add_colour(0, "c")) == []
    num_pairs = 0
    for pair in sync.add_depth(0, "d"):
        num_pairs += 1
        caller = threading.Thread(target=sync.add_colour, args=(pair.colour_stamp_ns + 1, "c"), daemon=True)
        caller.start()
        caller.join(timeout=10)
        assert not caller.is_alive(), "the lock was kept"
    assert num_pairs == 1 and sync.stats().num_colour == 2


def test_two_threads_lose_nothing():
    sync = synchronizer(queue_size=10_000)
    pairs = []

    def publish(add):
        for index in range(500):
            pairs.extend(add(index * MS, index))

    threads = [threading.Thread(target=publish, args=(add,)) for add in (sync.add_colour, sync.add_depth)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(pair.colour for pair in pairs) == list(range(500))
    assert all(pair.colour == pair.depth for pair in pairs)


def test_clear_forgets_what_waits():
    sync = synchronizer()
    feed(sync, line("c100"))
    sync.clear()
    assert feed(sync, line("c0 d0")) == [(0, 0)]
    assert sync.stats().drops == {DropReason.TIME_JUMP: 1}
    assert sync.stats().num_time_jumps == 0
