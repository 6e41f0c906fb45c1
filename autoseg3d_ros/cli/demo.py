"""`autoseg3d demo`: the live node, a player and a recorder as processes of their own, then scores and pictures."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from autoseg3d_ros.build import with_model
from autoseg3d_ros.cli.children import Child, Children
from autoseg3d_ros.cli.demo_sequence import generated_sequence
from autoseg3d_ros.cli.doctor import overlay_prefix, overlay_state
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.eval import scores_of
from autoseg3d_ros.cli.run import run_config
from autoseg3d_ros.cli.summary import instance_table
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.data.topics import WRITTEN_TOPICS
from autoseg3d_ros.evaluation.results import format_scores, scores_as_dict
from autoseg3d_ros.model.selection import describe_model
from autoseg3d_ros.model_config import ModelConfig
from autoseg3d_ros.reporting.draw_run import draw_run
from autoseg3d_ros.reporting.run_folder import (
    FRAMES,
    INSTANCES,
    MAP,
    OVERLAY,
    SCORES,
    TOPDOWN,
    RunFolder,
    RunWriter,
    read_run,
    write_json,
)
from autoseg3d_ros.structures import Frame

_START_TIMEOUT_S = 60.0
_QUIET_S = 20.0  # the player is done and no frame came for so long: no more will come
_CONNECTED = "connected"  # what the recorder logs when it hears the node
_AHEAD = 20  # frames the player may be ahead of the node, so that a slow machine loses none
_MAX_QUEUE = 500  # frames of 2 MB that may wait in the node
_INPUT_QUEUE = 30
_REMAPPED = {
    "rgb/image_raw": WRITTEN_TOPICS.colour,
    "depth/image_raw": WRITTEN_TOPICS.depth,
    "rgb/camera_info": WRITTEN_TOPICS.camera_info,
    "pose": WRITTEN_TOPICS.pose,
}


@dataclass(frozen=True)
class _Stage:
    """What the processes need to know."""

    programs: Path  # folder of the executables
    sequence: Path
    format: str
    num_frames: int  # that can be used
    rate: float
    run: Path
    model: ModelConfig


def execute(args: argparse.Namespace) -> int:
    """Play, record, score, draw; print the table and the names of the files."""
    prefix = overlay_prefix()
    if prefix is None:
        raise CommandError(f"overlay {overlay_state()}")
    RunWriter(args.out / "run").close()  # an empty run: the one before must not be taken for this one
    sequence = args.source or generated_sequence(args.out / "sequence", args.frames, args.seed, args.furniture)
    source = open_source(sequence, args.format)
    num_frames = sum(isinstance(item, Frame) for item in prefetched(source.frames()))
    if not num_frames:
        raise CommandError(
            f"{sequence}: none of {len(source)} frames can be used; `autoseg3d doctor {sequence}` says why"
        )
    programs = prefix / "lib" / "autoseg3d_ros"
    model = with_model(run_config(None, [], masks=None, model=args.model, seed=None)).model
    stage = _Stage(programs, sequence, args.format, num_frames, args.rate, args.out / "run", model)
    print(f"playing {num_frames} frames of {source.name} through the live node", flush=True)
    print(f"model {describe_model(model)}", flush=True)
    with Children(args.out / "logs", _environment()) as children:
        _play(children, stage)
    run = read_run(stage.run)
    if not run.processed():
        raise CommandError(f"the node gave no frame; see {args.out / 'logs'}")
    draw_run(run, source)
    _report(run, source, stage)
    return 0


def _environment() -> dict[str, str]:
    """Return the environment of the children: a ROS network of their own on this machine."""
    domain = str(random.SystemRandom().randint(1, 100))
    return {**os.environ, "ROS_DOMAIN_ID": domain, "ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}


def _play(children: Children, stage: _Stage) -> None:
    """Let the node see every frame and the recorder write what it makes of them."""
    settings = {
        "process.mode": "lossless",
        "process.queue_size": min(stage.num_frames, _MAX_QUEUE),
        "input.qos": "DEFAULT",
        "input.qos_depth": _INPUT_QUEUE,
        "model.name": stage.model.name,
        **({"model.path": stage.model.path} if stage.model.path else {}),
    }
    ros_arguments = [part for key, value in settings.items() for part in ("-p", f"{key}:={value}")]
    ros_arguments += [part for name, topic in _REMAPPED.items() for part in ("-r", f"{name}:={topic}")]
    node = children.start("segmenter_node", [*_program(stage, "segmenter_node"), "--ros-args", *ros_arguments])
    recorder = children.start(
        "recorder", [*_program(stage, "recorder"), "--out", stage.run, "--frames", str(stage.num_frames)]
    )
    children.wait_until(lambda: _CONNECTED in recorder.log.read_text(), "the node", _START_TIMEOUT_S, [node, recorder])
    player = children.start(
        "player",
        [
            *_program(stage, "player"),
            *(stage.sequence, "--format", stage.format, "--rate", str(stage.rate), "--ahead", str(_AHEAD)),
        ],
    )
    _follow(children, stage, node, recorder, player)
    children.end(recorder)
    children.end(node)


def _follow(children: Children, stage: _Stage, node: Child, recorder: Child, player: Child) -> None:
    """Wait for the recorder to end with its last frame, or for silence after the player has ended."""
    quiet_since_s = time.monotonic()
    with tqdm(total=stage.num_frames, unit="frame", disable=not sys.stderr.isatty()) as bar:

        def is_done() -> bool:
            nonlocal quiet_since_s
            num_new = _num_recorded(stage.run) - bar.n
            if num_new or player.process.poll() is None:
                quiet_since_s = time.monotonic()
            bar.update(num_new)
            return recorder.process.poll() is not None or time.monotonic() - quiet_since_s > _QUIET_S

        children.wait_until(is_done, "the last frame", float("inf"), [node])
    if player.process.poll():
        raise CommandError(player.describe_end())


def _program(stage: _Stage, name: str) -> list[str | Path]:
    # This interpreter rather than the one of the first line: it is the one that has everything.
    return [sys.executable, stage.programs / name]


def _num_recorded(run: Path) -> int:
    frames = run / FRAMES
    return frames.read_bytes().count(b"\n") if frames.exists() else 0


def _report(run: RunFolder, source: FrameSource, stage: _Stage) -> None:
    timing, num_recorded = run.timing(), len(run.processed())
    print(instance_table(run))
    scores = scores_of(run, source)
    if scores is not None:
        write_json(run.path / SCORES, scores_as_dict(scores))
        print("\n" + format_scores(scores))
    print(f"\nframes          {num_recorded} of {stage.num_frames} came through the node")
    print(
        f"frame rate      {timing['frames_per_second']:.1f} a second live, "
        f"{timing['stages_ms']['frame']['p50']:.0f} ms a frame (p50)"
    )
    names = [name for name in (OVERLAY, TOPDOWN, INSTANCES, MAP, SCORES) if (run.path / name).exists()]
    print(f"written         {', '.join(str(run.path / name) for name in names)}")
