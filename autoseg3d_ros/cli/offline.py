"""The loop of `autoseg3d run`: read, step, write, frame by frame, and the summaries at whatever end comes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from typing import Protocol

from autoseg3d_ros.cli.interruption import Interruption
from autoseg3d_ros.cli.progress import with_progress
from autoseg3d_ros.data.prefetch import prefetched
from autoseg3d_ros.data.source import FrameSource
from autoseg3d_ros.reporting.draw_run import SheetSampler, plan_of_confirmed
from autoseg3d_ros.reporting.run_folder import OVERLAY, TOPDOWN, RunWriter
from autoseg3d_ros.reporting.timing import RunTiming
from autoseg3d_ros.segmenter import OnlineSegmenter
from autoseg3d_ros.structures import Frame, FrameError, InstanceState, SegmentedFrame


class Observer(Protocol):
    """Is shown every processed frame."""

    def add(self, segmented: SegmentedFrame) -> None:
        """Take note of one frame."""
        ...


class OfflineRun:
    """One pass of a segmenter over a source."""

    def __init__(
        self, source: FrameSource, segmenter: OnlineSegmenter, writer: RunWriter, observers: Sequence[Observer] = ()
    ) -> None:
        self.timing = RunTiming()
        self.seconds = 0.0
        self._source = source
        self._segmenter = segmenter
        self._writer = writer
        self._observers = observers
        self._sampler = SheetSampler(len(source))

    def process(self, interruption: Interruption) -> None:
        """Step through the frames until their end or an interruption; summaries are written after an exception too."""
        started_s = time.perf_counter()
        try:
            self._step_through(interruption)
        finally:
            self.seconds = time.perf_counter() - started_s
            self._write_summaries()

    def _step_through(self, interruption: Interruption) -> None:
        with closing(prefetched(self._source.frames())) as frames:
            frame_end_s = time.perf_counter()
            for number, item in enumerate(with_progress(frames, len(self._source))):
                read_s = time.perf_counter() - frame_end_s
                try:
                    self._step(number, item, read_s)
                except FrameError as error:
                    self.timing.skip(str(error))
                    self._writer.add_skipped(number, str(error))
                frame_end_s = time.perf_counter()
                if interruption:
                    break

    def _step(self, number: int, item: Frame | FrameError, read_s: float) -> None:
        if isinstance(item, FrameError):
            raise item
        started_s = time.perf_counter()
        segmented = self._segmenter.step(item)
        write_from_s = time.perf_counter()
        self._writer.add_frame(number, item.stamp_ns, segmented.label_image, segmented.events, item.name)
        self._sampler.offer(number, item, segmented.label_image)
        for observer in self._observers:
            observer.add(segmented)
        end_s = time.perf_counter()
        stage_ms = {"read": read_s * 1e3, **segmented.stage_ms, "write": (end_s - write_from_s) * 1e3}
        self.timing.add_frame(stage_ms, (end_s - started_s + read_s) * 1e3, len(self._segmenter.state.map))

    def _write_summaries(self) -> None:
        points, instances = self._segmenter.map_points(), self._segmenter.instances()
        tentative = [one.id for one in instances if one.state == InstanceState.TENTATIVE]
        plan = plan_of_confirmed(points.xyz_m, points.instance_id, tentative, self._source.name)
        self._writer.write_instances(instances)
        self._writer.write_map(points.xyz_m, points.rgb, points.instance_id)
        self._writer.write_timing(self.timing.report(self.seconds))
        self._writer.write_picture(OVERLAY, self._sampler.sheet())
        self._writer.write_picture(TOPDOWN, plan)
