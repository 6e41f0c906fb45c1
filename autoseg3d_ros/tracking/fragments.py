"""Which fragments of one frame are one object, by what their common borders show. A pure function."""

from __future__ import annotations

import heapq

import numpy as np

from autoseg3d_ros.config import FragmentsConfig
from autoseg3d_ros.structures import BorderEvidence

_LEAST_BORDER_PX = 3.0
_ENCLOSED = 0.5  # share of its border that what lies flat on a thing has with it; parts of one thing have less
_COLOUR_WEIGHT = 0.2  # things are colourful
_COLOUR_WEIGHT_OF_LARGE = 1.5  # walls, floors and tables less so, and other things lie flat on them


def merge_fragments(evidence: BorderEvidence, config: FragmentsConfig) -> np.ndarray:
    """Return the object (S,) int32 of each fragment, numbered from 0 in the order of their first fragments.

    Joins the two neighbours whose common border agrees best, again and again, until none agrees by
    `config.min_agreement`. Agreement is 1 less the shares of the border with a depth step, an inward fold or another
    colour. What is joined shares its borders from then on, weighted by length: one gap in an edge joins nothing.
    """
    graph = _BorderGraph(evidence, config)
    while (pair := graph.pop_best()) is not None:
        graph.join(*pair)
    return np.unique(graph.object_of_fragment, return_inverse=True)[1].astype(np.int32).reshape(-1)


class _BorderGraph:
    """Objects and the sums (length, length x geometric agreement, length x colour) over their common borders."""

    def __init__(self, evidence: BorderEvidence, config: FragmentsConfig) -> None:
        self._config = config
        self._area_m2 = evidence.area_m2.astype(np.float64)
        self._borders: list[dict[int, np.ndarray]] = [{} for _ in evidence.area_m2]
        self._best_first: list[tuple[float, int, int]] = []
        self.object_of_fragment = np.arange(len(evidence.area_m2))
        per_px = np.stack([np.ones_like(evidence.step), 1 - evidence.step - evidence.concave, evidence.colour], axis=-1)
        for (a, b), sums in zip(evidence.pairs.tolist(), evidence.length_px[:, None] * per_px, strict=True):
            self._set_border(a, b, sums)

    def pop_best(self) -> tuple[int, int] | None:
        """Return the two objects that agree best, the lower id first, or None where none agree enough."""
        while self._best_first:
            disagreement, a, b = heapq.heappop(self._best_first)
            if b in self._borders[a] and disagreement == self._disagreement(a, b):  # else out of date
                return a, b
        return None

    def join(self, a: int, b: int) -> None:
        """Make b a part of a."""
        self.object_of_fragment[self.object_of_fragment == b] = a
        self._area_m2[a] += self._area_m2[b]
        del self._borders[a][b], self._borders[b][a]
        for neighbour, sums in self._borders[b].items():
            del self._borders[neighbour][b]
            self._borders[a][neighbour] = sums + self._borders[a].get(neighbour, 0)
        self._borders[b] = {}
        for neighbour, sums in list(self._borders[a].items()):
            self._set_border(a, neighbour, sums)

    def _set_border(self, a: int, b: int, sums: np.ndarray) -> None:
        self._borders[a][b] = self._borders[b][a] = sums
        disagreement = self._disagreement(a, b)
        if sums[0] >= _LEAST_BORDER_PX and disagreement <= 1 - self._config.min_agreement:
            heapq.heappush(self._best_first, (disagreement, min(a, b), max(a, b)))

    def _disagreement(self, a: int, b: int) -> float:
        length, geometric, colour = self._borders[a][b]
        weight = _COLOUR_WEIGHT_OF_LARGE if self._may_lie_on_the_other(a, b) else _COLOUR_WEIGHT
        return float(1 - (geometric - weight * colour) / length)

    def _may_lie_on_the_other(self, a: int, b: int) -> bool:
        small, large = sorted((a, b), key=lambda i: self._area_m2[i])
        whole_border_px = sum(sums[0] for sums in self._borders[small].values())
        is_enclosed = self._borders[small][large][0] > _ENCLOSED * whole_border_px
        return bool(is_enclosed and self._area_m2[large] > self._config.large_m2)
