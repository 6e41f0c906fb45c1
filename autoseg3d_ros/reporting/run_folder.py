"""The folder one run leaves behind (`docs/run_folder.md`): written frame by frame, read back for scores and pictures.

Label images, frames and events are on disk as soon as their frame is done; only the summaries wait for the end.
Bytes depend on what was computed alone: keys are sorted, floats rounded, and no time of day is written.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np

from autoseg3d_ros.reporting import ply
from autoseg3d_ros.structures import Instance, InstanceEvent

LABELS, FRAMES, EVENTS, INSTANCES = "labels", "frames.jsonl", "events.jsonl", "instances.json"
MAP, TIMING, SCORES, OVERLAY, TOPDOWN = "map.ply", "timing.json", "scores.json", "overlay.png", "topdown.png"
_OWN_NAMES = re.compile(
    "|".join(map(re.escape, (LABELS, FRAMES, EVENTS, INSTANCES, MAP, TIMING, SCORES, OVERLAY, TOPDOWN)))
    + r"|\..*\.partial"
)
_OWN_LABELS = re.compile(r"\d{6,}\.png|\..*\.partial")
_MAX_ID = 65535
_DECIMALS = 6


class RunFolderError(ValueError):
    """A run folder that cannot be written or read; the message names the path and how to mend it."""


@dataclass(frozen=True)
class RunFrame:
    """One line of `frames.jsonl`: a processed frame, or a skipped one with the reason."""

    number: int  # order in the source, unusable frames included: names the label image
    stamp_ns: int  # of the colour image; -1 for a frame that could not be read
    name: str
    skipped: str = ""  # empty = processed


class RunWriter:
    """Writes one run folder. Use it as a context manager, and write the summaries in a `finally`."""

    def __init__(self, path: Path | str) -> None:
        """Claim `path`: new, empty, or a former run, which is replaced when the first file is written.

        Raises RunFolderError where `path` is a file or holds anything that is not of a run folder.
        """
        self.path = Path(path)
        self.num_frames = 0
        self._frames: IO[str] | None = None
        self._events: IO[str] | None = None
        _expect_own(self.path)

    def __enter__(self) -> RunWriter:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def add_frame(
        self,
        number: int,
        stamp_ns: int,
        label_image: np.ndarray,
        events: Iterable[InstanceEvent] = (),
        name: str = "",
    ) -> None:
        """Write one processed frame.

        `number` is the frame's order in the source and names the label image; `label_image` is (H, W) integer
        instance ids, 0 = none. Raises RunFolderError for an id beyond 16 bits.
        """
        pixels = _as_uint16(label_image, number)
        events_file = self._open()
        _replace(self.path / LABELS / f"{number:06d}.png", _png(pixels))
        for event in events:
            events_file.write(_line({"frame": number, **_event(event)}))
        events_file.flush()
        self._add_line({"frame": number, "name": name, "stamp_ns": stamp_ns})
        self.num_frames += 1

    def add_skipped(self, number: int, reason: str, stamp_ns: int = -1, name: str = "") -> None:
        """Note a frame that could not be used, and why."""
        self._open()
        self._add_line({"frame": number, "name": name, "skipped": reason, "stamp_ns": stamp_ns})

    def write_instances(self, instances: Iterable[Instance]) -> None:
        """Write the list of all instances, ordered by id."""
        self._open()
        rows = [json.dumps(_instance(one), sort_keys=True) for one in sorted(instances, key=lambda one: one.id)]
        _replace(self.path / INSTANCES, ("[\n" + ",\n".join(rows) + "\n]\n").encode())

    def write_map(self, xyz_m: np.ndarray, rgb: np.ndarray, instance_id: np.ndarray) -> None:
        """Write the labelled map: `xyz_m` (M, 3) world metres, `rgb` (M, 3) uint8, `instance_id` (M,), 0 = none."""
        self._open()
        _replace(self.path / MAP, ply.encode(xyz_m, rgb, instance_id))

    def write_timing(self, timing: Mapping[str, Any]) -> None:
        """Write `timing.json`: the only file that differs between two runs on the same frames."""
        self._open()
        write_json(self.path / TIMING, timing)

    def write_picture(self, name: str, rgb: np.ndarray) -> None:
        """Write a (H, W, 3) uint8 picture, red first, as PNG under `name` (OVERLAY or TOPDOWN)."""
        self._open()
        write_picture(self.path / name, rgb)

    def close(self) -> None:
        """End the folder; a run without a single frame still leaves one. Safe to call twice."""
        self._open()
        for stream in (self._frames, self._events):
            if stream is not None:
                stream.close()

    def _open(self) -> IO[str]:
        if self._events is None:
            _clear(self.path)
            (self.path / LABELS).mkdir()
            self._frames = (self.path / FRAMES).open("w", encoding="utf-8", newline="\n")
            self._events = (self.path / EVENTS).open("w", encoding="utf-8", newline="\n")
        return self._events

    def _add_line(self, row: Mapping[str, Any]) -> None:
        assert self._frames is not None
        self._frames.write(_line(row))
        self._frames.flush()


@dataclass(frozen=True)
class RunFolder:
    """A run folder, read on demand."""

    path: Path

    def frames(self) -> list[RunFrame]:
        """Return the frames in source order, skipped ones included."""
        return [
            RunFrame(row["frame"], row["stamp_ns"], row["name"], row.get("skipped", "")) for row in self._lines(FRAMES)
        ]

    def processed(self) -> list[RunFrame]:
        """Return the frames that have a label image."""
        return [frame for frame in self.frames() if not frame.skipped]

    def label_image(self, frame: RunFrame) -> np.ndarray:
        """Return the (H, W) int32 instance ids of a processed frame, 0 = none."""
        file = self.path / LABELS / f"{frame.number:06d}.png"
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.dtype != np.uint16 or pixels.ndim != 2:
            raise RunFolderError(f"{file}: expected a 16-bit label image, found none that can be read; run again")
        return pixels.astype(np.int32)

    def events(self) -> list[dict[str, Any]]:
        """Return the rows of `events.jsonl`."""
        return list(self._lines(EVENTS))

    def instances(self) -> list[dict[str, Any]]:
        """Return the rows of `instances.json`, ordered by id."""
        return json.loads(self._text(INSTANCES))

    def timing(self) -> dict[str, Any]:
        """Return `timing.json`."""
        return json.loads(self._text(TIMING))

    def map_points(self) -> np.ndarray:
        """Return the map as a structured array (M,) with fields x y z red green blue instance_id."""
        try:
            return ply.decode(self._bytes(MAP))
        except ValueError as error:
            raise RunFolderError(f"{self.path / MAP}: {error}; run again") from error

    def _lines(self, name: str) -> Iterator[dict[str, Any]]:
        # The last line of a killed run may be cut short: what was complete still counts.
        return (json.loads(line) for line in self._text(name).splitlines(keepends=True) if line.endswith("\n"))

    def _text(self, name: str) -> str:
        return self._bytes(name).decode()

    def _bytes(self, name: str) -> bytes:
        try:
            return (self.path / name).read_bytes()
        except OSError as error:
            raise RunFolderError(
                f"{self.path / name}: cannot be read ({error.strerror}); was the run killed? run again"
            ) from error


def read_run(path: Path | str) -> RunFolder:
    """Return the run folder at `path`. Raises RunFolderError where there is none."""
    path = Path(path)
    if not (path / FRAMES).is_file():
        raise RunFolderError(
            f"{path}: expected a run folder with {FRAMES}; `autoseg3d run SOURCE --out {path}` makes one"
        )
    return RunFolder(path)


def write_json(path: Path, document: Mapping[str, Any]) -> None:
    """Write a JSON file with sorted keys, whole or not at all."""
    _replace(path, (json.dumps(document, indent=2, sort_keys=True) + "\n").encode())


def write_picture(path: Path, rgb: np.ndarray) -> None:
    """Write a (H, W, 3) uint8 picture, red first, as PNG, whole or not at all."""
    _replace(path, _png(np.ascontiguousarray(rgb[:, :, ::-1])))


def _expect_own(path: Path) -> None:
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"{path}: expected a folder to write the run into, found a file; choose another --out")
    foreign = [entry for entry in _entries(path) if not (_OWN_NAMES.fullmatch(entry.name) or _is_recording(entry))]
    foreign += [entry for entry in _entries(path / LABELS) if not _OWN_LABELS.fullmatch(entry.name)]
    if not (path / FRAMES).is_file():
        foreign += _entries(path)
    if foreign:
        raise RunFolderError(
            f"{path}: expected a new folder, an empty one or a former run, found {foreign[0].relative_to(path)}, "
            "which is of no run; choose another --out or move it away"
        )


def _is_recording(entry: Path) -> bool:
    return entry.suffix == ".rrd"  # `--rerun` may point into the run folder


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _clear(path: Path) -> None:
    """Remove a former run; its frame list is emptied first, so that an interruption leaves no mixture of two runs."""
    path.mkdir(parents=True, exist_ok=True)
    (path / FRAMES).write_bytes(b"")
    for entry in _entries(path):
        if entry.is_dir():
            shutil.rmtree(entry)
        elif entry.name != FRAMES and not _is_recording(entry):
            entry.unlink()


def _replace(path: Path, data: bytes) -> None:
    """Write a file so that a reader finds it whole or not at all."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_bytes(data)
    os.replace(partial, path)


