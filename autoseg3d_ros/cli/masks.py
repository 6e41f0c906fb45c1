"""`autoseg3d masks`: the 2D masks of recordings alone, to look at, to store and to compare source with source."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from autoseg3d_ros import config as configuration
from autoseg3d_ros.build import build_mask_source
from autoseg3d_ros.cli.errors import CommandError
from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.mask_folder import OVERLAYS, SHEET, MaskFolder, origin_of
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.cli.run import lies_on_its_side, run_config
from autoseg3d_ros.cli.tables import table
from autoseg3d_ros.config import Config
from autoseg3d_ros.data.open import open_source
from autoseg3d_ros.data.scene_folder import MASKS, SCENE_FILE, scenes_of
from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.lifting.masks import MaskSource
from autoseg3d_ros.reporting.mask_report import MaskFigures, MaskMeter, report_lines
from autoseg3d_ros.reporting.run_folder import write_json
from autoseg3d_ros.structures import Frame, FrameError, Masks2D

_MOST_REASONS = 3


def execute(args: argparse.Namespace) -> int:
    """Compute the masks, write and report them; return the exit code."""
    config = run_config(args.config, args.changes, masks=None, seed=args.seed)
    names = args.mask_sources or [config.masks.source]
    recordings = _recordings(args, config)
    if args.out is not None and (len(names) > 1 or len(recordings) > 1):
        raise CommandError(
            f"--out takes the masks of one source on one recording, got {len(names)} x {len(recordings)}; leave it out "
            "to compare, or use `autoseg3d prepare --masks` for all scenes of a data set"
        )
    comparison = _Comparison(config, names)
    with ExitStack() as stack:
        folder = None
        if args.out is not None:
            origin = origin_of(comparison.name_of(names[0]), config)
            folder = stack.enter_context(closing(MaskFolder(args.out, len(recordings[0]), origin, args.overlays)))
        interruption = stack.enter_context(Interruption())
        for recording in recordings:
            comparison.measure(recording, folder, interruption)
        if folder is not None and not interruption and folder.num_frames:
            folder.finish()
    return _report(args, comparison, interruption)


@dataclass(frozen=True)
class _Recording:
    """Some frames of one recording."""

    path: Path
    source: FrameSource
    stride: int
    limit: int | None

    def __len__(self) -> int:
        num_frames = -(-len(self.source) // self.stride)
        return num_frames if self.limit is None else min(num_frames, self.limit)

    def frames(self) -> Iterator[Frame | FrameError]:
        return islice(self.source.frames(), 0, len(self) * self.stride, self.stride)


def _recordings(args: argparse.Namespace, config: Config) -> list[_Recording]:
    """Return the recordings of all paths; a folder of scene folders stands for its scenes."""
    paths = [scene for path in args.sources for scene in (_scenes_in(path, args.split) or [path])]
    return [_Recording(path, open_source(path, args.format, config), args.stride, args.limit) for path in paths]


def _scenes_in(path: Path, split: str | None) -> list[Path]:
    if split is not None:
        return [scene.path for scene in scenes_of(path, split)]
    scenes = [file.parent for file in sorted(path.glob(f"*/{SCENE_FILE}"))]
    return [scene for scene in scenes if not scene.name.startswith(".")]  # hidden: in the making


class _Comparison:
    """Several mask sources, each asked for the masks of the same frames."""

    def __init__(self, config: Config, names: Sequence[str]) -> None:
        """Make the sources. Raises ConfigError where one cannot be made."""
        self.skipped: list[str] = []
        self._config = config
        self._sources = {name: self._build(name, config.masks.directory) for name in names}
        titles = {name: f"auto: {source.name}" if name == "auto" else name for name, source in self._sources.items()}
        self._meters = {name: MaskMeter(title) for name, title in titles.items()}

    def name_of(self, name: str) -> str:
        """Return the name of a source, where `auto` was asked for that of the one that was taken."""
        return self._sources[name].name if name == "auto" else name

    def figures(self) -> list[MaskFigures]:
        return [meter.figures() for meter in self._meters.values()]

    def measure(self, recording: _Recording, folder: MaskFolder | None, interruption: Interruption) -> None:
        """Take the frames of one recording, until an interruption; a frame that one source refuses is skipped."""
        sources = self._sources_for(recording.path)
        for number, frame in enumerate(with_progress(recording.frames(), len(recording))):
            if interruption:
                return
            try:
                if isinstance(frame, FrameError):
                    raise frame
                self._take(number, frame, sources, folder)
            except FrameError as error:
                self.skipped.append(str(error))

    def _take(self, number: int, frame: Frame, sources: dict[str, MaskSource], folder: MaskFolder | None) -> None:
        taken = {name: _timed(source, frame) for name, source in sources.items()}
        for name, (masks, ms, cpu_ms) in taken.items():
            if folder is not None:
                folder.add(number, frame, masks)
            self._meters[name].add(frame, masks, ms, cpu_ms)

    def _sources_for(self, recording: Path) -> dict[str, MaskSource]:
        """Return the sources, built anew where they depend on the recording."""
        directory, is_turned = self._config.masks.directory, lies_on_its_side(recording)
        depends = {name: is_turned or (name == "file" and not directory) for name in self._sources}
        return {
            name: self._build(name, directory or str(recording / MASKS), is_turned) if depends[name] else source
            for name, source in self._sources.items()
        }

    def _build(self, name: str, directory: str, is_turned: bool = False) -> MaskSource:
        changes = {"masks.source": name, "masks.directory": directory}
        return build_mask_source(configuration.replace(self._config, changes), is_turned=is_turned)


def _timed(source: MaskSource, frame: Frame) -> tuple[Masks2D, float, float]:
    """Return the masks, and the milliseconds of wall and of CPU time that they took."""
    start_s, cpu_start_s = time.perf_counter(), time.process_time()
    masks = source.masks(frame)
    return masks, (time.perf_counter() - start_s) * 1e3, (time.process_time() - cpu_start_s) * 1e3


def _report(args: argparse.Namespace, comparison: _Comparison, interruption: Interruption) -> int:
    """Print and write the figures; return the exit code. Raises CommandError where there are none."""
    for reason in comparison.skipped[:_MOST_REASONS]:
        print(f"skipped: {reason}")
    if len(comparison.skipped) > _MOST_REASONS:
        print(f"skipped: {len(comparison.skipped) - _MOST_REASONS} more")
    figures = comparison.figures()
    if not figures[0].num_frames and not interruption:
        raise CommandError(f"{args.sources[0]}: none of the frames could be used; the reasons are above")
    if args.truth and not figures[0].num_truth_masks and not interruption:
        raise CommandError(
            f"{args.sources[0]}: --truth: no frame has instance truth; expected instance/000000.png beside its images "
            "or a truth topic in its bag"
        )
    print(table(*report_lines(figures, args.truth)))
    if args.json is not None:
        write_json(args.json, {"sources": [row.as_json() for row in figures], "num_skipped": len(comparison.skipped)})
        print(f"written to {args.json}")
    if args.out is not None and not interruption:
        pictures = f", {SHEET}" + f", {OVERLAYS}/" * args.overlays
        print(
            f"written to {args.out}: {MASKS}/{pictures}; `autoseg3d run SOURCE --masks file --set "
            f"masks.directory={args.out / MASKS}` uses them"
        )
    if interruption:
        kept = "; nothing was written" if args.out is not None else ""
        print(f"stopped after {figures[0].num_frames} frame{'s' * (figures[0].num_frames != 1)}{kept}")
    return interruption.exit_code
