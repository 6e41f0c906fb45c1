"""The network of AutoSeg3D: sampled points of one frame in, detections with features for tracking out."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.fragments import FragmentMerging
from autoseg3d_ros.memory.long_term import LongTermMemory
from autoseg3d_ros.memory.merge_head import MergeHead
from autoseg3d_ros.memory.partition import DecodedFragments, FragmentPartition
from autoseg3d_ros.memory.short_term import NoShortTermMemory, ShortTermMemory, ShortTermState
from autoseg3d_ros.model.backbone import Res16UNet34C
from autoseg3d_ros.model.decoder import Decoded, QueryDecoder
from autoseg3d_ros.model.filtering import FilterConfig, FilteredQueries, filter_parts, filter_queries
from autoseg3d_ros.model.group_reduction import mean_by_group
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.model.pooling import GeometricPooling, Pooled
from autoseg3d_ros.model.pyramid_backbone import PyramidBackbone
from autoseg3d_ros.model.sparse import SparseTensor, VoxelGrid
from autoseg3d_ros.model.voxel_memory import MemoryBounds, NoVoxelMemory, VoxelMemory, VoxelMemoryState
from autoseg3d_ros.stage_clock import StageClock

# Of RGB in 0..255 (`method.md` §1.4).
_COLOUR_MEAN = (121.8725, 109.7331, 95.6148)
_COLOUR_STD = (72.2791, 70.2937, 68.8984)


@dataclass(frozen=True)
class NetworkInput:
    """The sampled points of one frame and the voxels that they fall into."""

    xyz_m: Tensor  # (N, 3) float32, world
    colour: Tensor  # (N, 3) float32, normalised
    superpoint: Tensor  # (N,) int64 in [0, S)
    num_superpoints: int
    grid: VoxelGrid
    voxel_of_point: Tensor  # (N,) int64
    borders: Tensor | None = None  # (S, S, 7) `BorderCues`, for a network with a partition

    @classmethod
    def of_points(
        cls,
        xyz_m: Tensor,
        rgb: Tensor,
        superpoint: Tensor,
        num_superpoints: int,
        voxel_m: float,
        borders: Tensor | None = None,
    ) -> NetworkInput:
        """Voxelise points (N, 3) in metres with colours (N, 3) in 0..255 (`method.md` §1.4)."""
        mean, std = (torch.tensor(values, device=rgb.device) for values in (_COLOUR_MEAN, _COLOUR_STD))
        one_sample = torch.zeros(len(xyz_m), dtype=torch.int64, device=xyz_m.device)
        grid, voxel_of_point = VoxelGrid.of_points(xyz_m, one_sample, voxel_m)
        return cls(xyz_m, (rgb - mean) / std, superpoint, num_superpoints, grid, voxel_of_point, borders)


@dataclass
class NetworkState:
    """What the network remembers between the frames of one sequence."""

    superpoints: ShortTermState
    voxels: VoxelMemoryState = field(default_factory=VoxelMemoryState)


@dataclass(frozen=True)
class FrameDetections:
    """The objects of one frame, by falling score; their masks may overlap."""

    mask: Tensor  # (D, N) bool
    score: Tensor  # (D,) in [0, 1]
    label: Tensor  # (D,) int64
    embedding: Tensor  # (D, d) of the decoder
    box_m: Tensor  # (D, 6) centre and size, of the whole object

    def __len__(self) -> int:
        return len(self.score)


class AutoSeg3D(nn.Module):
    """Points -> features -> superpoints -> queries -> detections. Stateless: what lasts is `NetworkState`."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        width, heads = config.decoder.width, config.memory_heads
        self.config = config
        self.backbone = Res16UNet34C() if config.backbone == "res16unet34c" else PyramidBackbone.of(config.backbone)
        self.voxel_memory = VoxelMemory(self.backbone.memory_channels) if config.voxel_memory else NoVoxelMemory()
        self.pooling = GeometricPooling(config.decoder.in_channels, config.decoder.has_places)
        before_decoder = config.fragment_merging and not config.partition
        self.fragment_merging = FragmentMerging(width, heads) if before_decoder else None
        self.short_term = (
            ShortTermMemory(config.decoder.in_channels, heads, residual=config.short_term_residual)
            if config.short_term
            else NoShortTermMemory()
        )
        self.decoder = QueryDecoder(config.decoder)
        self.long_term = LongTermMemory(width, heads, config.dustbin) if config.long_term else None
        self.merge_head = MergeHead(width, config.embedding_norm) if config.embedding_norm else None
        self.partition = FragmentPartition(width, heads) if config.fragment_merging and config.partition else None
        self.bounds = MemoryBounds(config.voxel_m)  # of the voxel memory

    def forward(
        self, points: NetworkInput, state: NetworkState, filters: FilterConfig, clock: StageClock
    ) -> FrameDetections:
        """Return the detections of one frame, and remember its features in `state` (`method.md` §0)."""
        # Sparse convolutions over the voxels, which take in what was seen there before.
        with clock.stage("encode"):
            features = self.encode(points, state)

        # Superpoints, of which LMI unites the fragments of one object (§7.1).
        with clock.stage("merge"):
            pooled = self.pooling(points.xyz_m, features, points.superpoint, points.num_superpoints)
            superpoint, pooled = self.merge_fragments(points, features, pooled)

        # STM: superpoints look at those of the last frames (§6).
        with clock.stage("refresh"):
            pooled = self.refresh(pooled, state)

        # One query a superpoint; masks over points, boxes, scores (§3, §9.1).
        with clock.stage("decode"):
            decoded = self.decoder(points.xyz_m, features, superpoint, pooled)

        # Which of them are objects; with a partition, what LMI unites of the decoded.
        with clock.stage("filter"):
            objects = self.choose(decoded, points, pooled, filters)
            return _detections(objects, decoded, points.xyz_m)

    def encode(self, points: NetworkInput, state: NetworkState) -> Tensor:
        """Return the features (N, C) of the points; the voxel memory in `state` takes in this frame (§2.1, §2.2)."""
        colour = mean_by_group(points.colour, points.voxel_of_point, points.grid.num_voxels(1))
        voxels = self.backbone(
            SparseTensor(colour, points.grid, 1),
            lambda levels: self.voxel_memory(levels, state.voxels, self.bounds),
        )
        return voxels.features[points.voxel_of_point]

    def merge_fragments(self, points: NetworkInput, features: Tensor, pooled: Pooled) -> tuple[Tensor, Pooled]:
        """Return the superpoint (N,) of each point after LMI, if it comes here, and what is pooled of these (§7.1)."""
        if self.fragment_merging is None:
            return points.superpoint, pooled
        cluster = self.fragment_merging(self.decoder.propose(pooled))
        num_clusters = int(cluster.max()) + 1 if len(cluster) else 0
        if num_clusters == points.num_superpoints:
            return points.superpoint, pooled
        superpoint = cluster[points.superpoint]
        return superpoint, self.pooling(points.xyz_m, features, superpoint, num_clusters)

    def refresh(self, pooled: Pooled, state: NetworkState) -> Pooled:
        """Return the superpoints with what STM adds to their features, which it then remembers (§6)."""
        features = self.short_term(pooled.features, pooled.centroid_m, state.superpoints)
        return replace(pooled, features=features)

    def choose(self, decoded: Decoded, points: NetworkInput, pooled: Pooled, filters: FilterConfig) -> FilteredQueries:
        """Return the objects of a frame: its sure queries with their masks, or the sure parts of its partition."""
        last = decoded.last
        if self.partition is None:
            return filter_queries(last.class_logits, last.mask_logits, filters, decoded.void)
        part = self.partition(decoded_fragments(decoded, points, pooled))
        return filter_parts(last.class_logits, decoded.void, part, points.superpoint, filters)


