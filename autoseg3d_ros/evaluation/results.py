"""Scores for people and for programs."""

from __future__ import annotations

import dataclasses
import math

from autoseg3d_ros.evaluation.identity import IdentityScores


def format_scores(scores: IdentityScores) -> str:
    """Return a small table of text; `n/a` where a ratio has nothing to stand on."""
    rows = [
        ("IDF1", _share(scores.idf1), f"precision {_share(scores.idp)}, recall {_share(scores.idr)}"),
        ("id switches", str(scores.num_switches), f"over {scores.num_frames} frames"),
        ("fragmentations", str(scores.num_fragmentations), ""),
        ("masks found", _share(scores.recall), f"{scores.num_matches} of {scores.num_truth_masks}"),
        ("masks right", _share(scores.precision), f"{scores.num_matches} of {scores.num_predicted_masks}"),
        ("mean IoU", _share(scores.mean_iou), "of the matched masks"),
        ("ids", str(scores.num_predicted_ids), f"for {scores.num_truth_ids} objects"),
    ]
    return "\n".join(f"{name:<16}{value:>6}  {note}".rstrip() for name, value, note in rows)


def scores_as_dict(scores: IdentityScores) -> dict[str, float | int | None]:
    """Return the scores by name for JSON, which has no NaN: an undefined ratio is None."""
    values = dataclasses.asdict(scores)
    return {name: None if isinstance(value, float) and math.isnan(value) else value for name, value in values.items()}


def _share(value: float) -> str:
    return "n/a" if math.isnan(value) else f"{value:.3f}"
