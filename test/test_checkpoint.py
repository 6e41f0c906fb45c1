"""Networks in files: half precision, notes, and files from before a size had a name."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from autoseg3d_ros.memory.short_term import ShortTermState
from autoseg3d_ros.model.autoseg3d import AutoSeg3D, NetworkInput, NetworkState
from autoseg3d_ros.model.checkpoint import load_network, read_notes, save_network, with_random_weights
from autoseg3d_ros.model.network_config import PRESETS
from autoseg3d_ros.setting import ConfigError

SHIPPED = replace(PRESETS["tiny"], embedding_norm="layer")  # as it is trained
MAX_SHIPPED_BYTES = 8_000_000


@pytest.fixture(scope="module")
def network() -> AutoSeg3D:
    network = with_random_weights(SHIPPED, seed=1).eval()
    with torch.no_grad():  # statistics that no float16 could hold
        for key, tensor in network.state_dict().items():
            if key.endswith("running_var"):
                tensor.copy_(torch.full_like(tensor, 1.0 + 2**-20))
    return network


def seen(network: AutoSeg3D) -> tuple[torch.Tensor, ...]:
    """Return the features of the points of a frame, and what the decoder makes of them."""
    generator = torch.Generator().manual_seed(0)
    xyz_m = torch.rand(2000, 3, generator=generator)
    rgb = torch.randint(0, 256, (2000, 3), generator=generator, dtype=torch.uint8)
    superpoint = (xyz_m[:, 0] * 8).long()
    points = NetworkInput.of_points(xyz_m, rgb, superpoint, 8, network.config.voxel_m)
    with torch.inference_mode():
        features = network.encode(points, NetworkState(ShortTermState(1)))
        pooled = network.pooling(points.xyz_m, features, points.superpoint, points.num_superpoints)
        decoded = network.decoder(points.xyz_m, features, points.superpoint, pooled)
    return features, decoded.embedding, decoded.last.class_logits, decoded.last.mask_logits


def test_half_precision_halves_the_file_and_changes_little(tmp_path, network):
    full, half = tmp_path / "full.safetensors", tmp_path / "half.safetensors"
    save_network(network, full)
    save_network(network, half, half=True)
    assert half.stat().st_size < 0.55 * full.stat().st_size
    assert half.stat().st_size <= MAX_SHIPPED_BYTES
    again = load_network(half).eval()
    assert {tensor.dtype for tensor in again.state_dict().values()} == {torch.float32, torch.int64}
    for expected, actual in zip(seen(network), seen(again), strict=True):
        assert 0 < (actual - expected).abs().max() < 2e-3 * expected.abs().max()


def test_only_matrices_and_kernels_are_halved(tmp_path, network):
    save_network(network, tmp_path / "half.safetensors", half=True)
    tensors = network.state_dict()
    for key, tensor in load_file(tmp_path / "half.safetensors").items():
        expected = tensors[key]
        is_halved = expected.ndim > 1 and expected.is_floating_point()
        assert tensor.dtype == (torch.float16 if is_halved else expected.dtype), key
        assert is_halved or tensor.equal(expected), key


def test_a_weight_that_half_precision_cannot_hold_is_refused(tmp_path, network):
    huge = with_random_weights(SHIPPED, seed=1)
    with torch.no_grad():
        huge.decoder.get_parameter(_matrix_of(huge)).fill_(1e5)
    with pytest.raises(ConfigError, match=rf"decoder\.{_matrix_of(huge)} has a weight that is no number in half"):
        save_network(huge, tmp_path / "huge.safetensors", half=True)
    assert not list(tmp_path.iterdir())
    save_network(huge, tmp_path / "huge.safetensors")


def _matrix_of(network: AutoSeg3D) -> str:
    return next(name for name, parameter in network.decoder.named_parameters() if parameter.ndim == 2)


def test_notes_are_read_back_and_cannot_hide_what_the_file_is(tmp_path, network):
    path = tmp_path / "tiny.safetensors"
    save_network(network, path)
    assert read_notes(path) == {}
    save_network(network, path, {"stage": "tracks", "format": "another"})
    assert read_notes(path) == {"stage": "tracks"}


def test_a_file_from_before_a_size_had_a_name_has_the_default(tmp_path, network):
    path = tmp_path / "tiny.safetensors"
    save_network(network, path, {"stage": "tracks"})
    assert load_network(path).config.min_points == 8
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    sizes = json.loads(header["network"])
    del sizes["min_points"]
    save_file(load_file(path), path, {**header, "network": json.dumps(sizes)})
    assert load_network(path).config == replace(SHIPPED, min_points=100)


def test_a_file_of_a_version_with_other_modules_is_refused(tmp_path, network):
    path = tmp_path / "tiny.safetensors"
    save_network(network, path)
    with safe_open(path, framework="pt") as file:
        header = file.metadata()
    sizes = {**json.loads(header["network"]), "fragment_places": True}
    save_file(load_file(path), path, {**header, "network": json.dumps(sizes)})
    with pytest.raises(
        ConfigError, match=r"a network that this version knows, got one with other modules.*fragment_places"
    ):
        load_network(path)
