"""Our modules with the stand-in weights of the published ones, renamed by the converter's table."""

from __future__ import annotations

from functools import cache
from typing import Any, TypeVar

import numpy as np
import parity_weights
import torch
from torch import nn

from autoseg3d_ros.model.published_keys import ours

Module = TypeVar("Module", bound=nn.Module)


def load(module: Module, prefix: str, seed: int = 0, overrides: dict[str, Any] | None = None) -> Module:
    """Return `module` in evaluation mode with every published weight whose name in our model begins with `prefix`."""
    names = {published: name for published, name in _names().items() if name.startswith(prefix)}
    arrays = parity_weights.weights(tuple(names), seed, overrides)
    state = {names[key].removeprefix(prefix): torch.from_numpy(_as_ours(key, array)) for key, array in arrays.items()}
    module.load_state_dict(state, strict=True)
    return module.eval()


@cache
def _names() -> dict[str, str]:
    """Return our name of every published weight."""
    return {key: ours(key) for key in parity_weights.shapes()}


def _as_ours(key: str, array: np.ndarray) -> np.ndarray:
    """Return the kernel of a convolution over one voxel, (in, out), as the weight of a linear layer."""
    return np.ascontiguousarray(array.T) if key.endswith(".kernel") and array.ndim == 2 else np.asarray(array)
