"""The three runs: what learns and what does not, that they learn, and how queries are drawn."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from train_builders import SMALL, STAGES, FewClips, a_stage, a_trainer

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.checkpoint import save_network, with_random_weights
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.training import build
from autoseg3d_ros.training.augmentation import NO_AUGMENTATION, AugmentationConfig
from autoseg3d_ros.training.batch_share import batch_share, draw_queries
from autoseg3d_ros.training.loop import TrainedStage, optimizer_of
from autoseg3d_ros.training.processes import ALONE
from autoseg3d_ros.training.stages import Losses, Stage
from autoseg3d_ros.training.train_config import TrainConfig

pytestmark = pytest.mark.usefixtures("one_thread")

LEARNS = {
    "view": {"backbone", "pooling", "decoder"},
    "clips": {"backbone", "voxel_memory", "pooling", "short_term", "decoder", "merge_head"},
    "tracks": {"long_term", "fragment_merging"},
}


# A choice among tracks does not change where all their logits are shifted alike: with no dustbin beside them, its
# gradient is 0 but for rounding.
SHIFTS_ALL_ALIKE = {"long_term.match_logit.bias"}


def a_network() -> AutoSeg3D:
    """Return a network whose voxel memory takes part from the first step on."""
    network = with_random_weights(SMALL, 0)
    for adapter in network.voxel_memory.adapters:
        torch.nn.init.ones_(adapter.fusion_norm.weight)
    return network


def losses_of(network: AutoSeg3D, kind: str, **source: int) -> Losses:
    config = a_stage(kind)
    clips = [FewClips(num_frames=config.num_frames, **source).clip(0, index) for index in range(config.batch)]
    return STAGES[kind].losses(network, batch_share(clips, SMALL, ALONE, torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("kind", STAGES)
def test_gradients_reach_what_learns_and_nothing_else(kind):
    network = a_network()
    optimizer = optimizer_of(TrainedStage(a_stage(kind), STAGES[kind], FewClips()), network)
    torch.stack(list(losses_of(network, kind).values())).sum().backward()
    reached = {name for name, one in network.named_parameters() if one.grad is not None and one.grad.any()}
    expected = {name for name, _ in network.named_parameters() if name.split(".")[0] in LEARNS[kind]}
    assert expected - SHIFTS_ALL_ALIKE <= reached <= expected
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(expected)


def test_a_partition_learns_with_the_tracks_and_nothing_else_does_for_it():
    network = with_random_weights(replace(SMALL, partition=True), 0)
    modules = STAGES["tracks"].trained(network)
    assert modules == [network.long_term, network.partition]
    clips = [FewClips(num_frames=2).clip(0, index) for index in range(2)]
    batch = batch_share(clips, network.config, ALONE, torch.Generator().manual_seed(0))
    STAGES["tracks"].losses(network, batch)["fragments"].backward()
    reached = {name.split(".")[0] for name, one in network.named_parameters() if one.grad is not None}
    assert reached == {"partition"}
    assert all(one.grad.any() for one in network.partition.parameters())


def test_all_modules_learn_in_some_stage():
    modules = {name.split(".")[0] for name, _ in with_random_weights(SMALL, 0).named_parameters()}
    assert set.union(*LEARNS.values()) == modules


@pytest.mark.parametrize("kind", STAGES)
def test_frozen_modules_stay_as_they_are(tmp_path, kind):
    network = a_network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    a_trainer(tmp_path, [a_stage(kind, 2)], network=network).run(lambda: False, lambda line: None)
    changed = {name.split(".")[0] for name, tensor in network.state_dict().items() if not tensor.equal(before[name])}
    assert changed == LEARNS[kind]


@pytest.mark.parametrize("kind", STAGES)
def test_the_loss_of_few_clips_falls(tmp_path, kind):
    totals: list[float] = []
    lines = lambda line: totals.append(float(line.split("loss ")[1].split()[0]))  # noqa: E731
    a_trainer(tmp_path, [a_stage(kind, 10)]).run(lambda: False, lines)
    assert len(totals) == 10
    assert totals[-1] < (0.95 if kind == "tracks" else 0.65) * totals[0]


@pytest.mark.parametrize("kind", STAGES)
def test_clips_without_an_object(kind):
    network = a_network()
    losses = losses_of(network, kind, num_objects=0)
    assert all(torch.isfinite(loss) for loss in losses.values())
    torch.stack(list(losses.values())).sum().backward()


def a_track_stage(network: AutoSeg3D, stage: Stage, num_frames: int = 3) -> Losses:
    """Return the losses of longer clips, with dropout off."""
    clips = [FewClips(num_frames=num_frames).clip(0, index) for index in range(2)]
    return stage.losses(network.eval(), batch_share(clips, SMALL, ALONE, torch.Generator().manual_seed(0)))


def test_a_dustbin_learns_with_the_tracks():
    network = with_random_weights(replace(SMALL, dustbin=True), 0)
    a_track_stage(network, STAGES["tracks"])["match"].backward()
    assert all(one.grad is not None and one.grad.any() for one in network.long_term.none_logit.parameters())


def test_short_term_memory_learns_to_look_back_as_far_as_told():
    losses = [a_track_stage(a_network(), replace(STAGES["tracks"], short_term_frames=num)) for num in (1, 2, 5)]
    assert losses[0]["match"] != losses[1]["match"] == losses[2]["match"]  # the third frame sees both, or all, before
    losses = [a_track_stage(a_network(), replace(STAGES["clips"], short_term_frames=num)) for num in (1, 2, 5)]
    assert losses[0]["mask"] != losses[1]["mask"] == losses[2]["mask"]


def test_the_configuration_reaches_the_network_and_the_stages(tmp_path):
    config = TrainConfig("tiny", "nowhere", (), seed=1, dustbin=True, short_term_frames=3)
    assert build._stage(a_stage("clips"), config).short_term_frames == 3
    assert build._stage(a_stage("tracks"), config).short_term_frames == 3
    for augment, expected in ((True, AugmentationConfig()), (False, NO_AUGMENTATION)):
        assert build._source(a_stage("clips"), replace(config, augment=augment), [], [])._augmentation == expected
    plain = build.initial_network(replace(config, dustbin=False, seed=0))
    save_network(plain, tmp_path / "clips.safetensors")
    network = build.initial_network(replace(config, initial=str(tmp_path / "clips.safetensors")))
    assert network.config == replace(plain.config, dustbin=True)
    others = {key: value for key, value in network.state_dict().items() if "none_logit" not in key}
    assert others.keys() == plain.state_dict().keys() and len(others) == len(network.state_dict()) - 2
    assert all(value.equal(plain.state_dict()[key]) for key, value in others.items())


def test_another_lmi_may_begin_anew(tmp_path):
    published = replace(PRESETS["tiny"], partition=False, embedding_norm="layer")
    save_network(with_random_weights(published, 3), tmp_path / "published.safetensors")
    config = TrainConfig("tiny", "nowhere", (), initial=str(tmp_path / "published.safetensors"))
    network, former = build.initial_network(config), with_random_weights(published, 3)
    assert network.config.partition
    for key, value in former.state_dict().items():
        if not key.startswith("fragment_merging."):
            assert value.equal(network.state_dict()[key]), key


def test_queries():
    def drawn(seed: int = 0) -> list[list[torch.Tensor]]:
        return draw_queries([[0, 100], [1, 7]], torch.Generator().manual_seed(seed))

    queries = drawn()
    assert [[len(query) > 0 for query in frames] for frames in queries] == [[False, True], [True, True]]
    assert 50 <= len(queries[0][1]) <= 100 and 4 <= len(queries[1][1]) <= 7
    assert all(query.unique().equal(query) for frames in queries for query in frames)
    assert all(query.equal(again) for frames, others in zip(queries, drawn(), strict=True)
               for query, again in zip(frames, others, strict=True))  # fmt: skip
    assert not drawn(1)[0][1].equal(queries[0][1])
