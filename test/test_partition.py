from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.partition import DecodedFragments, FragmentPartition, pair_cues
from autoseg3d_ros.structures import NUM_BORDER_CUES

CPU_AND_CUDA = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
WIDTH = 16


def fragments(hull_m, box_m=None, embedding=None, share=None, void=None, borders=None) -> DecodedFragments:
    hull_m = torch.as_tensor(hull_m, dtype=torch.float32).view(-1, 6)
    num = len(hull_m)
    if embedding is None:
        embedding = torch.randn(num, WIDTH, generator=torch.Generator().manual_seed(0))
    return DecodedFragments(
        embedding,
        hull_m if box_m is None else box_m,
        hull_m[:, :3],
        hull_m,
        (embedding @ embedding.T).sigmoid() if share is None else torch.as_tensor(share),
        torch.zeros(num) if void is None else torch.as_tensor(void),
        torch.zeros(num, num, NUM_BORDER_CUES) if borders is None else borders,
    )


def random_fragments(num: int, seed: int) -> DecodedFragments:
    draw = torch.Generator().manual_seed(seed)
    hull_m, box_m = torch.rand(num, 6, generator=draw), torch.rand(num, 6, generator=draw)
    embedding, share = torch.randn(num, WIDTH, generator=draw), torch.rand(num, num, generator=draw)
    borders = torch.rand(num, num, NUM_BORDER_CUES, generator=draw)
    borders = borders + borders.transpose(0, 1)
    return fragments(3 * hull_m, 3 * box_m, embedding, share, torch.rand(num, generator=draw), borders)


def small(merge_bias: float = 0.0) -> FragmentPartition:
    torch.manual_seed(0)
    module = FragmentPartition(WIDTH, num_heads=4).eval()
    torch.nn.init.constant_(module.merge_logit.bias, merge_bias)
    return module


# A cube of 0.98 m, so that with the margin it has 0.99 m and 1 m; boxes as centre and size.
CUBE = [0.0, 0, 0, 0.98, 0.98, 0.98]
SUREST = math.log((1 - 1e-4) / 1e-4) / 5  # of a mask that has all of a superpoint


@pytest.mark.parametrize(
    ("other", "expected"),  # IoU, gap, gap in sizes, share inside, size ratio, height
    [
        (CUBE, [1, 0, 0, 0.98**3 / 0.99**3, 1, 0]),
        ([1.98, 0, 0, 0.98, 0.98, 0.98], [0, 1, 1, 0, 1, 0]),  # a metre beside it
        ([0, 0, 1.98, 0.98, 0.98, 0.98], [0, 1, 1, 0, 1, 1.98]),  # a metre above it
        ([1.28, 1.38, 0, 0.98, 0.98, 0.98], [0, 0.5, 0.5, 0, 1, 0]),  # across a corner: 0.3 and 0.4
        ([0.25, 0, 0, 0.48, 0.48, 0.48], [0.48**3 / 0.98**3, 0, 0, 0.48**3 / 0.49**3, 0.5, 0]),  # inside
        ([9.98, 0, 0, 0.98, 0.98, 0.98], [0, 9, 5, 0, 1, 0]),  # so far that it does not matter how far
    ],
)
def test_cues_by_hand(other, expected):
    cues = pair_cues(fragments([CUBE, other]))
    torch.testing.assert_close(cues[0, 1, :6], torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("there", "back", "expected"),  # both together, the less sure one; as logits, of which 5 is 1
    [
        (0.5, 0.5, [0, 0]),
        (1.0, 1.0, [2 * SUREST, SUREST]),
        (0.0, 0.5, [-SUREST, -SUREST]),
        (0.5, 0.0, [-SUREST, -SUREST]),
        (0.9, 0.1, [0, math.log(1 / 9) / 5]),
    ],
)
def test_cues_of_masks_by_hand(there, back, expected):
    cues = pair_cues(fragments([CUBE, CUBE], share=[[1.0, there], [back, 1.0]]))
    for pair in (cues[0, 1], cues[1, 0]):
        torch.testing.assert_close(pair[6:8], torch.tensor(expected, dtype=torch.float32), rtol=0, atol=1e-3)


def test_cues_of_void_and_of_borders_are_those_of_the_pair():
    borders = torch.zeros(3, 3, NUM_BORDER_CUES)
    borders[0, 2] = borders[2, 0] = torch.arange(1.0, 1 + NUM_BORDER_CUES)
    cues = pair_cues(fragments([CUBE] * 3, void=[0.25, 0.5, 0.0], borders=borders))
    assert cues[0, 1, 8:10].tolist() == cues[1, 0, 8:10].tolist() == [0.75, 0.5]
    assert cues[2, 0, 8:10].tolist() == [0.25, 0.25]
    assert torch.equal(cues[..., 10:], borders)


