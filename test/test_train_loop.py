"""The loop: exact resume wherever it was stopped, checkpoints, the log, and what ends a run."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from train_builders import STAGES, FewClips, a_stage, a_trainer, stop_after

from autoseg3d_ros.model.checkpoint import load_network
from autoseg3d_ros.setting import ConfigError
from autoseg3d_ros.training import loop, train_log
from autoseg3d_ros.training.loop import NotFiniteError
from autoseg3d_ros.training.processes import ALONE, Processes
from autoseg3d_ros.training.train_log import TrainLog, cut_log

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = [a_stage(kind, 2) for kind in STAGES]
KINDS = list(STAGES)


def log_of(out: Path) -> list[dict]:
    lines = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
    return [{name: value for name, value in line.items() if name != "seconds"} for line in lines]


def ignored(line: str) -> None:
    pass


def never() -> bool:
    return False


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("whole")
    torch.set_num_threads(1)
    assert a_trainer(out, ALL).run(never, ignored)
    return out


def test_what_a_run_leaves(whole):
    assert {path.name for path in whole.iterdir() if path.is_file()} == {
        *(f"{kind}.safetensors" for kind in KINDS),
        "checkpoint.pt",
        "log.jsonl",
    }
    places = [(line["stage"], line["iteration"]) for line in log_of(whole)]
    assert places == [(kind, iteration) for kind in KINDS for iteration in range(2)]
    assert list(log_of(whole)[-1]) == ["stage", "iteration", "match", "gate", "fragments", "gradient"]


@pytest.mark.parametrize("num_iterations", [0, 1, 2, 3, 5])
def test_a_resumed_run_is_the_same_bit_for_bit(tmp_path, whole, num_iterations):
    assert not a_trainer(tmp_path, ALL).run(stop_after(num_iterations), ignored)
    assert not num_iterations or log_of(tmp_path) == log_of(whole)[:num_iterations]
    assert a_trainer(tmp_path, ALL).run(never, ignored)
    assert log_of(tmp_path) == log_of(whole)
    expected = load_network(whole / "tracks.safetensors").state_dict()
    network = load_network(tmp_path / "tracks.safetensors").state_dict()
    assert all(network[name].equal(tensor) for name, tensor in expected.items())


def test_a_killed_run_goes_on_from_its_last_checkpoint(tmp_path, whole, monkeypatch):
    def killed(*_args: object) -> None:
        raise KeyboardInterrupt

    trainer = a_trainer(tmp_path, ALL)
    step, count = trainer._step, iter(range(100))
    # The checkpoint is the one at the begin of the second stage; what follows is lost, and its line in the log too.
    monkeypatch.setattr(trainer, "_step", lambda *args: step(*args) if next(count) < 3 else killed())
    with pytest.raises(KeyboardInterrupt):
        trainer.run(never, ignored)
    assert len(log_of(tmp_path)) == 3
    assert a_trainer(tmp_path, ALL).run(never, ignored)
    assert log_of(tmp_path) == log_of(whole)


@pytest.mark.parametrize(
    ("processes", "expected"),
    [
        (ALONE, [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        (Processes(0, 2), [(0, 0), (0, 2), (1, 1)]),
        (Processes(1, 2), [(0, 1), (1, 0), (1, 2)]),
    ],
)
def test_clips_take_turns(tmp_path, monkeypatch, processes, expected):
    trainer = a_trainer(tmp_path, [a_stage("view")], processes=processes, clips=FewClips(num_clips=3))
    drawn: list[tuple[int, int]] = []
    monkeypatch.setattr(FewClips, "clip", lambda _source, *place: drawn.append(place))
    for iteration in range(3):
        trainer._draw(trainer._stages[0], iteration)
    assert drawn == expected


def test_checkpoints_now_and_then(tmp_path, monkeypatch):
    saved = []
    monkeypatch.setattr(loop, "save_checkpoint", lambda *args: saved.append((args[3].stage, args[3].iteration)))
    trainer = a_trainer(tmp_path, [a_stage("view", 3)])
    trainer._config = replace(trainer._config, checkpoint_every_s=0.0)
    assert trainer.run(never, ignored)
    assert saved == [(0, 1), (0, 2), (0, 3), (1, 0)]


def test_a_finished_run_is_left_alone(whole):
    before = {path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()}
    lines: list[str] = []
    assert a_trainer(whole, ALL).run(never, lines.append)
    assert lines == []
    assert {path.name: path.read_bytes() for path in whole.iterdir() if path.is_file()} == before


def test_the_folder_of_another_run(whole):
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: was made with another stages"):
        a_trainer(whole, ALL[:1]).run(never, ignored)


@pytest.mark.parametrize("damage", [b"", b"PK", b"nonsense" * 100])
def test_a_damaged_checkpoint(tmp_path, damage):
    (tmp_path / "checkpoint.pt").write_bytes(damage)
    with pytest.raises(ConfigError, match=r"checkpoint\.pt: expected a checkpoint"):
        a_trainer(tmp_path, ALL).run(never, ignored)


# ---------------------------------------------------------------------------------------------------------- not finite


class Spoilt:
    """A stage with one more term, in the second iteration: 0 times the root of what is learned."""

    def __init__(self, value: float) -> None:
        self._value, self._count = value, iter(range(100))

    def trained(self, network):
        return STAGES["view"].trained(network)

    def losses(self, network, batch):
        spoilt = self._value if next(self._count) == 1 else 1.0
        learned = next(network.decoder.parameters())
        root = (0 * learned.sum() + (0.0 if spoilt == 0 else 1.0)).sqrt()
        return {**STAGES["view"].losses(network, batch), "extra": root * spoilt}


@pytest.mark.parametrize(
    ("value", "what"),
    [
        (float("nan"), "the loss 'extra' is nan"),
        (float("inf"), "the loss 'extra' is inf"),
        (0.0, "the norm of the gradient is nan"),  # the root of 0 has none
    ],
)
def test_what_is_no_number_ends_the_run(tmp_path, value, what):
    trainer = a_trainer(tmp_path, [a_stage("view", 3)])
    trainer._stages = [replace(trainer._stages[0], stage=Spoilt(value))]
    with pytest.raises(NotFiniteError) as error:
        trainer.run(never, ignored)
    assert f"stage view, iteration 2: {what} for room_0 frames [0]; room_1 frames [0]" in str(error.value)
    assert [line["iteration"] for line in log_of(tmp_path)] == [0]
    assert all(torch.isfinite(one).all() for one in trainer.network.parameters())


# ----------------------------------------------------------------------------------------------------------------- log


@pytest.mark.parametrize(
    ("stage", "iteration", "expected"), [(0, 0, 0), (0, 1, 1), (1, 0, 2), (1, 1, 3), (2, 0, 4), (3, 0, 4)]
)
def test_a_log_is_cut(tmp_path, stage, iteration, expected):
    cut_log(tmp_path, KINDS, stage, iteration)  # without a log
    lines = [json.dumps({"stage": kind, "iteration": number}) for kind in KINDS[:2] for number in range(2)]
    (tmp_path / "log.jsonl").write_text("\n".join([*lines, '{"stage": "cl']))
    cut_log(tmp_path, KINDS, stage, iteration)
    assert (tmp_path / "log.jsonl").read_text().splitlines() == lines[:expected]


def test_a_line_says_what_is_left(tmp_path, monkeypatch):
    clock = iter([0.0, 30.0, 60.0, 180.0])
    monkeypatch.setattr(train_log, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    monkeypatch.setattr(train_log, "_AVERAGED", 2)
    log = TrainLog(tmp_path, a_stage("view", 22), 0)
    lines = [log.add(iteration, {"a": 1.0, "b": 0.5, "gradient": 9.0}, 0.0) for iteration in range(3)]
    assert lines[0] == "view 1 of 22: loss 1.500 (a 1.000, b 0.500, gradient 9.000), 30.00 s each, 10 min left"
    assert lines[2].endswith("75.00 s each, 24 min left")  # the mean of the last two


def test_tensorboard_is_written_where_it_is_installed(tmp_path, monkeypatch):
    written = []

    class Writer:
        def __init__(self, folder: str, purge_step: int) -> None:
            written.append((folder, purge_step))

        def add_scalar(self, name: str, value: float, iteration: int) -> None:
            written.append((name, value, iteration))

        def close(self) -> None:
            written.append("closed")

    monkeypatch.setattr(train_log, "_summary_writer", lambda: Writer)
    log = TrainLog(tmp_path, a_stage("clips"), 4)
    log.add(4, {"mask": 0.5}, 0.0)
    log.close()
    assert written == [(str(tmp_path / "tensorboard" / "clips"), 4), ("mask", 0.5, 4), "closed"]


def test_without_tensorboard_one_line_says_so(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    train_log._summary_writer.cache_clear()
    with caplog.at_level("INFO"):
        assert train_log._summary_writer() is None and train_log._summary_writer() is None
    assert [record.message for record in caplog.records] == [
        "tensorboard is not installed: the losses are in log.jsonl alone"
    ]
    train_log._summary_writer.cache_clear()
