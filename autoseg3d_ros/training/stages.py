"""The three runs that train a network: which weights learn, from which losses (`method.md` §0, §8.5)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import torch
from torch import Tensor, nn

from autoseg3d_ros.memory.short_term import ShortTermState
from autoseg3d_ros.model.autoseg3d import AutoSeg3D, decoded_fragments
from autoseg3d_ros.model.backbone import unchanged
from autoseg3d_ros.model.decoder import Decoded
from autoseg3d_ros.model.group_reduction import mean_by_group
from autoseg3d_ros.model.pooling import Pooled
from autoseg3d_ros.model.sparse import SparseTensor, VoxelGrid
from autoseg3d_ros.model.voxel_memory import VoxelMemoryState
from autoseg3d_ros.training.batch_share import BatchShare
from autoseg3d_ros.training.contrastive import contrastive_loss
from autoseg3d_ros.training.criterion import (
    CriterionConfig,
    PerceptionLosses,
    one_to_many_losses,
    perception_losses,
)
from autoseg3d_ros.training.fragment_loss import fragment_loss
from autoseg3d_ros.training.matcher import match
from autoseg3d_ros.training.samples import FrameSample
from autoseg3d_ros.training.targets import FrameTargets
from autoseg3d_ros.training.track_losses import TrackedFrame, track_losses

Losses = Mapping[str, Tensor]  # weighted terms by name, each a scalar; their sum is minimised


class Stage(Protocol):
    """One of the runs."""

    def trained(self, network: AutoSeg3D) -> list[nn.Module]:
        """Return the modules that learn; all others are frozen, their statistics too."""
        ...

    def losses(self, network: AutoSeg3D, batch: BatchShare) -> Losses:
        """Return this process's part of the losses of a batch; the parts of all processes add up to the whole."""
        ...


@dataclass
class _Memory:
    """What lasts from frame to frame of a batch."""

    voxels: VoxelMemoryState
    superpoints: list[ShortTermState]

    @classmethod
    def of(cls, num_clips: int, short_term_frames: int) -> _Memory:
        return cls(VoxelMemoryState(), [ShortTermState(short_term_frames) for _ in range(num_clips)])


@dataclass(frozen=True)
class ViewStage:
    """Single views: backbone, pooling and decoder, without memories."""

    criterion: CriterionConfig = field(default_factory=CriterionConfig)

    def trained(self, network: AutoSeg3D) -> list[nn.Module]:
        """Return backbone, pooling and decoder."""
        return [network.backbone, network.pooling, network.decoder]

    def losses(self, network: AutoSeg3D, batch: BatchShare) -> Losses:
        """Return the losses of the first frame of each clip."""
        samples = [clip[0] for clip in batch.clips]
        pooled = _pooled(network, samples, None)
        queries = [frames[0] for frames in batch.queries]
        decoded = [_decoded(network, *one) for one in zip(samples, pooled, queries, strict=True)]
        return _named(perception_losses(decoded, _targets(samples), self.criterion, batch.divisors))


@dataclass(frozen=True)
class ClipStage:
    """Clips: voxel memory and STM beside the rest, one-to-many queries (ICMS), and ESAM's embedding."""

    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    one_to_many: bool = True
    short_term_frames: int = 1  # that STM looks back

    def trained(self, network: AutoSeg3D) -> list[nn.Module]:
        """Return all modules but those of tracking."""
        modules = [network.backbone, network.voxel_memory, network.pooling, network.short_term, network.decoder]
        return modules + ([network.merge_head] if network.merge_head else [])

    def losses(self, network: AutoSeg3D, batch: BatchShare) -> Losses:
        """Return the losses, summed over the frames."""
        memory, frames = _Memory.of(len(batch.clips), self.short_term_frames), []
        total: dict[str, Tensor] = {}
        for samples, queries in _by_frame(batch):
            pooled = _pooled(network, samples, memory)
            decoded = [
                _decoded(network, *one, with_fragments=self.one_to_many)
                for one in zip(samples, pooled, queries, strict=True)
            ]
            _add(total, _named(perception_losses(decoded, _targets(samples), self.criterion, batch.divisors)))
            if self.one_to_many:
                branch = [one.fragments for one in decoded if one.fragments is not None]
                many = one_to_many_losses(branch, _targets(samples), self.criterion, batch.divisors)
                _add(total, {"one_to_many": many.total})
            frames.append(decoded)
        if network.merge_head:
            total["contrastive"] = self._contrastive(network.merge_head, frames, batch)
        return total

    def _contrastive(self, head: nn.Module, frames: Sequence[Sequence[Decoded]], batch: BatchShare) -> Tensor:
        losses = []
        for clip, decoded in zip(batch.clips, zip(*frames, strict=True), strict=True):
            belongs = [sample.targets.belongs(one.query) for sample, one in zip(clip, decoded, strict=True)]
            losses.append(contrastive_loss([head(one.embedding) for one in decoded], belongs))
        share = len(losses) / batch.divisors.num_samples
        return self.criterion.weights.contrastive * share * torch.stack(losses).mean()


