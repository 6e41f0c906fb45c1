"""The rules by which a scene is evaluated: numbers that are no settings of the segmenter and hold for every row."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Protocol:
    """The protocol of `method.md` §9.2 and §9.3; docs/evaluation.md says in words what is done and where it differs."""

    frame_stride: int = 1  # every how many-th frame is shown to the segmenter
    points_per_frame: int = 20_000  # labelled pixels of a frame that become points, drawn with a seed (§9.2)
    min_depth_m: float = 0.2  # pixels nearer or farther give no points: what `depth.min_m` and `depth.max_m` are
    max_depth_m: float = 6.0  # by default, fixed here, so that all rows are measured on the same points
    top_instances: int = 100  # instances of the highest score that count (§9.2)
    min_vertices: int = 100  # smaller predictions are dropped, smaller truth is ignored (§9.3)
    distance_cut_m: float = 0.05  # of the variant in which far vertices take no mask
    min_truth_px: int = 100  # smaller truth masks of a frame do not count for identity and mask recall
    seed: int = 0  # of the drawn pixels and of the bootstrap
    num_resamples: int = 1000  # of the bootstrap over scenes

    def __post_init__(self) -> None:
        for name in ("frame_stride", "points_per_frame", "top_instances", "min_vertices", "num_resamples"):
            if getattr(self, name) < 1:
                raise ValueError(f"protocol: expected {name} of at least 1, got {getattr(self, name)}")
