"""The scores of a table, from the outcomes of some scenes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

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


class ResampledScores:
    """The scores of one row under a bootstrap over its scenes; each resample is computed once."""

    def __init__(self, outcomes: Mapping[str, SceneOutcome], protocol: Protocol) -> None:
        """Take the outcome of each scene, by the name of the scene."""
        self._scenes = tuple(outcomes)
        self._outcomes = tuple(outcomes.values())
        self._protocol = protocol
        self._mesh_scores = _MeshScores(self._outcomes)
        self._known: dict[tuple[int, ...], dict[str, float]] = {}
        self._names = tuple(scores_of(self._outcomes))

    def intervals(self) -> dict[str, Interval]:
        """Return every score with its 95 % interval."""
        return {name: self._interval(range(len(self._scenes)), self._of(name)) for name in self._names}

    def minus(self, other: ResampledScores) -> dict[str, Interval]:
        """Return by how much every score exceeds that of another row on the scenes that both have.

        The 95 % intervals are paired: each resample draws the same scenes for both, so that what makes a scene hard
        for both of them does not widen the interval.
        """
        common = [scene for scene in self._scenes if scene in other._scenes]
        own_index = [self._scenes.index(scene) for scene in common]
        other_index = [other._scenes.index(scene) for scene in common]

        def difference(name: str) -> Callable[[Sequence[int]], float]:
            own, others = self._of(name), other._of(name)
            return lambda drawn: own([own_index[k] for k in drawn]) - others([other_index[k] for k in drawn])

        return {name: self._interval(range(len(common)), difference(name)) for name in self._names}

    def _interval(self, scenes: Sequence[int], statistic: Callable[[Sequence[int]], float]) -> Interval:
        return interval(scenes, statistic, num_resamples=self._protocol.num_resamples, seed=self._protocol.seed)

    def _of(self, name: str) -> Callable[[Sequence[int]], float]:
        return lambda drawn: self._scores(tuple(drawn))[name]

    def _scores(self, drawn: tuple[int, ...]) -> dict[str, float]:
        if drawn not in self._known:
            weight = np.bincount(drawn, minlength=len(self._outcomes))
            image_scores = _image_scores([self._outcomes[index] for index in drawn])
            self._known[drawn] = self._mesh_scores.scores(weight) | image_scores
        return self._known[drawn]


def mean_stage_ms(outcomes: Sequence[SceneOutcome]) -> dict[str, float]:
    """Return the mean milliseconds of each stage a frame."""
    num_frames = sum(one.num_frames for one in outcomes)
    stages = dict.fromkeys(stage for one in outcomes for stage in one.stage_ms)
    return {stage: _ratio(math.fsum(one.stage_ms.get(stage, 0.0) for one in outcomes), num_frames) for stage in stages}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole else float("nan")
