"""The scores of a table, from the outcomes of some scenes."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence

import numpy as np

from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.evaluation.average_precision import ApPool
from autoseg3d_ros.evaluation.bootstrap import Interval, interval
from autoseg3d_ros.evaluation.hota import pooled_hota
from autoseg3d_ros.evaluation.identity import pooled_identity
from autoseg3d_ros.evaluation.mask_recall import pooled_mask_recall
from autoseg3d_ros.evaluation.revivals import pooled_revivals


def scores_of(outcomes: Sequence[SceneOutcome]) -> dict[str, float]:
    """Return every score of some scenes together, by name; NaN where a score has nothing to stand on.

    Counts are summed before ratios are taken; switches and fragmentations are means a scene.
    """
    return _MeshScores(outcomes).scores(np.ones(len(outcomes))) | _image_scores(outcomes)


class _MeshScores:
    """AP of all outcomes that have it, under any weights of the outcomes: the verdicts are sorted once."""

    def __init__(self, outcomes: Sequence[SceneOutcome]) -> None:
        self._counted = [index for index, one in enumerate(outcomes) if one.matches and one.near_matches]
        counted = [outcomes[index] for index in self._counted]
        self._pool = ApPool([one.matches for one in counted if one.matches])
        self._near_pool = ApPool([one.near_matches for one in counted if one.near_matches])

    def scores(self, weight: np.ndarray) -> dict[str, float]:
        """Return the scores where outcome k counts `weight[k]` times."""
        weight = weight[self._counted]
        ap, near_ap = self._pool.scores(weight), self._near_pool.scores(weight)
        return {"ap": ap.ap, "ap50": ap.ap50, "ap25": ap.ap25, "ap50_near": near_ap.ap50}


def _image_scores(outcomes: Sequence[SceneOutcome]) -> dict[str, float]:
    """Return the scores of label images, masks and time."""
    identity = pooled_identity([one.frames.identity for one in outcomes])
    hota = pooled_hota([one.frames.hota for one in outcomes])
    masks = pooled_mask_recall([one.frames.mask_recall for one in outcomes])
    seconds = math.fsum(time_ms for one in outcomes for time_ms in one.stage_ms.values()) / 1e3  # in any order
    return {
        "idf1": identity.idf1,
        "hota": hota.hota,
        "assa": hota.ass_a,
        "switches": _ratio(identity.num_switches, len(outcomes)),
        "fragmentations": _ratio(identity.num_fragmentations, len(outcomes)),
        "revivals_right": pooled_revivals([one.frames.revivals for one in outcomes]).right_share,
        "mask_recall50": masks.recall_50,
        "mask_recall75": masks.recall_75,
        "mask_recall50_united": masks.united_recall_50,
        "frames_per_second": _ratio(sum(one.num_frames for one in outcomes), seconds),
    }


def score_intervals(outcomes: Sequence[SceneOutcome], protocol: Protocol) -> dict[str, Interval]:
    """Return every score with its 95 % interval, by a bootstrap over the scenes."""

    mesh_scores = _MeshScores(outcomes)

    @functools.cache  # all scores see the same resamples: each is computed once
    def of_resample(drawn: tuple[int, ...]) -> dict[str, float]:
        weight = np.bincount(drawn, minlength=len(outcomes))
        return mesh_scores.scores(weight) | _image_scores([outcomes[index] for index in drawn])

    def score_interval(name: str) -> Interval:
        return interval(
            range(len(outcomes)),
            lambda drawn: of_resample(tuple(drawn))[name],
            num_resamples=protocol.num_resamples,
            seed=protocol.seed,
        )

    return {name: score_interval(name) for name in scores_of(outcomes)}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
