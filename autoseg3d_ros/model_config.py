"""Settings of the learned model: which network, on which device, and which of its parts take part."""

from __future__ import annotations

from dataclasses import dataclass

from autoseg3d_ros.setting import setting

NO_MODEL, DEFAULT_MODEL = "none", "auto"
DEVICES = "auto, cpu, cuda or cuda:N"
PRECISIONS = ("auto", "float32", "float16", "bfloat16")
ASSOCIATIONS = ("auto", "long_term", "embedding", "geometric")
GEOMETRIC_CUES = ("box", "overlap", "both")


@dataclass(frozen=True)
class ModelConfig:
    """The network and its parts; each part can be switched off (the rows of the paper's ablation)."""

    name: str = setting(
        DEFAULT_MODEL,
        "a model of models/manifest.yaml; none = geometry alone; auto = the default there, where torch is installed",
        read_only=True,
    )
    path: str = setting("", "a .safetensors file in place of a model by name", read_only=True)
    device: str = setting("auto", DEVICES, read_only=True)
    precision: str = setting(
        "auto", "of the network: auto = float16 on CUDA, else float32", choices=PRECISIONS, read_only=True
    )
    voxel_memory: bool = setting(True, "features of earlier frames at the same place", read_only=True)
    fragment_merging: bool = setting(True, "LMI: fragments of one object become one", read_only=True)
    short_term: bool = setting(True, "STM: superpoints look at those of the last frame", read_only=True)
    short_term_frames: int = setting(1, "frames that STM looks back", minimum=1, maximum=10, read_only=True)
    min_affinity: float = setting(
        0.0, "a detection joins a track only above this learned affinity", minimum=0.0, maximum=1.0, read_only=True
    )
    association: str = setting(
        "auto",
        "by LTM, ESAM's embedding or overlap in the map; auto = as trained",
        choices=ASSOCIATIONS,
        read_only=True,
    )
    geometric_cue: str = setting(
        "overlap",
        "what the learned affinity is multiplied by: IoU of boxes, overlap in the map, or their mean",
        choices=GEOMETRIC_CUES,
        read_only=True,
    )
    track_merging: bool = setting(
        False, "tracks that one detection covers time and again become one, beyond the paper", read_only=True
    )
    map_names: bool = setting(
        True, "what a confirmed track owns in the map keeps its name, whatever one frame says", read_only=True
    )
    pose_error_m: float = setting(
        0.0,
        "poses drift by up to this in 10 s: what was out of view so long is looked for so much wider, metres",
        minimum=0.0,
        maximum=0.5,
        read_only=True,
    )


@dataclass(frozen=True)
class DetectionConfig:
    """From the queries of a frame to its detections (`method.md` §9.1)."""

    top_k: int = setting(100, "queries looked at, the best ones", minimum=1)
    min_score: float = setting(0.15, "detections of less score are left out", minimum=0.0, maximum=1.0)
    mask_threshold: float = setting(0.4, "a point belongs to a mask above this", minimum=0.0, maximum=1.0)
    min_points: int = setting(
        0, "a detection has more points than this; 0 = the number that the network comes with", minimum=0
    )


@dataclass(frozen=True)
class FeatureMemoryConfig:
    """Bounds of the voxel memory, at each of its four scales."""

    max_distance_m: float = setting(
        20.0, "features farther from what is seen than this are forgotten, metres", minimum=0.1, read_only=True
    )
    max_voxels: int = setting(300_000, "voxels kept a scale; the farthest go first", minimum=1, read_only=True)