@dataclass(frozen=True)
class TrackStage:
    """Tracking: LTM and LMI on frozen perception (§5.6, §7.1)."""

    criterion: CriterionConfig = field(default_factory=CriterionConfig)
    update_rule: str = "count"
    short_term_frames: int = 1  # that STM looks back

    def trained(self, network: AutoSeg3D) -> list[nn.Module]:
        """Return LTM and LMI."""
        modules = (network.long_term, network.partition or network.fragment_merging)
        return [module for module in modules if module is not None]

    def losses(self, network: AutoSeg3D, batch: BatchShare) -> Losses:
        """Return the losses, summed over the frames and, as released, over the clips."""
        weights, long_term = self.criterion.weights, network.long_term
        assert long_term is not None
        memory, fragments = _Memory.of(len(batch.clips), self.short_term_frames), []
        tracked: list[list[TrackedFrame]] = [[] for _ in batch.clips]
        for samples, queries in _by_frame(batch):
            with torch.no_grad():
                pooled = _pooled(network, samples, memory, refresh=False)
            for number, (sample, found, query) in enumerate(zip(samples, pooled, queries, strict=True)):
                with torch.no_grad():
                    refreshed = _refreshed(network, found, memory.superpoints[number])
                    tracked[number].append(self._tracked(network, sample, refreshed, query))
                fragments.append(_fragment_loss(network, sample, found[1], refreshed))
        losses = [track_losses(long_term, frames, self.update_rule) for frames in tracked]
        return {
            "match": weights.track_match * _sum([one.match for one in losses]),
            "gate": weights.track_gate * _sum([one.gate for one in losses]),
            "fragments": weights.fragments * _sum(fragments),
        }

    def _tracked(
        self, network: AutoSeg3D, sample: FrameSample, found: tuple[Tensor, Pooled], query: Tensor
    ) -> TrackedFrame:
        decoded = _decoded(network, sample, found, query)
        belongs, last = sample.targets.belongs(decoded.query), decoded.last
        assert last.box_m is not None
        matched = match(last, sample.targets, belongs, self.criterion.matching)
        return TrackedFrame(decoded.embedding, last.box_m, belongs, matched)


def _by_frame(batch: BatchShare) -> Iterator[tuple[Sequence[FrameSample], Sequence[Tensor]]]:
    """Yield the samples and the queries of a frame of each clip, frame after frame."""
    return zip(zip(*batch.clips, strict=True), zip(*batch.queries, strict=True), strict=True)


def _pooled(
    network: AutoSeg3D, samples: Sequence[FrameSample], memory: _Memory | None, refresh: bool = True
) -> list[tuple[Tensor, Pooled]]:
    """Return point features (N, C) and pooled superpoints of a frame of each clip."""
    features = encode_batch(network, samples, memory.voxels if memory else None)
    pooled = []
    for number, (sample, one) in enumerate(zip(samples, features, strict=True)):
        points = sample.points
        found = (one, network.pooling(points.xyz_m, one, points.superpoint, points.num_superpoints))
        pooled.append(_refreshed(network, found, memory.superpoints[number]) if memory and refresh else found)
    return pooled


def encode_batch(network: AutoSeg3D, samples: Sequence[FrameSample], state: VoxelMemoryState | None) -> list[Tensor]:
    """Return the point features (N, C) of each sample; together, so that normalisation sees the whole batch.

    `state` is the voxel memory of the batch; None = without memory.
    """
    points = [sample.points for sample in samples]
    lengths = [len(one.xyz_m) for one in points]
    batch = torch.repeat_interleave(torch.arange(len(points)), torch.tensor(lengths)).to(points[0].xyz_m.device)
    xyz_m, colour = torch.cat([one.xyz_m for one in points]), torch.cat([one.colour for one in points])
    grid, voxel_of_point = VoxelGrid.of_points(xyz_m, batch, network.config.voxel_m)
    voxels = SparseTensor(mean_by_group(colour, voxel_of_point, grid.num_voxels(1)), grid, 1)
    memory = unchanged if state is None else lambda levels: network.voxel_memory(levels, state, network.bounds)
    return list(network.backbone(voxels, memory).features[voxel_of_point].split(lengths))


def _refreshed(network: AutoSeg3D, found: tuple[Tensor, Pooled], state: ShortTermState) -> tuple[Tensor, Pooled]:
    """Return the same point features, and the superpoints after STM, which `state` then remembers."""
    features, pooled = found
    fused = network.short_term(pooled.features, pooled.centroid_m, state)
    return features, replace(pooled, features=fused)


def _decoded(
    network: AutoSeg3D,
    sample: FrameSample,
    found: tuple[Tensor, Pooled],
    query: Tensor,
    with_fragments: bool = False,
) -> Decoded:
    """Decode a frame with the superpoints `query` (Q,) as queries."""
    features, pooled = found
    points = sample.points
    return network.decoder(points.xyz_m, features, points.superpoint, pooled, query, with_fragments=with_fragments)


def _fragment_loss(network: AutoSeg3D, sample: FrameSample, pooled: Pooled, refreshed: tuple[Tensor, Pooled]) -> Tensor:
    """Return the loss of LMI for all superpoints: as published before STM, or of what is decoded after it."""
    truth = sample.targets.fragment, sample.targets.void
    if network.partition is None:
        assert network.fragment_merging is not None
        with torch.no_grad():
            proposed = network.decoder.propose(pooled)
        return fragment_loss(network.fragment_merging, proposed, *truth)
    with torch.no_grad():
        features, pooled = refreshed
        decoded = network.decoder(sample.points.xyz_m, features, sample.points.superpoint, pooled)
        described = decoded_fragments(decoded, sample.points, pooled)
    return fragment_loss(network.partition, described, *truth)


def _targets(samples: Sequence[FrameSample]) -> list[FrameTargets]:
    return [sample.targets for sample in samples]


def _named(losses: PerceptionLosses) -> dict[str, Tensor]:
    return {
        "class": losses.classification,
        "mask": losses.mask,
        "dice": losses.dice,
        "box": losses.box,
        "semantic": losses.semantic,
    }


def _add(total: dict[str, Tensor], terms: Mapping[str, Tensor]) -> None:
    for name, term in terms.items():
        total[name] = total[name] + term if name in total else term


def _sum(terms: Sequence[Tensor]) -> Tensor:
    return torch.stack(list(terms)).sum()
