"""`autoseg3d release`: a trained network becomes a model that ships, found by `--model NAME`."""

from __future__ import annotations

import argparse
import dataclasses
import re

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.model.manifest import Manifest
from autoseg3d_ros.model_config import DEFAULT_MODEL, NO_MODEL

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def execute(args: argparse.Namespace) -> int:
    """Store the network in half precision, enter it into the manifest, say what came out; return the exit code."""
    if not _NAME.fullmatch(args.name) or args.name in (NO_MODEL, DEFAULT_MODEL):
        raise CommandError(f"--name: expected a-z, 0-9 and _, but not none or auto, got {args.name!r}")
    try:
        from autoseg3d_ros.model.checkpoint import load_network, read_notes, save_network
    except ImportError as error:
        raise CommandError(f"needs torch and safetensors ({error}); pip install torch safetensors") from error
    manifest = Manifest.read(args.models / "manifest.yaml")
    network, notes = load_network(args.weights), read_notes(args.weights)
    if "stage" not in notes:
        raise CommandError(
            f"{args.weights}: expected a network of `autoseg3d train`, whose header names the stage, got one without; "
            "weights that are random, or that others have published, do not ship"
        )
    if args.min_points is not None:
        if args.min_points < 1:
            raise CommandError(f"--min-points: expected at least 1, got {args.min_points}")
        network.config = dataclasses.replace(network.config, min_points=args.min_points)
    file = args.models / f"autoseg3d_{args.name}.safetensors"
    save_network(network, file, notes, half=True)
    file.chmod(0o644)  # it was written for its owner alone, but is installed for all
    manifest = manifest.with_model(args.name, file, default=args.default)
    manifest.write()
    num_parameters = sum(parameter.numel() for parameter in network.parameters())
    print(f"{file}: {file.stat().st_size / 1e6:.1f} MB, {num_parameters:,} parameters, half precision")
    print(f"  sha256      {manifest.models[args.name].sha256}")
    print(f"  min_points  {network.config.min_points}")
    for key, value in sorted(notes.items()):
        print(f"  {key:11} {value}")
    used = "used by default" if manifest.default == args.name else f"used with --model {args.name}"
    print(f"{used}; {args.models / args.name}.md is its model card: write down how it was made, and what it reaches")
    return 0
