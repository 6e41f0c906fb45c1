"""The ablation: what sets its rows apart, paired differences, and the text of docs/results.md."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from benchmark_builders import write_scene

from autoseg3d_ros import config as configuration
from autoseg3d_ros.benchmark.ablation import (
    ABLATION,
    DIFFERENCES,
    ablation_config,
    ablation_rows,
    mask_changes,
)
from autoseg3d_ros.benchmark.protocol import Protocol
from autoseg3d_ros.benchmark.rows import row_configs
from autoseg3d_ros.benchmark.scene_evaluation import evaluate_scene
from autoseg3d_ros.benchmark.scene_outcome import SceneOutcome
from autoseg3d_ros.benchmark.scores import ResampledScores, mean_stage_ms
from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.evaluation.bootstrap import Interval
from autoseg3d_ros.reporting.ablation_table import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    FIRST_LINE,
    MasksTable,
    report,
    with_milliseconds,
)
from autoseg3d_ros.reporting.benchmark_table import format_score

NAN = float("nan")
QUICK = Protocol(num_resamples=40)
ROWS = {row.name: row for row in ABLATION}
DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "results.md"


def flat(row: str, base: Config | None = None, masks: str = "regions") -> dict[str, object]:
    return configuration.as_flat_dict(ablation_config(ROWS[row], masks, Path("nets"), base or Config()))


# --- rows ---


def test_no_name_means_every_row_and_names_keep_the_order_of_the_table() -> None:
    assert ablation_rows(None) == list(ABLATION)
    assert ablation_rows([]) == []
    assert [row.name for row in ablation_rows(["full", "geometric"])] == ["geometric", "full"]


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda: ablation_rows(["full", "+SMT"]), r"unknown row '\+SMT'; expected some of geometric, baseline"),
        (lambda: mask_changes("region"), "unknown mask source 'region'; expected some of truth"),
        (lambda: mask_changes("esam"), "unknown mask source 'esam'"),
    ],
)
def test_what_is_unknown_is_named(ask, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        ask()


@pytest.mark.parametrize(
    ("row", "minus", "expected"),
    [
        ("full", "baseline", {"model.path", "model.association", "model.fragment_merging"}),
        ("+LTM", "baseline", {"model.association"}),
        ("+STM", "baseline", {"model.path"}),
        ("+LMI", "+LTM+STM", {"model.fragment_merging"}),
        ("+ICMS", "+LTM+STM", {"model.path"}),
        ("full", "esam", {"model.association"}),
        ("full", "+ICMS", {"model.fragment_merging"}),
        ("+overlap", "full", {"model.geometric_cue"}),
        ("+merging", "full", {"model.track_merging"}),
        ("+names", "full", {"model.map_names"}),
        ("+frames", "full", {"model.short_term_frames"}),
        ("+drift", "full", {"model.pose_error_m"}),
        ("+dustbin", "full", {"model.path"}),
        ("ours", "full", {"model.geometric_cue", "model.map_names"}),
    ],
)
def test_rows_differ_in_what_is_asked_about_alone(row: str, minus: str, expected: set[str]) -> None:
    one, other = flat(row), flat(minus)
    assert {key for key in one if one[key] != other[key]} == expected


def test_the_row_ours_is_what_ships() -> None:
    ours, shipped = flat("ours"), configuration.as_flat_dict(Config())
    assert {key for key in ours if ours[key] != shipped[key]} <= {
        "masks.source",
        "model.association",  # auto there: as trained
        "model.name",
        "model.path",
    }


def test_every_difference_is_of_rows() -> None:
    assert {name for one in DIFFERENCES for name in (one.row, one.minus)} <= set(ROWS)


@pytest.mark.parametrize("row", [row.name for row in ABLATION if row.name not in ("geometric", "ours")])
def test_settings_of_the_user_do_not_turn_a_row_of_the_paper_into_another(row: str) -> None:
    changes = {
        "model.name": "base",
        "model.association": "geometric",
        "model.fragment_merging": not flat(row)["model.fragment_merging"],
        "model.short_term": False,
        "model.short_term_frames": 3,
        "model.geometric_cue": "both",
        "model.track_merging": True,
        "model.map_names": True,
        "model.pose_error_m": 0.1,
        "model.voxel_memory": False,
        "masks.source": "file",
    }
    assert flat(row, configuration.replace(Config(), changes)) == flat(row)


def test_rows_take_their_network_and_masks_from_where_they_are_told() -> None:
    assert [flat(row)["model.path"] for row in ("geometric", "baseline", "+STM", "full")] == [
        "",
        "nets/baseline.safetensors",
        "nets/short_term.safetensors",
        "nets/full.safetensors",
    ]
    other = configuration.replace(Config(), {"model.name": "tiny", "model.path": "else.safetensors"})
    assert (flat("geometric", other)["model.name"], flat("geometric", other)["model.path"]) == ("none", "")
    fragmented = flat("full", masks="fragmented")
    assert (fragmented["masks.source"], fragmented["masks.fragments"]) == ("truth", 4)


# --- paired differences ---


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory) -> tuple[SceneOutcome, SceneOutcome]:
    """Of one scene: with all objects found, and with none confirmed."""
    scene = write_scene(tmp_path_factory.mktemp("data") / "tiny")
    config = row_configs(["truth"], configuration.replace(Config(), {"model.name": "none"}))["truth"]
    unconfirmed = configuration.replace(config, {"tracking.min_observations": 9})
    right, wrong = (evaluate_scene(scene, one, QUICK) for one in (config, unconfirmed))
    assert right and wrong
    return right, wrong


def test_a_row_less_itself_is_nothing_for_sure(outcomes: tuple[SceneOutcome, SceneOutcome]) -> None:
    right, wrong = outcomes
    mixed = ResampledScores({"a": right, "b": wrong, "c": wrong}, QUICK)
    own = mixed.intervals()["ap50"]
    assert own.low < own.high
    in_another_order = ResampledScores({"c": wrong, "b": wrong, "d": right, "a": right}, QUICK)
    assert mixed.minus(mixed)["ap50"] == mixed.minus(in_another_order)["ap50"] == Interval(0.0, 0.0, 0.0)


def test_a_difference_is_taken_on_the_same_scenes(outcomes: tuple[SceneOutcome, SceneOutcome]) -> None:
    """AP50 of so many right scenes of two is 0, 1/2 or 1: less the one of none right it is the same."""
    right, wrong = outcomes
    row, minus = (ResampledScores(one, QUICK) for one in ({"a": right, "b": wrong}, {"b": wrong, "a": wrong}))
    assert row.minus(minus)["ap50"] == row.intervals()["ap50"] == Interval(0.5, 0.0, 1.0)
    assert minus.minus(row)["ap50"] == Interval(-0.5, -1.0, 0.0)


def test_scenes_that_only_one_row_has_do_not_count(outcomes: tuple[SceneOutcome, SceneOutcome]) -> None:
    right, wrong = outcomes
    row = ResampledScores({"a": wrong, "b": right, "c": right}, QUICK)
    minus = ResampledScores({"b": wrong, "c": wrong, "d": right}, QUICK)
    assert row.minus(minus)["ap50"] == Interval(1.0, 1.0, 1.0)
    nothing = row.minus(ResampledScores({"e": right}, QUICK))["ap50"]
    assert [nothing.value, nothing.low, nothing.high] == pytest.approx([NAN] * 3, nan_ok=True)


def test_stages_take_their_mean_over_all_frames(outcomes: tuple[SceneOutcome, SceneOutcome]) -> None:
    right, wrong = outcomes
    assert mean_stage_ms([]) == {}
    expected = (right.stage_ms["map"] + wrong.stage_ms["map"]) / (right.num_frames + wrong.num_frames)
    assert mean_stage_ms(outcomes)["map"] == pytest.approx(expected)


# --- the text ---


@pytest.mark.parametrize(
    ("score", "text"),
    [
        (Interval(NAN, NAN, NAN), "n/a"),
        (Interval(0.046, 0.01, 0.08), "+4.6 [+1.0, +8.0]"),
        (Interval(-0.0001, -0.02, 0.0), "0.0 [-2.0, 0.0]"),
    ],
)
def test_a_difference_as_text(score: Interval, text: str) -> None:
    assert format_score(score, DIFFERENCE_COLUMNS[0]) == text


def test_milliseconds_are_the_inverse_of_the_rate() -> None:
    scores = with_milliseconds({"frames_per_second": Interval(10.0, 5.0, 20.0)})
    assert scores["ms"] == Interval(100.0, 50.0, 200.0)
    assert math.isnan(with_milliseconds({"frames_per_second": Interval(NAN, NAN, NAN)})["ms"].value)


def counted(num_scenes: int) -> dict[str, int]:
    return {"num_scenes": num_scenes, "num_frames": 10 * num_scenes, "num_skipped": 0}


def document_of(**rows: int) -> dict[str, object]:
    return {
        "dataset": "rooms",
        "split": "test",
        "scenes_from": {"seed": 0, "generator": "f2b0"},
        "command": "autoseg3d ablate rooms",
        "commit": "",
        "machine": {"cores": 2},
        "networks": {"full": "0123456789abcdef"},
        "rows": {
            "full": {"network": "full", "changes": {"model.fragment_merging": True}, "left_out": ""},
            "+STM": {"network": "short_term", "changes": {}, "left_out": "x is not there"},
        },
        "masks": {
            "regions": {"changes": {"masks.source": "regions"}, "rows": {k: counted(n) for k, n in rows.items()}}
        },
        "protocol": {"seed": 0},
        "left_out": [{"row": "", "scene": "b", "message": "damaged"}],
    }


def test_the_text_says_what_it_is_and_where_it_comes_from() -> None:
    scores = {column.key: Interval(0.5, 0.25, 0.75) for column in COLUMNS}
    table = MasksTable("regions", {"full": scores}, {"LTM: a - b": scores})
    lines = report(document_of(full=2), [table]).splitlines()
    assert lines[0] == FIRST_LINE
    for expected in (
        "# Ablation on rooms, split test",
        f"| full {4 * '| 50.0 [25.0, 75.0] '}| 0.5 [0.2, 0.8] | 0 [0, 1] |",
        "Left out: `+STM`; the reasons are below.",
        f"| LTM: a - b {3 * '| +50.0 [+25.0, +75.0] '}| +0.5 [+0.2, +0.8] |",
        "| full | full | `model.fragment_merging` true |",
        "| +STM | short_term | (left out: x is not there) |",
        "- command: `autoseg3d ablate rooms`",
        "- commit: unknown",
        "- network full: sha256 0123456789ab",
        "- scenes: seed 0, generator f2b0",
        "- each row: 2 scenes, 20 frames, 0 skipped",
        "- left out: b: damaged",
    ):
        assert expected in lines


def test_rows_of_different_scenes_are_counted_one_by_one() -> None:
    text = report(document_of(full=2, esam=1), [])
    assert "- regions, full: 2 scenes, 20 frames, 0 skipped\n- regions, esam: 1 scenes, 10 frames, 0 skipped\n" in text


def test_results_in_docs_are_those_of_the_command() -> None:
    if not DOCUMENT.exists():
        pytest.skip(f"{DOCUMENT.name} is not written yet")
    assert DOCUMENT.read_text().splitlines()[0] == FIRST_LINE
