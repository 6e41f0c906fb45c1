"""The command line, `autoseg3d COMMAND`: its options; the module of a command is imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

_MASK_SOURCES = ("auto", "regions", "file", "truth")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 could not, 2 wrong usage, 130 stopped by Ctrl-C."""
    args = _parser().parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    command = importlib.import_module(f"autoseg3d_ros.cli.{args.command}")
    try:
        return command.execute(args)
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        # Imported this late because `doctor` must also work where what the rest needs is missing.
        from autoseg3d_ros.cli.errors import EXPECTED_ERRORS

        if not isinstance(error, EXPECTED_ERRORS):
            raise
        print(f"autoseg3d {args.command}: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="autoseg3d", description="Posed RGB-D frames in, persistent 3D instances out."
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_run(commands.add_parser("run", help="segment a source offline and write a run folder"))
    _add_eval(commands.add_parser("eval", help="score a run folder against the instance truth of its source"))
    _add_demo(commands.add_parser("demo", help="play a source to the live ROS node and write what it publishes"))
    _add_bag(commands.add_parser("bag", help="write a source as a rosbag2 file"))
    _add_play(commands.add_parser("play", help="publish a source on ROS topics"))
    _add_doctor(commands.add_parser("doctor", help="say what is installed, what is missing, and what a source holds"))
    return parser


def _add_source(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument(
        "source", type=Path, nargs="?" if optional else None, metavar="SOURCE", help="RGB-D folder, TUM folder or bag"
    )
    parser.add_argument("--format", default="auto", metavar="F", help="layout of SOURCE (default: look and see)")


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder; a former run is replaced")
    parser.add_argument("--config", type=Path, metavar="F", help="YAML file of settings")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="change one setting; may be repeated (`doctor --settings` lists all)",
    )
    parser.add_argument("--masks", choices=_MASK_SOURCES, help="where 2D masks come from: short for masks.source")
    parser.add_argument("--model", choices=("none",), default="none", help="learned model; none = geometry alone")
    parser.add_argument("--seed", metavar="N", help="short for --set seed=N")
    parser.add_argument("--rerun", type=Path, metavar="F.rrd", help="also write a recording for the rerun viewer")
    parser.add_argument("--limit", type=_count, metavar="N", help="read the first N frames only")
    parser.add_argument(
        "--repeat",
        type=_count,
        default=1,
        metavar="N",
        help="play the sequence N times over with rising stamps: does a long run stay as fast and as small?",
    )


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="run folder")
    _add_source(parser)


def _add_demo(parser: argparse.ArgumentParser) -> None:
    _add_source(parser, optional=True)
    parser.add_argument("--out", type=Path, default=Path("out/demo"), metavar="DIR", help="default: %(default)s")
    parser.add_argument("--frames", type=_count, default=120, metavar="N", help="length of the generated sequence")
    parser.add_argument("--seed", type=int, default=7, metavar="S", help="of the generated sequence")
    parser.add_argument(
        "--furniture",
        choices=("closed", "open"),
        default="closed",
        help="bodies that geometry can tell apart, or also chairs, bookcases and desks on legs (default: closed)",
    )
    parser.add_argument("--rate", type=_positive, default=1.0, metavar="R", help="speed of playing; 1 = as recorded")


def _add_bag(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("out", type=Path, metavar="OUT.mcap", help="file to write")


def _add_play(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--rate", type=_positive, default=1.0, metavar="R", help="speed; 1 = as recorded")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until Ctrl-C")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_source(parser, optional=True)
    parser.add_argument("--settings", action="store_true", help="list every setting with default, limits and meaning")


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return value


if __name__ == "__main__":
    sys.exit(main())
