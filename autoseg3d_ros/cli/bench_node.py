"""`autoseg3d bench node`: the node as a process over real DDS, in a domain of its own: speed, or endurance."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import random
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.node_corridor import corridor_frame
from autoseg3d_ros.benchmark.node_endurance import EnduranceLog, IdAudit, Slice, memory_growth, p95_growth, slices
from autoseg3d_ros.benchmark.node_speed import NodeSpeed, Spread, looping_frames, node_speed, segmenter_ms
from autoseg3d_ros.build import with_model
from autoseg3d_ros.cli.children import Child, Children
from autoseg3d_ros.cli.doctor import overlay_prefix, overlay_state
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import Progress
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.cli.tables import Cell, table
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.topics import WRITTEN_TOPICS

if TYPE_CHECKING:
    from autoseg3d_ros.ros.bench_client import BenchClient

_START_S, _ANSWER_S = 60.0, 30.0
_LEAD_IN_S, _LEAST_S = 2.0, 10.0  # of a rate
_DOMAINS = (1, 100)
_REMAPPED = {
    "rgb/image_raw": WRITTEN_TOPICS.colour,
    "depth/image_raw": WRITTEN_TOPICS.depth,
    "rgb/camera_info": WRITTEN_TOPICS.camera_info,
    "pose": WRITTEN_TOPICS.pose,
}
_MASKS = {"masks.source": "regions"}  # here on every machine
# Small enough for all stores to be full after a tenth of an hour's frames.
_ENDURANCE = {
    "process.mode": "lossless",
    "input.qos": "DEFAULT",
    "pose.timeout_s": 5.0,  # a busy machine may stand still for a second
    "lifting.num_points": 2_000,
    "lifting.min_region_px": 40,
    "regions.min_region_px": 40,
    "map.voxel_m": 0.04,
    "limits.max_points": 12_000,
    "limits.max_instances": 20,
    "limits.retired_capacity": 20,
    "map.autosave_period_s": 20.0,
}
_SAMPLES, _LEAST_FRAMES = 200, 100
_FLAT = 1.1  # memory at the end over that after a tenth
_PAGE_MIB, _TICKS = os.sysconf("SC_PAGE_SIZE") / 2**20, os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class _Bench:
    """A running node and what speaks to it."""

    node: Child
    client: BenchClient

    def rss_mib(self) -> float:
        return int(self._proc("statm").split()[1]) * _PAGE_MIB

    def cpu_s(self) -> float:
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS  # user and system

    def _proc(self, name: str) -> str:
        try:
            return Path(f"/proc/{self.node.process.pid}/{name}").read_text()
        except OSError as error:
            raise CommandError(self.node.describe_end()) from error


def bench_node(args: argparse.Namespace) -> int:
    """Measure, print and write; 1 where the node did not endure."""
    if args.endurance:
        return _endure(args)
    _measure(args)
    return 0


def _measure(args: argparse.Namespace) -> None:
    if args.seconds < _LEAST_S:
        raise CommandError(f"--seconds: expected at least {_LEAST_S:g}, over which the node takes its percentiles")
    config = _config(args, {})
    rates: list[NodeSpeed] = []
    with _running(config, listens_to_points=True) as bench:
        frames = looping_frames(*args.size)
        for rate_hz in args.rates:
            print(f"{args.seconds:g} s at {rate_hz:g} Hz", file=sys.stderr, flush=True)
            played = bench.client.play(frames, rate_hz, args.seconds, _LEAD_IN_S)
            rates.append(node_speed(rate_hz, played.num_sent, played.status, played.age_ms))
    alone = segmenter_ms(config, frames)
    _print_speed(rates, alone, args.size)
    _write(args.out, {"rates": [dataclasses.asdict(one) for one in rates], "segmenter_ms": dataclasses.asdict(alone)})


def _print_speed(rates: list[NodeSpeed], alone: Spread, size: tuple[int, int]) -> None:
    print(f"\n{size[0]}x{size[1]}, {_machine()}; milliseconds, p50 / p95\n")
    header = ("input", "processed", "overhead", *rates[0].parts_ms, "age instances", "age points", "segmenter", "drops")
    rows: list[tuple[Cell, ...]] = [
        (
            f"{one.rate_hz:g} Hz",
            f"{one.processed_hz:.1f} Hz",
            _spread(one.overhead_ms),
            *(_spread(part) for part in one.parts_ms.values()),
            *(_spread(age) for age in one.age_ms.values()),
            f"{one.segmenter_ms:.1f}",
            ", ".join(f"{count} {reason}" for reason, count in one.drops.items()) or "none",
        )
        for one in rates
    ]
    print(table(header, rows))
    print(f"\nthe segmenter alone, offline, on the same frames: {_spread(alone)} ms a frame")


def _endure(args: argparse.Namespace) -> int:
    if args.endurance < _LEAST_FRAMES:
        raise CommandError(f"--endurance: expected at least {_LEAST_FRAMES} frames, got {args.endurance}")
    log, audit = EnduranceLog(), IdAudit()
    with tempfile.TemporaryDirectory(prefix="autoseg3d_endurance_") as folder:
        config = _config(args, {**_ENDURANCE, "map.directory": folder, "map.path": "endurance.autoseg3d"})
        with _running(config, listens_to_points=False) as bench, Interruption() as interruption:
            _walk(bench, args.endurance, log, audit, interruption)
            status = bench.client.status()
    tenths = slices(log)
    is_fine = _print_endurance(tenths, log, audit, status)
    document = {
        "tenths": [dataclasses.asdict(one) for one in tenths],
        "num_frames": len(log.frame_ms),
        "unanswered": log.unanswered,
        "num_ids": audit.num_created,
        "faults": audit.faults,
        "status": status,
    }
    _write(args.out, document)
    return interruption.exit_code or (0 if is_fine else 1)


def _walk(bench: _Bench, num_frames: int, log: EnduranceLog, audit: IdAudit, interruption: Interruption) -> None:
    every = max(1, num_frames // _SAMPLES)
    with Progress(num_frames) as progress:
        for number in range(num_frames):
            if number % every == 0:
                _sample(bench, log)
            answer = bench.client.ask(corridor_frame(number), _ANSWER_S)
            if answer is None:
                log.unanswered.append(f"frame {number}")
                bench.rss_mib()  # raises where the node has ended
            else:
                log.add(answer.stage_ms, answer.answer_ms)
                audit.read(answer.message)
            progress.advance(1)
            if interruption:
                break
        _sample(bench, log)


def _sample(bench: _Bench, log: EnduranceLog) -> None:
    number = len(log.frame_ms)
    log.rss_mib.append((number, bench.rss_mib()))
    log.cpu_s.append((number, bench.cpu_s()))
    spent_ms = bench.client.call_get_instances(_ANSWER_S)
    if spent_ms is None:
        log.unanswered.append(f"get_instances after {number} frames")
    else:
        log.service_ms.append((number, spent_ms))


def _print_endurance(tenths: list[Slice], log: EnduranceLog, audit: IdAudit, status: dict[str, str]) -> bool:
    """Print table and verdict; return whether the node endured."""
    print(f"\n{len(log.frame_ms)} frames, {_machine()}\n")
    if not tenths:
        print("too few frames for a table")
        return False
    header = ("frames", "memory MiB", "CPU ms", "frame ms p50", "p95", "answer ms p50", "p95", "get_instances ms p95")
    print(table(header, [dataclasses.astuple(one) for one in tenths]))
    growth = memory_growth(tenths)
    counted = f"failed {status.get('failed')}, saved {status.get('saved')}, not saved {status.get('not_saved')}"
    print(
        f"\nmemory at the end over that after a tenth: {growth:.3f}\n"
        f"p95 of the last tenth over that of the second: {p95_growth(tenths):.2f}\n"
        f"ids: {audit.num_created} born, {audit.num_revived} revived, {audit.num_merged} merged, "
        f"{audit.num_removed} removed; used twice: {len(audit.faults)}\n"
        f"frames and calls without an answer: {', '.join(log.unanswered) or 'none'}; node: {counted}, {_fills(status)}"
    )
    for line in audit.faults[:5]:
        print(f"  {line}")
    return growth <= _FLAT and not audit.faults and not log.unanswered and status.get("failed") == "0"


def _fills(status: dict[str, str]) -> str:
    return ", ".join(f"{status.get(name)} {name}" for name in ("voxels", "instances", "retired"))


@contextmanager
def _running(config: Config, *, listens_to_points: bool) -> Iterator[_Bench]:
    """A node with these settings, and a client that it hears."""
    prefix = overlay_prefix()
    if prefix is None:
        raise CommandError(f"overlay {overlay_state()}")
    os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
    domain = random.SystemRandom().randint(*_DOMAINS)
    # First of all: rclpy from a wheel starts the interpreter anew when it is imported.
    try:
        from autoseg3d_ros.ros.bench_client import BenchClient
    except ImportError as error:
        raise CommandError(f"needs ROS 2 ({error}); run `make setup` and `source install/setup.bash`") from error
    program = prefix / "lib" / "autoseg3d_ros" / "segmenter_node"
    with tempfile.TemporaryDirectory(prefix="autoseg3d_bench_") as folder:
        parameters = Path(folder, "parameters.yaml")
        parameters.write_text(configuration.dump(config, ros=True))
        arguments: list[str | Path] = ["--params-file", parameters]
        arguments += [part for name, topic in _REMAPPED.items() for part in ("-r", f"{name}:={topic}")]
        with Children(Path(folder), {**os.environ, "ROS_DOMAIN_ID": str(domain)}) as children:
            node = children.start("segmenter_node", [sys.executable, program, "--ros-args", *arguments])
            client = BenchClient(domain, listens_to_points=listens_to_points)
            try:
                children.wait_until(client.is_connected, "the node", _START_S, [node])
                yield _Bench(node, client)
            finally:
                client.close()


def _config(args: argparse.Namespace, special: Mapping[str, object]) -> Config:
    """Return the settings of node and segmenter: the file, then what the benchmark needs, then what is asked for."""
    changes = [f"{key}={value}" for key, value in {**_MASKS, **special}.items()]
    return with_model(run_config(args.config, [*changes, *args.changes], masks=None, model=args.model, seed=None))


def _machine() -> str:
    cores = os.sched_getaffinity(0)
    return f"{len(cores)} cores, load {os.getloadavg()[0]:.1f}"


def _spread(one: Spread) -> str:
    return f"{one.p50:.1f} / {one.p95:.1f}"


def _write(path: Path | None, document: dict[str, Any]) -> None:
    if path:
        path.write_text(json.dumps({"machine": _machine(), **document}, indent=1) + "\n")
        print(f"written to {path}")
