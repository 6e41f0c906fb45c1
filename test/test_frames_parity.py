"""Three frames through everything after the backbone, against the numbers of the published code."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import parity_cases
import torch
from parity_cases import ParityCase
from published_modules import load
from tracking_drivers import LongTermTracks, close, features

from autoseg3d_ros.memory.short_term import ShortTermState
from autoseg3d_ros.model.autoseg3d import AutoSeg3D, NetworkInput, NetworkState
from autoseg3d_ros.model.filtering import FilterConfig
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.model.sparse import VoxelGrid
from autoseg3d_ros.stage_clock import StageClock

PARTS = ("pooling", "fragment_merging", "short_term", "decoder", "long_term")


class AfterTheBackbone(AutoSeg3D):
    """The network with the features of the points given."""

    def __init__(self, case: ParityCase) -> None:
        super().__init__(NetworkConfig(backbone="tiny", voxel_memory=False))
        for part in PARTS:
            load(getattr(self, part), f"{part}.", case.meta["weights_seed"], case.meta["weight_overrides"])
        self.given = torch.zeros(0, 96)

    def encode(self, points: NetworkInput, state: NetworkState) -> torch.Tensor:
        return self.given


@parity_cases.parametrize("frames_")
@torch.inference_mode()
def test_three_frames(case: ParityCase) -> None:
    network = AfterTheBackbone(case).eval()
    state = NetworkState(ShortTermState(1))
    tracks = LongTermTracks(case.meta["weights_seed"])
    for frame in range(3):
        found = network(_points(network, case, frame), state, FilterConfig(), StageClock())
        kept = case.expected(f"f{frame}_kept")
        np.testing.assert_array_equal(found.mask.numpy(), case.expected(f"f{frame}_kept_masks"))
        close(found.score, case.expected(f"f{frame}_kept_scores"))
        close(found.embedding, case.expected(f"f{frame}_embedding")[kept])
        (fused, _), expected = state.superpoints.frames[-1], case.expected(f"f{frame}_fused")
        assert fused.shape == expected.shape  # clusters are numbered in another order
        close(fused.sum(dim=0), expected.sum(axis=0), 1e-4)

        faces = network.long_term.embed(found.embedding, found.box_m)
        close(faces.to_store, case.expected(f"f{frame}_u2"))
        close(faces.to_match, case.expected(f"f{frame}_o2"))
        _, score = tracks.affinity(faces.to_match, found.box_m)
        if frame:
            columns = tracks.columns_of(case.expected(f"f{frame - 1}_slot_id"))
            close(score[:, columns], case.expected(f"f{frame}_final_score"))
        seen = features(faces.to_store.numpy(), found.box_m.numpy())
        tracks.observe(score, found.score.numpy(), seen, replace(seen, embedding=found.embedding))
        _compare_tracks(tracks, case, frame)


def _points(network: AfterTheBackbone, case: ParityCase, frame: int) -> NetworkInput:
    xyz_m, network.given, superpoint = (
        torch.from_numpy(case.given(f"f{frame}_{name}")) for name in ("xyz", "point_features", "superpoint")
    )
    grid, voxel_of_point = VoxelGrid.of_points(xyz_m, torch.zeros(len(xyz_m), dtype=torch.int64), 0.02)
    return NetworkInput(xyz_m, xyz_m, superpoint, int(superpoint.max()) + 1, grid, voxel_of_point)


def _compare_tracks(tracks: LongTermTracks, case: ParityCase, frame: int) -> None:
    ids = case.expected(f"f{frame}_slot_id")
    slots = tracks.slots_of(ids)
    assert tracks.live_ids() == sorted(ids.tolist())
    assert tracks.table.num_missed[slots].tolist() == case.expected(f"f{frame}_slot_missed").tolist()
    assert tracks.memory.age[slots].tolist() == case.expected(f"f{frame}_slot_age").tolist()
    close(tracks.memory.at(slots).embedding, case.expected(f"f{frame}_slot_embedding"))
    close(tracks.memory.at(slots).box_m, case.expected(f"f{frame}_slot_box"))
