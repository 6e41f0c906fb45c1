from __future__ import annotations

import pytest
import torch
from parity_cases import ParityCase, parametrize
from published_modules import load

from autoseg3d_ros.memory.merge_head import MergeHead


@parametrize("mergehead")
def test_embedding_is_that_of_the_published_head(case: ParityCase):
    head = load(MergeHead(), "merge_head.", case.meta["weights_seed"], case.meta.get("weight_overrides"))
    embedding = head(torch.from_numpy(case.given("queries")))
    tolerance = 2e-5 * max(1, case.meta["max_abs_value"]["embedding"])
    torch.testing.assert_close(embedding, torch.from_numpy(case.expected("embedding")), rtol=0, atol=tolerance)


@pytest.mark.parametrize("norm", ["layer", "batch"])
@pytest.mark.parametrize("num_queries", [0, 1, 5])
def test_embeddings_have_length_one(norm, num_queries):
    embedding = MergeHead(16, norm).eval()(torch.randn(num_queries, 16))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(num_queries))


def test_queries_do_not_touch_each_other():
    head, queries = MergeHead(16, "batch").eval(), torch.randn(5, 16)
    torch.testing.assert_close(head(queries), torch.cat([head(row[None]) for row in queries]))


def test_number_of_parameters():
    assert sum(parameter.numel() for parameter in MergeHead().parameters()) == 264_448
