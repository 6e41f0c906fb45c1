"""The sequence of the demo: a furnished room, generated once and kept."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from pathlib import Path

from tqdm import tqdm

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.data import synthetic
from autoseg3d_ros.data.synthetic.room import FurnitureKind

_ORIGIN = "generated.json"  # beside the frames: of what they were made


def generated_sequence(path: Path, num_frames: int, seed: int, furniture_kind: FurnitureKind) -> Path:
    """Return an RGB-D folder with the room of `seed`; one of the same origin that is there already is used again.

    Raises CommandError where `path` holds anything that was not generated.
    """
    origin = {
        "num_frames": num_frames,
        "seed": seed,
        "furniture": furniture_kind,
        "generator": _digest_of(Path(synthetic.__file__).parent),
    }
    if path.exists():
        if not (path / _ORIGIN).is_file():
            raise CommandError(
                f"{path}: expected a sequence that the demo generated, found something else; move it away"
            )
        if json.loads((path / _ORIGIN).read_text()) == origin:
            return path
        shutil.rmtree(path)
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    print(f"generating {num_frames} frames of a room (seed {seed}, {furniture_kind} furniture)", flush=True)
    with tqdm(total=num_frames, unit="frame", disable=not sys.stderr.isatty()) as bar:
        synthetic.generate_room(
            partial,
            num_frames=num_frames,
            seed=seed,
            furniture_kind=furniture_kind,
            progress=lambda done, _all: bar.update(done - bar.n),
        )
    (partial / _ORIGIN).write_text(json.dumps(origin) + "\n")
    partial.rename(path)
    return path


def _digest_of(package: Path) -> str:
    """Return a digest of the code that makes the frames: after a change of it they are made anew."""
    digest = hashlib.sha256()
    for file in sorted(package.rglob("*.py")):
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]
