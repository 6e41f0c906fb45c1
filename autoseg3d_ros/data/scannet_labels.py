"""The classes of ScanNet and ScanNet200, and how ScanNet's free-text labels map to them.

The label map `scannetv2-labels.combined.tsv` comes with the data. Class ids are those of the benchmarks: NYU40 ids for
ScanNet's 20 classes, ScanNet's own ids for ScanNet200. Walls and floors are no things: they are void (method.md §9.3).
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from autoseg3d_ros.data.nyu40 import FLOOR, NYU40, WALL
from autoseg3d_ros.data.source import SourceError

LABEL_MAP_FILE = "scannetv2-labels.combined.tsv"
_SCANNET_RANGES = "1-12 14 16 24 28 33 34 36 39"
_SCANNET200_RANGES = (
    "1-11 13-19 21-24 26-29 31-36 38-42 44-52 54-59 62-80 82 84 86-90 93 95-107 110 112 115 116 118 120-122 125 128 "
    "130-132 134 136 138-141 145 148 154-157 159 161 163 165 166 168-170 177 180 185 188 191 193 195 202 208 213 214 "
    "221 229 230 232 233 242 250 261 264 276 283 286 300 304 312 323 325 331 342 356 370 392 395 399 408 417 488 540 "
    "562 570 572 581 609 748 776 1156 1163-1176 1178-1191"
)


class LabelClass(NamedTuple):
    """A class of a benchmark."""

    id: int
    name: str


@dataclass(frozen=True)
class Taxonomy:
    """How a benchmark reads the label map."""

    id_column: str
    valid_ids: frozenset[int]
    stuff_ids: frozenset[int]  # valid, but no things
    names: dict[int, str]  # of classes that the label map has no column for

    @property
    def thing_ids(self) -> frozenset[int]:
        """The classes whose instances count."""
        return self.valid_ids - self.stuff_ids


def _ids_of(ranges: str) -> frozenset[int]:
    bounds = [list(map(int, word.split("-"))) for word in ranges.split()]
    return frozenset(number for bound in bounds for number in range(bound[0], bound[-1] + 1))


SCANNET = Taxonomy("nyu40id", _ids_of(_SCANNET_RANGES), frozenset({WALL, FLOOR}), dict(enumerate(NYU40, start=1)))
SCANNET200 = Taxonomy("id", _ids_of(_SCANNET200_RANGES), frozenset({1, 3}), {})


def read_label_map(file: Path, taxonomy: Taxonomy) -> dict[str, LabelClass | None]:
    """Return label -> class of things, None for labels that the benchmark has as void, walls or floors.

    Raises SourceError for a file that is missing or lacks a column.
    """
    classes: dict[str, LabelClass | None] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for row in csv.DictReader(stream, delimiter="\t", quoting=csv.QUOTE_NONE):
                number = int(row[taxonomy.id_column] or 0)
                name = taxonomy.names.get(number) or row["category"]
                one = LabelClass(number, name) if number in taxonomy.thing_ids else None
                classes.setdefault(row["raw_category"].strip(), one)
    except OSError as error:
        raise SourceError(
            f"{file}: cannot be read: {error.strerror}; ScanNet's download script fetches it with --label_map"
        ) from error
    except (KeyError, ValueError, TypeError) as error:
        raise SourceError(
            f"{file}: expected tab-separated columns {taxonomy.id_column}, raw_category and category ({error!r}); "
            "fetch it anew with ScanNet's download script, --label_map"
        ) from error
    if not classes:
        raise SourceError(f"{file}: expected a table of labels, got no row; fetch it anew with --label_map")
    return classes
