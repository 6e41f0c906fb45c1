"""Two clips learnt by heart: lifted, trained in all three stages and scored by the commands that users type."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import yaml
from benchmark_builders import WALL_M, write_scene
from scenes import frame_of

from autoseg3d_ros.cli.main import main
from autoseg3d_ros.structures import Frame

pytestmark = pytest.mark.usefixtures("one_thread")

# Instance 1 is three blocks, which geometry holds for three objects; the fourth is instance 2.
INSTANCE_OF_BLOCK = np.array([0, 1, 1, 1, 2], np.int32)
ROOMS = {
    "room_a": ((2, 5, 16, 40, 2.0), (18, 5, 16, 40, 2.4), (34, 5, 16, 40, 2.0), (56, 10, 20, 30, 2.4)),
    "room_b": ((30, 6, 15, 30, 2.4), (45, 6, 15, 30, 2.0), (60, 6, 15, 30, 2.4), (4, 22, 20, 30, 2.0)),
}
STAGES = [
    {"kind": "view", "iterations": 150, "batch": 2, "num_frames": 1, "learning_rate": 1.0e-3},
    {"kind": "clips", "iterations": 40, "batch": 2, "num_frames": 2, "learning_rate": 5.0e-4},
    {"kind": "tracks", "iterations": 60, "batch": 2, "num_frames": 2, "learning_rate": 1.0e-3},
]
UNTRAINED = [{**stage, "iterations": 1} for stage in STAGES]


def view_of(name: str) -> Callable[[int], Frame]:
    """Return the frames of a room by their index: its blocks before a wall, which is void."""

    def view(index: int) -> Frame:
        frame = frame_of(*ROOMS[name], index=index)
        depth_m = np.where(frame.truth > 0, frame.depth_m, np.float32(WALL_M))
        return replace(frame, depth_m=depth_m, truth=INSTANCE_OF_BLOCK[frame.truth])

    return view


@pytest.fixture
def rooms(tmp_path) -> Path:
    for name in ROOMS:
        write_scene(tmp_path / "rooms" / name, split="train", num_frames=6, view=view_of(name))
    return tmp_path / "rooms"


def trained(rooms: Path, stages: list[dict], out: Path) -> Path:
    """Return the weights after these stages."""
    lifted = str(rooms.parent / "lifted")
    masks = "united-regions"
    assert main(["lift", str(rooms), "--out", lifted, "--every", "1", "--masks", masks, "--workers", "1"]) == 0
    document = {
        "preset": "tiny",
        "cache": lifted,
        "masks": {masks: 1.0},
        "augment": False,
        "stages": [{**stage, "num_points": 2500} for stage in stages],
    }
    out.mkdir()
    (out / "train.yaml").write_text(yaml.safe_dump(document))
    assert main(["train", str(out / "train.yaml"), "--out", str(out)]) == 0
    return out / "tracks.safetensors"


def ap50(rooms: Path, weights: Path, out: Path) -> float:
    command = ["eval", str(rooms), "--split", "train", "--out", str(out), "--masks", "regions", "--workers", "1"]
    assert main([*command, "--model", str(weights)]) == 0
    scores = json.loads((out / "results.json").read_text())["rows"]["regions"]["scores"]
    return float(scores["ap50"]["value"])


def test_two_clips_are_learnt_by_heart(tmp_path, rooms):
    before = ap50(rooms, trained(rooms, UNTRAINED, tmp_path / "untrained"), tmp_path / "before")
    after = ap50(rooms, trained(rooms, STAGES, tmp_path / "trained"), tmp_path / "after")
    assert before <= 0.6
    assert after >= 0.9
