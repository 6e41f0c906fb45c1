"""Models in ONNX files, run by onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.model_masks import MemoryExhaustedError, cuda_index

if TYPE_CHECKING:
    import onnxruntime

_OUT_OF_MEMORY = ("failed to allocate", "out of memory", "bad_alloc")


@dataclass(frozen=True)
class Backend:
    """Where a model runs."""

    device_key: str  # of the setting that says so
    device: str  # auto, cpu, cuda or cuda:N
    num_threads: int  # of one run, 0 = one a core


def open_session(path: Path, backend: Backend, mend: str) -> onnxruntime.InferenceSession:
    """Open a model. Raises ConfigError, which ends in `mend`, for a file that is no ONNX model."""
    import onnxruntime

    cuda_is_there = "CUDAExecutionProvider" in onnxruntime.get_available_providers()
    index = cuda_index(backend.device, cuda_is_there, backend.device_key)
    cuda = [] if index is None else [("CUDAExecutionProvider", {"device_id": index})]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = backend.num_threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave their core alone
    options.log_severity_level = 4  # errors are raised, they need not be printed too
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=[*cuda, "CPUExecutionProvider"])
    except Exception as error:  # each kind of damage has a class of its own
        raise ConfigError(
            f"{path}: expected an ONNX model, got a file that onnxruntime cannot load ({str(error).strip()}); {mend}"
        ) from error


def run(
    session: onnxruntime.InferenceSession, outputs: Sequence[str], inputs: Mapping[str, np.ndarray]
) -> list[np.ndarray]:
    """Return the named outputs. Raises MemoryExhaustedError."""
    try:
        return session.run(list(outputs), dict(inputs))
    except Exception as error:  # onnxruntime has no class of its own for this
        if any(words in str(error).lower() for words in _OUT_OF_MEMORY):
            raise MemoryExhaustedError(str(error)) from error
        raise
