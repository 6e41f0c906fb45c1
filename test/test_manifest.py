"""`models/manifest.yaml`: which models have a name, and whether their files are what they were."""

from __future__ import annotations

import hashlib

import pytest

from autoseg3d_ros.model.manifest import Manifest, Weights
from autoseg3d_ros.setting import ConfigError

MAX_TINY_BYTES = 8_000_000


def write(folder, text):
    (folder / "manifest.yaml").write_text(text)
    return folder / "manifest.yaml"


def test_no_models(tmp_path):
    manifest = Manifest.read(write(tmp_path, "models: {}"))
    assert (manifest.names, manifest.default) == ((), "")
    assert manifest.weights_of("tiny") is manifest.weights_of("") is None


def test_a_model_is_found_and_checked(tmp_path):
    (tmp_path / "t.safetensors").write_bytes(b"weights")
    digest = hashlib.sha256(b"weights").hexdigest()
    manifest = Manifest.read(write(tmp_path, f"models: {{tiny: {{file: t.safetensors, sha256: {digest}}}}}"))
    assert manifest.names == ("tiny",)
    assert manifest.weights_of("tiny") == tmp_path / "t.safetensors"
    assert manifest.weights_of("base") is None
    (tmp_path / "t.safetensors").write_bytes(b"other weights")
    with pytest.raises(ConfigError, match=f"expected .*t.safetensors with sha256 {digest}"):
        manifest.weights_of("tiny")
    (tmp_path / "t.safetensors").unlink()
    with pytest.raises(ConfigError, match="is not there"):
        manifest.weights_of("tiny")


@pytest.mark.parametrize("text", ["", "models: [tiny]", "models: {tiny: x}", "models: {tiny: {file: x}}", "{"])
def test_a_bad_manifest_is_refused(tmp_path, text):
    with pytest.raises(ConfigError, match=r"manifest.yaml: expected `models: name"):
        Manifest.read(write(tmp_path, text))


@pytest.mark.parametrize("text", ["default: tiny\nmodels: {}", "default: [a]\nmodels: {a: {file: f, sha256: s}}"])
def test_a_default_that_is_not_there(tmp_path, text):
    with pytest.raises(ConfigError, match=r"manifest.yaml: default: expected one of .*, got"):
        Manifest.read(write(tmp_path, text))


@pytest.mark.parametrize("head", ["", "# one\n", "# one\n# two\n"])
def test_what_is_written_is_read_back(tmp_path, head):
    write(tmp_path, head + "models: {}\n# not at the head\n")
    manifest = Manifest(tmp_path, {"b": Weights("b.safetensors", "0" * 64)})
    manifest.write()
    assert Manifest.read(tmp_path / "manifest.yaml") == manifest
    (tmp_path / "a.safetensors").write_bytes(b"weights")
    more = manifest.with_model("a", tmp_path / "a.safetensors", default=True)
    more.write()
    assert Manifest.read(tmp_path / "manifest.yaml") == more
    assert (more.names, more.default) == (("b", "a"), "a")
    assert more.weights_of("a") == tmp_path / "a.safetensors"
    assert (tmp_path / "manifest.yaml").read_text().startswith(head + "default: a\nmodels:\n")
    assert more.with_model("b", tmp_path / "a.safetensors").default == "a"


def test_what_ships_is_whole_small_and_described():
    manifest = Manifest.installed()
    assert (manifest.folder / "manifest.yaml").is_file()
    for name in manifest.names:
        file = manifest.weights_of(name)
        assert file is not None and file.name == f"autoseg3d_{name}.safetensors", "git and pip leave others out"
        assert (manifest.folder / f"{name}.md").is_file(), "a model card"
        assert name != "tiny" or file.stat().st_size <= MAX_TINY_BYTES
