"""The sizes of a network, and the presets that have a name. Saved with the weights, so that a file says what it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from autoseg3d_ros.model.decoder import DecoderConfig


@dataclass(frozen=True)
class NetworkConfig:
    """Which modules a network is made of, and how wide they are."""

    backbone: str = "res16unet34c"  # or the pyramids `edge` and `tiny`
    voxel_m: float = 0.02
    num_points: int = 20_000  # sampled from a frame at most
    min_points: int = 100  # a detection has more than so many of them
    decoder: DecoderConfig = field(default_factory=DecoderConfig)
    memory_heads: int = 8  # of STM, LTM and LMI
    unites_superpoints: bool = False  # by geometry, before it sees them; not in the published model
    voxel_memory: bool = True
    fragment_merging: bool = True  # LMI
    partition: bool = False  # LMI parts the superpoints into objects, after the decoder; published: before it
    short_term: bool = True  # STM
    short_term_residual: bool = False  # STM adds to the features, at first nothing; published: ReLU over the sum
    long_term: bool = True  # LTM
    dustbin: bool = False  # LTM: a detection may choose none of the tracks
    embedding_norm: Literal["", "layer", "batch"] = (
        ""  # layer or batch: ESAM's embedding for association; empty = the network has none
    )


PRESETS = {
    # The paper's sizes (`method.md` §10).
    "base": NetworkConfig(),
    # For robots without a GPU: the sparse feature pyramid, else as base (`reference/edge_backbone.md`).
    "edge": NetworkConfig(backbone="edge"),
    # Small enough to train on two CPU cores.
    "tiny": NetworkConfig(
        backbone="tiny",
        voxel_m=0.04,
        num_points=10_000,
        min_points=8,
        unites_superpoints=True,
        decoder=DecoderConfig(
            in_channels=64,
            width=128,
            num_point_predictions=1,
            num_heads=4,
            hidden=512,
            knows_void=True,
            has_places=True,
        ),
        memory_heads=4,
        partition=True,
        short_term_residual=True,
    ),
}
