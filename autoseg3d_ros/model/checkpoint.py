"""Networks in files: safetensors, with the sizes of the network in the header. No code is run when one is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.decoder import DecoderConfig
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.setting import ConfigError

_FORMAT = "autoseg3d_ros 1"


def save_network(network: AutoSeg3D, path: Path, notes: Mapping[str, str] | None = None, *, half: bool = False) -> None:
    """Write a network and what is to be known of it, `notes`, to `path`; a file there is replaced at once.

    `half` stores matrices and kernels as float16; vectors, such as norms with their statistics, stay as they are.
    Raises ConfigError where a weight is no number in half precision.
    """
    header = {**(notes or {}), "format": _FORMAT, "network": json.dumps(asdict(network.config))}
    tensors = {key: _stored(tensor, half) for key, tensor in network.state_dict().items()}
    if half:
        _refuse_not_finite(tensors, path)
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, header)
    partial.replace(path)


def load_network(path: Path) -> AutoSeg3D:
    """Return the network of a file, on the CPU in float32.

    Raises ConfigError for what is no such file, a damaged one, or one of another version with other modules.
    """
    header, tensors = _read(path)
    try:
        config = network_config(json.loads(header["network"]))
    except TypeError as error:
        raise ConfigError(
            f"model {path}: expected a network that this version knows, got one with other modules ({error}); "
            "train it anew, or use the version that it was trained with"
        ) from error
    network = without_weights(config)
    _fill(network, tensors, path)
    return network


def read_notes(path: Path) -> dict[str, str]:
    """Return what `save_network` was told of a network. Raises ConfigError for what is no such file."""
    header, _ = _read(path)
    return {key: value for key, value in header.items() if key not in ("format", "network")}


def network_config(values: Mapping[str, Any]) -> NetworkConfig:
    """Return the sizes that `asdict` gave; what a file of an earlier version lacks has its default."""
    return NetworkConfig(**{**values, "decoder": DecoderConfig(**values["decoder"])})


def without_weights(config: NetworkConfig) -> AutoSeg3D:
    """Return a network whose tensors have a shape but no memory, for weights that are put in their place."""
    with torch.device("meta"):
        return AutoSeg3D(config)


def with_random_weights(config: NetworkConfig, seed: int) -> AutoSeg3D:
    """Return an untrained network, the same for the same seed; the generator of the process is left as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return AutoSeg3D(config)


def _stored(tensor: torch.Tensor, half: bool) -> torch.Tensor:
    tensor = tensor.detach().cpu().contiguous()
    return tensor.half() if half and tensor.ndim > 1 and tensor.is_floating_point() else tensor


def _refuse_not_finite(tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    for key, tensor in tensors.items():
        if not tensor.isfinite().all():
            raise ConfigError(f"{path}: {key} has a weight that is no number in half precision; was it trained?")


def _read(path: Path) -> tuple[dict[str, str], dict[str, torch.Tensor]]:
    """Return header and tensors of a file, of a format that we know."""
    try:
        with safe_open(path, framework="pt") as file:
            header = dict(file.metadata() or {})
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a mapping
    except FileNotFoundError:
        raise ConfigError(f"model {path}: no such file; expected a .safetensors file or the name of a model") from None
    except (OSError, SafetensorError) as error:
        raise ConfigError(
            f"model {path}: expected a .safetensors file of this package, got one that cannot be read ({error}); "
            "`autoseg3d convert` makes one of a published checkpoint"
        ) from error
    if header.get("format") != _FORMAT:
        raise ConfigError(
            f"model {path}: expected the format {_FORMAT!r} in its header, got {header.get('format')!r}; "
            "`autoseg3d convert` makes such a file of a published checkpoint"
        )
    return header, tensors


def _fill(network: AutoSeg3D, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    expected = network.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    misshapen = [key for key in expected.keys() & tensors.keys() if expected[key].shape != tensors[key].shape]
    for what, keys in (("lacks", missing), ("has the unknown", unknown), ("has, in another shape,", misshapen)):
        if keys:
            raise ConfigError(f"model {path}: {what} {len(keys)} tensors, the first is {keys[0]}; was it cut off?")
    full = {key: tensor.float() if tensor.is_floating_point() else tensor for key, tensor in tensors.items()}
    network.load_state_dict(full, assign=True)
