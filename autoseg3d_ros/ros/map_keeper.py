"""Map files of the node: when maps are read and written, and by which thread."""

from __future__ import annotations

import logging
import math
import time
import uuid
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from autoseg3d_ros.config import Config, ConfigError
from autoseg3d_ros.persistence.map_faults import MapFault, MapFileError
from autoseg3d_ros.persistence.map_file import read_map, write_map
from autoseg3d_ros.persistence.map_snapshot import FRAMES_AHEAD, IDS_AHEAD, MapSnapshot, ahead, snapshot
from autoseg3d_ros.persistence.network_digest import network_digest
from autoseg3d_ros.persistence.paths import confined, map_directory
from autoseg3d_ros.persistence.restoration import restore
from autoseg3d_ros.ros.worker import Worker
from autoseg3d_ros.segmenter import OnlineSegmenter

logger = logging.getLogger(__name__)

WRITE_S = 30.0


@dataclass(frozen=True)
class SavedMap:
    """A map that is on the disk."""

    path: Path
    num_instances: int


@dataclass(frozen=True)
class _Progress:
    """How far a map is."""

    map_id: uuid.UUID
    frame_index: int
    next_id: int


class MapKeeper:
    """Snapshots are taken by the worker between two frames, and written by one other thread, in order."""

    def __init__(self, segmenter: OnlineSegmenter, config: Config) -> None:
        """Restore the map of `map.path` where `map.autoload` asks for it and there is one.

        Raises ConfigError where there is no `map.path` for what is asked, and MapFileError for a map that does not fit.
        """
        self.num_saved = 0
        self.num_failed = 0
        self._config = config
        self._network = network_digest(segmenter)
        self._writer = ThreadPoolExecutor(max_workers=1, thread_name_prefix="map writer")
        self._autosave: Future[None] | None = None
        self._last_autosave_s = -math.inf
        self._saved: _Progress | None = _progress(segmenter)  # at the last autosave; a map without frames needs none
        _expect_path(config)
        if config.map.autoload:
            self._autoload(segmenter)

    def configure(self, config: Config) -> None:
        """Take over changed settings; safe from any thread."""
        self._config = config

    def save(self, worker: Worker, path: str, *, overwrite: bool) -> SavedMap:
        """Write the map to `path`, or to `map.path` where that is empty; from any thread but the worker's.

        The map goes on meanwhile, so ids and frames that follow are left out by whoever loads the file, see `ahead`.
        Raises MapFileError, and NoAnswerError where the worker did not come to it.
        """
        target = self._target(path)
        taken = worker.ask(lambda segmenter: snapshot(segmenter, self._network))
        writing = self._writer.submit(write_map, ahead(taken), target, overwrite=overwrite)
        try:
            writing.result(WRITE_S)
        except TimeoutError as error:
            raise MapFileError(
                MapFault.WRITE, f"{target}: not written within {WRITE_S:g} s; it goes on, what was there stays whole"
            ) from error
        self.num_saved += 1
        return SavedMap(target, taken.num_instances)

    def load(self, worker: Worker, path: str) -> None:
        """Put the map of a file in place of the present one, after all of it has been checked.

        Raises MapFileError, and NoAnswerError where the worker did not come to it.
        """
        taken = read_map(self._path(path))
        worker.replace_map(lambda segmenter: restore(taken, segmenter))

    def autosave(self, segmenter: OnlineSegmenter) -> None:
        """Have the map written where its time has come and it has changed; on the worker's thread, between frames.

        Its time also comes when half of the ids or frames are used that the last one is ahead.
        """
        period_s, now_s = self._config.map.autosave_period_s, time.monotonic()
        is_writing = self._autosave is not None and not self._autosave.done()
        present = _progress(segmenter)
        if not period_s or is_writing or present == self._saved:
            return
        if now_s >= self._last_autosave_s + period_s or _is_far(present, self._saved):
            self._last_autosave_s, self._saved = now_s, present
            taken = ahead(snapshot(segmenter, self._network))
            self._autosave = self._writer.submit(self._write_unasked, taken)

    def close(self, segmenter: OnlineSegmenter) -> None:
        """Finish what is being written, and save the map where `map.save_on_shutdown` asks for it."""
        if self._config.map.save_on_shutdown:
            self._writer.submit(self._write_unasked, snapshot(segmenter, self._network))
        self._writer.shutdown()

    def _autoload(self, segmenter: OnlineSegmenter) -> None:
        path = self._path("")
        try:
            taken = read_map(path)
        except MapFileError as error:
            if error.reason is not MapFault.NOT_FOUND:
                raise
            logger.info("%s: no map yet; a new one begins", path)
            return
        restore(taken, segmenter)
        self._saved = None  # the file is not ahead of what this process will give: the first autosave comes at once
        logger.info("%s: map %s with %d instances goes on", path, taken.map_id, taken.num_instances)

    def _write_unasked(self, taken: MapSnapshot) -> None:
        try:
            target = self._target("")
            write_map(taken, target, overwrite=True)
        except Exception as error:  # nobody waits for it
            self.num_failed += 1
            self._saved = None
            logger.error("the map could not be saved: %s", error)
            return
        self.num_saved += 1
        logger.info("%s: saved %d instances", target, taken.num_instances)

    def _path(self, path: str) -> Path:
        chosen = self._config.map
        return confined(path or chosen.path, map_directory(chosen.directory), chosen.allow_any_path)

    def _target(self, path: str) -> Path:
        """Return where to write; the folder of maps is made where it is not there."""
        target, folder = self._path(path), map_directory(self._config.map.directory)
        if target.is_relative_to(folder.resolve()):
            try:
                folder.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise MapFileError(
                    MapFault.INVALID_PATH, f"map.directory: {folder} cannot be made ({error.strerror}); set another"
                ) from error
        return target


def _progress(segmenter: OnlineSegmenter) -> _Progress:
    state = segmenter.state
    return _Progress(state.map_id, state.frame_index, state.tracks.next_id)


def _is_far(present: _Progress, saved: _Progress | None) -> bool:
    """Whether a map, if it is the same, is half as far from the saved one as that is ahead of itself."""
    return (
        saved is not None
        and present.map_id == saved.map_id
        and (
            present.next_id - saved.next_id > IDS_AHEAD // 2
            or present.frame_index - saved.frame_index > FRAMES_AHEAD // 2
        )
    )


def _expect_path(config: Config) -> None:
    asked = [name for name in ("autoload", "save_on_shutdown", "autosave_period_s") if getattr(config.map, name)]
    if asked and not config.map.path:
        raise ConfigError(f"map.{asked[0]}: expected a file in map.path, got none; set map.path")