def test_flat_superpoints_have_cues():
    floor, line, point = [0.0, 0, 0, 4, 4, 0], [0.0, 0, 1, 4, 0, 0], [9.0, 0, 0, 0, 0, 0]
    cues = pair_cues(fragments([floor, line, point]))
    assert torch.isfinite(cues).all()
    assert cues[0, 1, 1] == 1
    assert cues[0, 2, 2] == cues[0, 2, 2].clamp(max=5.0)


def test_boxes_that_were_guessed_count_in_the_first_cue_alone():
    given = random_fragments(5, 0)
    torch.testing.assert_close(pair_cues(given)[..., 0], box_iou(given.box_m, given.box_m))
    elsewhere = replace(given, box_m=given.box_m + 1)
    torch.testing.assert_close(pair_cues(elsewhere)[..., 1:], pair_cues(given)[..., 1:], rtol=0, atol=0)


@given(st.integers(0, 12), st.integers(0, 2**16), st.floats(-9, 9))
def test_pairs_are_symmetric_and_the_world_may_be_moved(num, seed, shift_m):
    given, module = random_fragments(num, seed), small()
    with torch.no_grad():
        logit = module.logits(given)
    assert logit.shape == (num, num)
    assert torch.equal(logit, logit.T)
    shift = torch.tensor([shift_m, 0, -shift_m, 0, 0, 0])
    moved = replace(
        given, hull_m=given.hull_m + shift, box_m=given.box_m + shift, centroid_m=given.centroid_m + shift[:3]
    )
    torch.testing.assert_close(pair_cues(moved), pair_cues(given), rtol=1e-3, atol=1e-3)


@given(st.integers(2, 9), st.integers(0, 2**16))
def test_the_order_of_superpoints_does_not_matter(num, seed):
    given, module = random_fragments(num, seed), small()
    order = torch.randperm(num, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        logit, shuffled = module.logits(given), module.logits(given.at(order))
    torch.testing.assert_close(shuffled, logit[order][:, order], rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("device", CPU_AND_CUDA)
@pytest.mark.parametrize(("merge_bias", "expected"), [(40.0, [0, 0, 0]), (-40.0, [0, 1, 2])])
def test_superpoints_without_a_common_box_can_become_one_object(merge_bias, expected, device):
    apart = fragments([CUBE, [5.0, 0, 0, 1, 1, 1], [0.0, 9, 0, 1, 1, 1]])
    there = DecodedFragments(**{name: value.to(device) for name, value in vars(apart).items()})
    assert small(merge_bias).to(device)(there).tolist() == expected


def test_clusters_are_as_alike_as_their_pairs_in_the_mean(monkeypatch):
    """A chain of three whose ends are hardly alike is one object if the mean says so; no least pair forbids it."""
    sure, unsure, no = 4.0, 1.0, -1.0  # probabilities .98, .73 and .27; the mean of the last two is .5
    chain = torch.tensor([[0.0, sure, no], [sure, 0.0, unsure], [no, unsure, 0.0]])
    module = small()
    monkeypatch.setattr(module, "logits", lambda given: chain)
    assert module(fragments([CUBE] * 3)).tolist() == [0, 0, 0]
    chain[0, 2] = chain[2, 0] = -4.0  # .02: the mean is .37
    assert module(fragments([CUBE] * 3)).tolist() == [0, 0, 1]


def test_some_of_the_superpoints_keep_what_was_between_them():
    given = random_fragments(5, 0)
    row = torch.tensor([True, False, True, True, False])
    torch.testing.assert_close(given.at(row).share, given.share[[0, 2, 3]][:, [0, 2, 3]], rtol=0, atol=0)
    torch.testing.assert_close(pair_cues(given.at(row)), pair_cues(given)[row][:, row])


@pytest.mark.parametrize("num", [0, 1])
def test_no_superpoint_and_one(num):
    assert small()(fragments([CUBE] * num)).tolist() == [0] * num


def test_what_is_far_is_looked_at_less():
    """Attention falls with the distance: a far third superpoint changes the pair less than a near one."""
    module = small()
    torch.nn.init.constant_(module.distance_weight.bias, 2.0)
    embedding = torch.randn(3, WIDTH, generator=torch.Generator().manual_seed(1))

    def pair(third_at_m: float) -> float:
        third = [third_at_m, 0, 0, 1, 1, 1]
        with torch.no_grad():
            return module.logits(fragments([CUBE, [1.0, 0, 0, 1, 1, 1], third], embedding=embedding))[0, 1].item()

    alone = module.logits(fragments([CUBE, [1.0, 0, 0, 1, 1, 1]], embedding=embedding[:2]))[0, 1].item()
    assert math.isclose(pair(1000.0), alone, abs_tol=1e-4)
    assert abs(pair(1.0) - alone) > 1e-3
