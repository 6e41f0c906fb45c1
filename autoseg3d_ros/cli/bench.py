"""`autoseg3d bench`: how fast, on this machine. Prints tables, and writes every figure as JSON."""

from __future__ import annotations

import argparse
import dataclasses
import json
from pathlib import Path
from typing import Any

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.progress import Progress
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.cli.tables import Cell, table

_LEAST_FRAMES = 2500  # of `bench tracking`: the early window and the late one must not meet


def execute(args: argparse.Namespace) -> int:
    """Run one benchmark; return the exit code."""
    if args.what == "node":
        from autoseg3d_ros.cli.bench_node import bench_node  # before torch: see there

        return bench_node(args)
    try:
        from autoseg3d_ros.benchmark.convolution_speed import machine
    except ImportError as error:
        raise CommandError(f"needs torch and safetensors ({error}); pip install torch safetensors") from error
    print(", ".join(f"{key} {value}" for key, value in machine().items()))
    document = _bench_model(args) if args.what == "model" else _bench_tracking(args.frames or 10_000)
    if args.out:
        Path(args.out).write_text(json.dumps({**machine(), **document}, indent=1) + "\n")
        print(f"written to {args.out}")
    return 0


def _bench_model(args: argparse.Namespace) -> dict[str, Any]:
    from autoseg3d_ros.benchmark.convolution_speed import gemm_gflops, time_backends
    from autoseg3d_ros.benchmark.model_speed import bench_frames, first_input, time_model

    config = run_config(args.config, args.changes, masks=None, seed=None)
    try:
        frames = bench_frames(args.frames or 10)
    except ImportError as error:
        raise CommandError(f"needs embreex to render its frames ({error}); pip install embreex") from error
    gemm = gemm_gflops()
    gflop, backends = time_backends(first_input(config, frames), gemm)
    print(f"\nbackbone of the paper, kernel maps included: {gflop:.1f} GFLOP; a large product: {gemm:.0f} GFLOP/s\n")
    rows = [
        (one.backend, one.backbone_ms, one.gflops, 100 * one.share_of_gemm, f"{one.difference:.0e}") for one in backends
    ]
    print(table(("backend", "ms", "GFLOP/s", "% of product", "difference"), rows))
    timings = [time_model(name, config, frames) for name in args.models.split(",")]
    stages = list(timings[0].stage_ms)
    print(f"\nmilliseconds a frame, medians of {len(frames)} frames\n")
    header = ("model", "parameters", "voxels", *stages, "network")
    cells: list[tuple[Cell, ...]] = [
        (one.model, f"{one.num_parameters:,}", str(int(one.num_voxels)), *one.stage_ms.values(), one.network_ms)
        for one in timings
    ]
    print(table(header, cells))
    return {
        "gflop": gflop,
        "gemm_gflops": gemm,
        "backends": [dataclasses.asdict(one) for one in backends],
        "models": [{**dataclasses.asdict(one), "network_ms": one.network_ms} for one in timings],
    }


def _bench_tracking(num_frames: int) -> dict[str, Any]:
    from autoseg3d_ros.benchmark.tracking_endurance import walk_on

    if num_frames < _LEAST_FRAMES:
        raise CommandError(f"--frames: expected at least {_LEAST_FRAMES}, got {num_frames}")
    with Progress(num_frames) as progress:
        end = walk_on(num_frames, progress.advance)
    print(
        f"{end.num_frames} frames, {end.num_ids} ids\n"
        f"p95 of a frame: {end.p95_early_ms:.2f} ms early, {end.p95_late_ms:.2f} ms late "
        f"({end.p95_late_ms / end.p95_early_ms:.2f} of it)\n"
        f"peak memory: {end.rss_early_mib:.0f} MiB after 1500 frames, {end.rss_late_mib:.0f} MiB at the end"
    )
    return dataclasses.asdict(end)
