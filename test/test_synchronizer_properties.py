"""What holds of the synchronizer for any stamps in any order of arrival."""

from __future__ import annotations

import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from stream_builders import MS, feed, stamps_ms, synchronizer


def brute_force(colours, depths, slop):
    """Pair the closest neighbours first, by trying all."""
    images = sorted([(stamp, "c") for stamp in colours] + [(stamp, "d") for stamp in depths])
    neighbours = [
        (after[0] - before[0], before[1] == "d", before, after)
        for before, after in itertools.pairwise(images)
        if before[1] != after[1] and after[0] - before[0] <= slop
    ]
    used, pairs = set(), []
    for _, _, before, after in sorted(neighbours):
        if before not in used and after not in used:
            used |= {before, after}
            pairs.append(tuple(stamp for stamp, _ in sorted((before, after), key=lambda image: image[1])))
    return sorted(pairs)


@st.composite
def steady_stamps(draw):
    """Milliseconds whose intervals differ by less than a factor of two, images lost now and then."""
    start, period = draw(st.integers(0, 50)), draw(st.integers(4, 40))
    steps = draw(st.lists(st.tuples(st.integers(0, period - 1), st.sampled_from([1, 1, 1, 1, 2, 5])), max_size=40))
    return list(itertools.accumulate([start] + [(period + jitter) * times for jitter, times in steps]))


def interleave(draw, colours, depths):
    """Return the arrivals in an order in which each topic keeps its own."""
    topics = draw(st.permutations("c" * len(colours) + "d" * len(depths)))
    queues = {"c": iter(colours), "d": iter(depths)}
    return [(topic, next(queues[topic])) for topic in topics]


@settings(max_examples=150, deadline=None)
@given(data=st.data(), colours=steady_stamps(), depths=steady_stamps(), slop=st.integers(0, 30))
def test_steady_topics_pair_as_brute_force_does_in_any_order_of_arrival(data, colours, depths, slop):
    sync = synchronizer(slop_ms=slop, queue_size=1000)
    pairs = feed(sync, interleave(data.draw, colours, depths)) + stamps_ms(sync.flush())
    assert pairs == brute_force(colours, depths, slop)


@settings(max_examples=150, deadline=None)
@given(
    data=st.data(),
    colours=st.sets(st.integers(0, 200), max_size=9).map(sorted),
    depths=st.sets(st.integers(0, 200), max_size=9).map(sorted),
    slop=st.integers(0, 30),
)
def test_before_a_rate_is_known_any_topics_pair_as_brute_force_does(data, colours, depths, slop):
    sync = synchronizer(slop_ms=slop, queue_size=1000)
    pairs = feed(sync, interleave(data.draw, colours, depths)) + stamps_ms(sync.flush())
    assert pairs == brute_force(colours, depths, slop)


arrivals_of_all_kinds = st.lists(st.tuples(st.sampled_from("cd"), st.integers(0, 3000)), max_size=80)


@settings(max_examples=150, deadline=None)
@given(
    arrivals=arrivals_of_all_kinds,
    slop=st.integers(0, 400),
    queue_size=st.integers(1, 5),
    mode=st.sampled_from(["approx", "exact"]),
)
def test_whatever_arrives_no_image_is_used_twice_and_all_are_accounted_for(arrivals, slop, queue_size, mode):
    sync = synchronizer(slop_ms=slop, queue_size=queue_size, mode=mode)
    pairs = []
    for index, (topic, stamp) in enumerate(arrivals):
        pairs += (sync.add_depth if topic == "d" else sync.add_colour)(stamp * MS, index)
        for is_depth in (False, True):
            assert sum(image.is_depth == is_depth for image in sync._pending) <= queue_size
    pairs += sync.flush()
    used = [pair.colour for pair in pairs] + [pair.depth for pair in pairs]
    assert len(used) == len(set(used))
    for pair in pairs:
        assert arrivals[pair.colour] == ("c", pair.colour_stamp_ns // MS)
        assert arrivals[pair.depth] == ("d", pair.depth_stamp_ns // MS)
        assert abs(pair.colour_stamp_ns - pair.depth_stamp_ns) <= (slop * MS if mode == "approx" else 0)
    assert len(arrivals) == len(used) + sum(sync.stats().drops.values())


@settings(max_examples=150, deadline=None)
@given(arrivals=arrivals_of_all_kinds.map(lambda arrivals: sorted(arrivals, key=lambda arrival: arrival[1])))
def test_pairs_come_in_the_order_of_both_stamps(arrivals):
    sync = synchronizer(slop_ms=400)
    pairs = feed(sync, arrivals) + stamps_ms(sync.flush())
    for before, after in itertools.pairwise(pairs):
        assert before[0] < after[0] and before[1] < after[1]
