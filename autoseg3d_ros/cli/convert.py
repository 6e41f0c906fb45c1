"""`autoseg3d convert`: a published checkpoint of ESAM or AutoSeg3D as a file that `--model` takes."""

from __future__ import annotations

import argparse
import hashlib
from collections import Counter

from autoseg3d_ros.cli.errors import CommandError


def execute(args: argparse.Namespace) -> int:
    """Convert, write, say what became of the tensors; return the exit code."""
    if args.out.suffix != ".safetensors":
        raise CommandError(f"{args.out}: expected a name that ends in .safetensors")
    try:
        from autoseg3d_ros.model.checkpoint import save_network
        from autoseg3d_ros.model.convert import convert, read_published
    except ImportError as error:
        raise CommandError(f"needs torch and safetensors ({error}); pip install torch safetensors") from error
    published = read_published(args.checkpoint)
    conversion = convert(published)
    digest = hashlib.sha256(args.checkpoint.read_bytes()).hexdigest()
    save_network(conversion.network, args.out, {"origin": f"{args.checkpoint.name}, sha256 {digest}"})
    num_parameters = sum(parameter.numel() for parameter in conversion.network.parameters())
    print(f"{args.checkpoint}: {conversion.kind}, {num_parameters:,} parameters")
    print(f"  mapped            {len(conversion.mapped)} tensors")
    print(f"  unused by design  {len(conversion.unused)} tensors{_modules(conversion.unused)}")
    print("  missing           0\n  unknown           0")
    print(f"{args.out}: {args.out.stat().st_size / 1e6:.1f} MB; use it: --model {args.out}")
    return 0


def _modules(keys: tuple[str, ...]) -> str:
    counts = Counter(key.partition(".")[0] for key in keys)
    return ": " + ", ".join(f"{module} ({count})" for module, count in counts.items()) if counts else ""
