"""A frame of a clip as the tensors that the network takes and the criterion asks for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from autoseg3d_ros.model.autoseg3d import NetworkInput
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.training.clips import Clip
from autoseg3d_ros.training.targets import NOTHING, ClipObjects, FrameTargets, PointTruth, frame_targets


@dataclass(frozen=True)
class FrameSample:
    """What goes in and what has to come out."""

    points: NetworkInput
    targets: FrameTargets


def frame_sample(clip: Clip, index: int, network: NetworkConfig, device: torch.device) -> FrameSample:
    """Return frame `index` of a clip on a device.

    The clip's classes have to be less than those of the semantic head. Objects have them as labels, too, or all the
    label 0 where the network only tells objects from background (`method.md` §8.1).
    """
    frame, decoder = clip.frames[index], network.decoder

    def tensor(values: np.ndarray, dtype: torch.dtype | None = None) -> Tensor:
        return torch.from_numpy(values).to(device, dtype)

    superpoint = tensor(frame.superpoint, torch.int64)
    points = NetworkInput.of_points(
        tensor(frame.xyz_m),
        tensor(frame.rgb),
        superpoint,
        frame.num_superpoints,
        network.voxel_m,
        tensor(frame.borders.matrix(frame.num_superpoints)) if network.partition else None,
    )
    void = decoder.num_semantics if decoder.knows_void else NOTHING
    of_object = np.append(clip.semantic, void)  # void is row -1, the last one
    label = clip.semantic if decoder.num_classes > 1 else np.zeros_like(clip.semantic)
    truth = PointTruth(tensor(frame.object_row, torch.int64), tensor(of_object[frame.object_row], torch.int64))
    objects = ClipObjects(tensor(frame.box_m), tensor(label, torch.int64))
    targets = frame_targets(truth, superpoint, frame.num_superpoints, objects, decoder.num_semantics + 1)
    return FrameSample(points, targets)
