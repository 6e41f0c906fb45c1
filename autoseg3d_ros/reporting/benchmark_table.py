"""The table of an evaluation: rows are configurations, columns are scores with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from autoseg3d_ros.evaluation.bootstrap import Interval

Scores = Mapping[str, Interval]  # key of a column -> its score


@dataclass(frozen=True)
class Column:
    """One score as people read it."""

    key: str
    title: str
    scale: float = 100.0  # shares are shown in percent
    decimals: int = 1
    sign: str = ""  # "+" = a difference: positive values have their sign too


COLUMNS = (
    Column("ap", "AP"),
    Column("ap50", "AP50"),
    Column("ap25", "AP25"),
    Column("ap50_near", "AP50 near"),
    Column("idf1", "IDF1"),
    Column("hota", "HOTA"),
    Column("assa", "AssA"),
    Column("switches", "switches a scene", scale=1.0),
    Column("fragmentations", "fragmentations a scene", scale=1.0),
    Column("revivals_right", "revivals right"),
    Column("mask_recall50", "mask recall .5"),
    Column("mask_recall75", "mask recall .75"),
    Column("mask_recall50_united", "united .5"),
    Column("frames_per_second", "frames/s", scale=1.0),
)


def markdown_table(rows: Mapping[str, Scores], columns: Sequence[Column] = COLUMNS, title: str = "row") -> str:
    """Return a Markdown table with one line a row; `n/a` where a score has nothing to stand on.

    `title` heads the names of the rows.
    """
    header, lines = row_lines(rows, columns, title)
    return "\n".join("| " + " | ".join(line) + " |" for line in [header, ["---", *["---:"] * len(columns)], *lines])


def row_lines(
    rows: Mapping[str, Scores], columns: Sequence[Column], title: str = "row"
) -> tuple[list[str], list[list[str]]]:
    """Return header and lines of the table: one line a row, one column a score."""
    lines = [[name, *(format_score(scores[column.key], column) for column in columns)] for name, scores in rows.items()]
    return [title, *(column.title for column in columns)], lines


def score_lines(rows: Mapping[str, Scores]) -> tuple[Sequence[str], list[list[str]]]:
    """Return header and lines of the table on its side, which fits a terminal: one line a score, one column a row."""
    lines = [
        [column.title, *(format_score(scores[column.key], column) for scores in rows.values())] for column in COLUMNS
    ]
    return ("", *rows), lines


def format_score(score: Interval, column: Column) -> str:
    """Return `value [low, high]`, shares in percent; no interval where the scenes give none."""
    if math.isnan(score.value):
        return "n/a"
    value, low, high = (_text(number, column) for number in (score.value, score.low, score.high))
    return f"{value} [{low}, {high}]" if not (math.isnan(score.low) or math.isnan(score.high)) else value


def _text(number: float, column: Column) -> str:
    rounded = round(number * column.scale, column.decimals) + 0.0  # never -0.0
    return f"{rounded:{column.sign if rounded else ''}.{column.decimals}f}"


def interval_as_dict(score: Interval) -> dict[str, float | None]:
    """Return a score for JSON."""
    return as_json({"value": score.value, "low": score.low, "high": score.high})


def as_json(values: Mapping[str, float]) -> dict[str, float | None]:
    """Return values for JSON, which has no NaN: what is undefined is None."""
    return {name: None if math.isnan(value) else value for name, value in values.items()}


def report(results: Mapping[str, Any], rows: Mapping[str, Scores]) -> str:
    """Return `results.md`: what was evaluated, the table, and what was left out.

    `results` is the document of `results.json` without its scores: dataset, split, protocol, rows.
    """
    protocol = ", ".join(f"{name} {value}" for name, value in results["protocol"].items())
    return "\n".join(
        [
            f"# {results['dataset']}, split {results['split']}",
            "",
            markdown_table(rows),
            "",
            "Shares in percent; in brackets the 95 % interval of a bootstrap over scenes. AP is class-agnostic; *near* "
            f"gives vertices farther than {results['protocol']['distance_cut_m']:g} m from their point no mask. Speed "
            "is of the segmenter in one thread, with all workers busy. docs/evaluation.md explains each column.",
            "",
            *(
                f"- {name}: {row['num_scenes']} scenes, {row['num_frames']} frames"
                for name, row in results["rows"].items()
            ),
            f"- protocol: {protocol}",
            *left_out_lines(results["left_out"]),
            "",
        ]
    )


def left_out_lines(left_out: Sequence[Mapping[str, str]]) -> list[str]:
    """Return one line for each scene that could not be evaluated, with the row, if not all, and the reason."""
    return [
        f"- left out: {entry['scene']}" + (f" in row {entry['row']}" if entry["row"] else "") + f": {entry['message']}"
        for entry in left_out
    ]
