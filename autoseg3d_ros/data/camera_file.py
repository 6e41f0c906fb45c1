"""`camera.yaml`: the camera of a recorded folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from autoseg3d_ros.data.source import SourceError
from autoseg3d_ros.stream.rectification import checked_distortion
from autoseg3d_ros.structures import CameraIntrinsics, FrameError

CAMERA_FILE = "camera.yaml"
_INTEGER_KEYS = ("width", "height")
_POSITIVE_KEYS = ("fx", "fy", "depth_scale", "fps")
REQUIRED_KEYS = ("width", "height", "fx", "fy", "cx", "cy", "depth_scale", "fps")


@dataclass(frozen=True)
class RecordedCamera:
    """A camera as its recording describes it."""

    intrinsics: CameraIntrinsics
    depth_scale: float  # depth units a metre
    fps: float
    distortion: tuple[float, ...] = ()  # k1 k2 p1 p2 [k3 [k4 k5 k6]], OpenCV and `plumb_bob` order; empty = rectified


def read_camera_file(path: Path, defaults: Mapping[str, Any] | None = None) -> RecordedCamera:
    """Read a `camera.yaml`; keys it lacks are taken from `defaults`.

    Raises SourceError with the file and the key for anything missing, unknown or not a usable number.
    """
    return camera_of({**(defaults or {}), **_read_mapping(path)}, str(path))


def camera_of(values: Mapping[str, Any], where: str) -> RecordedCamera:
    """Make a camera of the keys of a `camera.yaml`. Raises SourceError, naming `where`, as `read_camera_file` does."""
    missing = [key for key in REQUIRED_KEYS if key not in values]
    unknown = sorted(map(str, set(values) - {*REQUIRED_KEYS, "distortion"}))
    if missing or unknown:
        faults = [f"{word} {', '.join(keys)}" for word, keys in (("missing", missing), ("unknown", unknown)) if keys]
        raise SourceError(
            f"{where}: {'; '.join(faults)}; expected the keys {', '.join(REQUIRED_KEYS)} and, where the images are not "
            f"rectified, distortion"
        )
    width, height, fx, fy, cx, cy, depth_scale, fps = (_number(where, key, values[key]) for key in REQUIRED_KEYS)
    intrinsics = CameraIntrinsics(int(width), int(height), fx, fy, cx, cy)
    return RecordedCamera(intrinsics, depth_scale, fps, _distortion(where, values.get("distortion", ())))


def write_camera_file(path: Path, camera: RecordedCamera) -> None:
    """Write `camera` so that `read_camera_file` returns an equal one."""
    document: dict[str, Any] = {**asdict(camera.intrinsics), "depth_scale": camera.depth_scale, "fps": camera.fps}
    if camera.distortion:
        document["distortion"] = list(camera.distortion)
    path.write_text(yaml.safe_dump(document, sort_keys=False))


def _read_mapping(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise SourceError(
            f"{path}: no such file; it must give {', '.join(REQUIRED_KEYS)} (depth_scale in units a metre)"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise SourceError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise SourceError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(document, dict):
        raise SourceError(f"{path}: expected a mapping of keys to numbers, got {type(document).__name__}")
    return document


def _number(where: str, key: str, value: Any) -> float:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < float("inf")
    if key in _INTEGER_KEYS and not (is_number and value == int(value) and value > 0):
        raise SourceError(f"{where}: {key}: expected a positive whole number of pixels, got {value!r}")
    if not is_number or (key in _POSITIVE_KEYS and value <= 0):
        raise SourceError(f"{where}: {key}: expected a {'positive ' * (key in _POSITIVE_KEYS)}number, got {value!r}")
    return float(value)


def _distortion(where: str, value: Any) -> tuple[float, ...]:
    if not isinstance(value, (list, tuple)):
        raise SourceError(f"{where}: distortion: expected a list of numbers (k1 k2 p1 p2 k3 ...), got {value!r}")
    try:
        return checked_distortion("", [_number(where, "distortion", item) for item in value], f"{where}: distortion")
    except FrameError as error:
        raise SourceError(str(error)) from error