def _as_uint16(label_image: np.ndarray, number: int) -> np.ndarray:
    highest = int(label_image.max(initial=0))
    if highest > _MAX_ID:
        raise RunFolderError(
            f"frame {number}: instance id {highest} does not fit a 16-bit label image (at most {_MAX_ID}); "
            "split the sequence into shorter runs"
        )
    return label_image.astype(np.uint16)


def _png(pixels: np.ndarray) -> bytes:
    _done, data = cv2.imencode(".png", pixels, (cv2.IMWRITE_PNG_COMPRESSION, 1))
    return data.tobytes()


def _line(row: Mapping[str, Any]) -> str:
    return json.dumps(row, sort_keys=True) + "\n"


def _event(event: InstanceEvent) -> dict[str, Any]:
    return {
        "id": event.instance_id,
        "other_id": event.other_id,
        "reason": event.reason,
        "stamp_ns": event.stamp_ns,
        "type": event.type.name.lower(),
    }


def _instance(one: Instance) -> dict[str, Any]:
    return {
        "id": one.id,
        "state": one.state.name.lower(),
        "score": _rounded(one.score),
        "first_seen": one.first_seen_ns,
        "last_seen": one.last_seen_ns,
        "num_observations": one.num_observations,
        "centroid": [_rounded(value) for value in one.centroid_m],
        "bbox": {
            "center": [_rounded(value) for value in one.box.center_m],
            "size": [_rounded(value) for value in one.box.size_m],
            "yaw": _rounded(one.box.yaw_rad),
        },
        "num_points": one.num_points,
    }


def _rounded(value: float) -> float:
    return round(float(value), _DECIMALS) + 0.0  # + 0.0 turns -0.0 into 0.0
