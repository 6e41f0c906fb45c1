"""Where map files may be: what a service is asked for must not reach the rest of the disk."""

from __future__ import annotations

from pathlib import Path

from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError

_DEFAULT_DIRECTORY = Path(".ros") / "autoseg3d_ros"


def map_directory(configured: str) -> Path:
    """Return the folder of `map.directory`, empty for the default in the home folder; it need not be there yet."""
    return Path(configured).expanduser().absolute() if configured else Path.home() / _DEFAULT_DIRECTORY


def confined(path: str, directory: Path, allow_anywhere: bool) -> Path:
    """Return `path` as an absolute one without links; a relative one begins at `directory`.

    Raises MapFileError (INVALID_PATH) where there is none, or where it leads out of `directory` - upwards, absolute or
    through a link - unless `allow_anywhere`.
    """
    if not path:
        raise _invalid("no path given; name one, or set map.path")
    try:
        home, target = directory.resolve(), (directory / Path(path).expanduser()).resolve()
    except (OSError, RuntimeError, ValueError) as error:  # too long, links in a circle, no such user, a zero byte
        raise _invalid(f"{path!r}: expected the path of a file, got one that leads nowhere ({error})") from error
    if target == home or not (allow_anywhere or target.is_relative_to(home)):
        raise _invalid(
            f"{path!r}: expected a file in {home}, got {target}; name one in there, or set map.directory or "
            "map.allow_any_path"
        )
    return target


def _invalid(message: str) -> MapFileError:
    return MapFileError(MapFault.INVALID_PATH, f"map file: {message}")
