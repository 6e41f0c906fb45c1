from __future__ import annotations

from collections.abc import Callable

import numpy as np
import parity_cases
import parity_weights
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from parity_cases import ParityCase, cases_of
from published_modules import load

from autoseg3d_ros.memory.boxes import box_iou
from autoseg3d_ros.memory.fragments import FragmentMerging, Fragments, cluster
from autoseg3d_ros.model.decoder import DecoderConfig, QueryDecoder
from autoseg3d_ros.model.pooling import GeometricPooling
from autoseg3d_ros.model.published_keys import UNUSED_BY_DESIGN

CPU_AND_CUDA = [
    "cpu",
    pytest.param("cuda", marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")),
]
WHOLE = [case for case in cases_of("lmi_") if not case.name.startswith("lmi_cluster_")]
TABLE = torch.tensor([1.0, 1, 1, 2, 1, 1])
CHAIR = torch.tensor([5.0, 1, 1, 1, 1, 1])
OBJECT, BACKGROUND = torch.tensor([3.0, 0]), torch.tensor([0.0, 3])


def same_partition(a, b):
    return np.array_equal(a[:, None] == a, b[:, None] == b)


def check(case: ParityCase, name: str, got: torch.Tensor) -> None:
    tolerance = 2e-5 * max(1.0, case.meta["max_abs_value"][name])
    np.testing.assert_allclose(got.numpy(), case.expected(name), rtol=0, atol=tolerance, err_msg=name)


@pytest.mark.parametrize("case", WHOLE, ids=lambda case: case.name)
@torch.no_grad()
def test_published_numbers(case: ParityCase) -> None:
    settings = (case.meta["weights_seed"], case.meta.get("weight_overrides"))
    module = load(FragmentMerging(), "fragment_merging.", *settings)
    pooling = load(GeometricPooling(96), "pooling.", *settings)
    decoder = load(QueryDecoder(DecoderConfig()), "decoder.", *settings)
    xyz_m, features, superpoint = (torch.from_numpy(case.given(x)) for x in ("xyz", "point_features", "superpoint"))

    pooled = pooling(xyz_m, features, superpoint, int(superpoint.max()) + 1)
    check(case, "pooled_first", pooled.features)
    proposals = decoder.propose(pooled)
    check(case, "normed_query", proposals.embedding)
    check(case, "cls_logits", proposals.class_logits)
    check(case, "boxes", proposals.box_m)

    check(case, "iou", box_iou(proposals.box_m, proposals.box_m))
    check(case, "embedding_1", module.interaction(proposals.embedding))
    check(case, "merge_logit", module.logits(proposals))
    check(case, "similarity", module.similarity(proposals))
    label = module(proposals)
    assert same_partition(label.numpy(), case.expected("cluster"))

    merged = label[superpoint]
    pooled = pooling(xyz_m, features, merged, int(label.max()) + 1)
    theirs = torch.from_numpy(case.expected("superpoint_new"))
    row_of_theirs = torch.zeros(int(theirs.max()) + 1, dtype=torch.int64).scatter(0, theirs, merged)
    check(case, "pooled", pooled.features[row_of_theirs])
    check(case, "centroids", pooled.centroid_m[row_of_theirs])
    check(case, "point_weights", pooled.point_weight)


@parity_cases.parametrize("lmi_cluster_")
def test_published_clusters(case: ParityCase) -> None:
    label = cluster(torch.from_numpy(case.given("similarity"))).numpy()
    assert same_partition(label, case.expected("cluster"))


@pytest.mark.parametrize(
    ("similarity", "expected"),
    [
        (np.zeros((0, 0)), []),
        ([[0.0]], [0]),
        ([[1, 0.5], [0.5, 1]], [0, 1]),  # exactly the threshold does not merge
        ([[1, 0.50001], [0.50001, 1]], [0, 0]),
        ([[1, 0.9, 0.3], [0.9, 1, 0.8], [0.3, 0.8, 1]], [0, 0, 1]),  # a chain: the least similar pair decides
        ([[1, 0.9, 0.6], [0.9, 1, 0.8], [0.6, 0.8, 1]], [0, 0, 0]),
        ([[0, 0.9], [0.1, 0]], [0, 0]),  # only what is above the diagonal is read
        ([[0, 0.1], [0.9, 0]], [0, 1]),
        ([[1, 0, 0, 0.9], [0, 1, 0.9, 0], [0, 0.9, 1, 0], [0.9, 0, 0, 1]], [0, 1, 1, 0]),  # numbered by first members
    ],
)
def test_clusters_by_hand(similarity, expected):
    got = cluster(torch.tensor(np.asarray(similarity), dtype=torch.float32))
    assert got.dtype == torch.int64
    assert got.tolist() == expected


def agglomerate(similarity: np.ndarray, threshold: float, of_pairs: Callable[[np.ndarray], float]) -> np.ndarray:
    """Merge the two most similar clusters, by `of_pairs` of their members, while that is above the threshold."""
    clusters = [[row] for row in range(len(similarity))]
    while True:
        pairs = [
            (of_pairs(similarity[np.ix_(clusters[a], clusters[b])]), a, b)
            for a in range(len(clusters))
            for b in range(a + 1, len(clusters))
        ]
        best, a, b = max(pairs, default=(-1.0, 0, 0))
        if best <= threshold:
            break
        clusters[a] += clusters.pop(b)
    label = np.zeros(len(similarity), np.int64)
    for number, members in enumerate(clusters):
        label[members] = number
    return label


@given(
    st.integers(2, 14),
    st.integers(0, 2**32 - 1),
    st.sampled_from([0.2, 0.5, 0.7]),
    st.sampled_from([("complete", np.min), ("average", np.mean)]),
)
def test_clusters_are_those_of_the_linkage(num, seed, threshold, linkage):
    similarity = np.random.default_rng(seed).random((num, num), np.float32)
    similarity = np.sqrt(np.triu(similarity, 1) + np.triu(similarity, 1).T)
    name, of_pairs = linkage
    label = cluster(torch.from_numpy(similarity), threshold, name).numpy()
    assert same_partition(label, agglomerate(similarity.astype(np.float64), threshold, of_pairs))
    assert np.array_equal(np.unique(label, return_index=True)[1], np.sort(np.unique(label, return_index=True)[1]))


def fragments(embedding, class_logits, box_m):
    return Fragments(embedding, class_logits, box_m)


def small(width=16, num_heads=4, merge_bias=0.0):
    torch.manual_seed(0)
    module = FragmentMerging(width, num_heads).eval()
    torch.nn.init.constant_(module.merge_logit.bias, merge_bias)
    return module


@pytest.mark.parametrize("device", CPU_AND_CUDA)
def test_similarity_is_overlap_times_probability_of_objects_of_one_class(device):
    module = small().to(device)
    boxes = torch.stack((TABLE, TABLE + torch.tensor([0.5, 0, 0, 0, 0, 0]), CHAIR, TABLE, CHAIR)).to(device)
    classes = torch.tensor([[2.0, 0, 0], [1, 0, 0], [0, 2, 0], [0, 2, 0], [0, 0, 2]], device=device)  # last: background
    embedding = torch.randn(5, 16, device=device)
    given = fragments(embedding, classes, boxes)
    similarity = module.similarity(given)
    expected = box_iou(boxes, boxes) * module.logits(given).sigmoid()
    related = torch.eye(5, device=device)
    related[0, 1] = related[1, 0] = 1  # 0, 3 and 2, 4 are of different classes, 2, 3 apart
    related[4, 4] = 0  # background is not even like itself
    torch.testing.assert_close(similarity, expected * related, rtol=0, atol=1e-5)
    assert similarity[0, 1] > 0
    assert torch.equal(similarity, similarity.T)


@pytest.mark.parametrize("device", CPU_AND_CUDA)
@pytest.mark.parametrize(("merge_bias", "expected"), [(20.0, [0, 1, 0, 1, 2]), (-20.0, [0, 1, 2, 3, 4])])
def test_fragments_with_one_box_become_one_object(merge_bias, expected, device):
    boxes = torch.stack((TABLE, CHAIR, TABLE, CHAIR, CHAIR)).to(device)
    classes = torch.stack((OBJECT, OBJECT, OBJECT, OBJECT, BACKGROUND)).to(device)
    label = small(merge_bias=merge_bias).to(device)(fragments(torch.randn(5, 16, device=device), classes, boxes))
    assert label.tolist() == expected
    assert label.device.type == device


@pytest.mark.parametrize("num", [0, 1])
@pytest.mark.parametrize("class_logits", [OBJECT, BACKGROUND])
def test_no_superpoint_and_one(num, class_logits):
    given = fragments(torch.randn(num, 16), class_logits.expand(num, 2), TABLE.expand(num, 6))
    assert small().similarity(given).shape == small().logits(given).shape == (num, num)
    assert small()(given).tolist() == [0] * num


@pytest.mark.parametrize(("width", "num_heads"), [(256, 8), (128, 4)])
def test_gradients_reach_all_weights(width, num_heads):
    module, boxes = FragmentMerging(width, num_heads), torch.stack((TABLE, TABLE, CHAIR))
    module.logits(fragments(torch.randn(3, width), OBJECT.expand(3, 2), boxes)).square().sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or p.grad.abs().max() < 1e-6] == []


def test_size_is_the_published_one_but_for_what_never_reaches_a_result():
    unused = sum(
        int(np.prod(shape)) for key, shape in parity_weights.shapes().items() if key.startswith(UNUSED_BY_DESIGN)
    )
    assert unused == 265_984
    assert sum(parameter.numel() for parameter in FragmentMerging().parameters()) == 925_953 - unused
