"""How long a frame of a furnished room takes, stage by stage and network by network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, cast

from autoseg3d_ros import config as configuration
from autoseg3d_ros.build import build_segmenter
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.synthetic.generate import room_camera, room_frames
from autoseg3d_ros.data.synthetic.room import furnished_room
from autoseg3d_ros.structures import Frame

if TYPE_CHECKING:
    from autoseg3d_ros.learned_recognition import LearnedRecognition
    from autoseg3d_ros.model.autoseg3d import NetworkInput

_SEED, _FRAME_RATE_HZ = 1, 10.0
_WARM_UP = 2  # frames: memory is allocated, the voxel memory is empty
_NOT_3D = ("masks", "lift", "map")  # the same with every network
_MASKS = {"masks.source": "truth", "masks.fragments": 3}


@dataclass(frozen=True)
class ModelTiming:
    """The medians over the frames of one network."""

    model: str
    num_parameters: int
    num_voxels: float
    stage_ms: Mapping[str, float]

    @property
    def network_ms(self) -> float:
        """What the network adds to masks, lifting and the map."""
        return sum(time_ms for stage, time_ms in self.stage_ms.items() if stage not in _NOT_3D)


def bench_frames(num_frames: int) -> list[Frame]:
    """Return `_WARM_UP` and `num_frames` frames of a furnished room, 640x480. Raises ImportError without embreex."""
    scene = furnished_room(_SEED)
    return list(room_frames(scene, _SEED, num_frames + _WARM_UP, room_camera(640, 480), _FRAME_RATE_HZ))


def first_input(base: Config, frames: Sequence[Frame]) -> NetworkInput:
    """Return the points and voxels of the first frame, as the base network sees them."""
    segmenter = build_segmenter(configuration.replace(base, {**_MASKS, "model.name": "base"}))
    voxels: NetworkInput = segmenter.perceive(frames[0]).glance
    return voxels


def time_model(model: str, base: Config, frames: Sequence[Frame]) -> ModelTiming:
    """Segment the frames by a model, the warm-up included, and return the medians of the rest."""
    segmenter = build_segmenter(configuration.replace(base, {**_MASKS, "model.name": model}))
    recognition = cast("LearnedRecognition", segmenter.recognition)
    stages, voxels = [], []
    for frame in frames:
        percept = segmenter.perceive(frame)
        voxels.append(percept.glance.grid.num_voxels(1))
        stages.append(segmenter.remember(percept).stage_ms)
    stages = stages[_WARM_UP:]
    return ModelTiming(
        model,
        sum(parameter.numel() for parameter in recognition.network.parameters()),
        median(voxels[_WARM_UP:]),
        {stage: median(one[stage] for one in stages) for stage in stages[0]},
    )
