"""When an outcome may be used again: everything that it came from is the same."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from benchmark_builders import write_scene

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark import digests
from autoseg3d_ros.benchmark.digests import file_digest, outcome_digest
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.scene_folder import SceneFolder
from autoseg3d_ros.model.manifest import Manifest, Weights


@pytest.fixture
def scene(tmp_path: Path) -> SceneFolder:
    return write_scene(tmp_path / "data" / "tiny", num_frames=1)


def digest(scene: SceneFolder, **changes: object) -> str:
    changes = {key.replace("__", "."): value for key, value in changes.items()}
    return outcome_digest(scene, configuration.replace(Config(), changes), Protocol())


def test_a_file_that_is_not_there_has_no_digest(tmp_path: Path) -> None:
    assert file_digest(tmp_path / "none") == file_digest(Path("")) == ""


@pytest.mark.parametrize("key", ["model__path", "masks__weights"])
def test_weights_count_by_what_they_are_and_not_by_where(scene: SceneFolder, tmp_path: Path, key: str) -> None:
    for name, content in (("a", b"1"), ("copy_of_a", b"1"), ("b", b"2")):
        (tmp_path / name).write_bytes(content)
    a, copy_of_a, b = (digest(scene, **{key: str(tmp_path / name)}) for name in ("a", "copy_of_a", "b"))
    assert a == copy_of_a
    assert len({a, b, digest(scene), digest(scene, **{key: str(tmp_path / "missing")})}) == 4
    (tmp_path / "a").write_bytes(b"2")
    assert digest(scene, **{key: str(tmp_path / "a")}) == b


def test_a_model_by_name_counts_by_its_weights(
    scene: SceneFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for content in (b"1", b"2"):
        (tmp_path / "tiny.safetensors").write_bytes(content)
        weights = Weights("tiny.safetensors", hashlib.sha256(content).hexdigest())
        monkeypatch.setattr(Manifest, "installed", lambda weights=weights: Manifest(tmp_path, {"tiny": weights}))
        found.append([digest(scene, model__name=name) for name in ("tiny", "edge", "none")])
    (tiny, *others), (other_tiny, *same_others) = found
    assert tiny != other_tiny
    assert others == same_others
    assert len({tiny, *others}) == 3


def test_code_that_takes_part_counts_and_tables_do_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "package"
    for name in ("benchmark/digests.py", "benchmark/ablation.py", "cli/ablate.py", "tracking/tracker.py"):
        (package / name).parent.mkdir(parents=True, exist_ok=True)
        (package / name).write_text("1")
    monkeypatch.setattr(digests, "__file__", str(package / "benchmark" / "digests.py"))
    code_digest = digests._code_digest.__wrapped__
    before = code_digest()
    for name in ("benchmark/ablation.py", "cli/ablate.py"):
        (package / name).write_text("2")
    assert code_digest() == before
    (package / "tracking/tracker.py").write_text("2")
    assert code_digest() != before