def decoded_fragments(decoded: Decoded, points: NetworkInput, pooled: Pooled) -> DecodedFragments:
    """Return what the partition compares, of a frame in which every superpoint is a query."""
    last, num = decoded.last, points.num_superpoints
    assert points.borders is not None and len(decoded.query) == num and last.at_points
    probability = last.mask_logits.float().sigmoid()  # (S, N)
    return DecodedFragments(
        embedding=decoded.embedding,
        box_m=pooled.box_m if last.box_m is None else last.box_m,
        centroid_m=pooled.centroid_m,
        hull_m=pooled.box_m,
        share=mean_by_group(probability.T, points.superpoint, num).T,
        void=probability.new_zeros(num) if decoded.void is None else decoded.void,
        borders=points.borders,
    )


def _detections(objects: FilteredQueries, decoded: Decoded, xyz_m: Tensor) -> FrameDetections:
    query, box_m = objects.query, decoded.last.box_m
    return FrameDetections(
        mask=objects.mask,
        score=objects.score,
        label=objects.label,
        embedding=decoded.embedding[query].float(),
        box_m=(boxes_of_masks(objects.mask, xyz_m) if box_m is None else box_m[query]).float(),
    )


def boxes_of_masks(mask: Tensor, xyz_m: Tensor) -> Tensor:
    """Return centre and size (D, 6) of the points (N, 3) in each mask (D, N), none of which is empty."""
    outside = ~mask[:, :, None]
    low = xyz_m.masked_fill(outside, torch.inf).amin(dim=1)
    high = xyz_m.masked_fill(outside, -torch.inf).amax(dim=1)
    return torch.cat(((low + high) / 2, high - low), dim=1)
