"""Merging of fragments by the evidence of their borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros.config import FragmentsConfig
from autoseg3d_ros.structures import BorderEvidence
from autoseg3d_ros.tracking.fragments import merge_fragments

CONFIG = FragmentsConfig(min_agreement=0.5, large_m2=0.1)


def evidence_of(
    num: int, *borders: tuple[int, int, dict[str, float]], area_m2: float | list[float] = 0.01
) -> BorderEvidence:
    """Borders of 20 px that show nothing, unless told otherwise."""

    def column(name: str, default: float) -> np.ndarray:
        return np.array([shown.get(name, default) for *_, shown in borders], np.float32)

    return BorderEvidence(
        pairs=np.array([pair[:2] for pair in borders], np.int32).reshape(-1, 2),
        length_px=column("length_px", 20.0),
        step=column("step", 0.0),
        concave=column("concave", 0.0),
        colour=column("colour", 0.0),
        angle_deg=column("angle_deg", 0.0),
        area_m2=np.broadcast_to(np.float32(area_m2), num),
    )


@pytest.mark.parametrize("num", [0, 1, 3])
def test_fragments_without_borders_stay_alone(num: int) -> None:
    assert merge_fragments(evidence_of(num), CONFIG).tolist() == list(range(num))


@pytest.mark.parametrize(
    ("shown", "joined"),
    [
        ({}, True),
        ({"step": 0.4}, True),
        ({"step": 1.0}, False),
        ({"concave": 0.6}, False),
        ({"step": 0.3, "concave": 0.3}, False),
        ({"colour": 1.0}, True),  # things are colourful
        ({"colour": 1.0, "step": 0.4}, False),
        ({"length_px": 1.0}, False),  # too short to tell
    ],
)
def test_one_border(shown: dict[str, float], joined: bool) -> None:
    labels = merge_fragments(evidence_of(2, (0, 1, shown)), CONFIG)
    assert labels.tolist() == ([0, 0] if joined else [0, 1])


def test_colour_holds_a_large_surface_apart() -> None:
    poster = (0, 1, {"colour": 0.6})
    assert merge_fragments(evidence_of(2, poster, area_m2=[0.09, 0.05]), CONFIG).tolist() == [0, 0]
    assert merge_fragments(evidence_of(2, poster, area_m2=[0.11, 0.05]), CONFIG).tolist() == [0, 1]


def test_what_has_grown_large_counts_as_large() -> None:
    evidence = evidence_of(3, (0, 1, {}), (1, 2, {"colour": 0.6}), area_m2=[0.09, 0.09, 0.01])
    assert merge_fragments(evidence, CONFIG).tolist() == [0, 0, 1]


def test_the_gap_in_a_closed_outline_joins_nothing() -> None:
    """A keyboard (1) on a desk (0): at one end a sliver (2) runs smoothly into both."""
    outline, gap = (0, 1, {"step": 1.0, "length_px": 60.0}), (1, 2, {"length_px": 8.0})
    evidence = evidence_of(3, outline, (0, 2, {"length_px": 9.0}), gap)
    assert merge_fragments(evidence, CONFIG).tolist() in ([0, 1, 0], [0, 1, 1])


def test_the_better_border_is_joined_first() -> None:
    evidence = evidence_of(3, (0, 1, {"step": 0.3}), (1, 2, {"step": 0.1}), (0, 2, {"step": 1.0, "length_px": 40.0}))
    assert merge_fragments(evidence, CONFIG).tolist() == [0, 1, 1]


def test_a_chain_of_good_borders_is_one_object() -> None:
    evidence = evidence_of(5, *((number, number + 1, {}) for number in (3, 1, 0, 2)))
    assert merge_fragments(evidence, CONFIG).tolist() == [0] * 5


@given(st.data())
def test_the_numbering_of_the_fragments_does_not_matter(data: st.DataObject) -> None:
    num = data.draw(st.integers(2, 8))
    random = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    pairs = np.array([(a, b) for a in range(num) for b in range(a + 1, num) if random.random() < 0.6], int)
    pairs = pairs.reshape(-1, 2)
    length_px, step, concave, colour = random.random((4, len(pairs))) * [[50], [1], [1], [1]]
    area_m2 = random.random(num) * 0.2
    order = random.permutation(num)  # the new number of each fragment
    labels, renumbered = (
        merge_fragments(BorderEvidence(numbers, length_px, step, concave, colour, 0 * step, areas), CONFIG)
        for numbers, areas in ((pairs, area_m2), (np.sort(order[pairs], axis=1), area_m2[np.argsort(order)]))
    )
    assert np.array_equal(labels[:, None] == labels, renumbered[order][:, None] == renumbered[order])
    first_seen = list(dict.fromkeys(labels.tolist()))
    assert first_seen == list(range(len(first_seen)))
