"""Which mask source the settings mean, and whether what it needs is there."""

from __future__ import annotations

import importlib.util
from functools import lru_cache
from pathlib import Path

from autoseg3d_ros.config import ConfigError
from autoseg3d_ros.lifting.model_masks import MaskModel
from autoseg3d_ros.mask_config import FastSamConfig, MasksConfig, SamConfig

FASTSAM, FASTSAM_ONNX, REGIONS = "fastsam", "fastsam-onnx", "regions"
_SUFFIXES = {FASTSAM: (".pt", ".onnx", ".engine"), FASTSAM_ONNX: (".onnx",)}


def select_source(masks: MasksConfig) -> tuple[str, str]:
    """Return the mask source that is to be used, and why, in words.

    `auto` becomes fastsam where weights are named and something can run them, else regions. `fastsam` becomes
    fastsam-onnx for an ONNX file where ultralytics is missing. Raises ConfigError where what was asked for cannot be.
    """
    if masks.source == "auto" and not masks.weights:
        return REGIONS, "masks.weights names no model"
    if masks.source in ("auto", FASTSAM):
        runner, reason = _runner(weights_file(masks.weights, _SUFFIXES[FASTSAM], FASTSAM))
        if masks.source == FASTSAM and not runner:
            raise ConfigError(f"masks.source: fastsam cannot be: {reason}")
        return runner or REGIONS, reason
    if masks.source == FASTSAM_ONNX:
        weights_file(masks.weights, _SUFFIXES[FASTSAM_ONNX], FASTSAM_ONNX)
        if not _is_installed("onnxruntime"):
            raise ConfigError("masks.source: fastsam-onnx needs onnxruntime, which is missing; pip install onnxruntime")
    return masks.source, "masks.source says so"


@lru_cache(maxsize=1)  # a change of any setting makes a new segmenter: it need not read the weights again
def load_model(source: str, weights: str, config: FastSamConfig) -> MaskModel:
    """Return the model of `fastsam` or `fastsam-onnx`. Raises ConfigError for a file that is no FastSAM."""
    path = weights_file(weights, _SUFFIXES[source], source)
    if source == FASTSAM:
        from autoseg3d_ros.lifting.fastsam import FastSam

        return FastSam(path, config)
    from autoseg3d_ros.lifting.fastsam_onnx import FastSamOnnx

    return FastSamOnnx(path, config)


def weights_file(weights: str, suffixes: tuple[str, ...], user: str) -> Path:
    """Return the path of a model file. Raises ConfigError unless it is a file of a kind that its user takes."""
    kinds = " or ".join(suffixes)
    if not weights:
        raise ConfigError(
            f"masks.weights: {user} needs a model file ({kinds}), got none; set it to FastSAM-s or FastSAM-x as "
            "models/README.md says, or choose masks.source regions, which needs no model"
        )
    path = Path(weights).expanduser()
    if not path.is_file():
        what = "a folder" if path.is_dir() else "no such file"
        raise ConfigError(f"masks.weights: {path.absolute()}: expected a model file ({kinds}), got {what}")
    if path.suffix not in suffixes:
        raise ConfigError(f"masks.weights: {path}: {user} takes {kinds}, got {path.suffix or 'no ending'}")
    return path


@lru_cache(maxsize=1)
def load_sam(config: SamConfig) -> MaskModel:
    """Return the model of `sam`. Raises ConfigError where onnxruntime, torch or the weights are missing or wrong."""
    missing = [name for name in ("onnxruntime", "torch") if not _is_installed(name)]
    if missing:
        raise ConfigError(f"masks.source: sam needs {missing[0]}, which is missing; pip install {' '.join(missing)}")
    from autoseg3d_ros.lifting.sam import Sam
    from autoseg3d_ros.lifting.sam_network import SamNetwork

    return Sam(SamNetwork(config), config)


def _runner(weights: Path) -> tuple[str, str]:
    """Return the source that can run a weights file, empty if none can, and why."""
    if _is_installed("ultralytics") and _is_installed("torch"):
        return FASTSAM, f"ultralytics runs {weights}"
    if weights.suffix == ".onnx":
        if _is_installed("onnxruntime"):
            return FASTSAM_ONNX, f"ultralytics is missing, onnxruntime runs {weights}"
        return "", f"{weights} needs onnxruntime or ultralytics, both are missing; pip install onnxruntime"
    mend = "pip install ultralytics, or, where it is installed, `autoseg3d export-masks` to ONNX and onnxruntime"
    return "", f"{weights} needs ultralytics, which is missing; {mend}"


def _is_installed(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
