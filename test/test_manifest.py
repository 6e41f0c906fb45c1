from __future__ import annotations

import hashlib

import pytest

from autoseg3d_ros.model.manifest import Manifest
from autoseg3d_ros.setting import ConfigError


def write(folder, text):
    (folder / "manifest.yaml").write_text(text)
    return folder / "manifest.yaml"


def test_no_models(tmp_path):
    manifest = Manifest.read(write(tmp_path, "models: {}"))
    assert manifest.names == ()
    assert manifest.weights_of("tiny") is None


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


def test_the_shipped_manifest_holds():
    manifest = Manifest.installed()
    assert (manifest.folder / "manifest.yaml").is_file()
    assert all(manifest.weights_of(name) for name in manifest.names)
