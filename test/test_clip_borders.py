"""What lies across the borders of superpoints, from lifted scenes to the tensors of clips."""

from __future__ import annotations

import numpy as np
import torch
from clip_builders import CACHE, CLASS_IDS, a_scene, cached, still_frames

from autoseg3d_ros.data.scene_folder import SceneFolder
from autoseg3d_ros.lifting.adjacency import border_cues, superpoint_borders
from autoseg3d_ros.lifting.masks import TruthMasks
from autoseg3d_ros.lifting.superpoints import lift
from autoseg3d_ros.lifting.surface import SurfaceEstimator
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.training.augmentation import NO_AUGMENTATION
from autoseg3d_ros.training.cached_scene import CachedScene
from autoseg3d_ros.training.clips import Clip, ClipConfig, ClipSource
from autoseg3d_ros.training.samples import frame_sample


def a_clip(scene: CachedScene, num_points: int = 20_000) -> Clip:
    clips = ClipConfig(num_frames=1, num_points=num_points, masks={"truth-2": 1.0})
    return ClipSource([scene], CLASS_IDS, clips, NO_AUGMENTATION).clip(0, 0)


def test_borders_are_lifted_as_in_a_run(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(1)))
    stored = next(iter(SceneFolder(tmp_path / "room").source().frames()))
    lifted = lift(stored, TruthMasks(2, 0).masks(stored), CACHE.run.depth, CACHE.run.lifting, seed=0)
    surfaces = SurfaceEstimator(CACHE.run.regions.working_width_px, CACHE.run.regions.noise_scale)
    expected = border_cues(superpoint_borders(lifted, surfaces.of(stored)))
    borders = scene.frame(0, "truth-2").borders["truth-2"]
    assert borders.pairs.tolist() == expected.pairs.tolist() == [[0, 1], [2, 3]]  # the pieces of each block
    assert np.allclose(borders.values, expected.values, atol=2e-3)  # half precision
    clip = a_clip(scene)
    network = NetworkConfig(partition=True)
    points = frame_sample(clip, 0, network, torch.device("cpu")).points
    assert np.array_equal(points.borders, borders.matrix(4))
    assert frame_sample(clip, 0, NetworkConfig(), torch.device("cpu")).points.borders is None


def test_borders_keep_to_their_superpoints_where_some_are_not_drawn(tmp_path):
    (scene,) = cached(tmp_path / "cache", a_scene(tmp_path / "room", still_frames(1)))
    ids = np.unique(scene.frame(0, "truth-2").superpoint["truth-2"])
    for num_points in (2, 3, 4, 8, 100):
        (frame,) = a_clip(scene, num_points).frames
        object_of_superpoint = {int(one): int(row) for one, row in zip(frame.superpoint, frame.object_row, strict=True)}
        pairs = frame.borders.pairs
        assert all(object_of_superpoint[int(one)] == object_of_superpoint[int(other)] for one, other in pairs)
        if frame.num_superpoints == len(ids):
            assert pairs.tolist() == [[0, 1], [2, 3]]
