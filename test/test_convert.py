from __future__ import annotations

import functools

import numpy as np
import pytest
import torch
from parity_weights import shapes, weights

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.model.checkpoint import load_network
from autoseg3d_ros.model.convert import convert, read_published
from autoseg3d_ros.model.published_keys import ours

LTM = ("tracklet_trans.", "detector_trans.", "box_trans.", "query_inter.", "rel_dist_embed.", "embed_trans")
LMI = tuple(f"{name}." for name in ("merge_query_inter", "merge_dist_embed", "merge_fusion", "merge_embed_trans"))
DEAD = ("merge_box_trans.", "fuse_linear.")
STM = ("muti_scale_query.",)
ONLINE = ("memory.", "merge_head.", "decoder.out_reg.")
DEAD_TENSORS = sum(key.startswith(DEAD) for key in shapes())
LEFT_OUT = {
    "AutoSeg3D, tracking (stage 2)": (),
    "AutoSeg3D, clips (stage 1)": (*LTM, *LMI, *DEAD),
    "ESAM-E": (*LTM, *LMI, *DEAD, *STM),
    "ESAM": (*LTM, *LMI, *DEAD, *STM),
    "single view": (*LTM, *LMI, *DEAD, *STM, *ONLINE),
}


def published(kind: str) -> dict[str, torch.Tensor]:
    """Return a full fake checkpoint of a kind."""
    arrays = {key: array for key, array in _arrays().items() if not key.startswith(LEFT_OUT[kind])}
    if kind == "ESAM":  # normalises the embedding over the batch
        for layer, width in ((1, 512), (4, 256)):
            arrays[f"merge_head.net.{layer}.running_mean"] = np.zeros(width, np.float32)
            arrays[f"merge_head.net.{layer}.running_var"] = np.ones(width, np.float32)
            arrays[f"merge_head.net.{layer}.num_batches_tracked"] = np.array(1, np.int64)
    return {key: torch.from_numpy(np.array(array)) for key, array in arrays.items()}


@functools.cache
def _arrays() -> dict[str, np.ndarray]:
    return weights()


@pytest.fixture(scope="module")
def stage_2():
    return published("AutoSeg3D, tracking (stage 2)")


@pytest.mark.parametrize(
    ("kind", "num_parameters"),
    [
        ("AutoSeg3D, tracking (stage 2)", 48_649_252 - 265_984),  # of which so many are dead there (method.md §10)
        ("ESAM-E", 46_755_729),
        ("ESAM", 46_755_729),
        ("AutoSeg3D, clips (stage 1)", 46_755_729 + 38_024),
        ("single view", 41_459_787),
    ],
)
def test_every_kind_converts_and_is_recognised(kind, num_parameters):
    tensors = published(kind)
    conversion = convert(tensors)
    assert conversion.kind == kind
    assert len(conversion.mapped) + len(conversion.unused) == len(tensors)
    assert {key.partition(".")[0] for key in conversion.unused} <= {"merge_box_trans", "fuse_linear"}
    assert sum(parameter.numel() for parameter in conversion.network.parameters()) == num_parameters


def test_every_tensor_arrives_where_it_belongs(stage_2):
    conversion = convert(stage_2)
    state = conversion.network.state_dict()
    for key in conversion.mapped:
        expected = stage_2[key].T if key.endswith("kernel") and stage_2[key].ndim == 2 else stage_2[key]
        assert torch.equal(state[ours(key)], expected), key


def test_the_command_writes_what_model_takes(stage_2, tmp_path, capsys):
    checkpoint, out = tmp_path / "epoch_36.pth", tmp_path / "out.safetensors"
    torch.save({"meta": {"epoch": 36}, "state_dict": stage_2, "optimizer": {"step": np.float64(3)}}, checkpoint)
    assert main(["convert", str(checkpoint), str(out)]) == 0
    printed = capsys.readouterr().out
    assert "AutoSeg3D, tracking (stage 2), 48,383,268 parameters" in printed
    assert f"unused by design  {DEAD_TENSORS} tensors: merge_box_trans (" in printed
    expected = convert(stage_2).network.state_dict()
    assert all(torch.equal(tensor, expected[key]) for key, tensor in load_network(out).state_dict().items())


class Dangerous:
    """What a malicious checkpoint holds."""

    executed = False

    def __reduce__(self):
        return (_run, ())


def _run() -> None:
    Dangerous.executed = True


def test_code_in_a_checkpoint_is_not_run(tmp_path, stage_2):
    path = tmp_path / "dangerous.pth"
    torch.save({"state_dict": {"a": torch.ones(1)}, "message_hub": Dangerous()}, path)
    assert list(read_published(path)) == ["a"]
    assert not Dangerous.executed


def test_a_bad_checkpoint_is_refused_with_a_reason(tmp_path, stage_2):
    whole, cut, text = tmp_path / "whole.pth", tmp_path / "cut.pth", tmp_path / "text.pth"
    torch.save({"state_dict": {key: stage_2[key] for key in list(stage_2)[:50]}}, whole)
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    text.write_text("<html>not found</html>")
    for path in (cut, text):
        with pytest.raises(ConfigError, match="was the download complete"):
            read_published(path)
    with pytest.raises(ConfigError, match="no such file"):
        read_published(tmp_path / "none.pth")
    torch.save([1, 2], text)
    with pytest.raises(ConfigError, match="expected a `state_dict` of tensors, got list"):
        read_published(text)


def _without(tensors, key):
    return {name: tensor for name, tensor in tensors.items() if name != key}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda tensors: {}, "got none"),
        (lambda tensors: {"model.0.conv.weight": torch.ones(1)}, "got 1 others, the first is model.0.conv.weight"),
        (lambda tensors: _without(tensors, "embed_trans.bias"), "1 tensors are missing: long_term.match_logit.bias"),
        (lambda tensors: {**tensors, "surprise.weight": torch.ones(1)}, "1 tensors are unknown: surprise.weight"),
        (lambda tensors: {**tensors, "embed_trans.bias": torch.ones(2)}, "1 tensors are of another shape: embed_trans"),
        (lambda tensors: {**tensors, "conv.0.kernel": torch.ones(960, 32)}, "image features"),
    ],
)
def test_another_network_is_refused_with_a_reason(stage_2, change, message):
    with pytest.raises(ConfigError, match=message):
        convert(change(stage_2))
