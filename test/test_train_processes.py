"""Two processes with a clip each learn what one process learns from both clips."""

from __future__ import annotations

import json
import os
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn
from train_builders import SMALL, STAGES, FewClips, a_stage, a_trainer, stop_after

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.backbone import VoxelNorm
from autoseg3d_ros.model.checkpoint import with_random_weights
from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training import batch_share
from autoseg3d_ros.training.build import build_trainer
from autoseg3d_ros.training.loop import NotFiniteError
from autoseg3d_ros.training.processes import ALONE, Processes, joined
from autoseg3d_ros.training.samples import FrameSample, frame_sample
from autoseg3d_ros.training.synchronised_norm import synchronise
from autoseg3d_ros.training.train_config import TrainConfig

VIEW = a_stage("view", 2)
RUNS = (*STAGES, "two")
THREE_FRAMES = replace(a_stage("clips", 2), num_frames=3)


def a_network(processes: Processes) -> AutoSeg3D:
    """Return a network without dropout, which is drawn in each process for itself."""
    network = with_random_weights(SMALL, 0)
    network.short_term.attention.dropout = 0.0
    if processes.count > 1:
        synchronise(network)
    return network


def in_double(*args: Any) -> FrameSample:
    """Return a sample in double precision: the rounding of sums in another order is otherwise 3e-4 of a gradient."""
    sample = frame_sample(*args)
    points = replace(sample.points, xyz_m=sample.points.xyz_m.double(), colour=sample.points.colour.double())
    return FrameSample(points, replace(sample.targets, box_m=sample.targets.box_m.double()))


def learn(folder: Path, processes: Processes) -> None:
    """Train a step of each stage, and two of longer clips, all from the same weights; write gradients and statistics.

    LTM computes in single precision anyway.
    """
    runs = {**{kind: a_stage(kind, 1) for kind in STAGES}, "two": replace(THREE_FRAMES, learning_rate=1e-5)}
    for name, stage in runs.items():
        is_double = stage.kind != "tracks"
        network = a_network(processes).to(torch.float64 if is_double else torch.float32)
        with mock.patch.object(batch_share, "frame_sample", in_double if is_double else frame_sample):
            a_trainer(folder / name, [stage], processes=processes, network=network).run(lambda: False, str)
        gradient = {key: one.grad for key, one in network.named_parameters() if one.grad is not None}
        torch.save((gradient, dict(network.named_buffers())), folder / f"{name}_{processes.rank}.pt")


def stumble(folder: Path, processes: Processes) -> None:
    """Meet what only the second process knows of."""
    is_second = processes.rank == 1
    trainer = a_trainer(folder / "stopped", [VIEW], processes=processes, network=a_network(processes))
    assert not trainer.run(stop_after(1 if is_second else 100), str)
    processes.any(False)  # the first one has written its checkpoint
    assert trainer.run(lambda: False, str)

    trainer = a_trainer(
        folder / "empty",
        [THREE_FRAMES],
        processes=processes,
        network=a_network(processes),
        clips=FewClips(empty_clip=1),
    )
    assert trainer.run(lambda: False, str)

    trainer = a_trainer(folder / "spoilt", [VIEW], processes=processes, network=a_network(processes))
    if is_second:
        nn.init.constant_(next(trainer.network.decoder.parameters()), torch.nan)
    with pytest.raises(NotFiniteError, match=f"room_{processes.rank} frames"):
        trainer.run(lambda: False, str)


def work(rank: int, port: int, folder: Path) -> None:
    """What a process of two does."""
    torch.set_num_threads(1)
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE="2")
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    with joined("cpu") as processes:
        assert (processes.rank, processes.count) == (rank, 2)
        learn(folder, processes)
        stumble(folder, processes)


@pytest.fixture(scope="module")
def folders(tmp_path_factory) -> tuple[Path, Path]:
    """Return what one process and what two have written."""
    one, two = tmp_path_factory.mktemp("one"), tmp_path_factory.mktemp("two")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(work, (port, two), nprocs=2)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    learn(one, ALONE)
    torch.set_num_threads(before)
    return one, two


def log_of(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def distance(values: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    """Return the length of the difference over that of what is expected, all tensors as one vector."""
    assert values.keys() == expected.keys()
    both = [torch.cat([one[name].flatten().double() for name in expected]) for one in (values, expected)]
    return float((both[0] - both[1]).norm() / both[1].norm())


@pytest.mark.parametrize("name", RUNS)
def test_losses_gradients_and_statistics_are_those_of_one_process(folders, name):
    one, two = folders
    lines, expected = log_of(two / name), log_of(one / name)
    assert len(lines) == len(expected) == (2 if name == "two" else 1)
    for line, same in zip(lines, expected, strict=True):
        terms = same.keys() - {"stage", "seconds"}
        assert {term: line[term] for term in terms} == pytest.approx({term: same[term] for term in terms}, rel=1e-5)
    gradient, buffers = torch.load(one / f"{name}_0.pt")
    for rank in range(2):
        other_gradient, other_buffers = torch.load(two / f"{name}_{rank}.pt")
        assert distance(other_gradient, gradient) < 1e-6
        assert distance(other_buffers, buffers) < 1e-6


def test_both_processes_end_with_the_same_weights(folders):
    for name in RUNS:
        first, second = (torch.load(folders[1] / f"{name}_{rank}.pt") for rank in range(2))
        assert all(one.equal(second[0][key]) for key, one in first[0].items())
        assert all(one.equal(second[1][key]) for key, one in first[1].items())


def test_they_stop_together(folders):
    assert [line["iteration"] for line in log_of(folders[1] / "stopped")] == [0, 1]


def test_a_process_without_a_point_keeps_the_others_company(folders):
    assert len(log_of(folders[1] / "empty")) == 2


def test_no_process_learns_from_what_is_no_number(folders):
    assert not (folders[1] / "spoilt" / "log.jsonl").exists()


def test_alone():
    values = torch.tensor([1.0, 2.0])
    assert ALONE.summed(values) is values and ALONE.gathered(values) is values
    assert ALONE.any(True) and not ALONE.any(False)


def test_a_batch_that_cannot_be_shared(tmp_path):
    config = TrainConfig("tiny", str(tmp_path), (a_stage("view", batch=4),))
    with pytest.raises(ConfigError, match="view: batch: expected a multiple of the number of processes, 3, got 4"):
        build_trainer(config, tmp_path, Processes(0, 3))


def test_a_named_gpu_is_not_for_two(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="cpu or cuda"), joined("cuda:1"):
        pass


def test_tensors_keep_their_names_and_places():
    network, twin = (with_random_weights(SMALL, 0) for _ in range(2))
    before = {name: tensor.data_ptr() for name, tensor in network.state_dict().items()}
    synchronise(network)
    assert {name: tensor.data_ptr() for name, tensor in network.state_dict().items()} == before
    assert list(before) == list(twin.state_dict())
    assert {type(one).__name__ for one in network.modules() if isinstance(one, VoxelNorm)} == {"SynchronisedNorm"}
