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


def save_network(network: AutoSeg3D, path: Path, notes: Mapping[str, str] | None = None) -> None:
    """Write a network and what is to be known of it, `notes`, to `path`; a file there is replaced at once."""
    header = {"format": _FORMAT, "network": json.dumps(asdict(network.config)), **(notes or {})}
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in network.state_dict().items()}
    partial = path.with_name(path.name + ".partial")
    save_file(tensors, partial, header)
    partial.replace(path)


def load_network(path: Path) -> AutoSeg3D:
    """Return the network of a file, on the CPU. Raises ConfigError for what is no such file, or a damaged one."""
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
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
    network = without_weights(network_config(json.loads(header["network"])))
    _fill(network, tensors, path)
    return network


def network_config(values: Mapping[str, Any]) -> NetworkConfig:
    """Return the sizes that `asdict` gave."""
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


def _fill(network: AutoSeg3D, tensors: Mapping[str, torch.Tensor], path: Path) -> None:
    expected = network.state_dict()
    missing, unknown = sorted(expected.keys() - tensors.keys()), sorted(tensors.keys() - expected.keys())
    misshapen = [key for key in expected.keys() & tensors.keys() if expected[key].shape != tensors[key].shape]
    for what, keys in (("lacks", missing), ("has the unknown", unknown), ("has, in another shape,", misshapen)):
        if keys:
            raise ConfigError(f"model {path}: {what} {len(keys)} tensors, the first is {keys[0]}; was it cut off?")
    network.load_state_dict(dict(tensors), assign=True)
