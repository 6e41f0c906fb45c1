"""Published checkpoints become files of this package (`method.md` §12)."""

from __future__ import annotations

import pickle
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from zipfile import BadZipFile

import torch
from torch import Tensor

from autoseg3d_ros.model.autoseg3d import AutoSeg3D
from autoseg3d_ros.model.checkpoint import without_weights
from autoseg3d_ros.model.decoder import DecoderConfig
from autoseg3d_ros.model.network_config import NetworkConfig
from autoseg3d_ros.model.published_keys import UNUSED_BY_DESIGN, ours
from autoseg3d_ros.setting import ConfigError

_IMAGE_FEATURES = "conv.0.kernel"  # of the models that also see the features of FastSAM


@dataclass(frozen=True)
class Conversion:
    """A published checkpoint as a network, and what became of its tensors; all names are the published ones."""

    kind: str
    network: AutoSeg3D
    mapped: tuple[str, ...]
    unused: tuple[str, ...]  # by design


class _Inert:
    """Stands in for whatever else a checkpoint holds: the log of the training, the state of the optimiser."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_published(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a published checkpoint by name; no code of the file is run.

    Raises ConfigError for what is no checkpoint, or one that was cut off.
    """
    try:
        foreign = torch.serialization.get_unsafe_globals_in_checkpoint(path)
        with torch.serialization.safe_globals([(_Inert, name) for name in foreign]):
            document = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise ConfigError(f"checkpoint {path}: no such file") from None
    except (RuntimeError, ValueError, EOFError, OSError, BadZipFile, pickle.UnpicklingError) as error:
        raise ConfigError(
            f"checkpoint {path}: expected a file that torch.save wrote, got one that cannot be read "
            f"({str(error).splitlines()[0]}); was the download complete?"
        ) from error
    tensors = document.get("state_dict", document) if isinstance(document, Mapping) else None
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise ConfigError(f"checkpoint {path}: expected a `state_dict` of tensors, got {type(document).__name__}")
    return dict(tensors)


def convert(published: Mapping[str, Tensor]) -> Conversion:
    """Return the network of published tensors, with the sizes that they have.

    Raises ConfigError for another network, and for tensors that are missing, unknown or of another shape.
    """
    kind, config = _kind_and_sizes(published)
    unused = tuple(key for key in published if key.startswith(UNUSED_BY_DESIGN))
    mapped = tuple(key for key in published if key not in set(unused))
    tensors = {ours(key): _tensor(key, published[key]) for key in mapped}
    network = without_weights(config)
    expected = network.state_dict()
    _refuse(kind, "missing", expected.keys() - tensors.keys())
    _refuse(kind, "unknown", (key for key in mapped if ours(key) not in expected))
    _refuse(kind, "of another shape", (key for key in mapped if tensors[ours(key)].shape != expected[ours(key)].shape))
    network.load_state_dict(tensors, assign=True)
    return Conversion(kind, network, mapped, unused)


def _kind_and_sizes(published: Mapping[str, Tensor]) -> tuple[str, NetworkConfig]:
    if "backbone.conv0p1s1.kernel" not in published or "decoder.out_cls.2.weight" not in published:
        raise ConfigError(
            "expected the tensors of ESAM or AutoSeg3D (backbone.conv0p1s1.kernel, decoder.out_cls.2.weight, ...), got "
            + (f"{len(published)} others, the first is {next(iter(published))}" if published else "none")
        )
    if _IMAGE_FEATURES in published:
        raise ConfigError("this is a model with image features (FF), which this package does not have")
    has_long_term = any(key.startswith("tracklet_trans.") for key in published)
    has_short_term = any(key.startswith("muti_scale_query.") for key in published)
    has_memory = any(key.startswith("memory.") for key in published)
    norm: Literal["", "layer", "batch"] = ""
    if "merge_head.net.0.weight" in published:
        norm = "batch" if "merge_head.net.1.running_mean" in published else "layer"
    config = NetworkConfig(
        decoder=DecoderConfig(
            num_classes=len(published["decoder.out_cls.2.weight"]) - 1,
            num_semantics=len(published["decoder.out_sem.weight"]) - 1,
            has_box="decoder.out_reg.2.weight" in published,
        ),
        voxel_memory=has_memory,
        fragment_merging=any(key.startswith("merge_embed_trans.") for key in published),
        short_term=has_short_term,
        long_term=has_long_term,
        embedding_norm=norm,
    )
    if has_long_term:
        return "AutoSeg3D, tracking (stage 2)", config
    if has_short_term:
        return "AutoSeg3D, clips (stage 1)", config
    if has_memory:
        return ("ESAM" if norm == "batch" else "ESAM-E"), config
    return "single view", config


def _tensor(key: str, tensor: Tensor) -> Tensor:
    """Return the tensor in our layout: 1x1 kernels are (in, out) there, and linear layers (out, in) here."""
    return tensor.T.contiguous() if key.endswith("kernel") and tensor.ndim == 2 else tensor


def _refuse(kind: str, what: str, keys: Iterable[str]) -> None:
    names = sorted(keys)
    if names:
        first = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
        raise ConfigError(
            f"taken for {kind}: {len(names)} tensors are {what}: {first}; was the file cut off or changed?"
        )
