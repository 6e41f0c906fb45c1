"""`autoseg3d export-masks`: FastSAM weights as an ONNX model, for machines without ultralytics and torch."""

from __future__ import annotations

import argparse
import importlib.util

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.lifting.mask_selection import weights_file
from autoseg3d_ros.mask_config import FastSamConfig

_NEEDED = ("torch", "ultralytics", "onnx", "onnxruntime")  # the last one to try what was written


def execute(args: argparse.Namespace) -> int:
    """Export, load what was written, say how to use it; return the exit code."""
    missing = [name for name in _NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise CommandError(f"needs {', '.join(missing)}, which is missing; pip install {' '.join(missing)}")
    weights = weights_file(str(args.weights), (".pt",), "export-masks")
    if args.onnx.suffix != ".onnx":
        raise CommandError(f"--onnx {args.onnx}: expected a name that ends in .onnx")
    from autoseg3d_ros.lifting.fastsam import export_onnx
    from autoseg3d_ros.lifting.fastsam_onnx import FastSamOnnx

    export_onnx(weights, args.onnx)
    FastSamOnnx(args.onnx, FastSamConfig())
    size_mb = args.onnx.stat().st_size / 1e6
    print(f"{args.onnx}: {size_mb:.1f} MB; use it: --masks fastsam-onnx --set masks.weights={args.onnx}")
    return 0
