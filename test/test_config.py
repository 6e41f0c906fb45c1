from __future__ import annotations

import dataclasses

import pytest

from autoseg3d_ros import config
from autoseg3d_ros.config import Config, ConfigError


def test_dump_and_load_round_trip_in_both_forms(tmp_path):
    changed = config.replace(Config(), {"seed": 7, "depth.max_m": 4.5, "masks.source": "truth"})
    for ros in (False, True):
        path = tmp_path / f"settings_{ros}.yaml"
        path.write_text(config.dump(changed, ros=ros))
        assert config.load(path) == changed


def test_an_empty_file_gives_the_defaults(tmp_path):
    (tmp_path / "empty.yaml").write_text("")
    assert config.load(tmp_path / "empty.yaml") == Config()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"depth.maxm": 1.0}, ["unknown key 'depth.maxm'", "did you mean 'depth.max_m'"]),
        ({"nothing.like.it": 1.0}, ["unknown key", "doctor --settings"]),
        ({"seed": -1}, ["seed", "≥ 0", "-1"]),
        ({"seed": "many"}, ["seed", "expected int", "'many'"]),
        ({"seed": 1.5}, ["seed", "expected int"]),
        ({"seed": True}, ["seed", "expected int"]),
        ({"depth.max_m": float("nan")}, ["depth.max_m", "expected float"]),
        ({"tracking.min_affinity": 1.5}, ["tracking.min_affinity", "≥ 0 and ≤ 1", "1.5"]),
        ({"sync.mode": "sometimes"}, ["sync.mode", "approx, exact", "'sometimes'"]),
    ],
)
def test_a_bad_setting_is_one_clear_error(changes, words):
    with pytest.raises(ConfigError) as error:
        config.replace(Config(), changes)
    for word in words:
        assert word in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [("depth: {max_m: -1}", ["depth.max_m"]), ("- 1", ["expected a mapping", "list"]), ("a: [", ["not valid YAML"])],
)
def test_a_bad_file_is_named(tmp_path, text, words):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        config.load(path)
    for word in [str(path), *words]:
        assert word in str(error.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"absent\.yaml.*cannot be read"):
        config.load(tmp_path / "absent.yaml")


def test_strings_are_parsed_by_the_type_of_the_field():
    changed = config.replace(Config(), {"seed": "3", "depth.max_m": "5", "map_frame": "7"})
    assert (changed.seed, changed.depth.max_m, changed.map_frame) == (3, 5.0, "7")


def test_every_setting_has_help_and_a_default_within_its_own_limits():
    leaves = dict(config.settings())
    assert set(leaves) == set(config.as_flat_dict(Config()))
    for key, leaf in leaves.items():
        assert leaf.metadata["help"], key
    config.replace(Config(), config.as_flat_dict(Config()))


def test_configuration_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().seed = 1
