"""What the evaluation of one scene with one row leaves behind: counts that add up over scenes."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from autoseg3d_ros.benchmark.frame_scores import FrameCounts
from autoseg3d_ros.evaluation.average_precision import SceneMatches


@dataclass(frozen=True)
class SceneOutcome:
    """The counts of one scene; all but `stage_ms` depend on the input alone."""

    num_frames: int
    num_skipped: int
    first_skipped: str  # why the first of them was skipped; empty = none was
    num_instances: int  # that count for AP
    matches: SceneMatches | None  # None = there is no mesh to evaluate on
    near_matches: SceneMatches | None  # with the distance cut
    frames: FrameCounts
    stage_ms: Mapping[str, float]  # of the segmenter, summed over the frames

    def to_dict(self) -> dict[str, Any]:
        """Return the outcome for JSON; `from_dict` restores it exactly."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        for name in ("matches", "near_matches"):
            fields[name] = fields[name] and fields[name].to_dict()
        return {**fields, "frames": dataclasses.asdict(self.frames), "stage_ms": dict(self.stage_ms)}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> SceneOutcome:
        """Return what `to_dict` wrote. Raises KeyError or TypeError where it does not fit."""
        matches, near_matches = (
            None if fields[name] is None else SceneMatches.from_dict(fields[name])
            for name in ("matches", "near_matches")
        )
        frames = FrameCounts.from_dict(fields["frames"])
        return SceneOutcome(**{**fields, "matches": matches, "near_matches": near_matches, "frames": frames})
